# SPDX-License-Identifier: Apache-2.0
"""Incus's volumes found among LINSTOR's resource definitions (facts/incus.md L20-L29).

A resource's name is a random UUID; its identity are the properties that Incus wrote on its definition: the volume's name behind
the pool's prefix, and its type, within the pool's resource group. A virtual machine has one resource with two volumes: its
disk (0) and its configuration (1).
"""

import enum
from typing import Final

import msgspec

from tidegate.core.facts import NeededResource, NeededVolume
from tidegate.core.ids import ResourceName, VolumeId
from tidegate.core.wanted import WantedPool
from tidegate.health.view import View

VIRTUAL_MACHINES: Final = "virtual-machines"


class Miss(enum.StrEnum):
    """Why a needed volume could not be found."""

    NOT_FOUND = "not-found"
    AMBIGUOUS = "ambiguous"
    NOT_KNOWN = "not-known"
    """Nobody could be asked."""


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """A needed volume that was not found."""

    needed: NeededVolume
    miss: Miss
    name: str
    """What ``Aux/Incus/name`` should say."""
    group: str
    found: tuple[ResourceName, ...] = ()

    @property
    def stand_in(self) -> VolumeId:
        """The id under which the volume is spoken of while its resource is not known."""
        return VolumeId(ResourceName(self.name), 0)


def resolve(needed: NeededVolume, pool: WantedPool, view: View) -> NeededResource | Missing:
    """Find the resource of ``needed``, a volume in ``pool``, as Incus does: by properties and resource group.

    Old definitions will do to find it, for names never change; they do not to say that it is not there.
    """
    name = f"{pool.volume_prefix}{needed.name}"
    found = view.by_identity.get((name, needed.type, pool.resource_group), ())
    if len(found) == 1:
        return NeededResource(needed=needed, volumes=_volumes(needed, found[0], view))
    miss = Miss.NOT_KNOWN
    if view.definitions_fresh:
        miss = Miss.AMBIGUOUS if found else Miss.NOT_FOUND
    return Missing(needed=needed, miss=miss, name=name, group=pool.resource_group, found=found)


def _volumes(needed: NeededVolume, resource: ResourceName, view: View) -> tuple[VolumeId, ...]:
    """Return the volumes of ``resource`` that a start uses (facts/incus.md L26)."""
    if needed.type != VIRTUAL_MACHINES:
        return (VolumeId(resource, 0),)
    fact = view.snapshot.placements.get(resource)
    numbers = {volume.number for place in fact.value for volume in place.volumes} if fact else set()
    return tuple(VolumeId(resource, number) for number in sorted(numbers or {0, 1}))
