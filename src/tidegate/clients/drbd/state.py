# SPDX-License-Identifier: Apache-2.0
"""DRBD's state on this node as a value, folded from ``events2`` lines. Pure.

Works for full lines (``--full``) and for lines that carry only what changed. What is told about an
object whose parent was never told makes the state doubtful: the reader starts anew.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from tidegate.clients.drbd.events2 import Action, Event, Kind

_REMOVED: Final = {Action.DESTROY}
_TOLD: Final = {Action.EXISTS, Action.CREATE, Action.CHANGE}


class PeerDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A peer's half of one volume, as this node knows it."""

    volume: int
    replication: str = "Off"
    disk: str = "DUnknown"
    client: bool | None = None
    """The peer is diskless by intent; None when DRBD does not know."""
    resync_suspended: str = "no"
    done: float | None = None
    """Per cent in sync while a resync or verify runs, else None."""
    out_of_sync: int | None = None
    """KiB."""


class Path(msgspec.Struct, frozen=True, kw_only=True):
    """One network path of a connection; addresses as DRBD prints them, ``ipv4:10.0.0.1:7000``."""

    local: str
    peer: str
    established: bool | None = None


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """A connection to one peer. ``name`` is the peer's node name in LINSTOR's files."""

    peer_node_id: int
    name: str
    state: str = "StandAlone"
    role: str = "Unknown"
    """The peer's role."""
    peer_devices: tuple[PeerDevice, ...] = ()
    paths: tuple[Path, ...] = ()


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """The local half of one volume."""

    volume: int
    minor: int
    disk: str = "Diskless"
    client: bool | None = None
    """Diskless by configuration. LINSTOR's SkipDisk sets it too: not proof of intent."""
    quorum: bool | None = None
    """Also true where no quorum rule is in force: not evidence (facts/fullstack-observed.md)."""
    open: bool | None = None
    """Someone has the device open; None with drbd-utils that do not say it."""
    backing_dev: str | None = None
    size: int | None = None
    """KiB."""
    blocked: str | None = None


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """A DRBD resource that is up on this node."""

    name: str
    role: str = "Unknown"
    suspended: str = "no"
    """``no`` or a comma list of user, no-data, fencing, quorum."""
    force_io_failures: bool = False
    may_promote: bool | None = None
    """None where the source does not say it (``status --json``)."""
    promotion_score: int | None = None
    """10000 and more: local data; 1: over a peer; 0: not usable (facts/linstor.md 7.3)."""
    devices: tuple[Device, ...] = ()
    connections: tuple[Connection, ...] = ()

    def device(self, volume: int) -> Device | None:
        """The local half of volume number ``volume``."""
        return next((d for d in self.devices if d.volume == volume), None)

    def connection(self, name: str) -> Connection | None:
        """The connection to the peer called ``name``."""
        return next((c for c in self.connections if c.name == name), None)


class State(msgspec.Struct, frozen=True, kw_only=True):
    """All resources, by name. ``complete`` once the initial state was told to its end."""

    resources: Mapping[str, Resource] = {}
    complete: bool = False
    doubtful: bool = False
    """A line did not fit what was told before: read everything anew."""


def fold(state: State, events: Iterable[Event]) -> State:
    """``state`` after ``events``, in their order. Copies the table once, so batches are cheap."""
    table = dict(state.resources)
    complete, doubtful = state.complete, state.doubtful
    for event in events:
        if event.is_end_of_initial_state:
            complete = True
        else:
            doubtful = not _apply(table, event) or doubtful
    return State(resources=table, complete=complete, doubtful=doubtful)


def _apply(table: dict[str, Resource], event: Event) -> bool:
    """Change ``table`` by one event; False when it does not fit."""
    if event.kind == Kind.RESOURCE:
        return _apply_resource(table, event)
    if event.action not in _TOLD and event.action not in _REMOVED:
        return True  # calls of handlers, and what later versions invent
    resource = table.get(event.resource)
    if resource is None:
        return event.action in _REMOVED
    try:
        changed = _within(resource, event)
    except (KeyError, ValueError):
        return False
    if changed is None:
        return False
    table[event.resource] = changed
    return True


def _apply_resource(table: dict[str, Resource], event: Event) -> bool:
    name = event.resource
    if event.action in _REMOVED:
        table.pop(name, None)
        return True
    if event.action == Action.RENAME:
        old, new = table.pop(name, None), event.keys.get("new_name")
        if old is None or new is None:
            return False
        table[new] = msgspec.structs.replace(old, name=new)
        return True
    if event.action not in _TOLD:
        return True
    anew = event.action != Action.CHANGE
    if not anew and name not in table:
        return False
    known = Resource(name=name) if anew else table[name]
    try:
        table[name] = _resource(known, event.keys)
    except ValueError:
        return False
    return True


