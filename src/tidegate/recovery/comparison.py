# SPDX-License-Identifier: Apache-2.0
"""Which volumes of a pool's resource group Incus's database does not know: the check before a pool is validated.

``recover/validate`` makes available and mounts volumes that Incus does not know (facts/incus.md D66); a power cut can leave
such ones. So the two lists are compared first, and anything unknown means: do not call (contract.md safety 2).
"""

from collections.abc import Iterable

import msgspec

from tidegate.core.facts import DefinitionFacts, PoolFacts
from tidegate.core.ids import ResourceName

_LINSTOR_TYPES = {
    "container": "containers",
    "virtual-machine": "virtual-machines",
    "custom": "custom",
    "image": "images",
}
"""Incus's API names a volume's type in the singular, its properties in LINSTOR in the plural (facts/incus.md L21)."""


class KnownVolume(msgspec.Struct, frozen=True):
    """A storage volume as Incus's API lists it: project, type (container, custom, …) and name."""

    project: str
    type: str
    name: str


def unknown_volumes(
    definitions: Iterable[DefinitionFacts], pool: PoolFacts, known: Iterable[KnownVolume]
) -> tuple[ResourceName, ...]:
    """Return the resources of ``pool``'s resource group that stand for no volume in ``known``, in order of name.

    A definition without Incus's properties is unknown, too: what it is cannot be told.
    """
    expected = {
        (_LINSTOR_TYPES.get(volume.type, volume.type), _stored_name(pool, volume))
        for volume in known
    }
    return tuple(
        sorted(
            definition.name
            for definition in definitions
            if definition.resource_group == pool.resource_group
            and (definition.aux_type, definition.aux_name) not in expected
        )
    )


def _stored_name(pool: PoolFacts, volume: KnownVolume) -> str:
    """Name the volume as ``Aux/Incus/name`` does (facts/incus.md L21-L24)."""
    if volume.type == "custom":
        name = f"{volume.project}_{volume.name}"
    elif volume.type == "image" or volume.project == "default":
        name = volume.name
    else:
        name = f"{volume.project}_{volume.name}"
    return pool.volume_prefix + name
