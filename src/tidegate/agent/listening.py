# SPDX-License-Identifier: Apache-2.0
"""Keeps one listener listening: begins when there is something to hear, again after it ended, never more often or for more than it may."""

import logging
from collections.abc import Callable
from typing import Protocol

from tidegate.agent import pace
from tidegate.clients import errors
from tidegate.core.backoff import Backoff, BackoffPolicy
from tidegate.core.snapshot import Snapshot, Source
from tidegate.core.trouble import Trouble
from tidegate.probes.hints.base import Heard, Listener

AGAIN = BackoffPolicy(first=0.25, limit=30.0, good_after=60.0)
SOONEST = 0.25
"""Seconds between two beginnings at least, whatever the snapshot says."""
TELL_AFTER = 4
"""So many failures on end are told to a person; fewer are what happens when a service restarts."""
_AT_ONCE = 0.001
_log = logging.getLogger("tidegate.listening")


class World(Protocol):
    """Whom a listener wakes."""

    @property
    def snapshot(self) -> Snapshot:
        """What is known."""

    @property
    def is_waiting(self) -> bool:
        """Something that is wanted is not ready."""

    def hint(self, *sources: Source, at_once: bool = False) -> None:
        """Have ``sources`` looked at when they may be; ``at_once``: however slow their last look was."""

    async def next_news(self, within: float | None) -> None:
        """Return when something is known that was not, or after so many seconds."""


class _Flood(Exception):  # noqa: N818  no fault: the stream is left
    """More is told than may be read."""


class Listening:
    """One listener, kept alive. ``clock`` gives seconds since boot."""

    def __init__(self, listener: Listener, world: World, clock: Callable[[], float]) -> None:
        self._listener = listener
        self._world = world
        self._clock = clock
        self._budget = Backoff(key=listener.name)
        self._allowance = pace.Allowance.full(pace.READ_MOST, clock())
        self._enough = 0.0
        """What must be left of the allowance before the stream is opened."""
        self._worthwhile = False
        self._heard = False

    @property
    def wakes(self) -> frozenset[Source]:
        """What is looked at when something is heard; nothing where the listener only measures."""
        return self._listener.wakes

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            await self._until_due()
            trouble = await self._listen()
            if self._heard:  # what it would have told from now on nobody tells: look once
                self._world.hint(*self._listener.wakes)
            self._settle(trouble)

    async def _until_due(self) -> None:
        while True:
            now = self._clock()
            worthwhile = self._listener.worthwhile(self._world.snapshot)
            if worthwhile and not self._worthwhile and self._budget.failed_at is not None:
                self._budget = self._budget.hurried(max(now, self._budget.failed_at + SOONEST))
            self._worthwhile = worthwhile
            refilled = self._allowance.wait(now, self._rate(), enough=self._enough)
            left = max(self._budget.not_before - now, refilled)
            if worthwhile and left < _AT_ONCE:
                return
            await self._world.next_news(left if worthwhile else None)

    async def _listen(self) -> Trouble | None:
        """Listen once; returns why it ended, None when there was nothing to listen to."""
        self._heard = False
        self._enough = 0.0
        try:
            await self._listener.listen(self._hear)
        except _Flood:
            self._enough = pace.READ_MOST / 2
            return Trouble(
                code="hints.flood",
                text=f"{self._listener.name}: more is told than may be read",
                hint="it is left alone for a while; looks are as often as without it",
            )
        except errors.ClientError as error:
            return error.trouble
        except Exception as error:  # a fault of ours in one listener must not end the others
            _log.exception("%s: listening failed: report this as a bug", self._listener.name)
            return Trouble(code="hints.bug", text=f"listening failed: {error!r}", hint="report it")
        return None

    def _hear(self, heard: Heard) -> None:
        now, rate = self._clock(), self._rate()
        self._heard = True
        if heard.wakes:
            self._world.hint(*heard.wakes, at_once=heard.at_once)
        self._allowance = self._allowance.spent(heard.work, now, rate)
        if self._allowance.now(now, rate) <= 0:
            raise _Flood

    def _settle(self, trouble: Trouble | None) -> None:
        """Take the end of a stream into account and tell of it."""
        name = self._listener.name
        if trouble is not None and self._enough:
            _log.info("%s", trouble, extra={"TIDEGATE_CODE": trouble.code})
            return
        self._budget = self._budget.failed(self._clock(), AGAIN)
        told = _log.info if self._budget.failures == TELL_AFTER and trouble else _log.debug
        told("not listening to %s: %s", name, trouble or "there is nothing to hear")

    def _rate(self) -> float:
        return pace.READ_WAITING if self._world.is_waiting else pace.READ_REST
