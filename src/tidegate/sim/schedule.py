# SPDX-License-Identifier: Apache-2.0
"""A boot with all that happens during it, as data: the node, the faults, what people do, when our agent is killed."""

import enum
import random

import msgspec

from tidegate.core.ids import InstanceId
from tidegate.sim.faults import (
    EVERY,
    INSTANT,
    TYPICAL,
    Fault,
    FaultKind,
    GroupSpec,
    Layout,
    NodeSpec,
    ResourceSpec,
    Scenario,
    Timings,
)
from tidegate.sim.faults import PoolSpec as StoragePoolSpec
from tidegate.sim.incus.values import InstanceSpec, PoolSpec, ServerSpec, instance_id

PREFIX = "incus-volume-"
EPOCH = 1_795_420_800.0


class Deed(enum.StrEnum):
    """What somebody may do while the node runs."""

    STOP = "stop"
    """A user stops the instance."""
    FORBID = "forbid"
    """A user sets ``boot.autostart=false``."""
    EVACUATE = "evacuate"
    RESTORE = "restore"
    RESTART_INCUS = "restart-incus"
    CRASH_INCUS = "crash-incus"
    KILL_AGENT = "kill-agent"
    """kill -9 of ours; systemd starts it again, and it finds what it had written."""
    KILL_AND_FORGET = "kill-and-forget"
    """The same, and what it had written is gone too."""


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happens at ``at`` (seconds after boot), to ``instance`` where it concerns one."""

    at: float
    deed: Deed
    instance: InstanceId | None = None


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """One boot, from power-on to ``horizon`` seconds after it."""

    name: str
    layout: Layout
    server: ServerSpec
    faults: tuple[Fault, ...] = ()
    happenings: tuple[Happening, ...] = ()
    timings: Timings = INSTANT
    horizon: float = 150.0
    seed: int = 0
    devices_first: bool = False
    """``tidegate-devices.service`` is enabled."""
    torn: tuple[str, ...] = ()
    """Resources whose kept file a power loss has torn; matters to devices-first alone."""

    @property
    def calm_at(self) -> float:
        """The moment after which nothing happens from outside; endless faults left aside."""
        ends = [fault.end for fault in self.faults if fault.end is not None]
        return max([*ends, *(happening.at for happening in self.happenings)], default=0.0)

    @property
    def scenario(self) -> Scenario:
        """What the storage models are made of."""
        return Scenario(
            name=self.name,
            layout=self.layout,
            faults=self.faults,
            timings=self.timings,
            seed=self.seed,
        )


def layout(names: tuple[str, ...], *, nodes: int = 2, drbd: bool = True) -> Layout:
    """Return a cluster of ``nodes`` with one volume for each of ``names``, on this node and on at most one other."""
    here = tuple(f"n{number}" for number in range(1, nodes + 1))
    layers = ("DRBD", "STORAGE") if drbd else ("STORAGE",)
    return Layout(
        nodes=tuple(
            NodeSpec(name=name, address=f"10.99.0.{number + 11}")
            for number, name in enumerate(here)
        ),
        pools=tuple(StoragePoolSpec(name="thin", node=node) for node in here),
        groups=(GroupSpec(name="remote", storage_pool="thin"),),
        resources=tuple(
            ResourceSpec(
                name=f"{PREFIX}{name}",
                minor=1001 + number,
                nodes=here[:2],
                diskless=here[2:3] if drbd else (),
                layers=layers,
                props={
                    "Aux/Incus/name": f"{PREFIX}{name}",
                    "Aux/Incus/type": "containers",
                    "Aux/Incus/content-type": "filesystem",
                },
            )
            for number, name in enumerate(names)
        ),
    )


def server(
    instances: tuple[InstanceSpec, ...], *, cpus: int = 2, database_dump: bool = True
) -> ServerSpec:
    """Return a standalone Incus with a LINSTOR pool ``remote`` and a local pool ``local``."""
    group = {"linstor.resource_group.name": "remote", "linstor.volume.prefix": PREFIX}
    return ServerSpec(
        epoch=EPOCH,
        cpus=cpus,
        has_db_dump=database_dump,
        pools=(PoolSpec(name="local", driver="dir"), PoolSpec(name="remote", config=group)),
        instances=instances,
    )


_CONTAINERS = ("c1", "c2", "c3")


def observed(key: str, *, nodes: int = 1, seed: int = 0) -> Schedule:
    """Return a scenario of facts/observed.md: ``s0`` to ``s9``; c1..c3 on LINSTOR, d1 on a directory.

    Raises:
        KeyError: there is no such scenario.
    """
    instances = (
        *(InstanceSpec(name=name) for name in _CONTAINERS),
        InstanceSpec(name="d1", pool="local"),
    )
    return Schedule(
        name=key,
        layout=layout(_CONTAINERS, nodes=nodes),
        server=server(instances),
        faults=OBSERVED[key],
        seed=seed,
    )


OBSERVED: dict[str, tuple[Fault, ...]] = {
    "s0": (),
    "s1": (Fault(kind=FaultKind.NODE_OFFLINE, end=25),),
    "s2": (Fault(kind=FaultKind.CONTROLLER_REFUSES, end=25),),
    "s3": (Fault(kind=FaultKind.MODULE_LATE, end=20),),
    "s4": (Fault(kind=FaultKind.DEVICE_MISSING, end=40),),
    "s5": (Fault(kind=FaultKind.DEVICE_MISSING, end=8),),
    "s6": (Fault(kind=FaultKind.CONTROLLER_500, end=25),),
    "s7": (Fault(kind=FaultKind.CONTROLLER_BLACK_HOLE, end=45),),
    "s8": (Fault(kind=FaultKind.CONTROLLER_HANGS, end=40),),
    "s9": (Fault(kind=FaultKind.DEVICE_PATH_MISSING, end=20),),
}
"""What is wrong, in seconds after the machine's start (facts/observed.md, first table)."""


