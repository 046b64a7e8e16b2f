# SPDX-License-Identifier: Apache-2.0
"""How many calls are under way at the controllers at once: places for those that end, and places of their own for streams."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from tidegate.clients import errors
from tidegate.core.trouble import Trouble
from tidegate.guard.interface import CallClass
from tidegate.guard.limits import Limits


class Turns:
    """The places, and who has one."""

    def __init__(self, bounds: Limits) -> None:
        self._bounds = bounds
        self._calls = asyncio.Semaphore(bounds.calls)
        self.streams = 0
        """How many have a stream's place."""

    @contextlib.asynccontextmanager
    async def take(self, kind: CallClass) -> AsyncGenerator["Turn", None]:
        """Wait for a place, and give it back at the end. Raises ClientError ``guard.busy``."""
        turn = Turn(self)
        if kind is CallClass.STREAM:
            self.take_stream()
            turn.streams = True
        else:
            await self._wait()
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

    def give_back(self, *, stream: bool) -> None:
        """Hand a place to the next."""
        if stream:
            self.streams -= 1
        else:
            self._calls.release()


class Turn:
    """One place that was taken."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.streams = False

    def is_endless(self) -> None:
        """Take in that the answer has no end, though nothing in the request said so: it needs a stream's place. Raises ClientError."""
        if not self.streams:
            self._turns.take_stream()
            self._turns.give_back(stream=False)
            self.streams = True

    def give_back(self) -> None:
        """Let the next one have it."""
        self._turns.give_back(stream=self.streams)


def _busy() -> Trouble:
    return Trouble(code="guard.busy", text="too many calls are under way", hint="try again")
