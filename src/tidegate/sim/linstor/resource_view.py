# SPDX-License-Identifier: Apache-2.0
"""A placed resource and its volumes as REST shows them (facts/linstor.md 4.5; recorded in tests/data)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tidegate.sim import drbd, faults
from tidegate.sim.linstor import store, view

if TYPE_CHECKING:
    from tidegate.sim.linstor import world as worlds

Json = dict[str, Any]
_KIND = faults.FaultKind
_METADATA_KIB = 464
"""What DRBD's internal metadata adds to a small volume; only ever shown."""


def _path(world: worlds.LinstorWorld, placement: store.Placement, number: int) -> str | None:
    hidden = world.fault(_KIND.DEVICE_PATH_MISSING, placement.definition, placement.node)
    return None if hidden else placement.volumes[number].device_path


def _storage_volume(world: worlds.LinstorWorld, placement: store.Placement, number: int) -> Json:
    """The storage layer's part: its path is the device itself, or the disk below DRBD."""
    definition = world.store.data.definitions[placement.definition]
    path = _path(world, placement, number)
    size = definition.volumes[number].size_kib
    below: str | None = path
    if definition.drbd and path is not None:
        below = world.store.backing(placement, number)
    if placement.diskless:
        below = None
    known = below is not None
    return view.full(
        {
            "volume_number": number,
            "device_path": below,
            "allocated_size_kib": size if known else -1,
            "usable_size_kib": size if known else -1,
            "disk_state": "[]",
        }
    )


def _drbd_volume(world: worlds.LinstorWorld, placement: store.Placement, number: int) -> Json:
    volume = world.store.data.definitions[placement.definition].volumes[number]
    path = _path(world, placement, number)
    known = path is not None and not placement.diskless
    return view.full(
        {
            "drbd_volume_definition": {"volume_number": number, "minor_number": volume.minor},
            "device_path": path,
            "backing_device": world.store.backing(placement, number) if known else None,
            "allocated_size_kib": volume.size_kib + _METADATA_KIB if known else -1,
            "usable_size_kib": volume.size_kib if known else -1,
        }
    )


def _storage_layer(world: worlds.LinstorWorld, placement: store.Placement) -> Json:
    volumes = [_storage_volume(world, placement, v.number) for v in placement.volumes]
    return {"type": "STORAGE", "storage": {"storage_volumes": volumes}}


def _luks_layer(world: worlds.LinstorWorld, placement: store.Placement, below: Json) -> Json:
    """An encrypted volume's path is that of its mapping, once it is open."""
    volumes = [
        view.full({"volume_number": v.number, "device_path": _path(world, placement, v.number)})
        for v in placement.volumes
    ]
    return {"children": [below], "type": "LUKS", "luks": {"luks_volumes": volumes}}


def _connections(side: drbd.Resource) -> Json:
    return {
        c.peer: {"connected": c.connected, "message": c.link.value}
        for c in sorted(side.connections.values(), key=lambda c: c.peer)
    }


def _layers(
    world: worlds.LinstorWorld, placement: store.Placement, side: drbd.Resource | bool
) -> Json:
    definition = world.store.data.definitions[placement.definition]
    below = _storage_layer(world, placement)
    if "LUKS" in definition.layers:
        below = _luks_layer(world, placement, below)
    if not definition.drbd:
        return below
    inner: Json = {
        "drbd_resource_definition": {
            "peer_slots": 7,
            "al_stripes": 1,
            "al_stripe_size_kib": 32,
            "port": -1,
            "transport_type": "IP",
            "secret": definition.secret,
            "down": False,
        },
        "node_id": placement.node_id,
        "tcp_ports": [definition.port],
        "peer_slots": 7,
        "al_stripes": 1,
        "al_size": 32,
        "flags": ["INITIALIZED"],
        "drbd_volumes": [_drbd_volume(world, placement, v.number) for v in placement.volumes],
    }
    if isinstance(side, drbd.Resource):
        promotion = drbd.promotion(side)
        inner |= {
            "connections": _connections(side),
            "promotion_score": promotion.score,
            "may_promote": promotion.may,
        }
    return {"children": [below], "type": "DRBD", "drbd": inner}


