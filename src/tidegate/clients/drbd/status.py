# SPDX-License-Identifier: Apache-2.0
"""``drbdsetup status --json`` and ``drbdsetup show --json``: text in, values out (facts/linstor.md 7.1).

``status`` gives the same values as ``events2`` except for ``may_promote`` and ``promotion_score``,
which it does not have, and the backing device. ``show`` is asked for one thing: the quorum rule in
force, which nothing else tells.
"""

import msgspec

from tidegate.clients.drbd import state

_SUSPENSIONS = (
    ("suspended_user", "user"),
    ("suspended_no_data", "no-data"),
    ("suspended_fencing", "fencing"),
    ("suspended_quorum", "quorum"),
)


class _PeerDevice(msgspec.Struct, frozen=True, rename="kebab"):
    volume: int
    replication_state: str = msgspec.field(default="Off", name="replication-state")
    peer_disk_state: str = msgspec.field(default="DUnknown", name="peer-disk-state")
    peer_client: bool | None = None
    resync_suspended: str = "no"
    out_of_sync: int | None = None
    has_sync_details: bool = False
    percent_in_sync: float | None = None


class _Address(msgspec.Struct, frozen=True):
    address: str = ""
    port: int = 0
    family: str = ""

    def text(self) -> str:
        return f"{self.family}:{self.address}:{self.port}" if self.family else ""


class _Path(msgspec.Struct, frozen=True):
    this_host: _Address = msgspec.field(default_factory=_Address)
    remote_host: _Address = msgspec.field(default_factory=_Address)
    established: bool | None = None


class _Connection(msgspec.Struct, frozen=True, rename="kebab"):
    peer_node_id: int
    name: str
    connection_state: str = "StandAlone"
    peer_role: str = "Unknown"
    paths: tuple[_Path, ...] = ()
    peer_devices: tuple[_PeerDevice, ...] = msgspec.field(default=(), name="peer_devices")


class _Device(msgspec.Struct, frozen=True, rename="kebab"):
    volume: int
    minor: int
    disk_state: str = "Diskless"
    client: bool | None = None
    open: bool | None = None
    quorum: bool | None = None
    size: int | None = None


class _Resource(msgspec.Struct, frozen=True, rename="kebab"):
    name: str
    role: str = "Unknown"
    suspended: bool = False
    suspended_user: bool = False
    suspended_no_data: bool = False
    suspended_fencing: bool = False
    suspended_quorum: bool = False
    force_io_failures: bool = False
    devices: tuple[_Device, ...] = ()
    connections: tuple[_Connection, ...] = ()


class _Options(msgspec.Struct, frozen=True):
    quorum: str | None = None


class _Shown(msgspec.Struct, frozen=True):
    resource: str
    options: _Options = msgspec.field(default_factory=_Options)


_status = msgspec.json.Decoder(tuple[_Resource, ...])
_show = msgspec.json.Decoder(tuple[_Shown, ...])


def parse_status(data: bytes) -> tuple[state.Resource, ...]:
    """The resources that ``drbdsetup status --json`` tells of.

    An empty answer also comes for a name that does not exist: look at the exit status first.
    Raises msgspec.DecodeError (msgspec.ValidationError) for anything else than that JSON.
    """
    return tuple(_resource(wire) for wire in _status.decode(data))


def parse_quorum(data: bytes) -> dict[str, str | None]:
    """The option ``quorum`` (off, majority, all, a number) by resource from ``drbdsetup show --json``.

    drbdsetup prints all options with ``--json``, defaults included; None where it is missing all the
    same (user/v9/drbdsetup.c of drbd-utils: ``show_defaults``). Raises msgspec.DecodeError.
    """
    return {shown.resource: shown.options.quorum for shown in _show.decode(data)}


def _resource(wire: _Resource) -> state.Resource:
    reasons = [word for field, word in _SUSPENSIONS if getattr(wire, field)]
    suspended = ",".join(reasons) or ("unknown" if wire.suspended else "no")
    return state.Resource(
        name=wire.name,
        role=wire.role,
        suspended=suspended,
        force_io_failures=wire.force_io_failures,
        devices=tuple(
            state.Device(
                volume=d.volume,
                minor=d.minor,
                disk=d.disk_state,
                client=d.client,
                quorum=d.quorum,
                open=d.open,
                size=d.size,
            )
            for d in wire.devices
        ),
        connections=tuple(_connection(c) for c in wire.connections),
    )


def _connection(wire: _Connection) -> state.Connection:
    return state.Connection(
        peer_node_id=wire.peer_node_id,
        name=wire.name,
        state=wire.connection_state,
        role=wire.peer_role,
        peer_devices=tuple(
            state.PeerDevice(
                volume=d.volume,
                replication=d.replication_state,
                disk=d.peer_disk_state,
                client=d.peer_client,
                resync_suspended=d.resync_suspended,
                done=d.percent_in_sync if d.has_sync_details else None,
                out_of_sync=d.out_of_sync,
            )
            for d in wire.peer_devices
        ),
        paths=tuple(
            state.Path(
                local=p.this_host.text(), peer=p.remote_host.text(), established=p.established
            )
            for p in wire.paths
        ),
    )
