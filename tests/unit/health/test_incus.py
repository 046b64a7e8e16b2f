# SPDX-License-Identifier: Apache-2.0
"""incusd: starting is not dead, and ready is only what has finished its own first pass."""

from typing import Any

import pytest
from tests import health_facts as facts
from tests.health_facts import world

from tidegate.config.policy import HealthPolicy
from tidegate.core import ids
from tidegate.core.facts import IncusFacts, IncusPhase
from tidegate.core.finding import Finding
from tidegate.core.snapshot import Liveness, Observation, Source, apply
from tidegate.core.trouble import Trouble
from tidegate.health.judge import judge


def found(**more: Any) -> tuple[bool, list[Finding]]:
    report = judge(world(**more), HealthPolicy())
    return report.ready(ids.INCUS), list(report.about(ids.INCUS))


@pytest.mark.parametrize(
    ("phase", "ready", "code"),
    [
        (IncusPhase.READY, True, None),
        (IncusPhase.STOPPED, False, "incus.stopped"),
        (IncusPhase.STARTING, False, "incus.starting"),
        (IncusPhase.AUTOSTART, False, "incus.autostart"),
        (IncusPhase.STOPPING, False, "incus.stopping"),
    ],
)
def test_phases(phase: IncusPhase, ready: bool, code: str | None) -> None:
    is_ready, findings = found(at=100.0, incus=IncusFacts(phase=phase), wanted=facts.kept_map())
    assert is_ready is ready
    assert [finding.code for finding in findings] == ([code] if code else [])
    assert all(finding.waiting for finding in findings)


def test_stopped_for_long_is_not_waited_for() -> None:
    stopped = IncusFacts(phase=IncusPhase.STOPPED)
    assert not found(at=1000.0, incus=stopped)[1][0].waiting


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("incus.permission", "incus.permission"),
        ("incus.timeout", "incus.timeout"),
        ("incus.odd", "incus.lost"),
    ],
)
def test_lost(code: str, shown: str) -> None:
    trouble = Trouble(code=code, text="/run/incus/unix.socket does not", hint="do this")
    ready, (finding,) = found(lost={Source.INCUS: trouble})
    assert (ready, finding.code, finding.remedy) == (False, shown, "do this")


def test_starting_without_a_word_so_far() -> None:
    seen = Observation(source=Source.INCUS, at=1000.0, liveness=Liveness.STARTING)
    snapshot = apply(world(silent=(Source.INCUS,)), seen)
    (finding,) = judge(snapshot, HealthPolicy()).about(ids.INCUS)
    assert finding.code == "incus.starting"


def test_not_asked_and_stale() -> None:
    assert found(silent=(Source.INCUS,))[1][0].code == "source.new"
    assert found(stale=(Source.INCUS,))[1][0].code == "source.stale"


def test_an_evacuated_member_is_ready_and_said_so() -> None:
    away = IncusFacts(phase=IncusPhase.READY, server_name="n1", member_status="Evacuated")
    ready, (finding,) = found(incus=away)
    assert (ready, finding.code) == (True, "incus.evacuated")
    assert "incus cluster restore n1" in finding.remedy


def test_a_host_without_incus_does_not_want_it() -> None:
    report = judge(world(off=(Source.INCUS,)), HealthPolicy())
    assert not report.subjects["incus"].wanted