# --- chance --------------------------------------------------------------------------------------
_PER_RESOURCE = (
    FaultKind.DEVICE_MISSING,
    FaultKind.DEVICE_PATH_MISSING,
    FaultKind.DEVICE_CANNOT_OPEN,
    FaultKind.DRBD_NO_QUORUM,
    FaultKind.PEER_PRIMARY,
    FaultKind.SPLIT_BRAIN,
    FaultKind.SUSPENDED,
    FaultKind.CONTENT_EMPTY,
)
_PER_NODE = (
    FaultKind.NODE_OFFLINE,
    FaultKind.NODE_CONNECTED,
    FaultKind.SATELLITE_LATE,
    FaultKind.SATELLITE_MUTE,
    FaultKind.MODULE_LATE,
)
_CONTROLLER = (
    FaultKind.CONTROLLER_REFUSES,
    FaultKind.CONTROLLER_HANGS,
    FaultKind.CONTROLLER_BLACK_HOLE,
    FaultKind.CONTROLLER_500,
)


def by_chance(seed: int) -> Schedule:
    """Return a random boot: any faults of the catalogue in any order, things people do, crashes of ours; all end."""
    chance = random.Random(f"{seed}/schedule")
    names = tuple(f"c{number}" for number in range(1, chance.randint(2, 5)))
    nodes = chance.choice((1, 2, 2, 3))
    drbd = chance.random() < 0.8
    instances = (
        *(_instance(name, chance) for name in names),
        InstanceSpec(name="d1", pool="local"),
    )
    found = tuple(
        _fault(chance, names, nodes=nodes, drbd=drbd) for _ in range(chance.randint(0, 4))
    )
    happenings = tuple(sorted(_happenings(chance, instances), key=lambda happening: happening.at))
    schedule = Schedule(
        name=f"seed {seed}",
        layout=layout(names, nodes=nodes, drbd=drbd),
        server=server(instances, cpus=chance.choice((2, 8)), database_dump=chance.random() < 0.9),
        faults=found,
        happenings=happenings,
        timings=chance.choice((INSTANT, TYPICAL)),
        seed=seed,
    )
    # An incusd that dies in its first pass is not started again before waitready gives up (facts/observed.md, s10).
    crashes = any(happening.deed is Deed.CRASH_INCUS for happening in happenings)
    return msgspec.structs.replace(
        _after_a_power_loss(schedule, chance),
        horizon=schedule.calm_at + (900.0 if crashes else 240.0),
    )


