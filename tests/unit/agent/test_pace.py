# SPDX-License-Identifier: Apache-2.0
"""Looked at often while something waits, rarely at rest."""

import pytest

from tidegate.agent.pace import Pace, interval, is_waiting
from tidegate.core import ids
from tidegate.core.finding import Grade, Report, SubjectState
from tidegate.core.snapshot import Source

PACE = Pace(fast=0.25, rest=10.0, slow=2.0, slow_after=900.0)


def report(*, at: float = 100.0, ready: bool = True, wanted: bool = True) -> Report:
    state = SubjectState(subject=ids.SATELLITE, grade=Grade.OK, ready=ready, wanted=wanted)
    return Report(at=at, node="n1", findings=(), subjects={"satellite": state})


@pytest.mark.parametrize(
    ("seen", "waiting_since", "expected"),
    [
        pytest.param(None, 0.0, 0.25, id="before-the-first-report"),
        pytest.param(report(), None, 10.0, id="at-rest"),
        pytest.param(report(ready=False), 90.0, 0.25, id="waiting"),
        pytest.param(report(at=2000.0, ready=False), 90.0, 2.0, id="waiting-for-ages"),
    ],
)
def test_interval(seen: Report | None, waiting_since: float | None, expected: float) -> None:
    assert interval(PACE, Source.LINSTOR, seen, waiting_since=waiting_since, cost=0.01) == expected


def test_a_slow_source_is_not_asked_more_than_a_quarter_of_the_time() -> None:
    assert interval(PACE, Source.LINSTOR, report(ready=False), waiting_since=90.0, cost=2.0) == 6.0


def test_looking_at_this_kernel_costs_nobody_else_anything() -> None:
    assert interval(PACE, Source.DEVICES, report(ready=False), waiting_since=90.0, cost=2.0) == 0.25


def test_only_what_is_wanted_is_waited_for() -> None:
    assert is_waiting(report(ready=False))
    assert not is_waiting(report(ready=False, wanted=False))
    assert not is_waiting(report())
