# SPDX-License-Identifier: Apache-2.0
"""Fill a world from a layout: data base, lives, device trees; everything healthy, then the local node's power is cut.

So a scenario begins at its boot with what a controller that kept running remembers: old device paths, no ``state``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tidegate.sim import devices, drbd, faults
from tidegate.sim.linstor import node, store

if TYPE_CHECKING:
    from tidegate.sim.linstor import world as worlds


def fill(world: worlds.LinstorWorld, layout: faults.Layout) -> None:
    """Make everything that ``layout`` names, come to rest, and cut the local node's power."""
    ensure_default_group(world)
    for node_spec in layout.nodes:
        add_node(world, node_spec)
    for pool_spec in layout.pools:
        add_pool(world, pool_spec)
    for group_spec in layout.groups:
        _add_group(world, group_spec)
    for resource in layout.resources:
        _add_resource(world, resource)
    come_to_rest(world)
    for resource in layout.resources:
        placement = world.store.placement(resource.name, world.local)
        if placement is not None:
            placement.crashed = resource.crashed


def come_to_rest(world: worlds.LinstorWorld) -> None:
    """Boot every node in no time, let the first runs end, then cut the local node's power and switch it on at zero."""
    wanted, world.timings = world.timings, faults.INSTANT
    for life in world.lives.values():
        world.boot(life.name)
    world.settle()
    world.power_off()
    world.settle()
    world.timings = wanted


def ensure_default_group(world: worlds.LinstorWorld) -> None:
    """LINSTOR always has this resource group."""
    world.store.data.groups.setdefault(
        store.DEFAULT_GROUP,
        store.Group(
            name=store.DEFAULT_GROUP,
            uuid=world.store.new_uuid(),
            select_filter=store.SelectFilter(place_count=2),
        ),
    )


def add_node(world: worlds.LinstorWorld, spec: faults.NodeSpec) -> None:
    """Register a node with its diskless pool and make its machine (off)."""
    db = world.store
    db.data.nodes[spec.name] = store.Node(
        name=spec.name,
        address=spec.address,
        uuid=db.new_uuid(),
        netif_uuid=db.new_uuid(),
        props={"CurStltConnName": "default", "NodeUname": spec.name},
    )
    db.data.pools.append(
        store.Pool(name=store.DISKLESS_POOL, node=spec.name, kind="DISKLESS", uuid=db.new_uuid())
    )
    make_machine(world, spec.name, drbd_installed=spec.drbd)


def make_machine(world: worlds.LinstorWorld, name: str, *, drbd_installed: bool = True) -> None:
    """The run-time side of a node: life, DRBD, ``/dev``."""
    world.lives[name] = node.Life(name=name, drbd=drbd_installed, powered=False)
    world.drbd[name] = drbd.Node(name)
    tree = devices.DeviceTree(name)
    tree.verdict = lambda file: world.replication.verdict(name, file)
    tree.on_change = lambda kind, file: world.emit(
        kind,
        node=name,
        resource=file.resource,
        volume=file.volume,
        path=file.path,
        major=file.major,
        minor=file.minor,
        size_kib=file.size_kib,
        signature=file.signature,
    )
    world.trees[name] = tree


def add_pool(world: worlds.LinstorWorld, spec: faults.PoolSpec) -> None:
    """Register a storage pool."""
    db = world.store
    props = {"StorDriver/StorPoolName": spec.backing}
    if spec.kind.startswith("FILE"):
        props["StorDriver/internal/AllocationGranularity"] = "1"
    db.data.pools.append(
        store.Pool(
            name=spec.name,
            node=spec.node,
            kind=spec.kind,
            uuid=db.new_uuid(),
            props=props,
            free_kib=spec.free_kib,
            total_kib=spec.total_kib,
        )
    )


