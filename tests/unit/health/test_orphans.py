# SPDX-License-Identifier: Apache-2.0
"""What is up in DRBD and belongs to nobody is reported, with the commands; nothing else is taken for it."""

from typing import Any

import pytest
from tests import health_facts as facts
from tests.health_facts import N1, RD, edit, nodes, world

from tidegate.config.policy import HealthPolicy
from tidegate.core.facts import HostFacts
from tidegate.core.finding import Finding, Grade
from tidegate.core.ids import ResourceName
from tidegate.core.snapshot import Source
from tidegate.health.judge import judge

LOST = ResourceName("incus-volume-lost")


def found(**more: Any) -> list[Finding]:
    """Findings about orphans on a healthy node with one resource more in DRBD."""
    up = {RD: facts.drbd_resource(), LOST: facts.drbd_resource(LOST)}
    names = more.pop("names", (RD,))
    host = HostFacts(drbd_module="9.3.3", satellite_present=True, drbd_named=names)
    sections: dict[str, Any] = {"drbd": up, "host": host} | more
    report = judge(world(**sections), HealthPolicy())
    return [each for each in report.findings if each.code == "drbd.orphan"]


def test_it_is_named_with_the_commands() -> None:
    (orphan,) = found()
    assert orphan.grade is Grade.DEGRADED
    assert "incus-volume-lost is up in DRBD as /dev/drbd" in orphan.observed
    assert "LINSTOR does not know it, and no file on this node names it" in orphan.observed
    assert f"drbdsetup down {LOST}" in orphan.remedy
    assert f"linstor resource list --resources {LOST}" in orphan.remedy
    assert "force" not in orphan.remedy


def test_a_node_that_was_made_anew_while_others_keep_their_replicas() -> None:
    known = facts.healthy_sections()[Source.LINSTOR]["definitions"][RD]
    definitions = {RD: known, LOST: edit(known, name=LOST)}
    (orphan,) = found(definitions=definitions)
    assert "LINSTOR has no replica of it here" in orphan.observed


def test_it_does_not_keep_anything_from_being_used() -> None:
    up = {RD: facts.drbd_resource(), LOST: facts.drbd_resource(LOST)}
    host = HostFacts(drbd_module="9.3.3", satellite_present=True, drbd_named=(RD,))
    report = judge(world(drbd=up, host=host), HealthPolicy())
    assert all(state.ready for state in report.subjects.values() if state.wanted)


@pytest.mark.parametrize(
    "more",
    [
        {"names": (RD, LOST)},
        {"names": None},
        {"nodes": nodes(n1="OFFLINE")},
        {"lost": {Source.LINSTOR: None}},
        {"lost": {Source.DRBD: None}},
        {"placements": {LOST: (facts.placement(N1, LOST),)}},
    ],
    ids=["its-own-file", "files-not-read", "not-online", "no-controller", "no-drbd", "placed-here"],
)
def test_what_is_not_sure_is_not_reported(more: dict[str, Any]) -> None:
    assert found(**more) == []


def test_one_that_came_up_just_now_is_not_reported() -> None:
    fresh = facts.drbd_resource(LOST)
    at = world().at
    young = edit(
        fresh,
        devices=tuple(edit(each, since=at - 3.0) for each in fresh.devices),
        connections=tuple(edit(each, since=at - 3.0) for each in fresh.connections),
    )
    assert found(drbd={RD: facts.drbd_resource(), LOST: young}) == []
