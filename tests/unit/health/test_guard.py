# SPDX-License-Identifier: Apache-2.0
"""Findings about our own guard; Incus stays usable through all of them."""

from typing import Any

import pytest
from tests import health_facts as facts
from tests.health_facts import world

from tidegate.config.policy import HealthPolicy
from tidegate.core import ids, snapshot
from tidegate.core.facts import GuardFacts, IncusFacts, IncusPhase, PoolFacts
from tidegate.core.finding import Grade
from tidegate.core.ids import PoolName
from tidegate.core.snapshot import Liveness, Observation, Snapshot, Source
from tidegate.core.trouble import Trouble
from tidegate.health import judge

WELL = GuardFacts(answers=True, started_at=20.0, controller="http://c:3370", mounts=1, volumes=6)


def guarded(seen: GuardFacts, at: float = 1000.0, **sections: Any) -> Snapshot:
    return snapshot.apply(
        world(at, **sections), Observation(source=Source.GUARD, at=at, guard=seen)
    )


def codes(found: Snapshot) -> set[str]:
    report = judge.judge(found, HealthPolicy())
    guard = {one for one in report.about(ids.INCUS) if one.code.startswith("guard.")}
    assert report.ready(ids.INCUS)
    assert all(one.grade is Grade.DEGRADED and one.remedy for one in guard)
    return {one.code for one in guard}


def test_a_guard_that_does_its_work_is_no_finding() -> None:
    assert codes(guarded(WELL)) == set()
    assert codes(world()) == set()


def test_where_it_is_not_enabled_nothing_is_said() -> None:
    off = Observation(source=Source.GUARD, at=1000.0, liveness=Liveness.OFF)
    assert codes(snapshot.apply(world(), off)) == set()


def test_a_dead_guard_is_said() -> None:
    refused = Trouble(code="guard.refused", text="/run/tidegate-guard.sock: connection refused")
    assert codes(guarded(GuardFacts(trouble=refused))) == {"guard.down"}


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        ("https://c:3371: the certificate has expired (controller.tls)", "guard.certificate"),
        ("http://c:3370: connection refused (controller.refused)", "guard.no-controller"),
    ],
)
def test_a_guard_without_a_controller_says_why(trouble: str, code: str) -> None:
    seen = facts.edit(WELL, controller=None, controller_trouble=trouble)
    assert codes(guarded(seen)) == {code}


def test_incus_that_started_after_the_guard_and_never_asked_bypasses_it() -> None:
    silent = facts.edit(WELL, mounts=0, volumes=0)
    assert codes(guarded(silent, since=60.0)) == {"guard.bypassed"}
    assert codes(guarded(facts.edit(silent, started_at=55.0), since=60.0)) == set()


def test_an_instance_that_was_started_past_the_guard_shows_it_too() -> None:
    started = facts.instance(last_used_at=facts.BOOT_WALL + 900.0)
    seen = facts.edit(WELL, volumes=0)
    assert codes(guarded(seen, instances={str(facts.C1): started})) == {"guard.bypassed"}
    before = facts.instance(last_used_at=facts.BOOT_WALL + 15.0)
    assert codes(guarded(seen, instances={str(facts.C1): before})) == set()


def test_an_incus_without_linstor_has_nothing_to_ask() -> None:
    local = {"local": PoolFacts(name=PoolName("local"), driver="dir", status="Created")}
    silent = facts.edit(WELL, mounts=0, volumes=0)
    assert "guard.bypassed" not in codes(guarded(silent, pools=local, instances={}))


def test_an_incus_that_is_not_ready_is_not_judged() -> None:
    silent = facts.edit(WELL, mounts=0, volumes=0)
    found = guarded(silent, incus=IncusFacts(phase=IncusPhase.AUTOSTART, version="7.0.2"))
    report = judge.judge(found, HealthPolicy())
    assert not any(one.code.startswith("guard.") for one in report.findings)


def test_an_incus_that_got_no_further_than_its_first_question_has_asked() -> None:
    """Where no controller answers when it starts, no other call follows; that is no bypass."""
    asked = facts.edit(WELL, mounts=0, volumes=0, calls={"version": 1})
    assert codes(guarded(asked, since=60.0)) == set()
