# SPDX-License-Identifier: Apache-2.0
"""The map of what should run on this node and what it needs, kept from the last good moment.

Before incusd runs there is no other way to know what is wanted (facts/incus.md X4): its database must not be opened, and
connecting to its socket would start it.
"""

import msgspec

from tidegate.core.ids import (
    InstanceId,
    NodeName,
    PoolName,
    ResourceName,
    StoragePoolName,
    VolumeId,
)

FORMAT = 1
"""Version of the file's form; a file of another version is not used."""


class WantedVolume(msgspec.Struct, frozen=True, kw_only=True):
    """A volume that something wanted needs."""

    id: VolumeId
    pool: PoolName
    content: str | None = None
    """What its first blocks held when all was well: ext4, gpt, …; None when not known."""


class WantedInstance(msgspec.Struct, frozen=True, kw_only=True):
    """An instance that should run here after a boot, with the volumes without which it cannot start."""

    id: InstanceId
    volumes: tuple[VolumeId, ...] = ()
    pools: tuple[PoolName, ...] = ()
    """Every pool it needs, those that are not on LINSTOR included."""
    priority: int | None = None


class WantedPool(msgspec.Struct, frozen=True, kw_only=True):
    """A pool of Incus that lies on LINSTOR."""

    name: PoolName
    resource_group: str
    volume_prefix: str


class WantedStorage(msgspec.Struct, frozen=True, kw_only=True):
    """What lay behind a storage pool of LINSTOR that something wanted lies in."""

    pool: StoragePoolName
    provider: str
    place: str
    mount: str | None = None
    """For a directory: the mount point it lay on."""
    device: str | None = None
    """For a directory: what was mounted there."""


class Reserved(msgspec.Struct, frozen=True, kw_only=True):
    """A resource that LINSTOR alone may bring up on this node, and why."""

    resource: ResourceName
    why: str


class WantedMap(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted on ``node``, as known at ``saved_at`` (seconds since the epoch)."""

    format: int = FORMAT
    saved_at: float = 0.0
    boot_id: str = ""
    """The boot in which it was saved."""
    node: NodeName
    controllers: tuple[str, ...] = ()
    """Addresses of the LINSTOR controllers, as found when Incus could be asked; never secrets."""
    pools: tuple[WantedPool, ...] = ()
    volumes: tuple[WantedVolume, ...] = ()
    instances: tuple[WantedInstance, ...] = ()
    storage: tuple[WantedStorage, ...] = ()
    reserved: tuple[Reserved, ...] = ()

    @property
    def resources(self) -> tuple[ResourceName, ...]:
        """Every resource that is wanted, once each, in order of name."""
        return tuple(sorted({volume.id.resource for volume in self.volumes}))
