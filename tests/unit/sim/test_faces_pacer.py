# SPDX-License-Identifier: Apache-2.0
import asyncio

import pytest

from tidegate.sim.clock import VirtualClock
from tidegate.sim.faces.pacer import Pacer


async def test_what_is_due_happens_by_itself_and_in_order() -> None:
    clock = VirtualClock()
    seen: list[str] = []
    done = asyncio.Event()
    clock.at(20.0, lambda: seen.append("second"))
    clock.at(20.0, done.set)
    clock.at(10.0, lambda: seen.append("first"))
    async with asyncio.timeout(5), Pacer(clock, speed=1000.0).running():
        await done.wait()
    assert seen == ["first", "second"]
    assert clock.now >= 20.0


async def test_something_planned_later_is_not_slept_over() -> None:
    clock = VirtualClock()
    done = asyncio.Event()
    clock.at(3600.0, lambda: None)
    async with asyncio.timeout(5), Pacer(clock, speed=10.0).running() as pacer:
        await asyncio.sleep(0)
        pacer.catch_up()
        clock.after(0.1, done.set)
        pacer.wake()
        await done.wait()
    assert clock.now < 60.0


async def test_a_failing_model_is_heard() -> None:
    clock = VirtualClock()

    def broken() -> None:
        raise ZeroDivisionError

    clock.at(0.01, broken)
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.timeout(5), Pacer(clock, speed=10.0).running():
            await asyncio.Event().wait()
    assert caught.group_contains(ZeroDivisionError)


def test_a_speed_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="above zero"):
        Pacer(VirtualClock(), speed=0.0)
