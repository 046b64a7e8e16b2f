# SPDX-License-Identifier: Apache-2.0
"""At rest the loop judges seldom, shows all the same that it turns, and answers who asks at once."""

import asyncio

import pytest

from tidegate.agent import loop as loops
from tidegate.agent import service
from tidegate.agent.loop import Loop
from tidegate.config.policy import RecoveryPolicy
from tidegate.core.finding import Report
from tidegate.core.ids import NodeName


class Still:
    """An observer to which nothing happens."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.snapshot = type("Empty", (), {"boot_id": "b"})()
        self.is_waiting = False
        self.has_findings = False

    def judge(self) -> Report:
        return Report(at=0.0, node=NodeName("n1"), findings=(), subjects={})

    def attend(self) -> None:
        self.is_waiting = True
        self.changed.set()


def still_loop(observer: Still) -> Loop:
    return Loop(
        observer=observer,  # type: ignore[arg-type]
        policy=RecoveryPolicy(),
        actuator=None,
        recorder=None,
        keeper=None,
        boottime=asyncio.get_running_loop().time,
        wall=lambda: 0.0,
    )


async def test_a_loop_that_has_nothing_to_judge_shows_that_it_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loops, "BEAT", 0.02)
    monkeypatch.setattr(loops, "LONGEST_QUIET", 0.1)
    one = still_loop(Still())
    began = one.last_turn
    await one._pause()
    assert one.last_turn >= began + 0.06, "also while it pauses"


async def test_who_asks_ends_the_longest_pause() -> None:
    observer = Still()
    one = still_loop(observer)
    async with asyncio.timeout(2.0), asyncio.TaskGroup() as group:
        group.create_task(one._pause())
        await asyncio.sleep(0)
        observer.attend()


@pytest.mark.parametrize(
    ("waiting", "findings", "limit"),
    [
        (True, True, loops.LONGEST_PAUSE),
        (False, True, loops.LONGEST_REST),
        (False, False, loops.LONGEST_QUIET),
    ],
)
async def test_the_better_it_is_the_more_seldom_is_it_judged(
    waiting: bool, findings: bool, limit: float
) -> None:
    observer = Still()
    observer.is_waiting, observer.has_findings = waiting, findings
    assert still_loop(observer)._longest() == limit


def test_the_watchdog_is_fed_at_rest() -> None:
    assert service.STUCK_AFTER > loops.BEAT + loops.LONGEST_PAUSE
