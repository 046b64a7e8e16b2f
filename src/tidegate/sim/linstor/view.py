# SPDX-License-Identifier: Apache-2.0
"""The controller's objects as REST shows them: fields, their order, and what is left out when it is not known.

Recorded shapes: tests/data/linstor, tests/data/fullstack; rules: facts/linstor.md 3.5, 4.4 to 4.7, 6.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tidegate.sim import drbd, faults
from tidegate.sim.linstor import answer, rc, store, tools

if TYPE_CHECKING:
    from tidegate.sim.linstor import world as worlds

Json = dict[str, Any]
_KIND = faults.FaultKind
ENDLESS = 9_223_372_036_854_775_807
"""The capacity of a diskless pool."""


def full(fields: Json) -> Json:
    """Leave out what is null, "" or empty; false and 0 stay (facts/linstor.md 4.1). ``state`` may be an empty object."""
    keep = {"state"}
    return {
        key: value
        for key, value in fields.items()
        if value is not None and (value not in ("", [], {}) or (key in keep and value == {}))
    }


def _supported(world: worlds.LinstorWorld, name: str) -> Json:
    life = world.lives[name]
    if not life.connected:
        return tools.UNKNOWN
    late = world.fault(_KIND.MODULE_LATE, name)
    hidden = late is not None and not late.installed
    return tools.WITH_DRBD if life.drbd and not hidden else tools.WITHOUT_DRBD


def authenticated_details(world: worlds.LinstorWorld, name: str) -> str:
    """What the answer to a reconnect or a node's creation tells of its tools."""
    return tools.authenticated_details(_supported(world, name))


def net_interface(record: store.Node) -> Json:
    """The one net interface of a node."""
    return {
        "name": "default",
        "address": record.address,
        "satellite_port": 3366,
        "satellite_encryption_type": "PLAIN",
        "is_active": True,
        "uuid": record.netif_uuid,
    }


def node(world: worlds.LinstorWorld, name: str) -> Json:
    """A node."""
    record = world.store.data.nodes[name]
    return full(
        {
            "name": name,
            "type": "SATELLITE",
            "props": dict(sorted(record.props.items())),
            "flags": record.flags,
            "net_interfaces": [net_interface(record)],
            "connection_status": world.lives[name].status.value,
            "uuid": record.uuid,
            **_supported(world, name),
        }
    )


def not_connected(world: worlds.LinstorWorld, name: str) -> rc.Entry:
    """The warning that stands for an unreachable satellite."""
    return rc.entry(
        rc.WARN_NOT_CONNECTED,
        f"No active connection to satellite '{name}'",
        details=rc.NOT_CONNECTED_DETAILS,
        created_at=answer.stamp(world.epoch + world.now),
    )


def pool(world: worlds.LinstorWorld, record: store.Pool) -> Json:
    """A storage pool: capacities only while connected, reports only for what this listing found (facts/linstor.md 8.1)."""
    connected = world.lives[record.node].connected
    broken = world.fault(_KIND.POOL_MISSING, record.name, record.node) is not None
    diskless = record.kind == "DISKLESS"
    known = connected and not (broken and record.thin)
    provisioning = {} if diskless else {"Provisioning": "Thin" if record.thin else "Fat"}
    snapshots = not diskless and record.kind != "LVM"
    reports = [] if connected else [not_connected(world, record.node)]
    if connected and broken and record.thin:
        reports = [_pool_broken(world, record)]
    return full(
        {
            "storage_pool_name": record.name,
            "node_name": record.node,
            "provider_kind": record.kind,
            "props": record.props,
            "static_traits": {
                **provisioning,
                "SupportsSnapshots": "true" if snapshots else "false",
            },
            "free_capacity": (ENDLESS if diskless else record.free_kib) if known else None,
            "total_capacity": (ENDLESS if diskless else record.total_kib) if known else None,
            "free_space_mgr_name": f"{record.node};{record.name}",
            "uuid": record.uuid,
            "reports": reports,
            "supports_snapshots": snapshots,
            "external_locking": False,
        }
    )


def _pool_broken(world: worlds.LinstorWorld, record: store.Pool) -> rc.Entry:
    backing = record.props.get("StorDriver/StorPoolName", "")
    what = "Thin pool" if record.kind == "LVM_THIN" else "Storage"
    return rc.entry(
        rc.UNKNOWN_ERROR,
        f"({record.node}) Failed to query free space from storage pool",
        cause=f"{what} '{backing}' does not exist",
        created_at=answer.stamp(world.epoch + world.now),
    )


