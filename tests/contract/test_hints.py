# SPDX-License-Identifier: Apache-2.0
"""What sources tell by themselves has them looked at at once, and nothing that they tell can flood, hang or hold up the agent."""

import asyncio
import contextlib
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Self

import jeepney
import pytest
from aiohttp import web
from tests import embedded_nodes as nodes
from tests.fake_systemd import Daemon, FakeSystemd
from tests.unit.clients import faults
from tests.unit.clients.controllers import client_of
from tests.unit.clients.incus.conftest import FakeIncus, fake, incus
from tests.unit.clients.systemd.conftest import daemon, manage, systemd

from tidegate.agent import pace, setup, wiring
from tidegate.agent.boot import this_boot
from tidegate.agent.observer import Observer
from tidegate.clients import clock
from tidegate.clients.drbd.client import DrbdClient
from tidegate.clients.incus.client import IncusClient
from tidegate.clients.systemd import manager
from tidegate.clients.systemd.manager import Manager
from tidegate.config.model import Config
from tidegate.config.policy import HealthPolicy
from tidegate.core.facts import HostFacts, IncusFacts, IncusPhase, OpenResult
from tidegate.core.finding import Grade
from tidegate.core.ids import BootId, NodeName
from tidegate.core.snapshot import Observation, Snapshot, Source
from tidegate.probes.base import Need
from tidegate.probes.hints.base import Listener
from tidegate.probes.hints.devices import DevicesListener
from tidegate.probes.hints.drbd import DrbdListener
from tidegate.probes.hints.incus import IncusListener
from tidegate.probes.hints.linstor import PROMOTION, LinstorListener
from tidegate.probes.hints.systemd import SystemdListener
from tidegate.sim import drbd as sim_drbd
from tidegate.sim.embedded import EmbeddedNode
from tidegate.sim.incus.values import instance_id

__all__ = ["daemon", "fake", "incus", "manage", "systemd"]

SOON = 0.1
"""Seconds from a fact to the end of the look that shows it."""
NEVER = 3600.0
EVENTS = "/1.0/events?type=lifecycle,operation&all-projects=true"


async def until(condition: Callable[[], bool], within: float = nodes.WITHIN) -> None:
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110  what is waited for is seen by looking only
            await asyncio.sleep(0.002)


# --- the whole agent's senses on a node, which polls next to never --------------------------------


@contextlib.asynccontextmanager
async def senses(directory: Path) -> AsyncIterator[tuple[EmbeddedNode, Observer]]:
    """A healthy node and an observer that from now on sees only what it is told to look at."""
    node = nodes.node(directory)
    async with node.running():
        path = nodes.config_file(node)
        config = await asyncio.to_thread(setup.load, overrides={}, config=str(path), env={})
        assert isinstance(config, Config)
        async with wiring.open_parts(config, act=False, keep=False) as parts:
            running = asyncio.ensure_future(parts.loop.run())
            observer = parts.observer
            try:
                await until(
                    lambda: (
                        nodes.running(node) == {*nodes.CONTAINERS, "d1"}
                        and parts.loop.report.grade is Grade.OK
                    )
                )
                observer._intervals = pace.Pace(fast=NEVER, rest=NEVER, slow=NEVER)
                observer.wake()
                await asyncio.sleep(0.3)  # the last looks that were due, and what they have follow
                yield node, observer
            finally:
                running.cancel()
                await asyncio.wait({running})


