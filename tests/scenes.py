# SPDX-License-Identifier: Apache-2.0
"""One scene for each way in which a node can be hurt: the simulator's node, looked at by the agent's own probes, read as `tidegate status` shows it.

LINSTOR and Incus are asked over sockets, DRBD by a program, systemd over a real D-Bus, the journal by a program, the host by its
files. Only a volume's device is opened in the model, for no file can say ENODATA; and a clock of ours makes states last.
"""

import asyncio
import contextlib
import json
import shlex
import socket as stream
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests import embedded_nodes as nodes
from tests.fake_systemd import SERVICE, UNIT, Daemon, FakeSystemd

from tidegate.agent import discovery, needs
from tidegate.agent.views import Views
from tidegate.clients import clock
from tidegate.clients.devices.client import DeviceClient
from tidegate.clients.drbd.client import DrbdClient
from tidegate.clients.incus.client import IncusClient
from tidegate.clients.linstor.client import LinstorClient
from tidegate.clients.linstor.endpoints import Endpoints
from tidegate.clients.systemd.follow import THIN_POOLS, Journal
from tidegate.clients.systemd.manager import Manager
from tidegate.config.model import Config, HostConfig, NodeConfig
from tidegate.config.policy import HealthPolicy
from tidegate.core import ids
from tidegate.core.finding import Report
from tidegate.core.ids import BootId, NodeName
from tidegate.core.snapshot import Observation, Snapshot, Source, apply
from tidegate.core.wanted import WantedMap
from tidegate.health import judge
from tidegate.probes import base
from tidegate.probes.devices import DevicesProbe
from tidegate.probes.drbd import DrbdProbe
from tidegate.probes.host import HostProbe
from tidegate.probes.incus import IncusProbe
from tidegate.probes.journal import JournalProbe, Told
from tidegate.probes.linstor import LinstorProbe
from tidegate.probes.network import NetworkProbe
from tidegate.probes.systemd import SystemdProbe, asker
from tidegate.sim import embedded, looks
from tidegate.sim.faults import INSTANT, Fault, Layout, Scenario, Timings
from tidegate.sim.incus.daemon import Phase
from tidegate.sim.incus.timings import IncusTimings
from tidegate.sim.incus.values import ServerSpec

SATELLITE, INCUS = "linstor-satellite.service", "incus.service"
RELEASE = "6.12.107"
RD = f"{embedded.PREFIX}c1"
VOLUME = f"volume/{RD}/0"
LATE = 1000.0
"""Seconds since boot at which nothing is a part of coming up any more."""
WITHIN = 20.0
_UP = {"ActiveState": ("s", "active"), "SubState": ("s", "running")}

Hurt = Callable[["Stage"], Any]


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """A node that is hurt in one way, and what a user is then told."""

    code: str
    about: str
    seen: str
    """A part of the sentence that says what was observed."""
    remedy: str
    """A part of what to do."""
    faults: tuple[Fault, ...] = ()
    layout: Callable[[Layout], Layout] = lambda found: found
    spec: Callable[[ServerSpec], ServerSpec] = lambda found: found
    storage: Timings = INSTANT
    incus: IncusTimings = nodes.QUICK
    hurt: Hurt = lambda stage: None  # noqa: ARG005
    """Done when the node runs, before anybody looks."""
    then: Hurt = lambda stage: None  # noqa: ARG005
    """Done when everything has been looked at."""
    uptime: float = LATE
    meanwhile: float = 0.0
    """Seconds between two looks, as our clock shows them."""
    lasts: float = 0.0
    """Seconds for which it goes on as it is."""
    wanted: WantedMap | None = None
    policy: HealthPolicy = HealthPolicy()
    units: Mapping[str, Mapping[str, tuple[str, Any]]] | None = None
    """systemd's units where they are not active and well; None: this host has no systemd."""
    journal: tuple[tuple[str, str], ...] = ()
    """Lines of this boot: unit ("" is the kernel), text."""
    network: bool = False
    patch: Callable[[pytest.MonkeyPatch], None] = lambda patch: None  # noqa: ARG005
    """What has to be said of this machine's network, where one machine plays two."""
    urls: Callable[["Stage"], contextlib.AbstractAsyncContextManager[tuple[str, ...]]] | None = None
    """Where LINSTOR is asked, when not at the simulator's face."""
    told: Mapping[str, Any] | None = None
    """What is known of the way to LINSTOR where nothing is configured, as ``discovery.Linstor.learn`` takes it."""
    node_name: str = "n1"
    is_incus_elsewhere: bool = False
    """Incus is looked for where it is not."""
    hangs: bool = False
    """There, somebody takes connections and never answers."""
    runs: bool = False
    """The instance runs before ``then``."""
    is_ready: bool = False
    """Incus is through with its own start before ``then``."""
    open_within: float | None = None
    """The files that stand for devices are opened themselves, within so many seconds; None: in the model."""

    def __str__(self) -> str:
        return f"{self.code} of {self.about}"


