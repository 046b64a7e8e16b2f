# SPDX-License-Identifier: Apache-2.0
"""From a configuration to the parts that run: clients, probes, actuators, history. Nothing here decides anything."""

import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from pathlib import Path

import msgspec

from tidegate.actuators.instances import InstanceActuator
from tidegate.actuators.perform import Actuators
from tidegate.actuators.pools import PoolActuator
from tidegate.actuators.satellite import SatelliteActuator, journal_of
from tidegate.actuators.units import UnitActuator
from tidegate.agent import discovery, guarding
from tidegate.agent.boot import Boot, this_boot
from tidegate.agent.discovery import Linstor
from tidegate.agent.guardprobe import GuardProbe
from tidegate.agent.keeper import Keeper
from tidegate.agent.loop import Loop
from tidegate.agent.memory import Memory
from tidegate.agent.meter import Meter
from tidegate.agent.muting import Muting
from tidegate.agent.observer import Observer
from tidegate.agent.pace import Pace
from tidegate.agent.recorder import Recorder
from tidegate.agent.starts import StartsListener
from tidegate.agent.tidy import Tidy
from tidegate.clients import clock, pressure
from tidegate.clients.devices import host
from tidegate.clients.devices.client import DeviceClient
from tidegate.clients.drbd.client import DrbdClient
from tidegate.clients.incus import socket as incus_socket
from tidegate.clients.incus import wire
from tidegate.clients.incus.client import IncusClient
from tidegate.clients.systemd.follow import THIN_POOLS, Journal
from tidegate.clients.systemd.manager import Manager, Unit
from tidegate.config.model import Config, Use
from tidegate.core.ids import UnitName
from tidegate.core.snapshot import Liveness, Snapshot, Source, SourceState
from tidegate.core.wanted import WantedMap
from tidegate.history.store import open_history
from tidegate.metrics.tally import Tally
from tidegate.probes.base import Probe
from tidegate.probes.devices import DevicesProbe
from tidegate.probes.drbd import DrbdProbe
from tidegate.probes.hints.base import Listener
from tidegate.probes.hints.devices import DevicesListener
from tidegate.probes.hints.drbd import DrbdListener
from tidegate.probes.hints.incus import IncusListener
from tidegate.probes.hints.journal import JournalListener
from tidegate.probes.hints.linstor import NODES, PROMOTION, LinstorListener
from tidegate.probes.hints.systemd import SystemdListener
from tidegate.probes.host import HostProbe
from tidegate.probes.incus import IncusProbe, Running
from tidegate.probes.journal import JournalProbe, Told
from tidegate.probes.network import NetworkProbe
from tidegate.probes.systemd import BOOTED, SystemdProbe, asker, variables

