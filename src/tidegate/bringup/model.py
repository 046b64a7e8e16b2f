# SPDX-License-Identifier: Apache-2.0
"""What is seen of the kept DRBD resources, and what may come of one of them."""

import enum
from collections.abc import Mapping

import msgspec


class KeptVolume(msgspec.Struct, frozen=True, kw_only=True):
    """A volume of a kept resource, as its .res file says for this node."""

    number: int
    minor: int
    disk: str | None
    """The backing disk; None: diskless on purpose (``disk none``)."""
    meta_disk: str = "internal"


class FileState(enum.StrEnum):
    """What a .res file is good for."""

    GOOD = "good"
    EMPTY = "empty"
    """No resource in it: seen after a power loss of a whole cluster (facts/linstor.md, linstor-server #328)."""
    TORN = "torn"
    """``drbdadm`` cannot read it."""
    NOT_HERE = "not-here"
    """Nothing in it is for this node."""
    FOREIGN = "foreign"
    """It holds something else than the one resource that it is named after, as LINSTOR never writes it."""


class KeptFile(msgspec.Struct, frozen=True, kw_only=True):
    """A .res file that LINSTOR left on this node."""

    path: str
    resource: str
    """By the file's name."""
    state: FileState = FileState.GOOD
    says: str = ""
    """What ``drbdadm`` said of it."""
    volumes: tuple[KeptVolume, ...] = ()
    peers: tuple[str, ...] = ()


class LogicalVolume(msgspec.Struct, frozen=True, kw_only=True):
    """A logical volume of LVM."""

    vg: str
    name: str
    active: bool
    size: int
    """Bytes."""


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """DRBD's metadata of a volume, as ``drbdmeta`` read it."""

    valid: bool
    agreed: int = 0
    """Bytes of data that the nodes agreed upon last; 0 when never connected."""
    says: str = ""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides about one resource at one moment.

    Attributes:
        wanted: resources that the kept map wants; None without map.
        everything: configured to take all resources, wanted or not.
        satellite: the satellite runs already.
        up: resources that DRBD knows already; None when it could not be asked.
        volumes: LVM's logical volumes by path ``/dev/VG/LV``; None when LVM could not be asked.
        disks: size in bytes of each existing block device that was looked for, by path.
        metadata: by minor, for those read already.
        activated: paths of logical volumes that were activated, successfully or not.
    """

    wanted: frozenset[str] | None
    everything: bool = False
    satellite: bool = False
    up: frozenset[str] | None = frozenset()
    volumes: Mapping[str, LogicalVolume] | None = {}
    disks: Mapping[str, int] = {}
    metadata: Mapping[int, Metadata] = {}
    activated: frozenset[str] = frozenset()


class Left(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The resource is left to LINSTOR. ``again``: it may be worth another look before time is up."""

    code: str
    why: str
    again: bool = False


class Activate(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Activate the logical volumes ``VG/LV`` first."""

    volumes: tuple[str, ...]


class Examine(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Read the metadata of these volumes first."""

    volumes: tuple[KeptVolume, ...]


class Adjust(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Everything is in place: bring the resource up."""

    file: str


Step = Left | Activate | Examine | Adjust
