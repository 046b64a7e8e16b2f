# SPDX-License-Identifier: Apache-2.0
"""A boot with all that happens during it, as data: the node, the faults, what people do, when our agent is killed."""

import enum

import msgspec

from tidegate.core.ids import InstanceId
from tidegate.sim.faults import (
    INSTANT,
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
from tidegate.sim.incus.values import InstanceSpec, PoolSpec, ServerSpec

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
    PAUSE = "pause"
    """A person wants nothing to be done."""
    RESUME = "resume"


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
    stray: tuple[str, ...] = ()
    """Volumes that LINSTOR has and Incus's database does not know."""
    allows_more: bool = False
    """Configuration allows the levers that are off by default."""
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

    def resources_of(self, who: InstanceId) -> tuple[str, ...]:
        """Return the resources that a start of the instance ``who`` needs: its root's and those of its custom volumes."""
        spec = next(found for found in self.server.instances if found.id == who)
        sources = [device["source"] for device in spec.devices.values() if "source" in device]
        return (f"{PREFIX}{who.name}", *(f"{PREFIX}default_{source}" for source in sources))

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
