# SPDX-License-Identifier: Apache-2.0
"""Instances: what should run runs; what nobody wants is no trouble."""

from typing import Any

import pytest
from tests import health_facts as facts
from tests.health_facts import BOOT_WALL, C1, world

from tidegate.config.policy import HealthPolicy
from tidegate.core import ids
from tidegate.core.finding import Grade, Report
from tidegate.core.snapshot import Source
from tidegate.health.judge import judge

SUBJECT = ids.instance(C1)


def report(**instance: Any) -> Report:
    return judge(world(instances={str(C1): facts.instance(**instance)}), HealthPolicy())


@pytest.mark.parametrize(
    ("instance", "ready", "wanted", "codes"),
    [
        ({}, True, True, []),
        ({"status": "Frozen"}, True, True, []),
        ({"status": "Stopped"}, False, True, ["instance.stopped"]),
        ({"status": "Error"}, False, True, ["instance.error"]),
        ({"status": "Stopped", "autostart": "false"}, False, False, []),
        ({"status": "Stopped", "last_used_at": BOOT_WALL + 5.0}, False, False, []),
    ],
)
def test_instance(instance: dict[str, Any], ready: bool, wanted: bool, codes: list[str]) -> None:
    made = report(**instance)
    state = made.subjects[str(SUBJECT)]
    assert (state.ready, state.wanted) == (ready, wanted)
    assert [finding.code for finding in made.about(SUBJECT)] == codes


def test_what_nobody_wants_does_not_spoil_the_grade() -> None:
    made = report(status="Stopped", autostart="false")
    assert made.grade is Grade.OK
    assert made.subjects[str(SUBJECT)].summary == "stopped, and should not run"


def test_it_rests_on_its_volumes_and_pools() -> None:
    made = report()
    assert [str(below) for below in made.subjects[str(SUBJECT)].rests_on] == [
        "volume/incus-volume-c1c1/0",
        "pool/remote",
    ]


def test_before_incus_can_be_asked_it_is_not_known() -> None:
    made = judge(world(silent=(Source.INCUS,), wanted=facts.kept_map()), HealthPolicy())
    (finding,) = made.about(SUBJECT)
    assert (finding.code, finding.waiting) == ("instance.not-known", True)


def test_the_remedy_names_it() -> None:
    (finding,) = report(status="Stopped").about(SUBJECT)
    assert "incus start c1 --project default" in finding.remedy
