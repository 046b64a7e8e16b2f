# SPDX-License-Identifier: Apache-2.0
"""Random boots: any faults of the catalogue in any order, on any layout, things people do, crashes of ours. All faults end.

The same seed gives the same schedule, and a schedule is data: one that breaks a rule can be cut down and kept (:mod:`~tidegate.sim.shrink`).
"""

import random
from typing import Final

import msgspec

from tidegate.sim.faults import (
    EVERY,
    INSTANT,
    TYPICAL,
    Fault,
    FaultKind,
    Layout,
    ResourceSpec,
)
from tidegate.sim.incus.values import (
    DEFAULT_PROJECT,
    InstanceKind,
    InstanceSpec,
    MemberSpec,
    ProjectSpec,
    ServerSpec,
    VolumeSpec,
)
from tidegate.sim.schedule import (
    EPOCH,
    PREFIX,
    REMOTE,
    Deed,
    Happening,
    Schedule,
    layout,
    resource_of,
    server,
)
from tidegate.sim.wishes import HOPELESS

_PER_RESOURCE: Final = (
    FaultKind.DEVICE_MISSING,
    FaultKind.DEVICE_PATH_MISSING,
    FaultKind.DEVICE_CANNOT_OPEN,
    FaultKind.DRBD_NO_QUORUM,
    FaultKind.PEER_PRIMARY,
    FaultKind.SPLIT_BRAIN,
    FaultKind.SUSPENDED,
    FaultKind.CONTENT_EMPTY,
    FaultKind.RESOURCE_FAILS,
)
_PER_NODE: Final = (
    FaultKind.NODE_OFFLINE,
    FaultKind.NODE_CONNECTED,
    FaultKind.SATELLITE_LATE,
    FaultKind.SATELLITE_DEAD,
    FaultKind.SATELLITE_MUTE,
    FaultKind.FALSE_ONLINE,
    FaultKind.MODULE_LATE,
)
BY_PERMISSION: Final = (FaultKind.NODE_STATUS, FaultKind.MODULE_LATE)
"""Faults whose end alone cures nothing: LINSTOR does not try again, and our lever for it is off unless allowed (contract.md safety 8)."""
_CONTROLLER: Final = (
    FaultKind.CONTROLLER_REFUSES,
    FaultKind.CONTROLLER_HANGS,
    FaultKind.CONTROLLER_BLACK_HOLE,
    FaultKind.CONTROLLER_500,
    FaultKind.CONTROLLER_SLOW,
)
_NEED_PEER: Final = frozenset({FaultKind.PEER_PRIMARY, FaultKind.SPLIT_BRAIN})
_WITHOUT_DRBD: Final = frozenset(
    {
        *(FaultKind.DEVICE_MISSING, FaultKind.DEVICE_PATH_MISSING),
        *(FaultKind.RESOURCE_FAILS, FaultKind.VOLUMES_EMPTY),
    }
)
_TO_INSTANCES: Final = (
    *(Deed.STOP, Deed.STOP, Deed.GUEST_OFF, Deed.FORBID),
    *(Deed.START, Deed.MOVE, Deed.REMOVE),
)
PROJECT: Final = "web"
FOREIGN: Final = "ceph"
FAR: Final = "far"
"""An instance of another cluster member."""


class _Shape(msgspec.Struct, frozen=True, kw_only=True):
    """The kind of node that a seed is about."""

    names: tuple[str, ...]
    nodes: int
    drbd: bool
    clustered: bool
    stray: bool
    """LINSTOR has a volume of the pool's group that Incus's database does not know."""
    absent: bool
    """One volume is not placed on this node: Incus has it placed when it starts the instance."""
    allows_more: bool
    """Configuration allows the levers that are off by default."""
    pools: tuple[str, ...]
    """Incus's pools on LINSTOR; one of them is :data:`schedule.REMOTE`."""
    foreign: bool
    """One instance lies on a pool of another driver that needs a network."""
    projects: bool
    """Some instances live in another project, and have their start from a profile."""
    clock_set: float
    """Seconds by which the clock is set within the first minute or two; 0: it was right."""


