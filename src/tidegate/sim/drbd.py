# SPDX-License-Identifier: Apache-2.0
"""DRBD as one node sees it: resources, disks, connections, quorum, promotability, and what opening a device says.

The model holds states and derives; :mod:`tidegate.sim.linstor.replication` moves it along the clock, and
:mod:`tidegate.sim.drbd_text` prints it as ``drbdsetup`` does. Sources: facts/linstor.md 7, facts/drbd-observed.md,
facts/fullstack-observed.md.
"""

import errno
from enum import StrEnum

import msgspec


class Role(StrEnum):
    """Role of a resource on one node."""

    PRIMARY = "Primary"
    SECONDARY = "Secondary"
    UNKNOWN = "Unknown"


class Disk(StrEnum):
    """State of a local or a peer's disk."""

    DISKLESS = "Diskless"
    ATTACHING = "Attaching"
    FAILED = "Failed"
    INCONSISTENT = "Inconsistent"
    OUTDATED = "Outdated"
    UNKNOWN = "DUnknown"
    CONSISTENT = "Consistent"
    UP_TO_DATE = "UpToDate"


class Link(StrEnum):
    """State of a connection."""

    STANDALONE = "StandAlone"
    UNCONNECTED = "Unconnected"
    CONNECTING = "Connecting"
    CONNECTED = "Connected"


class Replication(StrEnum):
    """State of replication of one volume over one connection."""

    OFF = "Off"
    ESTABLISHED = "Established"
    SYNC_SOURCE = "SyncSource"
    SYNC_TARGET = "SyncTarget"


class Volume(msgspec.Struct, kw_only=True):
    """One device. ``backing`` is "" without a disk; ``client``: diskless on purpose; ``quorum`` is true where no rule asks."""

    number: int
    minor: int
    size_kib: int
    disk: Disk = Disk.DISKLESS
    backing: str = ""
    client: bool = False
    open: bool = False
    quorum: bool = True


class PeerVolume(msgspec.Struct, kw_only=True):
    """One volume over one connection."""

    disk: Disk = Disk.UNKNOWN
    replication: Replication = Replication.OFF
    client: bool = False
    out_of_sync_kib: int = 0
    resync_suspended: str = "no"


class Connection(msgspec.Struct, kw_only=True):
    """One connection; addresses as ``ip:port``."""

    peer: str
    peer_id: int
    local: str
    remote: str
    link: Link = Link.STANDALONE
    role: Role = Role.UNKNOWN
    volumes: dict[int, PeerVolume] = {}

    @property
    def connected(self) -> bool:
        """True if the peer is there."""
        return self.link is Link.CONNECTED


class Resource(msgspec.Struct, kw_only=True):
    """One resource on one node.

    Attributes:
        name, node_id, role: as DRBD has them.
        suspended: reasons: user, no-data, fencing, quorum.
        attached: a disk was attached since it came up; until then DRBD prints ``write-ordering:none`` (recorded).
        volumes: by number.
        connections: by the peer's name.
    """

    name: str
    node_id: int
    role: Role = Role.SECONDARY
    suspended: tuple[str, ...] = ()
    attached: bool = False
    volumes: dict[int, Volume] = {}
    connections: dict[str, Connection] = {}

    @property
    def quorum(self) -> bool:
        """True if every device has quorum (always, where no rule asks for one: facts/fullstack-observed.md 3)."""
        return all(v.quorum for v in self.volumes.values())


class Promotion(msgspec.Struct, frozen=True, kw_only=True):
    """What only ``events2`` tells: may it be promoted, and how good a place is this (0: no; 1: over a peer; 10101: local data)."""

    may: bool
    score: int


def up_to_date_replicas(resource: Resource, number: int) -> int:
    """How many UpToDate disks of volume ``number`` this node can reach, its own included."""
    local = resource.volumes[number].disk is Disk.UP_TO_DATE
    remote = sum(
        1
        for c in resource.connections.values()
        if c.connected and c.volumes[number].disk is Disk.UP_TO_DATE
    )
    return local + remote


def promotion(resource: Resource) -> Promotion:
    """Promotability and score by DRBD's rule (facts/linstor.md 7.3; checked against every recorded state)."""
    replicas = [up_to_date_replicas(resource, n) for n in resource.volumes]
    if not replicas or min(replicas) == 0 or not resource.quorum:
        return Promotion(may=False, score=0)
    local = [v.disk for v in resource.volumes.values()]
    with_disk = all(d in (Disk.UP_TO_DATE, Disk.CONSISTENT, Disk.INCONSISTENT) for d in local)
    score = 10_000 * with_disk + 100 * local.count(Disk.UP_TO_DATE) + min(replicas)
    primary = resource.role is Role.PRIMARY or any(
        c.role is Role.PRIMARY for c in resource.connections.values() if c.connected
    )
    return Promotion(may=not primary, score=score)


def open_errno(resource: Resource, number: int) -> int:
    """What ``open(2)`` read-only says: 0, ENODATA or EMEDIUMTYPE (facts/linstor.md 7.4, facts/drbd-observed.md).

    ENODATA is also the normal answer in the seconds between the device file and the attached disk.
    """
    if not resource.quorum or resource.suspended:
        return errno.ENODATA
    elsewhere = any(c.role is Role.PRIMARY for c in resource.connections.values() if c.connected)
    if elsewhere and resource.role is not Role.PRIMARY:
        return errno.EMEDIUMTYPE
    return 0 if up_to_date_replicas(resource, number) else errno.ENODATA


def quorate(*, diskful: int, diskful_here: int, diskless: int, diskless_here: int) -> bool:
    """True if the partition of this node has quorum under ``majority``.

    ``diskful`` and ``diskless`` count all nodes of the resource, the ``_here`` ones those in this partition, oneself included.
    A tie among the diskful is broken by a majority of the diskless (facts/linstor.md 7.4).
    """
    if diskful_here * 2 != diskful:
        return diskful_here * 2 > diskful
    return diskful_here > 0 and diskless_here * 2 > diskless


class Node:
    """All of DRBD on one node. Nothing is configured until something brings it up (facts/linstor.md 2.3)."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.resources: dict[str, Resource] = {}
        self.loaded = True

    def find(self, name: str, number: int) -> Volume | None:
        """A volume, if its resource is up."""
        resource = self.resources.get(name)
        return resource.volumes.get(number) if resource else None

    def down_all(self) -> None:
        """Power is gone."""
        self.resources.clear()