class Stage:
    """A scene that is played."""

    def __init__(self, scene: Scene, directory: Path) -> None:
        self.scene = scene
        self.directory = directory
        self.node = _node(scene, directory)
        self.ahead = scene.uptime
        self.wall = 0.0
        """Seconds by which the wall clock was set."""
        self.snapshot = Snapshot(
            at=0.0,
            boot_id=BootId("b"),
            boot_wall=clock.wall() - scene.uptime,
            node=NodeName(scene.node_name),
            wanted=scene.wanted,
        )
        self.report: Report | None = None
        self.sentence = ""
        self.stopped: set[Source] = set()
        """Sources at which nobody looks any more."""
        self.systemd: FakeSystemd | None = None
        self._kept = contextlib.ExitStack()
        self._probes: tuple[base.Probe, ...] = ()
        self._looks = looks.Looks(self.node.world, self.node.incus)

    @property
    def world(self) -> Any:
        """The models below LINSTOR."""
        return self.node.world

    @property
    def root(self) -> Path:
        """The directory that stands for ``/``."""
        return self.node.root

    def now(self) -> float:
        """Seconds since boot."""
        return self.node.now() + self.ahead

    def put(self, path: str, text: str = "") -> None:
        """Write a file of the simulated host."""
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def change(self, touch: Callable[[Any], None], *, on: str = "n1") -> None:
        """Change the resource of DRBD on a node by hand, and have everybody notice."""
        self.now()
        touch(self.world.drbd[on].resources[RD])
        self.world.replication.refresh(RD)

    def placement(self, on: str = "n1") -> Any:
        """LINSTOR's record of the volume on a node."""
        return self.world.store.placement(RD, on)

    def keep(self, what: contextlib.AbstractContextManager[Any]) -> None:
        """Enter ``what`` until the scene is over."""
        self._kept.enter_context(what)

    @contextlib.asynccontextmanager
    async def playing(self) -> AsyncIterator["Stage"]:
        """Set everything up, and have it hurt."""
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self.node.running())
            stack.enter_context(self._kept)
            version = self.root / "sys/module/drbd/version"
            await nodes.until(self.node, lambda: version.exists() or not self.world.module_loaded())
            self.scene.hurt(self)
            self._probes = await self._open(stack)
            yield self

    async def look(self) -> Report:
        """Look at everything once, and judge."""
        need = needs.Needs().of(self.snapshot, self.report, base.Urgency.ATTENDED)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(probe.look(need))
                for probe in self._probes
                if probe.source not in self.stopped
            ]
        for task in tasks:
            self._take(task.result())
        if self.scene.open_within is None and Source.DEVICES not in self.stopped:
            volumes = [ids.VolumeId.parse(key) for key in need.volumes]
            seen = self._looks.devices(self.snapshot, volumes)
            self._take(msgspec.structs.replace(seen, at=self.now()))
        self.snapshot = msgspec.structs.replace(self.snapshot, at=max(self.now(), self.snapshot.at))
        self.report = judge.judge(self.snapshot, self.scene.policy)
        return self.report

    async def knows_where(self) -> None:
        """Look until the placements of the volume are known, or surely will not be."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2.0):
                while RD not in self.snapshot.placements:
                    await self.look()
                    await asyncio.sleep(0.02)

    async def text(self) -> str:
        """What `tidegate status` prints."""
        request = {"op": "status", "width": 1000}
        answers = Views(self, self.now).answer(request)  # type: ignore[arg-type]  # a scene of the loop's
        async with contextlib.aclosing(answers):
            return "".join([str(one.get("text", "")) async for one in answers])

    def _take(self, seen: Observation) -> None:
        self.snapshot = apply(self.snapshot, seen)

    # --- probes ----------------------------------------------------------------------------------

    async def _open(self, stack: contextlib.AsyncExitStack) -> tuple[base.Probe, ...]:
        scene, now = self.scene, self.now
        told = Told(satellite=SATELLITE, incus=INCUS, clock=now)
        manager = await self._manager(stack)
        found: list[base.Probe] = [
            HostProbe(
                root=self.root,
                satellite_port=3366,
                clock=now,
                wall=lambda: clock.wall() + self.wall + self.ahead,
                release=RELEASE,
            ),
            SystemdProbe(manager, units=(INCUS, SATELLITE), clock=now),
            await self._linstor(stack),
            DrbdProbe(self._drbd(), clock=now, wedged=told.wedged),
            JournalProbe(self._journal(), told, clock=now),
            NetworkProbe(clock=now, root=Path("/"), off=not scene.network),
        ]
        if scene.open_within is not None:
            client = DeviceClient(self.root, limit=scene.open_within)
            await stack.enter_async_context(client)
            found.append(DevicesProbe(client, clock=now))
        socket = self.directory / "nowhere" if scene.is_incus_elsewhere else self.node.incus_socket
        if scene.hangs:
            listener = stack.enter_context(stream.socket(stream.AF_UNIX))
            listener.bind(str(socket))
            listener.listen()
        incus = await stack.enter_async_context(IncusClient(socket, deadline=2.0))
        unit = None if manager is None else asker(manager, INCUS, clock=now)
        found.append(IncusProbe(incus, unit=unit, clock=now, deadline=2.0))
        return tuple(found)

    async def _manager(self, stack: contextlib.AsyncExitStack) -> Manager | None:
        if self.scene.units is None:
            return None
        daemon = Daemon(self.directory, f"unix:path={self.directory}/bus")
        await daemon.start()
        stack.push_async_callback(daemon.kill)
        self.systemd = fake = FakeSystemd()
        for name in (INCUS, SATELLITE):
            fake.units[name] = {**UNIT, **SERVICE, **_UP, "NRestarts": ("u", 0)}
        for name, properties in self.scene.units.items():
            fake.units[name].update(properties)
        await fake.serve(daemon.address)
        stack.push_async_callback(fake.close)
        return await stack.enter_async_context(Manager(daemon.address, deadline=10))

    async def _linstor(self, stack: contextlib.AsyncExitStack) -> base.Probe:
        if self.scene.told is not None:
            config = Config(
                host=HostConfig(root=str(self.root)), node=NodeConfig(name=self.scene.node_name)
            )
            found = discovery.Linstor(config, None, self.now)
            stack.push_async_callback(found.aclose)
            found.learn(**self.scene.told)
            return found
        urls: tuple[str, ...] = (self.node.linstor_face.url,)
        if self.scene.urls is not None:
            urls = await stack.enter_async_context(self.scene.urls(self))
        client = LinstorClient(Endpoints(urls=urls), connect_limit=0.5)
        stack.push_async_callback(client.aclose)
        name = NodeName(self.scene.node_name)
        return LinstorProbe(client, node=name, clock=self.now, deadline=1.0)

    def _drbd(self) -> DrbdClient:
        return DrbdClient(
            drbdsetup=str(self.directory / "bin/drbdsetup"),
            module_file=self.root / "sys/module/drbd/version",
            deadline=5.0,
        )

    def _journal(self) -> Journal:
        """A journalctl that has the scene's lines."""
        moment = str(clock.monotonic_usec())
        lines = [
            json.dumps(
                {"MESSAGE": text, "__MONOTONIC_TIMESTAMP": moment}
                | ({"_SYSTEMD_UNIT": unit} if unit else {"_TRANSPORT": "kernel"})
            )
            for unit, text in self.scene.journal
        ]
        program = self.directory / "bin" / "journalctl"
        program.write_text(
            f"#!/bin/sh\nprintf '%s\\n' {shlex.join(lines)}\n" if lines else "#!/bin/sh\n"
        )
        program.chmod(0o755)
        return Journal((SATELLITE, INCUS, THIN_POOLS), journalctl=str(program))


