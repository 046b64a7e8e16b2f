# SPDX-License-Identifier: Apache-2.0
"""A volume that Incus does not know must stop a validation; one that it knows must not."""

import pytest

from tidegate.core.facts import DefinitionFacts, PoolFacts
from tidegate.core.ids import PoolName, ResourceName
from tidegate.recovery.comparison import KnownVolume, unknown_volumes

POOL = PoolFacts(
    name=PoolName("remote"), driver="linstor", status="Unavailable", resource_group="remote"
)


def definition(
    name: str, aux_name: str | None, aux_type: str | None, group: str = "remote"
) -> DefinitionFacts:
    return DefinitionFacts(
        name=ResourceName(name), resource_group=group, aux_name=aux_name, aux_type=aux_type
    )


@pytest.mark.parametrize(
    ("aux_name", "aux_type", "known"),
    [
        ("incus-volume-c1", "containers", KnownVolume("default", "container", "c1")),
        ("incus-volume-web_c1", "containers", KnownVolume("web", "container", "c1")),
        ("incus-volume-vm1", "virtual-machines", KnownVolume("default", "virtual-machine", "vm1")),
        ("incus-volume-default_data", "custom", KnownVolume("default", "custom", "data")),
        ("incus-volume-web_data", "custom", KnownVolume("web", "custom", "data")),
        ("incus-volume-55e6", "images", KnownVolume("default", "image", "55e6")),
    ],
)
def test_every_kind_of_volume_that_incus_knows_is_recognised(
    aux_name: str, aux_type: str, known: KnownVolume
) -> None:
    placed = [definition("rd", aux_name, aux_type)]
    assert unknown_volumes(placed, POOL, [known]) == ()
    assert unknown_volumes(placed, POOL, []) == ("rd",)


def test_a_definition_without_incus_properties_is_unknown() -> None:
    assert unknown_volumes([definition("foreign", None, None)], POOL, []) == ("foreign",)


def test_the_same_name_of_another_type_is_not_the_same_volume() -> None:
    placed = [definition("rd", "incus-volume-c1", "virtual-machines")]
    assert unknown_volumes(placed, POOL, [KnownVolume("default", "container", "c1")]) == ("rd",)


def test_other_resource_groups_are_not_looked_at() -> None:
    assert unknown_volumes([definition("other", None, None, group="else")], POOL, []) == ()
