# SPDX-License-Identifier: Apache-2.0
"""What the agent's probes would say of a simulated node: the models' answers through the same parsers and translations.

One call of a look is one look of a probe, at one moment of the virtual clock: no sockets, no waiting. A controller that hangs
is noticed when the call's deadline is over, as by the real probe.
"""

import errno
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

import msgspec

from tidegate.clients.drbd import events2, state
from tidegate.clients.incus import wire as incus_wire
from tidegate.clients.incus.client import PoolAnswer
from tidegate.clients.linstor import wire as linstor_wire
from tidegate.core.drbd import DrbdResource
from tidegate.core.facts import (
    DeviceFacts,
    HostFacts,
    IncusFacts,
    IncusPhase,
    OpenResult,
    UnitFacts,
)
from tidegate.core.ids import NodeName, UnitName, VolumeId
from tidegate.core.snapshot import Liveness, Observation, Snapshot, Source
from tidegate.core.trouble import Trouble
from tidegate.probes import base, translate_drbd, translate_incus, translate_linstor
from tidegate.sim import drbd_text, faults, guarded
from tidegate.sim.incus import views
from tidegate.sim.incus.daemon import Daemon, Phase
from tidegate.sim.incus.model import IncusModel
from tidegate.sim.incus.values import PoolSpec, Refusal
from tidegate.sim.linstor import reads, resource_view, store, view, wiring
from tidegate.sim.linstor.world import LinstorWorld

T = TypeVar("T")

CALL_LIMIT: Final = 5.0
"""Seconds after which a probe gives a call up."""
URL: Final = "http://127.0.0.1:3370"
_KIND = faults.FaultKind
_PHASES: Final = {
    Phase.STARTING: IncusPhase.STARTING,
    Phase.INITIALISING: IncusPhase.STARTING,
    Phase.AUTOSTART: IncusPhase.AUTOSTART,
    Phase.READY: IncusPhase.READY,
    Phase.STOPPING: IncusPhase.STOPPING,
}


