# SPDX-License-Identifier: Apache-2.0
"""Which controller is asked: the active one among several, found and kept track of by itself.

The guard searches from the moment it starts, before Incus asks, and goes on while no controller answers. So a call finds either an
active controller or a known trouble, and is never the first to learn that an address is black-holed. "Answers" means: says
what version it is (an open port alone is what a hung controller has, too).
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec

from tidegate.clients.errors import ClientError, Trouble
from tidegate.clients.linstor import answers, failover
from tidegate.clients.linstor.endpoints import Endpoints
from tidegate.guard import limits
from tidegate.guard.interface import Patience

_log = logging.getLogger("tidegate.guard")


class Asked(Protocol):
    """Asks one controller for its version; raises `ClientError`."""

    async def __call__(self, url: str, limit: float) -> None:
        """Return when `url` has said its version within `limit` seconds."""
        ...


class VersionAsker:
    """Asks with the client that the agent uses, whose words for every kind of trouble are good."""

    def __init__(self, to: Endpoints, *, connect_limit: float) -> None:
        self._to = to
        self._connect_limit = connect_limit
        self._silent: dict[str, Trouble] = {}

    async def __call__(self, url: str, limit: float) -> None:
        """Ask on a new connection, as the next call would."""
        one = failover.Controllers(
            msgspec.structs.replace(self._to, urls=(url,)),
            own=(),
            connect_limit=min(self._connect_limit, limit * 0.9),
            silent=self._silent,
        )
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(one.aclose)
            await one.call("GET", failover.VERSION_PATH, failover.read_version, deadline=limit)


class Directory:
    """Keeps track of the active controller. `run` must be running."""

    def __init__(
        self,
        urls: Sequence[str],
        asked: Asked,
        *,
        none: Trouble,
        on_hung: Callable[[str, float, Trouble], None] = lambda _url, _for, _why: None,
    ) -> None:
        """`none` says why there are no `urls`; `on_hung` hears of a controller in use that has not answered for some seconds."""
        self.urls = tuple(urls)
        self.active: str | None = None
        self.trouble: Trouble | None = none if not urls else None
        """Why no controller is asked; None while one is, or while the first search is under way."""
        self.switches = 0
        self.on_hung = on_hung
        self._asked = asked
        self._loop = asyncio.get_running_loop()
        self.unreached_since: float | None = self._loop.time()
        """On the loop's clock."""
        self._last: str | None = None
        self._silent_since: float | None = None
        self._wanted = asyncio.Event()
        self._wanted.set()
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Search while none is active, and whenever `suspect` was called; for ever."""
        while self.urls:
            await self._wanted.wait()
            self._wanted.clear()
            await self._search()
            if self.active is None or self._silent_since is not None:
                await self._pause()
                self._wanted.set()
        await asyncio.Event().wait()

    async def find(self, patience: Patience) -> str:
        """Return the controller to ask, at once if one is known. Raises `ClientError` when `patience` is over.

        Waits while a search has just begun (`limits.UNREACHED`), and for a controller that is silent, in use or not, until that has
        lasted for `patience.hung` seconds; one that refuses is not waited for.
        """
        began = self._loop.time()
        last = began + patience.answer
        while (found := self._usable(patience.hung)) is None:
            end = min(last, max(began + patience.found, self._hopeless_at(patience.hung)))
            if self._loop.time() >= end:
                lasted = self._loop.time() - (self.unreached_since or last)
                raise ClientError(self.trouble or _searching(self.urls, lasted))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(end):
                    await self._changed.wait()
        return found

    def _hopeless_at(self, hung: float) -> float:
        """Return the moment from which on nobody waits any more who waits `hung` seconds for a silent controller."""
        since = self.unreached_since
        if since is None or self.active is not None:
            return self._loop.time()
        if self.trouble is None:
            return since + max(limits.UNREACHED, hung)
        return since + hung * self.trouble.code.startswith("controller.timeout")

    def silent_for(self) -> float:
        """Return the seconds since it was certain that the active controller does not answer; below zero while it does."""
        if self._silent_since is None:
            return -1.0
        return self._loop.time() - self._silent_since - limits.CHECK_LIMIT

    def _usable(self, hung: float) -> str | None:
        return None if self.silent_for() > hung else self.active

    def lost(self, url: str, trouble: Trouble) -> None:
        """Hear that `url` cannot be connected to: it is not asked again before a search finds it."""
        if self.active == url:
            _log.warning("%s", trouble, extra={"TIDEGATE_CODE": trouble.code})
            self._inactive(None if len(self.urls) > 1 else trouble)
        self._wanted.set()

    def suspect(self) -> None:
        """Hear that a call waits, or broke off: ask whether the controller still answers."""
        self._wanted.set()

    def _inactive(self, trouble: Trouble | None) -> None:
        self.active = None
        self.trouble = trouble
        if self.unreached_since is None:
            self.unreached_since = self._loop.time()
        self._signal()

    async def _search(self) -> None:
        """Ask all at once; the first good answer wins, but one that is in use keeps its place if it answers too."""
        failures: dict[str, Trouble] = {}
        begun = self._loop.time()
        winner = await first_good(self.urls, self._attempt, failures)
        if winner is not None:
            self._found(winner)
            return
        trouble = answers.all_failed(failures)
        active = self.active
        if active is not None and failures[active].code == "controller.timeout":
            self._silent(active, begun, failures[active])
            return
        if active is not None:
            _log.warning("%s", trouble, extra={"TIDEGATE_CODE": trouble.code})
        self._silent_since = None
        self._inactive(trouble)

    def _silent(self, url: str, since: float, trouble: Trouble) -> None:
        """It lets us connect and says nothing: it hangs, or is very busy. Calls that can wait longer do (`limits.PATIENCE`)."""
        if self._silent_since is None:
            self._silent_since = since
            _log.warning("%s", trouble, extra={"TIDEGATE_CODE": trouble.code})
            self.unreached_since = since
        self.trouble = trouble
        self.on_hung(url, self.silent_for(), trouble)

    async def _attempt(self, url: str) -> Trouble | None:
        try:
            await self._asked(url, limits.CHECK_LIMIT)
        except ClientError as error:
            return error.trouble
        return None

    def _found(self, url: str) -> None:
        if url != self._last and self._last is not None:
            self.switches += 1
        if url != self.active or self._silent_since is not None:
            _log.info("the controller that is asked is %s", url)
        self._last = self.active = url
        self.trouble = None
        self.unreached_since = self._silent_since = None
        self._signal()

    def _signal(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _pause(self) -> None:
        since = self.unreached_since
        lasted = self._loop.time() - since if since is not None else 0.0
        await asyncio.sleep(
            limits.SEARCH_PAUSE if lasted < limits.SEARCH_FAST_FOR else limits.SEARCH_PAUSE_LATER
        )


async def first_good(
    urls: Sequence[str],
    attempt: Callable[[str], Awaitable[Trouble | None]],
    failures: dict[str, Trouble],
) -> str | None:
    """Try all at once; return the first without trouble, and end the other attempts. `failures` takes the troubles."""
    winners: list[str] = []

    async def one(url: str) -> None:
        trouble = await attempt(url)
        if trouble is not None:
            failures[url] = trouble
            return
        winners.append(url)
        for task in tasks:
            if task is not asyncio.current_task():
                task.cancel()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(url)) for url in urls]
    return winners[0] if winners else None


def _searching(urls: Sequence[str], lasted: float) -> Trouble:
    return Trouble(
        code="controller.timeout",
        text=f"no controller of {', '.join(urls)} has answered for {lasted:.1f} s",
        hint="the search goes on; look at the controllers and at the network between",
    )