def by_chance(seed: int) -> Schedule:
    """Return the random boot of ``seed``."""
    chance = random.Random(f"{seed}/schedule")
    instances = _instances(shape := _shape(chance), chance)
    found = tuple(_fault(chance, shape, instances) for _ in range(chance.randint(0, 4)))
    happenings = sorted(_happenings(chance, shape, instances), key=lambda one: one.at)
    dumped = chance.random() < 0.9
    schedule = Schedule(
        name=f"seed {seed}",
        layout=_layout(shape, instances, chance),
        server=_server(shape, instances, chance, dumped=dumped),
        faults=found,
        happenings=tuple(happenings),
        timings=chance.choice((INSTANT, TYPICAL)),
        stray=("lost",) if shape.stray else (),
        allows_more=shape.allows_more,
        seed=seed,
        # Without a map and without a dump nobody knows that there is anything to start.
        has_map=not dumped or chance.random() < 0.95,
        killed_after=(chance.randint(1, 6),) if chance.random() < 0.15 else (),
        power_lost_at=round(chance.uniform(3.0, 90.0), 2) if chance.random() < 0.1 else None,
    )
    schedule = _devices_first(schedule, seed)
    return msgspec.structs.replace(schedule, horizon=schedule.calm_at + schedule.patience)


def _devices_first(schedule: Schedule, seed: int) -> Schedule:
    """Return the boot with devices first in a third of all cases: whole or killed, with torn files and such of deleted resources."""
    chance = random.Random(f"{seed}/devices")  # its own: what else a seed stands for stays as it is
    if chance.random() >= 1 / 3:
        return schedule
    names = [resource.name for resource in schedule.layout.resources]
    return msgspec.structs.replace(
        schedule,
        devices_first=True,
        torn=tuple(name for name in names if chance.random() < 0.2),
        gone=tuple(f"{PREFIX}old{number}" for number in range(chance.choice((0, 0, 1, 2)))),
        devices_killed=chance.choice((None, None, round(chance.uniform(0.5, 3.0), 2))),
        local_truth=random.Random(f"{seed}/local").random() < 1 / 2,
    )


def _shape(chance: random.Random) -> _Shape:
    nodes = chance.choice((1, 2, 2, 3))
    drbd = chance.random() < 0.8
    pools = (REMOTE, "fast") if chance.random() < 0.15 else (REMOTE,)
    clock_set = chance.choice((3600.0, -3600.0, 86400.0 * 300, -30.0))
    return _Shape(
        names=tuple(f"c{number}" for number in range(1, chance.randint(2, 5))),
        nodes=nodes,
        drbd=drbd,
        clustered=nodes > 1 and chance.random() < 0.25,
        stray=chance.random() < 0.08,
        absent=nodes > 1 and drbd and chance.random() < 0.15,
        allows_more=chance.random() < 0.3,
        pools=pools,
        foreign=chance.random() < 0.1,
        projects=chance.random() < 0.2,
        clock_set=clock_set if chance.random() < 0.12 else 0.0,
    )


# --- the node --------------------------------------------------------------------------------------
def _instances(shape: _Shape, chance: random.Random) -> tuple[InstanceSpec, ...]:
    found = [_instance(name, shape, chance) for name in shape.names]
    found.append(InstanceSpec(name="d1", pool="local"))
    found += [InstanceSpec(name=FAR, location="n2")] if shape.clustered else []
    found += [InstanceSpec(name="k1", pool=FOREIGN)] if shape.foreign else []
    return tuple(found)


def _instance(name: str, shape: _Shape, chance: random.Random) -> InstanceSpec:
    config: dict[str, str] = {}
    if chance.random() < 0.3:
        config["boot.autostart"] = chance.choice(("true", "false", "last-state"))
    if chance.random() < 0.3:
        config["boot.autostart.priority"] = str(chance.randint(0, 5))
    if chance.random() < 0.15:
        config["boot.autostart.delay"] = str(chance.randint(1, 5))
    if chance.random() < 0.15:
        config["volatile.last_state.power"] = "STOPPED"
    is_machine = chance.random() < 0.2
    pool = chance.choice(shape.pools)
    data = {"type": "disk", "pool": pool, "source": f"data-{name}", "path": "/data"}
    devices = {"data": data} if chance.random() < 0.2 else {}
    by_profile = shape.projects and chance.random() < 0.5
    hopeless = chance.random() < 0.03
    return InstanceSpec(
        name=name,
        project=PROJECT if shape.projects and chance.random() < 0.5 else DEFAULT_PROJECT,
        pool=pool,
        config={} if by_profile else config,
        profile_config=config if by_profile else {},
        kind=InstanceKind.VIRTUAL_MACHINE if is_machine else InstanceKind.CONTAINER,
        devices={} if by_profile else devices,
        profile_devices=devices if by_profile else {},
        late_failures=5 * HOPELESS if hopeless else chance.choice((0, 0, 0, 0, 1, 2)),
    )