def _state(side: drbd.Resource | bool) -> Json | None:
    if isinstance(side, drbd.Resource):
        return {"in_use": side.role is drbd.Role.PRIMARY}
    return {} if side else None


def _props(placement: store.Placement) -> tuple[dict[str, str], Json]:
    """Properties, and those that take effect from this level (recorded with SkipDisk)."""
    where = f"Node: '{placement.node}', Rsc: '{placement.definition}'"
    effective = {
        key: {"type": "RESOURCE", "value": value, "descr": where}
        for key, value in placement.props.items()
        if key.startswith("DrbdOptions/")
    }
    return placement.props, effective


def resource(
    world: worlds.LinstorWorld, placement: store.Placement, *, volumes: bool = False
) -> Json:
    """A placed resource; with ``volumes`` as in ``/v1/view/resources``, else as in ``…/resources``."""
    side = view.reported(world, placement)
    props, effective = _props(placement)
    shown: list[Json] = []
    if volumes:
        shown = [volume(world, placement, v.number) for v in placement.volumes]
    return view.full(
        {
            "name": placement.definition,
            "node_name": placement.node,
            "props": props,
            "effective_props": effective,
            "flags": placement.flags,
            "layer_object": _layers(world, placement, side),
            "state": _state(side),
            "uuid": placement.uuid,
            "create_timestamp": placement.created_ms,
            "volumes": shown,
        }
    )


def _disk_state(side: drbd.Resource, number: int) -> Json | None:
    own = side.volumes.get(number)
    if own is None:
        return None
    label: str = own.disk.value
    replication = {
        c.peer: {"replication_state": c.volumes[number].replication.value}
        for c in sorted(side.connections.values(), key=lambda c: c.peer)
        if c.connected
    }
    syncing = any("SyncTarget" in r["replication_state"] for r in replication.values())
    label = "SyncTarget(0.00%)" if syncing else label
    return view.full({"disk_state": label, "replication_states": replication})


def volume(world: worlds.LinstorWorld, placement: store.Placement, number: int) -> Json:
    """One volume of a placed resource, as ``…/volumes`` and ``/v1/view/resources`` show it."""
    definition = world.store.data.definitions[placement.definition]
    one = placement.volumes[number]
    pool = world.store.pool(one.pool, placement.node)
    side = view.reported(world, placement)
    layers: list[Json] = [
        {"type": "STORAGE", "data": _storage_volume(world, placement, number)},
    ]
    props: dict[str, str] = {}
    if definition.drbd:
        layers.insert(0, {"type": "DRBD", "data": _drbd_volume(world, placement, number)})
        links = [] if placement.diskless else [_by_disk(world, placement, number)]
        links.append(f"/dev/drbd/by-res/{definition.name}/{number}")
        props = {f"Satellite/Device/Symlinks/{n}": link for n, link in enumerate(links)}
    cloned = ["CLONING_FINISHED"] if definition.clone_of and not definition.cloning else []
    running = world.lives[placement.node].running and pool is not None and pool.thin
    return view.full(
        {
            "volume_number": number,
            "storage_pool_name": one.pool,
            "provider_kind": pool.kind if pool else "DISKLESS",
            "device_path": _path(world, placement, number),
            "allocated_size_kib": -1 if running and not definition.drbd else 0,
            "props": props,
            "flags": ["CLONING"] if definition.cloning else cloned,
            "state": _disk_state(side, number) if isinstance(side, drbd.Resource) else None,
            "layer_data_list": layers,
            "uuid": one.uuid,
        }
    )


def _by_disk(world: worlds.LinstorWorld, placement: store.Placement, number: int) -> str:
    return f"/dev/drbd/by-disk/{world.store.backing(placement, number).removeprefix('/dev/')}"
