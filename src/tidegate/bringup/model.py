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
    proxy: bool = False
    """Its connections run over DRBD Proxy, a daemon that LINSTOR sets up."""


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
    busy: bool = False
    """It could not be read because somebody holds the disk."""
    agreed: int = 0
    """Bytes of data that the nodes agreed upon last; 0 when never connected."""
    says: str = ""


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A minor number that DRBD has given out."""

    resource: str
    attached: bool
    """It has its disk."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides about one resource at one moment.

    Attributes:
        wanted: resources that the kept map wants; None without map.
        everything: configured to take all resources, wanted or not.
        reserved: by resource, why LINSTOR alone may bring it up, as the map was told when it was drawn.
        satellite: the satellite runs already.
        module: version of DRBD in the kernel; None while it is not loaded.
        up: resources that DRBD knows already; None when it could not be asked.
        devices: DRBD's devices by minor number.
        begun: resources that we began to bring up in this boot and did not finish: we were ended, or a program failed.
        volumes: LVM's logical volumes by path ``/dev/VG/LV``; None when LVM could not be asked.
        disks: size in bytes of each existing block device that was looked for, by path.
        metadata: by minor, for those read already.
        activated: by path of each logical volume that was activated, what went wrong; "" when nothing did.
    """

    wanted: frozenset[str] | None
    everything: bool = False
    reserved: Mapping[str, str] = {}
    satellite: bool = False
    module: str | None = None
    up: frozenset[str] | None = frozenset()
    devices: Mapping[int, Device] = {}
    begun: frozenset[str] = frozenset()
    volumes: Mapping[str, LogicalVolume] | None = {}
    disks: Mapping[str, int] = {}
    metadata: Mapping[int, Metadata] = {}
    activated: Mapping[str, str] = {}


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