def _layout(shape: _Shape, instances: tuple[InstanceSpec, ...], chance: random.Random) -> Layout:
    """Return a cluster with a resource for each volume; of a virtual machine with two volumes (facts/incus.md L54)."""
    plain = layout((), nodes=shape.nodes, drbd=shape.drbd, groups=shape.pools)
    here = tuple(node.name for node in plain.nodes)
    absent, resources = chance.choice(shape.names) if shape.absent else "", list[ResourceSpec]()
    for spec in instances:
        if spec.pool not in shape.pools:
            continue
        machine = spec.kind is InstanceKind.VIRTUAL_MACHINE
        kind = "virtual-machines" if machine else "containers"
        away = spec.name in {absent, FAR}
        placed = here[1:2] if away else here[:2]
        diskless = here[2:3] if shape.drbd and not away else ()
        crashed = shape.drbd and len(placed) > 1 and chance.random() < 0.2
        name = resource_of(spec.id)
        found = _resource(name, kind, placed, diskless, machine=machine, drbd=shape.drbd)
        resources.append(msgspec.structs.replace(found, crashed=crashed, group=spec.pool))
        if spec.devices or spec.profile_devices:
            name = f"{PREFIX}default_data-{spec.name}"
            data = _resource(name, "custom", here[:2], (), drbd=shape.drbd)
            resources.append(msgspec.structs.replace(data, group=spec.pool))
    if shape.stray:
        lost = f"{PREFIX}lost"
        resources.append(_resource(lost, "containers", here[:2], (), drbd=shape.drbd))
    numbered = _numbered(resources)
    return msgspec.structs.replace(plain, resources=numbered)


def _resource(
    name: str,
    kind: str,
    nodes: tuple[str, ...],
    diskless: tuple[str, ...],
    *,
    drbd: bool,
    machine: bool = False,
) -> ResourceSpec:
    return ResourceSpec(
        name=name,
        nodes=nodes,
        diskless=diskless,
        layers=("DRBD", "STORAGE") if drbd else ("STORAGE",),
        sizes_kib=(10_485_760, 512_000) if machine else (10_485_760,),
        signatures=("gpt", "ext4") if machine else ("ext4",),
        props={
            "Aux/Incus/name": name,
            "Aux/Incus/type": kind,
            "Aux/Incus/content-type": "block" if machine else "filesystem",
        },
    )


def _numbered(resources: list[ResourceSpec]) -> tuple[ResourceSpec, ...]:
    """Give each its minor numbers, in order of their names as LINSTOR hands them out here."""
    minor, found = 1001, []
    for resource in resources:
        found.append(msgspec.structs.replace(resource, minor=minor))
        minor += len(resource.sizes_kib)
    return tuple(found)


def _server(
    shape: _Shape, instances: tuple[InstanceSpec, ...], chance: random.Random, *, dumped: bool
) -> ServerSpec:
    if shape.clock_set:
        # The clock is behind or ahead: what was stamped before the boot, by the right time, may look as if it were of the time to come.
        true = EPOCH + shape.clock_set
        instances = tuple(
            msgspec.structs.replace(one, created_at=true - 9000.0, last_used_at=true - 600.0)
            for one in instances
        )
    pools = shape.pools
    foreign = (FOREIGN,) if shape.foreign else ()
    cpus = chance.choice((2, 8))
    found = server(instances, cpus=cpus, database_dump=dumped, remote=pools, foreign=foreign)
    volumes = tuple(
        VolumeSpec(name=f"data-{spec.name}", pool=spec.pool)
        for spec in instances
        if spec.devices or spec.profile_devices
    )
    members = (MemberSpec(name="n1"), MemberSpec(name="n2")) if shape.clustered else ()
    projects = (ProjectSpec(name=PROJECT),) if shape.projects else ()
    return msgspec.structs.replace(found, volumes=volumes, members=members, projects=projects)


