# SPDX-License-Identifier: Apache-2.0
"""Ties a virtual clock to the event loop's: the one place where a model's time passes by itself.

All faces of one simulated machine share one :class:`Pacer`. A face calls :meth:`Pacer.catch_up` before it reads or changes a model,
so that everything due has happened, and :meth:`Pacer.wake` after a change, because the next due moment may have come nearer.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tidegate.sim.clock import VirtualClock


class Pacer:
    """Drives a virtual clock from the event loop's monotonic clock.

    Args:
        clock: the models' clock; what it shows at the start is kept.
        speed: virtual seconds per real second, above zero.

    Raises:
        ValueError: ``speed`` is not above zero.
    """

    def __init__(self, clock: VirtualClock, *, speed: float = 1.0) -> None:
        if speed <= 0:
            raise ValueError(
                f"speed is {speed}: a pacer needs virtual seconds per second above zero"
            )
        self.clock = clock
        self.speed = speed
        self._real_start: float | None = None
        self._virtual_start = clock.now
        self._woken = asyncio.Event()

    def catch_up(self) -> float:
        """Let everything happen that is due by now. Returns the virtual time, in seconds."""
        real = asyncio.get_running_loop().time()
        if self._real_start is None:
            self._real_start, self._virtual_start = real, self.clock.now
        self.clock.advance(self._virtual_start + (real - self._real_start) * self.speed)
        return self.clock.now

    def wake(self) -> None:
        """Say that something was planned: :meth:`run` looks again when to wake next."""
        self._woken.set()

    async def run(self) -> None:
        """Drive the clock until cancelled. An exception of a model comes out here."""
        while True:
            self.catch_up()
            self._woken.clear()
            due = self.clock.next_due()
            pause = None if due is None else max(due - self.clock.now, 0.0) / self.speed
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._woken.wait()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Pacer"]:
        """Drive the clock for as long as the block lasts."""
        async with asyncio.TaskGroup() as tasks:
            driver = tasks.create_task(self.run(), name="pacer")
            try:
                yield self
            finally:
                driver.cancel()
