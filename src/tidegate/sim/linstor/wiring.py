# SPDX-License-Identifier: Apache-2.0
"""How one resource's sides on several nodes are wired: what LINSTOR configures, what peers see of each other, who has quorum."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.sim import devices, drbd, faults
from tidegate.sim.linstor import store

if TYPE_CHECKING:
    from tidegate.sim.linstor import world as worlds

_KIND = faults.FaultKind


def without_disk(placement: store.Placement) -> bool:
    """Diskless by placement, or because LINSTOR set SkipDisk after an I/O error (facts/fullstack-observed.md)."""
    return placement.diskless or placement.props.get("DrbdOptions/SkipDisk") == "True"


def configured(world: worlds.LinstorWorld, placement: store.Placement) -> drbd.Resource:
    """The resource as ``drbdadm adjust`` first makes it: Diskless, every connection StandAlone."""
    db = world.store
    definition = db.data.definitions[placement.definition]
    nodes = db.data.nodes
    client = without_disk(placement)
    peers = [p for p in db.placements(definition=definition.name) if p.node != placement.node]
    return drbd.Resource(
        name=definition.name,
        node_id=placement.node_id,
        volumes={
            v.number: drbd.Volume(
                number=v.number, minor=v.minor or 0, size_kib=v.size_kib, client=client
            )
            for v in definition.volumes
        },
        connections={
            p.node: drbd.Connection(
                peer=p.node,
                peer_id=p.node_id,
                local=f"{nodes[placement.node].address}:{definition.port}",
                remote=f"{nodes[p.node].address}:{definition.port}",
                volumes={v.number: drbd.PeerVolume() for v in definition.volumes},
            )
            for p in peers
        },
    )


def sides(world: worlds.LinstorWorld, name: str) -> dict[str, drbd.Resource]:
    """The resource on every node where it is up."""
    found = ((n, node.resources.get(name)) for n, node in world.drbd.items())
    return {n: resource for n, resource in found if resource is not None}


def adjust_peers(world: worlds.LinstorWorld, name: str) -> None:
    """Placements have come or gone: every side that is up gets or loses its connections, as an adjust does."""
    for node, side in sides(world, name).items():
        placement = world.store.placement(name, node)
        if placement is None:
            continue
        fresh = configured(world, placement).connections
        side.connections = {n: side.connections.get(n, c) for n, c in fresh.items()}


def set_roles(world: worlds.LinstorWorld, name: str, up: dict[str, drbd.Resource]) -> None:
    """The fault peer-primary: the first peer of the local node holds the resource."""
    peers = sorted(n for n in up if n != world.local)
    if not peers:
        return
    wanted = world.fault(_KIND.PEER_PRIMARY, name) is not None
    peer = up[peers[0]]
    if wanted and peer.role is drbd.Role.SECONDARY:
        peer.role = drbd.Role.PRIMARY
    elif not wanted and peer.role is drbd.Role.PRIMARY and world.lives[peers[0]].powered:
        peer.role = drbd.Role.SECONDARY


def copy_peers(side: drbd.Resource, up: dict[str, drbd.Resource]) -> None:
    """What one side sees of its peers: roles and disks where connected, else unknown."""
    for name, connection in side.connections.items():
        peer = up.get(name)
        for number, seen in connection.volumes.items():
            if peer is None or not connection.connected:
                seen.disk, seen.replication = drbd.Disk.UNKNOWN, drbd.Replication.OFF
                seen.client = False
                continue
            there = peer.volumes[number]
            seen.disk, seen.client = there.disk, there.client
            back = _towards(peer, side, up, number)
            if seen.replication is drbd.Replication.SYNC_TARGET:
                continue
            syncing = back is drbd.Replication.SYNC_TARGET
            seen.replication = (
                drbd.Replication.SYNC_SOURCE if syncing else drbd.Replication.ESTABLISHED
            )
        there_role = peer.role if peer and connection.connected else drbd.Role.UNKNOWN
        connection.role = there_role


def _towards(
    peer: drbd.Resource, side: drbd.Resource, up: dict[str, drbd.Resource], number: int
) -> drbd.Replication:
    own = next(n for n, one in up.items() if one is side)
    back = peer.connections.get(own)
    return back.volumes[number].replication if back else drbd.Replication.OFF


def quorum_rule(world: worlds.LinstorWorld, name: str) -> bool:
    """LINSTOR asks for a majority with two diskful and a diskless, or three diskful (facts/linstor.md 7.4)."""
    placed = world.store.placements(definition=name)
    diskful = sum(not p.diskless for p in placed)
    return diskful >= 3 or (diskful == 2 and len(placed) > 2)


def options(world: worlds.LinstorWorld, name: str) -> dict[str, str]:
    """The resource options that LINSTOR has set, and the quorum rule, which ``show --json`` prints in any case."""
    record = world.store.data.definitions[name]
    group = world.store.data.groups.get(record.group)
    props = {**(group.props if group else {}), **record.props}
    space = "DrbdOptions/Resource/"
    found = {k.removeprefix(space): v for k, v in props.items() if k.startswith(space)}
    found.setdefault("quorum", "majority" if quorum_rule(world, name) else "off")
    return found


def set_quorum(world: worlds.LinstorWorld, node: str, side: drbd.Resource) -> None:
    """Quorum and suspension of one side, by rule or by fault."""
    suspended = world.fault(_KIND.SUSPENDED, side.name, node) is not None
    lost = suspended or world.fault(_KIND.DRBD_NO_QUORUM, side.name, node) is not None
    if not lost and quorum_rule(world, side.name):
        placed = world.store.placements(definition=side.name)
        here = {node} | {n for n, c in side.connections.items() if c.connected}
        lost = not drbd.quorate(
            diskful=sum(not p.diskless for p in placed),
            diskful_here=sum(not p.diskless for p in placed if p.node in here),
            diskless=sum(p.diskless for p in placed),
            diskless_here=sum(p.diskless for p in placed if p.node in here),
        )
    side.suspended = ("quorum",) if suspended else ()
    for volume in side.volumes.values():
        volume.quorum = not lost


def device_file(
    world: worlds.LinstorWorld,
    placement: store.Placement,
    number: int,
    there: devices.DeviceFile | None,
) -> devices.DeviceFile | None:
    """The device file of a volume that is up; None for a volume that has none (storage-only and diskless)."""
    definition = world.store.data.definitions[placement.definition]
    volume = definition.volumes[number]
    empty = world.fault(_KIND.CONTENT_EMPTY, definition.name, placement.node) is not None
    known = number < len(definition.signatures) and not empty
    links: tuple[str, ...] = ()
    if definition.drbd:
        path, major, minor = f"/dev/drbd{volume.minor}", devices.DRBD_MAJOR, volume.minor or 0
        links = (f"/dev/drbd/by-res/{definition.name}/{number}",)
    elif there is not None:
        path, major, minor = there.path, there.major, there.minor
    else:
        backing = world.store.backing(placement, number)
        loop = world.trees[placement.node].free_loop()
        plain = backing.startswith("/dev/")
        path, major, minor = backing if plain else f"/dev/loop{loop}", devices.LOOP_MAJOR, loop
    return devices.DeviceFile(
        path=path,
        major=major,
        minor=minor,
        resource=definition.name,
        volume=number,
        size_kib=volume.size_kib,
        signature=definition.signatures[number] if known else "",
        links=links,
    )
