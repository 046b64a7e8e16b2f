# SPDX-License-Identifier: Apache-2.0
"""What listeners tell, kept for tests to look at."""

import asyncio
from collections.abc import Callable

from tidegate.probes.hints.base import Heard


class Ear:
    """Called as ``hear``: keeps all."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self._news = asyncio.Event()

    def __call__(self, heard: Heard) -> None:
        self.heard.append(heard)
        self._news.set()

    @property
    def woken(self) -> int:
        """How often somebody was to be woken."""
        return sum(bool(one.wakes) for one in self.heard)

    async def until(self, woken: int) -> None:
        """Wait until so many have woken."""
        await self._reach(lambda: self.woken >= woken)

    async def another(self) -> None:
        """Wait until something more was heard."""
        seen = len(self.heard)
        await self._reach(lambda: len(self.heard) > seen)

    async def _reach(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self._news.clear()
                await self._news.wait()