def _add_group(world: worlds.LinstorWorld, spec: faults.GroupSpec) -> None:
    pools = [spec.storage_pool] if spec.storage_pool else []
    world.store.data.groups[spec.name] = store.Group(
        name=spec.name,
        uuid=world.store.new_uuid(),
        description=spec.description,
        select_filter=store.SelectFilter(
            place_count=spec.place_count,
            storage_pool=spec.storage_pool or None,
            storage_pool_list=pools,
            layer_stack=list(spec.layers),
        ),
    )


def new_volumes(
    world: worlds.LinstorWorld, sizes_kib: list[int], *, with_drbd: bool, minor: int = 0
) -> list[store.VolumeDefinition]:
    """Volume definitions with their minors and generation identifiers."""
    db = world.store
    used = {v.minor for d in db.data.definitions.values() for v in d.volumes}
    free = (m for m in range(minor or store.FIRST_MINOR, 50_000) if m not in used)
    return [
        store.VolumeDefinition(
            number=number,
            size_kib=size,
            uuid=db.new_uuid(),
            minor=next(free) if with_drbd else None,
            props={"DrbdCurrentGi": db.new_gi()},
        )
        for number, size in enumerate(sizes_kib)
    ]


def place(
    world: worlds.LinstorWorld,
    definition: store.Definition,
    node_name: str,
    pool: str,
    *,
    diskless: bool = False,
) -> store.Placement:
    """Put a definition on a node, in the data base only."""
    db = world.store
    taken = {p.node_id for p in db.placements(definition=definition.name)}
    kind = ["DISKLESS", "DRBD_DISKLESS"] if diskless else []
    placement = store.Placement(
        definition=definition.name,
        node=node_name,
        uuid=db.new_uuid(),
        node_id=next(n for n in range(32) if n not in taken),
        flags=kind,
        props={"StorPoolName": store.DISKLESS_POOL if diskless else pool},
        created_ms=world.unix_ms,
        volumes=[
            store.VolumePlacement(
                number=v.number,
                uuid=db.new_uuid(),
                pool=store.DISKLESS_POOL if diskless else pool,
            )
            for v in definition.volumes
        ],
    )
    db.data.placements.append(placement)
    db.changed += 1
    return placement


def _add_resource(world: worlds.LinstorWorld, spec: faults.ResourceSpec) -> None:
    db = world.store
    with_drbd = "DRBD" in spec.layers
    group = db.data.groups[spec.group]
    definition = store.Definition(
        name=spec.name,
        group=spec.group,
        uuid=db.new_uuid(),
        props=dict(spec.props),
        layers=list(spec.layers),
        port=db.free_port() if with_drbd else 0,
        secret=db.new_secret() if with_drbd else "",
        volumes=new_volumes(world, list(spec.sizes_kib), with_drbd=with_drbd, minor=spec.minor),
        signatures=list(spec.signatures),
    )
    db.data.definitions[spec.name] = definition
    pool = spec.pool or group.select_filter.storage_pool or ""
    for name in (*spec.nodes, *spec.diskless):
        own = pool or any_pool(db, name)
        place(world, definition, name, own, diskless=name in spec.diskless)


def any_pool(db: store.Store, node_name: str) -> str:
    """The first real pool of a node."""
    named = (p.name for p in db.data.pools if p.node == node_name and p.kind != "DISKLESS")
    return next(named, store.DISKLESS_POOL)


def load(world: worlds.LinstorWorld, raw: bytes) -> None:
    """Take over a data base from :meth:`store.Store.to_bytes`; nodes it names get machines, then everything comes to rest.

    Raises msgspec.MsgspecError if ``raw`` is none.
    """
    world.store.from_bytes(raw)
    for name in world.store.data.nodes:
        if name not in world.lives:
            make_machine(world, name)
    for name in world.lives:  # one that runs already would not bring up what it has only now
        world.power_off(name)
    come_to_rest(world)


def describe(world: worlds.LinstorWorld) -> object:
    """The data base as plain values, for a dump."""
    return msgspec.to_builtins(world.store.data)
