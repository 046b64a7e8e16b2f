# SPDX-License-Identifier: Apache-2.0
"""What the kernel says of this node's DRBD resources, as plain values (``facts`` says what such values are)."""

import msgspec

from tidegate.core.ids import NodeName, ResourceName


class DrbdPeerDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A peer's half of one volume."""

    number: int
    disk: str
    replication: str
    client: bool | None = None
    done_percent: float | None = None


class DrbdPath(msgspec.Struct, frozen=True, kw_only=True):
    """One network path of a connection: address and port of both ends, IPv6 without brackets."""

    local: tuple[str, int]
    peer: tuple[str, int]
    established: bool | None = None


class DrbdConnection(msgspec.Struct, frozen=True, kw_only=True):
    """A connection of a DRBD resource to one peer."""

    peer: NodeName
    state: str
    role: str
    since: float
    """Seconds since boot at which ``state`` was first seen as it is."""
    devices: tuple[DrbdPeerDevice, ...] = ()
    paths: tuple[DrbdPath, ...] = ()


class DrbdDevice(msgspec.Struct, frozen=True, kw_only=True):
    """The local half of one volume."""

    number: int
    minor: int
    disk: str
    client: bool | None
    quorum: bool
    since: float
    """Seconds since boot at which the device was first seen in this boot."""


class DrbdResource(msgspec.Struct, frozen=True, kw_only=True):
    """A DRBD resource of this node, from the kernel."""

    name: ResourceName
    role: str
    suspended: str
    """``no``, or a comma list of user, no-data, fencing, quorum."""
    may_promote: bool | None
    promotion_score: int | None
    quorum_policy: str | None = None
    """The option ``quorum`` in force: off, majority, …; None when it could not be read."""
    devices: tuple[DrbdDevice, ...] = ()
    connections: tuple[DrbdConnection, ...] = ()

    @property
    def knows_all(self) -> bool:
        """True when DRBD here is connected to every peer: then nobody can know more of the resource than this kernel does."""
        return bool(self.connections) and all(
            connection.state == "Connected" for connection in self.connections
        )

    def replicates(self, ways: tuple[str, ...]) -> bool:
        """Return True when the replication of a volume to a peer is a state that begins with one of ``ways``."""
        return any(
            device.replication.startswith(ways)
            for connection in self.connections
            for device in connection.devices
        )