class Looks:
    """The probes of one simulated node."""

    def __init__(self, world: LinstorWorld, incus: IncusModel, *, guard: bool = False) -> None:
        self._guard = guard
        self._world = world
        self._incus = incus
        self._node = NodeName(world.local)
        self._memory: dict[str, tuple[object, object]] = {}
        self._hangs_since: float | None = None
        self._incus_hangs_since: float | None = None
        self._moment: tuple[int, list[VolumeId]] | None = None
        self._seen: list[Observation] = []
        self._drbd: dict[str, DrbdResource] = {}
        self._daemon = IncusFacts(phase=IncusPhase.STOPPED)

    def all(self, snapshot: Snapshot, volumes: Iterable[VolumeId]) -> list[Observation]:
        """Look at every source, with the devices of ``volumes``; the order is that of the chain."""
        wanted = sorted(set(volumes))
        moment = (self._world.clock.happened, wanted)
        waits = self._hangs_since is not None or self._incus_hangs_since is not None
        if moment == self._moment and not waits:
            # Nothing has happened since: everything is as it was, and was seen once more. Which devices are looked at
            # depends on what was seen before.
            again = [msgspec.structs.replace(seen, at=self.now) for seen in self._seen]
            return [*again, self.devices(snapshot, wanted)]
        self._moment = moment
        looks = (
            self.host(),
            self.systemd(),
            self.linstor({volume.resource for volume in wanted}),
            self.drbd(),
            self.devices(snapshot, wanted),
            self.incus(),
            guarded.seen(self.now) if self._guard else None,
        )
        found = [seen for seen in looks if seen is not None]
        self._seen = [seen for seen in found if seen.source is not Source.DEVICES]
        return found

    @property
    def now(self) -> float:
        """The moment of the look."""
        return self._world.now

    # --- the ground ------------------------------------------------------------------------------
    def host(self) -> Observation:
        """The kernel's module and the satellite's program."""
        life = self._world.lives[self._world.local]
        facts = HostFacts(
            drbd_module="9.2.16" if self._world.module_loaded() else None,
            satellite_present=True,
            satellite_listens=self._world.connection.listening(life),
        )
        return Observation(source=Source.HOST, at=self.now, host=facts)

    def systemd(self) -> Observation:
        """``incus.service``; the satellite's unit is active from the start (Type=simple)."""
        service = self._incus.units.service
        connection = self._world.connection
        failed = connection.unit_failed(self._world.lives[self._world.local])
        units = {
            "incus.service": UnitFacts(
                name=UnitName("incus.service"),
                load_state="loaded",
                active_state=service.active,
                sub_state=service.sub,
                result=service.result,
                restarts=service.restarts,
                active_since=service.active_since,
            ),
            "linstor-satellite.service": UnitFacts(
                name=UnitName("linstor-satellite.service"),
                load_state="loaded",
                active_state="failed" if failed else "active",
                sub_state="failed" if failed else "running",
                result="signal" if failed else "success",
                active_since=None if failed else 0.0,
            ),
        }
        return Observation(source=Source.SYSTEMD, at=self.now, units=units)

    # --- LINSTOR ---------------------------------------------------------------------------------
    def linstor(self, resources: Iterable[str]) -> Observation | None:
        """The controller; None while a call to it hangs and is not given up yet."""
        trouble = self._controller_trouble()
        if trouble is _PENDING:
            return None
        if trouble is not None:
            return base.silent(Source.LINSTOR, self.now, Liveness.LOST, trouble)
        world = self._world
        names = sorted(world.store.data.nodes)
        nodes = self._kept("nodes", [view.node(world, name) for name in names], _nodes)
        pools = [view.pool(world, pool) for pool in world.store.data.pools]
        pools.append({**_DISKLESS, "node_name": world.local})
        definitions = [view.definition(world, d) for d in world.store.data.definitions.values()]
        placements = {
            name: self._kept(f"placements {name}", self._placements(name), _placements)
            for name in resources
        }
        return Observation(
            source=Source.LINSTOR,
            at=self.now,
            controller=translate_linstor.controller(_VERSION, url=URL, latency=0.01),
            nodes=nodes,
            storage_pools=self._kept("pools", pools, lambda told: _pools(told, self._node)),
            definitions=self._kept("definitions", definitions, _definitions),
            placements=placements,
        )

    def _controller_trouble(self) -> Trouble | None:
        world = self._world
        hangs = any(
            world.fault(kind) is not None
            for kind in (_KIND.CONTROLLER_HANGS, _KIND.CONTROLLER_BLACK_HOLE)
        )
        slow = world.fault(_KIND.CONTROLLER_SLOW)
        if hangs or (slow is not None and slow.delay >= CALL_LIMIT):
            if self._hangs_since is None:
                self._hangs_since = self.now
            if self.now - self._hangs_since < CALL_LIMIT:
                return _PENDING
            return Trouble(code="controller.timeout", text="the controller does not answer")
        self._hangs_since = None
        if world.fault(_KIND.CONTROLLER_REFUSES) is not None:
            return Trouble(code="controller.refused", text="the controller refuses connections")
        if world.fault(_KIND.CONTROLLER_500) is not None:
            return Trouble(code="controller.error", text="the controller answers 500")
        return None

    def _placements(self, name: str) -> list[dict[str, Any]]:
        placed = self._world.store.placements(definition=name)
        return [resource_view.resource(self._world, placement) for placement in placed]

    # --- DRBD and devices ------------------------------------------------------------------------
    def drbd(self) -> Observation:
        """The kernel's resources, from what drbdsetup would print."""
        world = self._world
        resources = world.drbd[world.local].resources if world.module_loaded() else {}
        lines = drbd_text.events2_now(resources.values())
        told: state.State = self._kept("drbd", lines, _drbd)
        quorum = {
            name: "majority" if wiring.quorum_rule(world, name) else "off" for name in resources
        }
        found = translate_drbd.resources(
            told.resources.values(), now=self.now, before=self._drbd, quorum=quorum
        )
        self._drbd = found
        return Observation(source=Source.DRBD, at=self.now, drbd=found)

    def devices(self, snapshot: Snapshot, volumes: Iterable[VolumeId]) -> Observation:
        """The device files that LINSTOR or DRBD name, opened for reading."""
        found = {}
        for volume in volumes:
            path = base.device_path(snapshot, volume)
            if path is not None:
                found[str(volume)] = self._device(path)
        return Observation(source=Source.DEVICES, at=self.now, devices=found)

    def _device(self, path: str) -> DeviceFacts:
        file = self._world.trees[self._world.local].find(path)
        if file is None:
            return DeviceFacts(path=path, exists=False, errno="ENOENT")
        number = self._world.open(path)
        return DeviceFacts(
            path=path,
            exists=True,
            is_device=True,
            rdev=(file.major, file.minor),
            opened=OpenResult.FAILED if number else OpenResult.OPENED,
            errno=errno.errorcode[number] if number else None,
            content=None if number else file.signature or "zero",
            size=file.size_kib * 1024,
        )

    # --- Incus -----------------------------------------------------------------------------------
    def incus(self) -> Observation | None:
        """The daemon, never asked while systemd says that it does not run; None while a call to it hangs and is not given up yet."""
        daemon, service = self._incus.daemon, self._incus.units.service
        if daemon is None:
            waiting = {"activating": IncusPhase.STARTING, "deactivating": IncusPhase.STOPPING}
            return self._only(waiting.get(service.active, IncusPhase.STOPPED))
        phase = IncusPhase.STOPPING if service.active == "deactivating" else _PHASES[daemon.phase]
        if phase in {IncusPhase.STARTING, IncusPhase.STOPPING}:
            return self._only(phase)
        if not self._incus.hangs:
            self._incus_hangs_since = None
        elif self._incus_hangs_since is None:
            self._incus_hangs_since = self.now
        if self._incus_hangs_since is not None:
            if self.now - self._incus_hangs_since < CALL_LIMIT:
                return None
            if service.active == "activating":
                return self._only(
                    IncusPhase.STARTING
                )  # as the probe takes it before the first pass is over
            trouble = Trouble(code="incus.timeout", text="incusd does not answer")
            return base.silent(Source.INCUS, self.now, Liveness.LOST, trouble)
        return self._answers(daemon, phase)

    def _only(self, phase: IncusPhase) -> Observation:
        self._daemon = msgspec.structs.replace(self._daemon, phase=phase, pid=None)
        liveness = Liveness.STARTING if phase is IncusPhase.STARTING else Liveness.UP
        return Observation(source=Source.INCUS, at=self.now, liveness=liveness, incus=self._daemon)

    def _answers(self, daemon: Daemon, phase: IncusPhase) -> Observation:
        world = self._incus.world
        told = self._kept("server", views.server(world, daemon), _server)
        member = world.server.name if world.server.is_clustered else None
        status = world.member_status if member else None
        self._daemon = translate_incus.server(told, phase=phase, member_status=status)
        bodies = [views.instance(world, record) for record in views.instances(world, project=None)]
        rows = [views.warning(world, row) for row in world.warnings]
        projects = self._kept("projects", views.projects(world), _projects)
        return Observation(
            source=Source.INCUS,
            at=self.now,
            incus=self._daemon,
            pools=translate_incus.pools(self._pool(daemon, spec) for spec in world.server.pools),
            instances=self._kept(
                "instances",
                bodies,
                lambda found: translate_incus.instances(
                    msgspec.convert(found, list[incus_wire.Instance]),
                    own_volumes=projects,
                    member=member,
                ),
            ),
            warnings=self._kept("warnings", rows, _warnings),
        )

    def _pool(self, daemon: Daemon, spec: PoolSpec) -> PoolAnswer:
        body = views.pool(self._incus.world, daemon, spec, is_local=True)
        if isinstance(body, Refusal):
            return PoolAnswer(name=spec.name, trouble=Trouble(code="incus.error", text=body.text))
        return PoolAnswer(name=spec.name, pool=msgspec.convert(body, incus_wire.Pool))

    def _kept(self, key: str, told: object, translate: Callable[[Any], T]) -> T:
        """Return ``told`` translated; what was told the last time is not translated again."""
        known = self._memory.get(key)
        if known is None or known[0] != told:
            known = self._memory[key] = (told, translate(told))
        return known[1]  # type: ignore[return-value]  # keyed by what it was translated with


