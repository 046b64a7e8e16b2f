# SPDX-License-Identifier: Apache-2.0
"""How many calls are under way at the controllers at once: places for those that end, and places of their own for streams."""

import asyncio
import contextlib
import enum
from collections.abc import AsyncGenerator
from typing import Final

from tidegate.clients import errors
from tidegate.core.trouble import Trouble
from tidegate.guard.interface import CallClass
from tidegate.guard.limits import Limits

_WAITS: Final = frozenset({CallClass.READ, CallClass.CHANGE})


class Place(enum.Enum):
    """What a call holds."""

    NONE = enum.auto()
    CALL = enum.auto()
    STREAM = enum.auto()


class Turns:
    """The places, and who has one."""

    def __init__(self, bounds: Limits) -> None:
        self._bounds = bounds
        self._calls = asyncio.Semaphore(bounds.calls)
        self.streams = 0
        """How many have a stream's place."""

    @contextlib.asynccontextmanager
    async def take(self, kind: CallClass) -> AsyncGenerator["Turn", None]:
        """Wait for a place, and give it back at the end. Raises ClientError ``guard.busy``.

        What Incus starts with and mounts with needs none: whoever asks much else must not be in its way.
        """
        turn = Turn(self)
        if kind is CallClass.STREAM:
            turn.is_endless()
        elif kind in _WAITS:
            await self._wait()
            turn.holds = Place.CALL
        try:
            yield turn
        finally:
            turn.give_back()

    async def _wait(self) -> None:
        if not self._calls.locked():
            await self._calls.acquire()
            return
        try:
            async with asyncio.timeout(self._bounds.turn_within):
                await self._calls.acquire()
        except TimeoutError:
            raise errors.ClientError(_busy()) from None

    def take_stream(self) -> None:
        """Take a stream's place. Raises ClientError when there is none."""
        if self.streams >= self._bounds.streams:
            raise errors.ClientError(_busy())
        self.streams += 1

    def give_back(self, place: "Place") -> None:
        """Hand a place to the next."""
        if place is Place.STREAM:
            self.streams -= 1
        elif place is Place.CALL:
            self._calls.release()


class Turn:
    """One call, and the place that it holds."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.holds = Place.NONE

    def is_endless(self) -> None:
        """Take in that the answer has no end, even if nothing in the request said so: it needs a stream's place. Raises ClientError."""
        if self.holds is not Place.STREAM:
            self._turns.take_stream()
            self.give_back()
            self.holds = Place.STREAM

    def give_back(self) -> None:
        """Let the next one have the place."""
        self._turns.give_back(self.holds)


def _busy() -> Trouble:
    return Trouble(code="guard.busy", text="too many calls are under way", hint="try again")
