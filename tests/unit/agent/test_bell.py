# SPDX-License-Identifier: Apache-2.0
"""A hint is followed by a look at once; ten thousand are followed by few."""

import asyncio
from collections.abc import Callable

import pytest

from tidegate.agent import pace
from tidegate.agent.bell import Bell
from tidegate.core.snapshot import Source

LONG = 20.0
MOST = 2.0


def now() -> float:
    return asyncio.get_running_loop().time()


def bell(source: Source = Source.DRBD, *, share: float = 0.05) -> Bell:
    terms = pace.Terms(most=MOST, share=share)
    found = Bell(source, lambda: terms)
    found.looked(took=0.0, used=0.0)
    return found


async def waited(one: Bell, seconds: float = LONG) -> float:
    began = now()
    await one.wait(seconds)
    return now() - began


@pytest.mark.parametrize("wake", [Bell.ring, Bell.hint])
async def test_who_waits_is_woken_at_once(wake: Callable[[Bell], None]) -> None:
    one = bell()
    asyncio.get_running_loop().call_later(0.01, wake, one)
    assert await waited(one) < 1.0


async def test_without_anything_the_time_passes() -> None:
    assert await waited(bell(), 0.02) >= 0.019


async def test_a_hint_during_a_look_has_one_more_look_follow() -> None:
    one = bell()
    one.hint()
    await one.wait(LONG)
    for _ in range(100):
        one.hint()
    one.looked(took=0.001, used=0.001)
    assert pace.GAP * 0.5 <= await waited(one) < 1.0
    one.looked(took=0.001, used=0.001)
    assert await waited(one, 0.05) >= 0.049, "one more was enough"


async def test_what_matters_is_looked_at_however_slow_the_last_look_was() -> None:
    for during_the_look in (True, False):
        one = bell(Source.INCUS)
        one.hint()
        await one.wait(LONG)
        if during_the_look:
            one.hint(at_once=True)
        one.looked(took=10 * LONG, used=0.001)
        if not during_the_look:
            one.hint(at_once=True)
        assert pace.GAP * 0.5 <= await waited(one) < pace.LONGEST_GAP / 2


async def test_what_matters_is_held_back_with_all_else_when_looks_have_cost_too_much() -> None:
    one = bell(share=0.001)
    one.hint()
    await one.wait(LONG)
    one.looked(took=0.01, used=2 * MOST)
    one.hint(at_once=True)
    assert await waited(one, 0.05) >= 0.049


async def test_a_call_during_a_look_has_the_next_follow_without_a_pause() -> None:
    one = bell()
    one.ring()
    await one.wait(LONG)
    one.ring()
    one.looked(took=5.0, used=5.0)
    assert await waited(one) < 0.5


async def test_hints_are_held_back_when_their_looks_have_cost_too_much() -> None:
    one = bell(share=0.001)
    one.hint()
    await one.wait(LONG)
    one.looked(took=0.3, used=2 * MOST)
    one.hint()
    assert await waited(one, 0.05) >= 0.049, "it is polled, no more"
    one.looked(took=0.3, used=0.3)
    one.ring()
    assert await waited(one) < 1.0, "a plain call is not held back"


async def test_polling_is_not_charged_to_hints() -> None:
    one = bell(share=0.001)
    for _ in range(5):
        await one.wait(0.0)
        one.looked(took=0.3, used=10.0)
    one.hint()
    assert await waited(one) < 1.0


async def test_a_share_that_grows_counts_for_who_was_held_back() -> None:
    share = 0.001
    one = Bell(Source.DRBD, lambda: pace.Terms(most=MOST, share=share))
    one.looked(took=0.0, used=0.0)
    one.hint()
    await one.wait(LONG)
    one.looked(took=0.1, used=MOST + 0.05)
    one.hint()
    share = 1.0
    one.hint()
    assert await waited(one) < 2.0


async def test_who_answers_slowly_is_not_asked_without_a_pause() -> None:
    one = bell(Source.LINSTOR)
    one.hint()
    await one.wait(LONG)
    one.looked(took=0.1, used=0.0)
    one.hint()
    assert await waited(one) >= 0.29


async def test_a_flood_of_hints_is_few_looks_and_one_timer() -> None:
    one = bell()
    looks = 0
    end = now() + 0.5
    while now() < end:
        for _ in range(100):
            one.hint()
        await one.wait(0.01)
        looks += 1
        one.looked(took=0.001, used=0.0005)
    assert looks <= 0.5 / 0.01 + 1