def _after_a_power_loss(schedule: Schedule, chance: random.Random) -> Schedule:
    """Return the boot as one that may follow on a power loss: crashed Primaries, torn files, devices-first."""
    lost = chance.random() < 0.4
    resources = tuple(
        msgspec.structs.replace(
            each, crashed=lost and len(each.nodes) > 1 and chance.random() < 0.5
        )
        for each in schedule.layout.resources
    )
    torn = tuple(each.name for each in resources if lost and chance.random() < 0.1)
    return msgspec.structs.replace(
        schedule,
        layout=msgspec.structs.replace(schedule.layout, resources=resources),
        devices_first=chance.random() < 0.4,
        torn=torn,
    )


def _instance(name: str, chance: random.Random) -> InstanceSpec:
    config: dict[str, str] = {}
    if chance.random() < 0.3:
        config["boot.autostart"] = chance.choice(("true", "false", "last-state"))
    if chance.random() < 0.3:
        config["boot.autostart.priority"] = str(chance.randint(0, 5))
    if chance.random() < 0.15:
        config["boot.autostart.delay"] = str(chance.randint(1, 5))
    if chance.random() < 0.15:
        config["volatile.last_state.power"] = "STOPPED"
    late = chance.choice((0, 0, 0, 0, 1, 2))
    return InstanceSpec(name=name, config=config, late_failures=late)


def _fault(chance: random.Random, names: tuple[str, ...], *, nodes: int, drbd: bool) -> Fault:
    start = chance.choice((0.0, 0.0, 0.0, chance.uniform(0.0, 60.0)))
    end = round(start + chance.uniform(1.0, 60.0), 2)
    kind = chance.choice((*_PER_RESOURCE, *_PER_NODE, *_CONTROLLER))
    if kind in _PER_RESOURCE:
        if not drbd and kind not in {FaultKind.DEVICE_MISSING, FaultKind.DEVICE_PATH_MISSING}:
            kind = FaultKind.DEVICE_MISSING
        if nodes == 1 and kind in {FaultKind.PEER_PRIMARY, FaultKind.SPLIT_BRAIN}:
            kind = FaultKind.DEVICE_MISSING
        subject = chance.choice((EVERY, *(f"{PREFIX}{name}" for name in names)))
        errno = 61 if kind is FaultKind.DEVICE_CANNOT_OPEN else 0
        return Fault(kind=kind, start=start, end=end, subject=subject, errno=errno)
    if nodes > 1 and chance.random() < 0.2:
        return Fault(
            kind=FaultKind.PEER_AWAY,
            start=start,
            end=end,
            subject="n2",
            alive=chance.random() < 0.5,
        )
    if kind in _PER_NODE:
        return Fault(kind=kind, start=start, end=end, subject="n1")
    return Fault(kind=kind, start=start, end=end, restarts=chance.random() < 0.5)


def _happenings(chance: random.Random, instances: tuple[InstanceSpec, ...]) -> list[Happening]:
    found = [
        Happening(
            at=round(chance.uniform(1.0, 120.0), 2),
            deed=chance.choice((Deed.KILL_AGENT, Deed.KILL_AND_FORGET)),
        )
        for _ in range(chance.choice((0, 0, 1, 2, 3)))
    ]
    if chance.random() < 0.3:
        who = instance_id(chance.choice(instances).name)
        deed = chance.choice((Deed.STOP, Deed.STOP, Deed.FORBID))
        found.append(Happening(at=round(chance.uniform(5.0, 120.0), 2), deed=deed, instance=who))
    if chance.random() < 0.2:
        deed = chance.choice((Deed.RESTART_INCUS, Deed.CRASH_INCUS))
        found.append(Happening(at=round(chance.uniform(5.0, 120.0), 2), deed=deed))
    return found
