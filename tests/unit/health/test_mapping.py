# SPDX-License-Identifier: Apache-2.0
"""Incus's volumes found among LINSTOR's definitions: containers, machines, custom volumes, projects, prefixes, groups."""

from typing import Any

import pytest
from tests import health_facts as facts
from tests.health_facts import GROUP, N1, POOL, world

from tidegate.config.policy import HealthPolicy
from tidegate.core.facts import DefinitionFacts, NeededResource, NeededVolume, PlacedVolume
from tidegate.core.ids import ResourceName, VolumeId
from tidegate.core.snapshot import Source
from tidegate.core.wanted import WantedPool
from tidegate.health.mapping import Miss, Missing, resolve
from tidegate.health.view import View

PREFIXED = WantedPool(name=POOL, resource_group=GROUP, volume_prefix="incus-volume-")


def definition(rd: str, name: str, type_: str, group: str = GROUP) -> dict[str, DefinitionFacts]:
    facts_ = DefinitionFacts(
        name=ResourceName(rd), resource_group=group, aux_name=name, aux_type=type_
    )
    return {rd: facts_}


DEFINITIONS = (
    definition("a1", "incus-volume-c1", "containers")
    | definition("a2", "incus-volume-vm1", "virtual-machines")
    | definition("a3", "incus-volume-default_data", "custom")
    | definition("a4", "incus-volume-web_c1", "containers")
    | definition("a5", "incus-volume-c1", "custom")
    | definition("a6", "incus-volume-c1", "containers", group="other")
    | definition("a7", "other-c1", "containers")
    | definition("a8", "incus-volume-twice", "containers")
    | definition("a9", "incus-volume-twice", "containers")
    | {"b1": DefinitionFacts(name=ResourceName("b1"), resource_group=GROUP)}
)


def find(name: str, type_: str, pool: WantedPool = PREFIXED, **more: Any) -> Any:
    view = View(world(definitions=DEFINITIONS, **more), HealthPolicy())
    return resolve(NeededVolume(pool=POOL, type=type_, name=name), pool, view)


@pytest.mark.parametrize(
    ("name", "type_", "pool", "volumes"),
    [
        ("c1", "containers", PREFIXED, ["a1/0"]),
        ("web_c1", "containers", PREFIXED, ["a4/0"]),
        ("c1", "custom", PREFIXED, ["a5/0"]),
        ("default_data", "custom", PREFIXED, ["a3/0"]),
        ("vm1", "virtual-machines", PREFIXED, ["a2/0", "a2/1"]),
        ("c1", "containers", facts.edit(PREFIXED, resource_group="other"), ["a6/0"]),
        ("c1", "containers", facts.edit(PREFIXED, volume_prefix="other-"), ["a7/0"]),
    ],
)
def test_found(name: str, type_: str, pool: WantedPool, volumes: list[str]) -> None:
    found = find(name, type_, pool)
    assert isinstance(found, NeededResource)
    assert [str(volume) for volume in found.volumes] == volumes


def test_a_machine_has_the_volumes_that_its_resource_has() -> None:
    one = facts.placement(
        N1, ResourceName("a2"), volumes=(PlacedVolume(number=0, device_path="/dev/drbd1"),)
    )
    found = find("vm1", "virtual-machines", placements={"a2": (one,)})
    assert [str(volume) for volume in found.volumes] == ["a2/0"]


def test_not_found_and_found_twice() -> None:
    missing = find("c7", "containers")
    assert isinstance(missing, Missing)
    assert (missing.miss, missing.stand_in) == (
        Miss.NOT_FOUND,
        VolumeId(ResourceName("incus-volume-c7"), 0),
    )
    twice = find("twice", "containers")
    assert (twice.miss, twice.found) == (Miss.AMBIGUOUS, ("a8", "a9"))


def test_old_definitions_will_do_to_find_and_not_to_say_that_it_is_gone() -> None:
    lost: dict[str, Any] = {"lost": {Source.LINSTOR: None}}
    assert isinstance(find("c1", "containers", **lost), NeededResource)
    assert find("c7", "containers", **lost).miss is Miss.NOT_KNOWN