FLUSH_WITHIN = 3.0
PUT_OFF = 5.0
"""Seconds after which an agent first looks at what only explains: journal, network, guard."""
SPARE_INCUS = 3.0
"""Seconds between two whole readings of an incusd that is starting its instances."""
OBSERVES = "observes only: acts on nothing"
_log = logging.getLogger("tidegate")


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What runs."""

    loop: Loop
    observer: Observer
    meter: Meter | None
    """None where nothing is kept: a command that looks once."""
    boottime: Callable[[], float]


@contextlib.asynccontextmanager
async def open_parts(
    config: Config, *, act: bool, keep: bool, listen: bool = True
) -> AsyncIterator[Parts]:
    """Make everything for ``config``; closes it again at the end.

    Args:
        config: The whole configuration.
        act: False to observe and judge only.
        keep: Write history and the map of what is wanted (the agent); False writes nothing (a command).
        listen: Be woken by what sources tell by themselves; False for who looks once.
    """
    async with contextlib.AsyncExitStack() as stack:
        keeper = Keeper(Path(config.agent.state_dir))
        wanted, trouble = keeper.load()
        if trouble is not None:
            _log.warning("%s", trouble, extra={"TIDEGATE_CODE": trouble.code})
        boot = this_boot(Path(config.host.root))
        clients = _Clients(config, wanted, boot, repeated=keep)
        stack.push_async_callback(clients.close)
        if wanted is not None and wanted.volumes:
            clients.devices.prepare()
        observer = _observer(
            config, clients, wanted, boot, listen=listen, put_off=PUT_OFF if keep else 0.0
        )
        clients.linstor.unnamed = lambda: discovery.unnamed(observer.snapshot)
        recorder, meter = _kept(config, observer.snapshot) if keep else (None, None)
        if recorder is not None and meter is not None:
            stack.push_async_callback(recorder.finish, FLUSH_WITHIN)
            clients.starts.told = meter.told
        loop = Loop(
            observer=observer,
            policy=config.recovery,
            actuator=clients.actuators(lambda: observer.snapshot) if act else None,
            recorder=recorder,
            keeper=keeper if keep else None,
            memory=Memory(Path(config.agent.run_dir)) if keep and act else None,
            meter=meter,
            muting=Muting(Path(config.agent.state_dir), clock.wall, may_write=keep),
            tidy=Tidy(boot.seconds) if keep else None,
            idle=OBSERVES if keep else "",
            boottime=boot.seconds,
            wall=clock.wall,
        )
        yield Parts(loop=loop, observer=observer, meter=meter, boottime=boot.seconds)


class _Clients:
    """The clients of this host, made once and shared by probes and actuators."""

    def __init__(
        self, config: Config, wanted: WantedMap | None, boot: Boot, *, repeated: bool
    ) -> None:
        self._repeated = repeated
        self._config = config
        self._boottime = boottime = boot.seconds
        self.linstor = Linstor(config, wanted, boottime)
        path = Path(config.incus.socket) if config.incus.socket else incus_socket.find(os.environ)
        self.manager = _manager(config)
        self.drbd = _drbd(config)
        running = (
            Running(asker(self.manager, config.systemd.incus_unit, clock=boottime), boottime)
            if self.manager is not None
            else None
        )
        self.ask_incus_unit = running.unit if running is not None else None
        self.incus = IncusClient(path, deadline=config.incus.deadline, before=running)
        self.starts = StartsListener(self.incus, unit=self.ask_incus_unit, began=boot.began)
        units = config.systemd
        self.told = Told(satellite=units.satellite_unit, incus=units.incus_unit, clock=boottime)
        self.journal = (
            None
            if self.manager is None
            else Journal((units.satellite_unit, units.incus_unit, THIN_POOLS))
        )
        self.devices = DeviceClient(root=Path(config.devices.root), limit=config.devices.deadline)

    def probes(self) -> tuple[Probe, ...]:
        """Return one probe per source."""
        config, now = self._config, self._boottime
        units = config.systemd
        names = (
            units.incus_unit,
            units.incus_socket_unit,
            units.incus_startup_unit,
            units.satellite_unit,
            units.controller_unit,
        )
        incus = IncusProbe(
            self.incus,
            unit=self.ask_incus_unit,
            clock=now,
            deadline=config.incus.deadline,
            spare=SPARE_INCUS if self._repeated else 0.0,
            on_server=self._learn_from_incus,
        )
        return (
            HostProbe(
                root=Path(config.host.root),
                satellite_port=config.host.satellite_port,
                satellite_unit=units.satellite_unit,
                clock=now,
            ),
            SystemdProbe(self.manager, units=names, clock=now, on_units=self._learn_from_systemd),
            self.linstor,
            DrbdProbe(self.drbd, clock=now, wedged=self.told.wedged),
            DevicesProbe(self.devices, clock=now),
            GuardProbe(Path(config.agent.state_dir), clock=now, root=Path(config.host.root)),
            incus,
            NetworkProbe(clock=now, off=config.host.root != "/"),
            JournalProbe(self.journal, self.told, clock=now),
        )

    def listeners(self, paths: Callable[[], Collection[str]]) -> tuple[Listener, ...]:
        """Return what tells by itself that something happened; ``paths`` are the devices looked at at the moment."""
        linstor, units = self.linstor, self._config.systemd
        found: list[Listener] = [
            DevicesListener(self._config.devices.root, paths),
            *(
                LinstorListener(path, client=lambda: linstor.client, node=lambda: linstor.node)
                for path in (PROMOTION, NODES)
            ),
        ]
        if self.drbd is not None:
            found.append(DrbdListener(self.drbd, wedged=self.told.wedged))
        if self.journal is not None:
            found.append(JournalListener(self.journal, self.told))
        if self._config.incus.use is not Use.OFF:
            found.append(IncusListener(self.incus, unit=self.ask_incus_unit))
            if self._repeated:
                found.append(self.starts)
        if self.manager is not None:
            incus, satellite = {Source.INCUS}, {Source.HOST, Source.LINSTOR}
            runs = {
                units.incus_unit: incus,
                units.incus_socket_unit: incus,
                units.incus_startup_unit: incus,
                units.satellite_unit: satellite,
                units.controller_unit: {Source.LINSTOR},
            }
            found.append(
                SystemdListener(self.manager, {unit: frozenset(on) for unit, on in runs.items()})
            )
        return tuple(found)

    def actuators(self, snapshot: Callable[[], Snapshot]) -> Actuators:
        """Return what can act on this host; ``snapshot`` gives what is known now."""
        kept = Path(self._config.agent.state_dir)
        return Actuators(
            pools=PoolActuator(
                self.incus,
                lambda: self.linstor.client,
                lambda: self.linstor.node,
                lambda: guarding.kept_definitions(kept, snapshot()),
            ),
            instances=InstanceActuator(self.incus),
            units=UnitActuator(
                self.manager,
                incus=self.incus,
                linstor=lambda: self.linstor.client,
                node=lambda: self.linstor.node,
            ),
            satellite=SatelliteActuator(
                lambda: self.linstor.client,
                listens=lambda: host.port_listening(
                    self._config.host.satellite_port, Path(self._config.host.root)
                ),
                log=journal_of(UnitName(self._config.systemd.satellite_unit)),
                manager=self.manager,
            ),
            boottime=self._boottime,
        )

    async def close(self) -> None:
        """Close all connections and end all helpers: each of them, also when we are cancelled in the midst of it."""
        async with contextlib.AsyncExitStack() as stack:
            if self.manager is not None:
                stack.push_async_callback(self.manager.close)
            stack.push_async_callback(self.devices.close)
            stack.push_async_callback(self.linstor.aclose)
            stack.push_async_callback(self.incus.close)

    def _learn_from_systemd(self, units: Mapping[str, Unit]) -> None:
        names = self._config.systemd
        incus, controller = units.get(names.incus_unit), units.get(names.controller_unit)
        self.linstor.learn(
            incus_environment=variables(incus) if incus is not None else None,
            controller_unit=controller is not None and controller.load_state == "loaded",
        )

    def _learn_from_incus(self, server: wire.Server) -> None:
        environment = server.environment
        self.linstor.learn(
            incus_config=server.config or {},
            incus_member=environment.server_name if environment.server_clustered else None,
            incus_has_linstor="linstor" in environment.storage,
        )


def _observer(
    config: Config,
    clients: _Clients,
    wanted: WantedMap | None,
    boot: Boot,
    *,
    listen: bool,
    put_off: float,
) -> Observer:
    snapshot = Snapshot(
        at=boot.seconds(),
        boot_id=boot.id,
        boot_wall=boot.began(),
        node=clients.linstor.node,
        sources={
            source: SourceState(liveness=Liveness.OFF)
            for source in Source
            if not _is_used(config, source)
        },
        wanted=wanted,
    )

    def paths() -> set[str]:
        return {fact.value.path for fact in observer.snapshot.devices.values()}

    observer = Observer(
        probes=[probe for probe in clients.probes() if _is_used(config, probe.source)],
        snapshot=snapshot,
        policy=config.health,
        intervals=Pace(fast=config.agent.poll_fast, rest=config.agent.poll_rest),
        node=lambda: clients.linstor.node,
        boot=boot,
        listeners=clients.listeners(paths) if listen else (),
        put_off=put_off,
    )
    return observer


def _is_used(config: Config, source: Source) -> bool:
    return not (source is Source.INCUS and config.incus.use is Use.OFF)


def _manager(config: Config) -> Manager | None:
    if config.systemd.use is Use.OFF or not BOOTED.exists():
        return None
    return Manager(deadline=config.systemd.deadline)


def _drbd(config: Config) -> DrbdClient | None:
    if config.drbd.use is Use.OFF:
        return None
    module = Path(config.host.root) / "sys/module/drbd/version"
    return DrbdClient(
        drbdsetup=config.drbd.drbdsetup, module_file=module, deadline=config.drbd.deadline
    )


def _kept(config: Config, snapshot: Snapshot) -> tuple[Recorder, Meter]:
    """Return what writes history, and what counts on from where an agent before us in this boot ended."""
    with contextlib.suppress(OSError):  # told below, by whoever cannot write there
        Path(config.agent.state_dir).mkdir(mode=0o755, parents=True, exist_ok=True)
    history, troubles = open_history(Path(config.agent.state_dir) / "history.db", snapshot.boot_id)
    for trouble in troubles:
        _log.warning("%s", trouble, extra={"TIDEGATE_CODE": trouble.code})
    history.begin_boot(snapshot.node, snapshot.boot_wall)
    recorder = Recorder(history)
    known = {name: value for name, subject, value in history.measures() if not subject}
    unit = config.systemd.satellite_unit
    return recorder, Meter(
        Tally(satellite_unit=unit, born=snapshot.at, known=known),
        recorder.measured,
        lambda: pressure.waited(Path(config.host.root)),
    )