def group(record: store.Group) -> Json:
    """A resource group."""
    filters = record.select_filter
    return full(
        {
            "name": record.name,
            "description": record.description,
            "props": dict(sorted(record.props.items())),
            "select_filter": full(
                {
                    "place_count": filters.place_count,
                    "storage_pool": filters.storage_pool,
                    "storage_pool_list": filters.storage_pool_list,
                    "layer_stack": filters.layer_stack,
                }
            ),
            "uuid": record.uuid,
        }
    )


def volume_definition(
    world: worlds.LinstorWorld, owner: store.Definition, record: store.VolumeDefinition
) -> Json:
    """A volume definition; layers are known once its definition has them, some properties once it is placed (recorded)."""
    number = {"volume_number": record.number, "minor_number": record.minor}
    layers: list[Json] = [
        {"type": layer, "data": number} if layer == "DRBD" else {"type": layer}
        for layer in owner.layers
    ]
    props = dict(record.props)
    if world.store.placements(definition=owner.name):
        props["DrbdOptions/Disk/block-size"] = "512"
        props["StorDriver/internal/AllocationGranularity"] = "1"
    return full(
        {
            "volume_number": record.number,
            "size_kib": record.size_kib,
            "props": dict(sorted(props.items())),
            "layer_data": layers,
            "uuid": record.uuid,
        }
    )


def definition_props(world: worlds.LinstorWorld, record: store.Definition) -> dict[str, str]:
    """Its properties, with those LINSTOR sets by itself once something is placed: the quorum (facts/linstor.md 7.4)."""
    placed = world.store.placements(definition=record.name)
    if not placed or "DrbdOptions/Resource/quorum" in record.props:
        return dict(sorted(record.props.items()))
    diskful = sum(not p.diskless for p in placed)
    majority = record.drbd and (diskful >= 3 or (diskful == 2 and len(placed) > 2))
    quorum = {"DrbdOptions/Resource/quorum": "majority" if majority else "off"}
    return dict(sorted({**record.props, **quorum}.items()))


def definition(
    world: worlds.LinstorWorld, record: store.Definition, *, volumes: bool = False
) -> Json:
    """A resource definition."""
    number = {
        "peer_slots": 7,
        "al_stripes": 1,
        "al_stripe_size_kib": 32,
        "port": -1,
        "transport_type": "IP",
        "secret": record.secret,
        "down": False,
    }
    layers = [
        {"type": layer, "data": number} if layer == "DRBD" else {"type": layer}
        for layer in record.layers
    ]
    with_volumes = [volume_definition(world, record, v) for v in record.volumes] if volumes else []
    return full(
        {
            "name": record.name,
            "props": definition_props(world, record),
            "flags": ["CLONING"] if record.cloning else [],
            "layer_data": layers,
            "uuid": record.uuid,
            "resource_group_name": record.group,
            "volume_definitions": with_volumes,
        }
    )


def snapshot(record: store.Definition, one: store.Snapshot) -> Json:
    """A snapshot."""
    return full(
        {
            "name": one.name,
            "resource_name": record.name,
            "nodes": one.nodes,
            "props": one.props,
            "flags": ["SUCCESSFUL"],
            "volume_definitions": [
                {"volume_number": number, "size_kib": size}
                for number, size in enumerate(one.sizes_kib)
            ],
            "uuid": one.uuid,
            "snapshots": [
                {"snapshot_name": one.name, "node_name": name, "create_timestamp": one.created_ms}
                for name in one.nodes
            ],
        }
    )


def reported(world: worlds.LinstorWorld, placement: store.Placement) -> drbd.Resource | bool:
    """What the satellite has reported of this resource since it connected: DRBD's state, True for a plain one, False for nothing."""
    life, name = world.lives[placement.node], placement.definition
    if not life.connected or name not in life.reported:
        return False
    missing = world.fault(_KIND.DEVICE_MISSING, name, placement.node)
    if missing is not None and not missing.state_reported:
        return False
    if not world.store.data.definitions[name].drbd:
        return True
    return world.drbd[placement.node].resources.get(name) or False
