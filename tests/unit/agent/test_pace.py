# SPDX-License-Identifier: Apache-2.0
"""Looked at often while something waits, rarely at rest."""

import pytest

from tidegate.agent.pace import GAP, LONGEST_GAP, Allowance, Pace, gap, interval, is_waiting
from tidegate.core import ids
from tidegate.core.facts import IncusFacts, IncusPhase
from tidegate.core.finding import Grade, Report, SubjectState
from tidegate.core.snapshot import Fact, Liveness, Snapshot, Source, SourceState

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


def snapshot(phase: IncusPhase | None, systemd: Liveness = Liveness.UP) -> Snapshot:
    incus = (
        Fact(value=IncusFacts(phase=phase), source=Source.INCUS, at=1.0, since=1.0)
        if phase
        else None
    )
    sources: dict[str, SourceState] = {Source.SYSTEMD: SourceState(liveness=systemd)}
    return Snapshot(
        at=1.0,
        boot_wall=0.0,
        boot_id=ids.BootId("b"),
        node=ids.NodeName("n1"),
        sources=sources,
        incus=incus,
    )


def test_only_what_is_wanted_is_waited_for() -> None:
    early = snapshot(None)
    assert is_waiting(report(ready=False), early)
    assert not is_waiting(report(ready=False, wanted=False), early)
    assert not is_waiting(report(), early)


@pytest.mark.parametrize(
    ("subject", "phase", "systemd", "expected"),
    [
        pytest.param(
            "instance/default/c1", IncusPhase.AUTOSTART, Liveness.UP, False, id="its-turn"
        ),
        pytest.param("incus", IncusPhase.AUTOSTART, Liveness.UP, False, id="its-own-pass"),
        pytest.param("satellite", IncusPhase.AUTOSTART, Liveness.UP, True, id="storage-missing"),
        pytest.param("instance/default/c1", IncusPhase.READY, Liveness.UP, True, id="our-turn"),
        pytest.param(
            "instance/default/c1", IncusPhase.AUTOSTART, Liveness.OFF, True, id="nobody-tells"
        ),
    ],
)
def test_incus_is_left_alone_while_it_starts_what_can_start(
    subject: str, phase: IncusPhase, systemd: Liveness, expected: bool
) -> None:
    what = ids.Subject.parse(subject)
    state = SubjectState(subject=what, grade=Grade.FAILING, ready=False)
    seen = Report(at=9.0, node="n1", findings=(), subjects={subject: state})
    assert is_waiting(seen, snapshot(phase, systemd)) is expected


def test_an_allowance_refills_with_time_and_never_beyond_its_size() -> None:
    store = Allowance.full(2.0, 0.0).spent(1.5, 10.0, 0.1)
    assert store.now(10.0, 0.1) == pytest.approx(0.5)
    assert store.now(15.0, 0.1) == pytest.approx(1.0)
    assert store.now(1000.0, 0.1) == 2.0
    assert store.wait(10.0, 0.1) < 0
    assert store.wait(10.0, 0.1, enough=1.0) == pytest.approx(5.0)


def test_an_allowance_is_overdrawn_by_its_size_at_most() -> None:
    store = Allowance.full(2.0, 0.0).spent(1000.0, 0.0, 0.1)
    assert store.wait(0.0, 0.1) == pytest.approx(20.0)


@pytest.mark.parametrize(
    ("source", "took", "expected"),
    [
        (Source.DRBD, 0.5, GAP),
        (Source.INCUS, 0.001, GAP),
        (Source.INCUS, 0.1, 0.3),
        (Source.LINSTOR, 9.0, LONGEST_GAP),
    ],
)
def test_the_gap_between_two_looks_that_hints_ask_for(
    source: Source, took: float, expected: float
) -> None:
    assert gap(source, took) == pytest.approx(expected)
