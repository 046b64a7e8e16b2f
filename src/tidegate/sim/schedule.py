# SPDX-License-Identifier: Apache-2.0
"""A boot with all that happens during it, as data: the node, the faults, what people do, when our agent is killed or power is lost."""

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
from tidegate.sim.incus.values import DEFAULT_PROJECT, InstanceSpec, PoolSpec, ServerSpec

PREFIX = "incus-volume-"
REMOTE = "remote"
"""Incus's pool on LINSTOR, and the name of its resource group."""
EPOCH = 1_795_420_800.0


class Deed(enum.StrEnum):
    """What somebody may do while the node runs."""

    STOP = "stop"
    """A user stops the instance."""
    FORBID = "forbid"
    """A user sets ``boot.autostart=false``."""
    START = "start"
    """A user starts the instance, if it is down."""
    GUEST_OFF = "guest-off"
    """The guest powers itself off, if it runs."""
    MOVE = "move"
    """A user moves the instance to another cluster member, if it is down."""
    REMOVE = "remove"
    """A user deletes the instance, if it is down."""
    EVACUATE = "evacuate"
    RESTORE = "restore"
    RESTART_INCUS = "restart-incus"
    CRASH_INCUS = "crash-incus"
    HANG_INCUS = "hang-incus"
    """Incus's API takes calls and answers none, until :attr:`ANSWER_INCUS`."""
    ANSWER_INCUS = "answer-incus"
    SET_CLOCK = "set-clock"
    """The wall clock is set by :attr:`Happening.seconds`, as NTP does in the first minute."""
    FILL_DISK = "fill-disk"
    """From now on nothing of ours can be written, and what was before is taken away."""
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
    seconds: float = 0.0


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
    local_truth: bool = False
    """Incus asks our guard, which answers on local truth where no controller can be asked (``guard.local_truth``)."""
    torn: tuple[str, ...] = ()
    """Resources whose kept file a power loss has torn; matters to devices-first alone, as what follows."""
    gone: tuple[str, ...] = ()
    """Resources that LINSTOR deleted while this node was off: their files are still here, and something that starts here needed them."""
    devices_killed: float | None = None
    """Seconds after boot at which devices-first is killed; None: never."""
    power_lost_at: float | None = None
    """Power is lost at that second and comes back: a second boot follows, with what is left of faults and happenings."""
    killed_after: tuple[int, ...] = ()
    """Our agent is killed right after it has decided its n-th action, before anything is sent; and once more after it was sent."""
    has_map: bool = True
    """The map of what is wanted was kept; without it a corrupt file was set aside, or there never was one."""

    @property
    def calm_at(self) -> float:
        """The moment after which nothing happens from outside; endless faults left aside."""
        ends = [fault.end for fault in self.faults if fault.end is not None]
        return max([*ends, *(happening.at for happening in self.happenings)], default=0.0)

    @property
    def patience(self) -> float:
        """Seconds after :attr:`calm_at` within which everything must run."""
        # An incusd that dies in its first pass is not started again before waitready gives up (facts/observed.md, s10).
        crashes = any(happening.deed is Deed.CRASH_INCUS for happening in self.happenings)
        empty = any(fault.kind is FaultKind.VOLUMES_EMPTY for fault in self.faults)
        # A lever that counts as pulled when our agent was killed may be pulled again after five minutes.
        kinds = {FaultKind.NODE_STATUS, FaultKind.MODULE_LATE}
        pulled = self.allows_more and any(fault.kind in kinds for fault in self.faults)
        return 900.0 if crashes or empty or pulled else 300.0

    def resources_of(self, who: InstanceId) -> tuple[str, ...]:
        """Return the resources that a start of the instance ``who`` needs: its root's and those of its custom volumes."""
        spec = next(found for found in self.server.instances if found.id == who)
        devices = {**spec.profile_devices, **spec.devices}
        sources = [device["source"] for device in devices.values() if "source" in device]
        return (resource_of(who), *(f"{PREFIX}default_{source}" for source in sources))

    def is_remote(self, pool: str) -> bool:
        """Return True for an Incus pool that lies on LINSTOR."""
        return any(spec.is_remote for spec in self.server.pools if spec.name == pool)

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


def resource_of(who: InstanceId) -> str:
    """Return LINSTOR's name of the instance's own resource; the project default is left out (facts/incus.md L23)."""
    name = who.name if who.project == DEFAULT_PROJECT else f"{who.project}_{who.name}"
    return f"{PREFIX}{name}"


def layout(
    names: tuple[str, ...],
    *,
    nodes: int = 2,
    drbd: bool = True,
    groups: tuple[str, ...] = (REMOTE,),
) -> Layout:
    """Return a cluster of ``nodes`` with one volume for each of ``names``, on this node and on at most one other."""
    here = tuple(f"n{number}" for number in range(1, nodes + 1))
    layers = ("DRBD", "STORAGE") if drbd else ("STORAGE",)
    return Layout(
        nodes=tuple(
            NodeSpec(name=name, address=f"10.99.0.{number + 11}")
            for number, name in enumerate(here)
        ),
        pools=tuple(StoragePoolSpec(name="thin", node=node) for node in here),
        groups=tuple(GroupSpec(name=name, storage_pool="thin") for name in groups),
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
    instances: tuple[InstanceSpec, ...],
    *,
    cpus: int = 2,
    database_dump: bool = True,
    remote: tuple[str, ...] = (REMOTE,),
    foreign: tuple[str, ...] = (),
) -> ServerSpec:
    """Return a standalone Incus with the LINSTOR pools ``remote``, the Ceph pools ``foreign`` and a local pool ``local``."""
    return ServerSpec(
        epoch=EPOCH,
        cpus=cpus,
        has_db_dump=database_dump,
        pools=(
            PoolSpec(name="local", driver="dir"),
            *(
                PoolSpec(
                    name=name,
                    config={"linstor.resource_group.name": name, "linstor.volume.prefix": PREFIX},
                )
                for name in remote
            ),
            *(PoolSpec(name=name, driver="ceph") for name in foreign),
        ),
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