_DISKLESS: Final = {
    "storage_pool_name": store.DISKLESS_POOL,
    "provider_kind": "DISKLESS",
    "free_capacity": 2**63 - 1,
    "total_capacity": 2**63 - 1,
}
"""Every node has it (facts/linstor-observed.md A11)."""
_PENDING = Trouble(code="pending", text="")
_VERSION = msgspec.convert(reads.VERSION, linstor_wire.Version)


def _nodes(told: object) -> Any:
    return translate_linstor.nodes(msgspec.convert(told, list[linstor_wire.Node]))


def _pools(told: object, node: NodeName) -> Any:
    found = msgspec.convert(told, list[linstor_wire.StoragePool])
    return translate_linstor.storage_pools(found, node)


def _definitions(told: object) -> Any:
    found = msgspec.convert(told, list[linstor_wire.ResourceDefinition])
    return translate_linstor.definitions(found)


def _placements(told: object) -> Any:
    return translate_linstor.placements(msgspec.convert(told, list[linstor_wire.Resource]))


def _drbd(lines: list[str]) -> state.State:
    parsed = (events2.parse(line) for line in lines)
    return state.fold(
        state.State(), [event for event in parsed if isinstance(event, events2.Event)]
    )


def _server(told: object) -> incus_wire.Server:
    return msgspec.convert(told, incus_wire.Server)


def _projects(told: object) -> Any:
    return translate_incus.projects(msgspec.convert(told, list[incus_wire.Project]))


def _warnings(told: object) -> Any:
    return translate_incus.warnings(msgspec.convert(told, list[incus_wire.Warning]))