def _within(resource: Resource, event: Event) -> Resource | None:
    """``resource`` after an event about one of its parts; None when the part's parent is unknown."""
    keys, gone = event.keys, event.action in _REMOVED
    if event.kind == Kind.DEVICE:
        volume = int(keys["volume"])
        rest = tuple(d for d in resource.devices if d.volume != volume)
        known = resource.device(volume) or Device(volume=volume, minor=-1)
        devices = rest if gone else tuple(sorted((*rest, _device(known, keys)), key=_volume))
        return msgspec.structs.replace(resource, devices=devices)
    if event.kind not in {Kind.CONNECTION, Kind.PEER_DEVICE, Kind.PATH}:
        return resource
    peer = int(keys["peer-node-id"])
    rest_c = tuple(c for c in resource.connections if c.peer_node_id != peer)
    found = next((c for c in resource.connections if c.peer_node_id == peer), None)
    if event.kind == Kind.CONNECTION:
        if gone:
            return msgspec.structs.replace(resource, connections=rest_c)
        found = found or Connection(peer_node_id=peer, name=keys.get("conn-name", ""))
        connection = _connection(found, keys)
    elif found is None:
        return resource if gone else None
    elif event.kind == Kind.PEER_DEVICE:
        connection = _with_peer_device(found, keys, gone=gone)
    else:
        connection = _with_path(found, keys, gone=gone)
    ordered = tuple(sorted((*rest_c, connection), key=lambda c: c.peer_node_id))
    return msgspec.structs.replace(resource, connections=ordered)


def _resource(old: Resource, keys: Mapping[str, str]) -> Resource:
    score = keys.get("promotion_score")
    return Resource(
        name=old.name,
        role=keys.get("role", old.role),
        suspended=keys.get("suspended", old.suspended),
        force_io_failures=keys["force-io-failures"] == "yes"
        if "force-io-failures" in keys
        else old.force_io_failures,
        may_promote=yes(keys["may_promote"]) if "may_promote" in keys else old.may_promote,
        promotion_score=old.promotion_score if score is None else int(score),
        devices=old.devices,
        connections=old.connections,
    )


def _device(old: Device, keys: Mapping[str, str]) -> Device:
    backing = keys.get("backing_dev", old.backing_dev)
    return Device(
        volume=old.volume,
        minor=int(keys.get("minor", old.minor)),
        disk=keys.get("disk", old.disk),
        client=yes(keys["client"]) if "client" in keys else old.client,
        quorum=yes(keys["quorum"]) if "quorum" in keys else old.quorum,
        open=yes(keys["open"]) if "open" in keys else old.open,
        backing_dev=None if backing == "none" else backing,
        size=int(keys["size"]) if "size" in keys else old.size,
        blocked=keys.get("blocked", old.blocked),
    )


def _connection(old: Connection, keys: Mapping[str, str]) -> Connection:
    return msgspec.structs.replace(
        old,
        name=keys.get("conn-name", old.name),
        state=keys.get("connection", old.state),
        role=keys.get("role", old.role),
    )


def _with_peer_device(old: Connection, keys: Mapping[str, str], *, gone: bool) -> Connection:
    volume = int(keys["volume"])
    rest = tuple(d for d in old.peer_devices if d.volume != volume)
    if gone:
        return msgspec.structs.replace(old, peer_devices=rest)
    known = next((d for d in old.peer_devices if d.volume == volume), PeerDevice(volume=volume))
    done, out_of_sync = known.done, known.out_of_sync
    if "out-of-sync" in keys:  # statistics: they hold ``done`` only while something runs
        out_of_sync = int(keys["out-of-sync"])
        done = float(keys["done"]) if "done" in keys else None
    device = PeerDevice(
        volume=volume,
        replication=keys.get("replication", known.replication),
        disk=keys.get("peer-disk", known.disk),
        client=yes(keys["peer-client"]) if "peer-client" in keys else known.client,
        resync_suspended=keys.get("resync-suspended", known.resync_suspended),
        done=done,
        out_of_sync=out_of_sync,
    )
    return msgspec.structs.replace(old, peer_devices=tuple(sorted((*rest, device), key=_volume)))


def _with_path(old: Connection, keys: Mapping[str, str], *, gone: bool) -> Connection:
    local, peer = keys.get("local", ""), keys.get("peer", "")
    rest = tuple(p for p in old.paths if (p.local, p.peer) != (local, peer))
    if gone:
        return msgspec.structs.replace(old, paths=rest)
    path = Path(local=local, peer=peer, established=yes(keys.get("established")))
    return msgspec.structs.replace(old, paths=(*rest, path))


def _volume(part: Device | PeerDevice) -> int:
    return part.volume


def yes(word: str | None) -> bool | None:
    """DRBD's ``yes`` and ``no``; anything else, as ``unknown``, is None."""
    return {"yes": True, "no": False}.get(word or "")