# --- what goes wrong -------------------------------------------------------------------------------
def _fault(chance: random.Random, shape: _Shape, instances: tuple[InstanceSpec, ...]) -> Fault:
    start = chance.choice((0.0, 0.0, 0.0, chance.uniform(0.0, 60.0)))
    end = round(start + chance.uniform(1.0, 60.0), 2)
    more = BY_PERMISSION if shape.allows_more else ()
    pool = FaultKind.POOL_MISSING
    kind = chance.choice((*_PER_RESOURCE, *_PER_NODE, *_CONTROLLER, *more, pool))
    if chance.random() < 0.02:
        kind = (
            FaultKind.VOLUMES_EMPTY
        )  # incusd dies of it: ten minutes of every such boot are waiting
    if kind in (*_PER_RESOURCE, FaultKind.VOLUMES_EMPTY):
        own = tuple(resource_of(spec.id) for spec in instances if spec.name in shape.names)
        fault = Fault(kind=kind, start=start, end=end, subject=chance.choice((EVERY, *own)))
        return _of_resource(chance, shape, fault)
    if shape.foreign and chance.random() < 0.4:
        return Fault(kind=FaultKind.FOREIGN_AWAY, start=start, end=end, subject=FOREIGN)
    if kind is FaultKind.POOL_MISSING:
        # A volume group goes only with the machine; while it runs it can only come.
        return Fault(kind=kind, end=end, subject="thin", node="n1")
    if shape.nodes > 1 and chance.random() < 0.2:
        alive = chance.random() < 0.5
        return Fault(kind=FaultKind.PEER_AWAY, start=start, end=end, subject="n2", alive=alive)
    if kind in (*_PER_NODE, FaultKind.NODE_STATUS):
        return _of_node(chance, shape, kind, start, end)
    return Fault(
        kind=kind,
        start=start,
        end=end,
        restarts=chance.random() < 0.5,
        body=chance.choice(("json", "html", "truncated", "no-message")),
        delay=chance.choice((0.3, 2.0, 20.0)),
    )


def _of_node(
    chance: random.Random, shape: _Shape, kind: FaultKind, start: float, end: float
) -> Fault:
    if kind is FaultKind.FALSE_ONLINE:
        # It stays until a reconnect; the judge wants two minutes of silence first (contract.md safety 8).
        end = round(start + chance.uniform(60.0, 250.0), 2)
    return Fault(
        kind=kind,
        start=start,
        end=end,
        subject="n1",
        silent=chance.random() < 0.3,
        installed=not shape.allows_more or chance.random() < 0.5,
        status="FULL_SYNC_FAILED" if kind is FaultKind.NODE_STATUS else "",
    )


def _of_resource(chance: random.Random, shape: _Shape, fault: Fault) -> Fault:
    kind = fault.kind
    if not shape.drbd and kind not in _WITHOUT_DRBD:
        kind = FaultKind.DEVICE_MISSING
    if shape.nodes == 1 and kind in _NEED_PEER:
        kind = FaultKind.DEVICE_MISSING
    return msgspec.structs.replace(
        fault,
        kind=kind,
        # A volume is made anew between boots, not while it is up.
        start=0.0 if kind is FaultKind.CONTENT_EMPTY else fault.start,
        errno=61 if kind is FaultKind.DEVICE_CANNOT_OPEN else 0,
        drbd_up=shape.drbd and chance.random() < 0.3,
        state_reported=chance.random() < 0.3,
    )


def _happenings(
    chance: random.Random, shape: _Shape, instances: tuple[InstanceSpec, ...]
) -> list[Happening]:
    found = [
        Happening(
            at=round(chance.uniform(1.0, 120.0), 2),
            deed=chance.choice((Deed.KILL_AGENT, Deed.KILL_AND_FORGET)),
        )
        for _ in range(chance.choice((0, 0, 1, 2, 3)))
    ]
    own = [spec for spec in instances if spec.name != FAR]
    for _ in range(chance.choice((0, 0, 0, 1, 1, 2))):
        who, deed = chance.choice(own).id, chance.choice(_TO_INSTANCES)
        found.append(Happening(at=round(chance.uniform(5.0, 120.0), 2), deed=deed, instance=who))
    if chance.random() < 0.2:
        deed = chance.choice((Deed.RESTART_INCUS, Deed.CRASH_INCUS))
        found.append(Happening(at=round(chance.uniform(5.0, 120.0), 2), deed=deed))
    if shape.clustered and chance.random() < 0.5:
        found += _span(chance, Deed.EVACUATE, Deed.RESTORE)
    if chance.random() < 0.15:
        found += _span(chance, Deed.PAUSE, Deed.RESUME)
    if chance.random() < 0.1:
        found += _span(chance, Deed.HANG_INCUS, Deed.ANSWER_INCUS)
    if chance.random() < 0.1:
        found.append(Happening(at=round(chance.uniform(0.5, 60.0), 2), deed=Deed.FILL_DISK))
    if shape.clock_set:
        at = round(chance.uniform(1.0, 90.0), 2)
        found.append(Happening(at=at, deed=Deed.SET_CLOCK, seconds=shape.clock_set))
    return found


def _span(chance: random.Random, first: Deed, last: Deed) -> list[Happening]:
    began, length = round(chance.uniform(1.0, 60.0), 2), round(chance.uniform(5.0, 60.0), 2)
    return [Happening(at=began, deed=first), Happening(at=began + length, deed=last)]