def delays_are_short(delays: list[float]) -> None:
    """On a machine that others use too a single one may be late: the best tells what the program needs."""
    assert min(delays) < SOON, delays
    assert sorted(delays)[len(delays) // 2] < 5 * SOON, delays


async def test_a_device_that_goes_and_comes_is_seen_at_once(tmp_path: Path) -> None:
    async with senses(tmp_path) as (node, observer):
        tree = node.world.trees[node.world.local]
        delays = []
        for number in range(5):
            name = f"incus-volume-c{number % 3 + 1}"
            file = tree.of(name, 0)
            assert file is not None
            path = node.root / file.path.lstrip("/")

            def seen(key: str = f"{name}/0") -> OpenResult:
                return observer.snapshot.devices[key].value.opened

            tree.vanish(file.path)
            await until(lambda: seen() is OpenResult.NOT_TRIED)
            tree.appear(file)
            await until(path.exists)
            made = clock.boottime()
            await until(lambda: seen() is OpenResult.OPENED)
            delays.append(clock.boottime() - made)
    delays_are_short(delays)


async def test_a_drbd_connection_that_goes_and_comes_is_seen_at_once(tmp_path: Path) -> None:
    async with senses(tmp_path) as (node, observer):
        resource = node.world.drbd[node.world.local].resources["incus-volume-c1"]
        connection = next(iter(resource.connections.values()))
        stream = node.directory / "bin" / "events2.stream"

        def sees(state: str) -> bool:
            assert observer.snapshot.drbd is not None
            return observer.snapshot.drbd.value["incus-volume-c1"].connections[0].state == state

        def longer(size: int) -> bool:
            return stream.stat().st_size > size

        delays = []
        for link in (sim_drbd.Link.CONNECTING, sim_drbd.Link.CONNECTED) * 3:
            size = stream.stat().st_size
            connection.link = link
            await until(partial(longer, size))
            told = clock.boottime()
            await until(partial(sees, link))
            delays.append(clock.boottime() - told)
    delays_are_short(delays)


async def test_an_instance_that_stops_and_starts_is_seen_at_once(tmp_path: Path) -> None:
    async with senses(tmp_path) as (node, observer):
        key = "default/d1"

        def seen() -> str:
            assert observer.snapshot.instances is not None
            return observer.snapshot.instances.value[key].status

        delays = []
        for _ in range(3):
            nodes.stop(node, "d1")
            await until(lambda: node.now() > 0 and "d1" not in nodes.running(node))
            told = clock.boottime()
            await until(lambda: seen() == "Stopped")
            delays.append(clock.boottime() - told)
            node.incus.change_state(instance_id("d1"), "start")
            await until(lambda: node.now() > 0 and "d1" in nodes.running(node))
            told = clock.boottime()
            await until(lambda: seen() == "Running")
            delays.append(clock.boottime() - told)
    delays_are_short(delays)


# --- single listeners, and looks that are counted -------------------------------------------------


class Looks:
    """A probe that counts."""

    def __init__(self, source: Source, counts: Counter[Source]) -> None:
        self.source = source
        self._counts = counts

    async def look(self, need: Need) -> Observation:
        self._counts[self.source] += 1
        seen = Observation(source=self.source, at=clock.boottime())
        if self.source is Source.HOST:
            host = HostFacts(drbd_module="9.2.16", satellite_present=True)
            return Observation(source=self.source, at=seen.at, host=host)
        if self.source is Source.INCUS:
            facts = IncusFacts(phase=IncusPhase.READY)
            return Observation(source=self.source, at=seen.at, incus=facts)
        return seen


class Counted:
    """An observer with these listeners, whose looks cost nothing and are counted; it polls next to never."""

    def __init__(self, *listeners: Listener) -> None:
        self.looks: Counter[Source] = Counter()
        now = clock.boottime()
        self.observer = Observer(
            probes=[Looks(source, self.looks) for source in Source],
            snapshot=Snapshot(at=now, boot_id=BootId("b"), boot_wall=0.0, node=NodeName("n1")),
            policy=HealthPolicy(),
            intervals=pace.Pace(fast=NEVER, rest=NEVER, slow=NEVER),
            node=lambda: NodeName("n1"),
            boot=this_boot(),
            listeners=listeners,
        )
        self._task: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.ensure_future(self.observer.run())
        await self.observer.settle(nodes.WITHIN)
        self.observer.judge()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        assert not self._task.done()
        began = clock.boottime()
        self._task.cancel()
        await asyncio.wait({self._task})
        assert clock.boottime() - began < 1.0, "all listeners end within a second"

    def looked(self, source: Source, before: int) -> bool:
        """A look at ``source`` has ended since there were ``before``."""
        return self.looks[source] > before

    async def quiet(self) -> None:
        """Wait until what began is over: no look for a while."""
        before = Counter[Source]()
        while before != self.looks:
            before = Counter(self.looks)
            await asyncio.sleep(0.15)


def tool(directory: Path, body: str) -> DrbdListener:
    path = directory / "drbdsetup"
    path.write_text(f"#!{sys.executable} -S\n{body}\n")
    path.chmod(0o755)
    return DrbdListener(DrbdClient(drbdsetup=str(path), module_file=None, deadline=2.0))


Flood = Callable[[], Awaitable[None]]
Prepared = tuple[Listener, Flood, Source]
FLOOD_FOR = 2.0
EACH = 0.02
AT_ONCE = 200
"""Events every :data:`EACH` seconds: 10,000 a second."""


async def often(act: Callable[[], object]) -> None:
    """Call ``act`` at its pace for as long as a flood lasts."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    end = due + FLOOD_FOR
    while due < end:
        act()
        due += EACH
        await asyncio.sleep(max(0.0, due - loop.time()))


@contextlib.asynccontextmanager
async def drbd_flood(tmp_path: Path) -> AsyncIterator[Prepared]:
    go = tmp_path / "go"
    os.mkfifo(go)
    pipe = os.open(go, os.O_RDWR)
    listener = tool(
        tmp_path,
        f"""import sys, time
print("exists -", flush=True)
open({str(go)!r}).read(1)
due = time.monotonic()
for turn in range(int({FLOOD_FOR} / {EACH})):
    sys.stdout.write("".join(
        f"change device name:r{{n}} volume:0 minor:{{n}} disk:{{('UpToDate', 'Failed')[turn % 2]}}\\n"
        for n in range({AT_ONCE})))
    sys.stdout.flush()
    due += {EACH}
    time.sleep(max(0, due - time.monotonic()))
time.sleep(1000)""",
    )

    async def flood() -> None:
        os.write(pipe, b"x")
        await asyncio.sleep(FLOOD_FOR)

    try:
        yield listener, flood, Source.DRBD
    finally:
        os.close(pipe)


@contextlib.asynccontextmanager
async def device_flood(tmp_path: Path) -> AsyncIterator[Prepared]:
    device = tmp_path / "dev" / "drbd1000"
    device.parent.mkdir()
    body = f"""import os, time
due = time.monotonic()
for _ in range(int({FLOOD_FOR} / {EACH})):
    for _ in range({AT_ONCE} // 2):
        os.mkdir({str(device)!r}); os.rmdir({str(device)!r})
    due += {EACH}
    time.sleep(max(0, due - time.monotonic()))"""

    async def flood() -> None:
        process = await asyncio.create_subprocess_exec(sys.executable, "-S", "-c", body)
        assert await process.wait() == 0

    yield DevicesListener(str(tmp_path), lambda: {"/dev/drbd1000"}), flood, Source.DEVICES


@contextlib.asynccontextmanager
async def linstor_flood() -> AsyncIterator[Prepared]:
    event = b'event: may-promote-change\ndata: {"resource_name":"r","node_name":"n1"}\n\n'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    writers: list[asyncio.StreamWriter] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        writers.append(writer)
        await reader.read()  # until the listener leaves
        writers.remove(writer)

    async def flood() -> None:
        def send() -> None:
            for writer in writers:
                writer.write(event * AT_ONCE)

        await often(send)

    async with (
        faults.serve(handler) as port,
        client_of(f"http://127.0.0.1:{port}") as client,
    ):
        node = NodeName("n1")
        listener = LinstorListener(PROMOTION, client=lambda: client, node=lambda: node)
        yield listener, flood, Source.LINSTOR


@contextlib.asynccontextmanager
async def incus_flood(fake: FakeIncus, incus: IncusClient) -> AsyncIterator[Prepared]:
    message = json.dumps({"type": "lifecycle", "metadata": {"action": "instance-started"}})
    frame = b"\x81" + bytes([len(message)]) + message.encode()
    assert len(message) < 126
    transports: list[asyncio.Transport] = []

    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        assert isinstance(request.transport, asyncio.Transport)
        transports.append(request.transport)
        await socket.receive()  # until the listener leaves
        transports.remove(request.transport)
        return socket

    async def flood() -> None:
        def send() -> None:
            for transport in transports:
                transport.write(frame * AT_ONCE)

        await often(send)

    fake.on("GET", EVENTS, handle)
    yield IncusListener(incus, unit=None), flood, Source.INCUS


@contextlib.asynccontextmanager
async def systemd_flood(manage: Manager, systemd: FakeSystemd) -> AsyncIterator[Prepared]:
    emitter = jeepney.DBusAddress(manager.PATH, interface=f"{manager.NAME}.Manager")
    body = (4, "/job/4", "incus.service", "done")
    signal = jeepney.new_signal(emitter, "JobRemoved", "uoss", body).serialise(1)
    assert systemd._bus is not None
    transport = systemd._bus._transport
    assert transport is not None

    async def flood() -> None:
        await often(lambda: transport.write(signal * AT_ONCE))

    listener = SystemdListener(manage, {"incus.service": frozenset({Source.INCUS})})
    yield listener, flood, Source.SYSTEMD


@pytest.fixture(params=["drbd", "devices", "linstor", "incus", "systemd"])
async def flooding(
    request: pytest.FixtureRequest, tmp_path: Path, fake: FakeIncus, incus: IncusClient
) -> AsyncIterator[Prepared]:
    match request.param:
        case "drbd":
            made = drbd_flood(tmp_path)
        case "devices":
            made = device_flood(tmp_path)
        case "linstor":
            made = linstor_flood()
        case "incus":
            made = incus_flood(fake, incus)
        case _:
            served = FakeSystemd()
            bus = Daemon(tmp_path, f"unix:path={tmp_path}/bus")
            await bus.start()
            await served.serve(bus.address)
            async with (
                Manager(bus.address, deadline=20) as asked,
                systemd_flood(asked, served) as prepared,
            ):
                yield prepared
            await served.close()
            await bus.kill()
            return
    async with made as prepared:
        yield prepared


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.needs("dbus-daemon", "linux")
async def test_ten_thousand_events_a_second_are_few_looks_and_no_memory(flooding: Prepared) -> None:
    listener, flood, source = flooding
    async with Counted(listener) as world:
        await until(
            lambda: world.looks[source] >= 2
        )  # one at the start, one when the stream is open
        await world.quiet()
        before, held, began = Counter(world.looks), resident(), clock.boottime()
        async with asyncio.timeout(nodes.WITHIN):
            await flood()
        took = clock.boottime() - began
        await world.quiet()
        looks = world.looks - before
        assert looks[source] > 0
        assert max(looks.values()) <= took / pace.GAP + 5
        assert set(looks) <= listener.wakes
        assert resident() - held < 32 * 1024 * 1024


# --- listeners that hang, die and come back -------------------------------------------------------


@pytest.mark.needs("dbus-daemon", "linux")
async def test_listeners_that_hang_delay_nothing_and_end_with_the_agent(
    tmp_path: Path, fake: FakeIncus, incus: IncusClient, manage: Manager, systemd: FakeSystemd
) -> None:
    """Every peer takes the connection and then is silent, even when we leave; news of ``/dev`` come through all the same."""
    connected: set[str] = set()
    over = asyncio.Event()

    async def silent_events(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoclose=False)
        await socket.prepare(request)
        connected.add("incus")
        await over.wait()
        return socket

    async def silent_controller(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.add("linstor")
        await over.wait()

    fake.on("GET", EVENTS, silent_events)
    systemd.hangs = True
    stubborn = tool(
        tmp_path,
        f"""import pathlib, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path({str(tmp_path / "ran")!r}).touch()
time.sleep(1000)""",
    )
    device = tmp_path / "dev" / "drbd1000"
    device.parent.mkdir()
    async with (
        faults.serve(silent_controller) as port,
        client_of(f"http://127.0.0.1:{port}") as client,
    ):
        node = NodeName("n1")
        listeners = (
            LinstorListener(PROMOTION, client=lambda: client, node=lambda: node),
            IncusListener(incus, unit=None),
            SystemdListener(manage, {}),
            stubborn,
            DevicesListener(str(tmp_path), lambda: {"/dev/drbd1000"}),
        )
        try:
            async with Counted(*listeners) as world:
                await until(
                    lambda: connected == {"incus", "linstor"} and (tmp_path / "ran").exists()
                )
                await world.quiet()
                delays = []
                for number in range(6):
                    seen, made = world.looks[Source.DEVICES], clock.boottime()
                    device.unlink() if number % 2 else device.touch()
                    await until(partial(world.looked, Source.DEVICES, seen))
                    delays.append(clock.boottime() - made)
                    await asyncio.sleep(2 * pace.GAP)
        finally:
            over.set()
    delays_are_short(delays)


async def test_a_stream_that_dies_is_begun_again_more_and_more_slowly_and_then_heard(
    tmp_path: Path,
) -> None:
    runs = tmp_path / "runs"
    runs.touch()
    counts = f"open({str(runs)!r}, 'a').write('x')"
    listener = tool(tmp_path, f"{counts}\nprint('exists -')")
    async with Counted(listener) as world:
        await until(lambda: runs.stat().st_size >= 3)
        began, count = clock.boottime(), runs.stat().st_size
        await until(lambda: runs.stat().st_size > count)
        assert clock.boottime() - began > 0.5, "the third wait is about a second"
        tool(
            tmp_path,
            f"""{counts}
import time
print("exists -", flush=True)
time.sleep(0.3)
print("change resource name:r role:Primary", flush=True)
time.sleep(1000)""",
        )
        count = runs.stat().st_size
        await until(lambda: runs.stat().st_size > count)
        await until(lambda: world.looks[Source.DRBD] > 0)
        looks = world.looks[Source.DRBD]
        await until(lambda: world.looks[Source.DRBD] > looks)
        await asyncio.sleep(0.5)
        assert runs.stat().st_size == count + 1, "what goes on is not begun again"