def _node(scene: Scene, directory: Path) -> embedded.EmbeddedNode:
    found = Scenario(
        name=scene.code,
        layout=scene.layout(embedded.layout(("c1",))),
        faults=scene.faults,
        timings=scene.storage,
        seed=1,
    )
    server = embedded.server(("c1",), (), epoch=clock.wall())
    before = server.epoch - 10 * LATE
    (c1,) = server.instances
    server = msgspec.structs.replace(
        server,
        instances=(msgspec.structs.replace(c1, created_at=before, last_used_at=before),),
    )
    directory.mkdir(parents=True, exist_ok=True)
    return embedded.EmbeddedNode(directory, found, scene.spec(server), scene.incus)


async def told(scene: Scene, directory: Path) -> tuple[Report, str]:
    """Play ``scene`` until its finding is made; returns the report and what `tidegate status` prints."""
    stage = Stage(scene, directory)
    subject = ids.Subject.parse(scene.about)

    def is_told() -> bool:
        return stage.report is not None and any(
            one.code == scene.code for one in stage.report.about(subject)
        )

    async with stage.playing():
        for _ in range(3):
            await stage.look()
        if scene.is_ready:
            await nodes.until(stage.node, lambda: stage.node.incus.phase is Phase.READY)
        if scene.runs:
            await nodes.until(stage.node, lambda: nodes.running(stage.node) == {"c1"})
            await stage.look()
        if scene.lasts:
            await stage.knows_where()
        scene.then(stage)
        await stage.look()
        stage.ahead += scene.lasts
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WITHIN):
                while True:
                    await stage.look()
                    if is_told():
                        break
                    stage.ahead += scene.meanwhile
                    await asyncio.sleep(0.02)
        assert stage.report is not None
        return stage.report, await stage.text()
