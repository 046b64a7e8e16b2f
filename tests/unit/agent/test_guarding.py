# SPDX-License-Identifier: Apache-2.0
"""The guard asks over a real socket: quick answers, who may ask, what is remembered of a boot."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests import health_facts as facts
from tests.health_facts import RD, VOL, world

from tidegate.agent import guarding, guardview
from tidegate.agent.guarding import Guarding, GuardSocket
from tidegate.clients import clock
from tidegate.clients.devices.client import DeviceClient
from tidegate.config.policy import HealthPolicy
from tidegate.core.facts import IncusFacts, IncusPhase, OpenResult
from tidegate.core.finding import Report
from tidegate.core.ids import BootId, ResourceName
from tidegate.core.snapshot import Snapshot, Source
from tidegate.guard.asking import SOCKET, Agent
from tidegate.guard.bar import Why
from tidegate.health import judge

DEVICE = f"/dev/drbd{facts.MINOR}"
GONE = facts.device(exists=False, opened=OpenResult.NOT_TRIED, errno="ENOENT", rdev=None)


def booting(**sections: Any) -> Snapshot:
    return world(at=30.0, since=20.0, wanted=facts.kept_map(), silent=(Source.INCUS,), **sections)


class Scene:
    """What is known, set by a test."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._news = asyncio.Event()
        self.show(snapshot)

    def show(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.report = judge.judge(snapshot, HealthPolicy())
        self._news.set()
        self._news = asyncio.Event()

    async def next_report(self) -> Report:
        await self._news.wait()
        return self.report


class Node:
    """An agent's side that answers in ``directory``."""

    def __init__(self, directory: Path, snapshot: Snapshot) -> None:
        self.directory = directory
        self.scene = Scene(snapshot)
        self.woken: list[Source] = []
        self.secret = ""
        for name in ("run", "state", "usr/libexec/incus"):
            (directory / name).mkdir(parents=True, exist_ok=True)
        (directory / "usr/libexec/incus/incusd").touch()

    def made(self, devices: DeviceClient, *, acts: bool = True) -> Guarding:
        settings = guarding.Settings(
            run_dir=self.directory / "run",
            state_dir=self.directory / "state",
            root=self.directory,
            boot_id=BootId("boot"),
            bar_limit=120.0,
            local_truth=False,
            acts=acts,
        )
        return Guarding(
            self.scene,
            settings,
            wake=lambda *sources: self.woken.extend(sources),
            devices=devices,
            boottime=clock.boottime,
        )

    @contextlib.asynccontextmanager
    async def serving(
        self, *, kind: type[GuardSocket] = GuardSocket, acts: bool = True
    ) -> AsyncIterator[tuple[Guarding, Agent]]:
        async with DeviceClient(root=self.directory) as devices:
            side = self.made(devices, acts=acts)
            socket = kind(self.directory / "run" / SOCKET, side, lambda: self.secret)
            ready = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                task = group.create_task(socket.serve(ready))
                await ready.wait()
                yield side, Agent(self.directory / "run", secret="right", within=5.0)
                task.cancel()

    def seen_ready(self) -> None:
        """Incus was ready once, with this program."""
        kept = guardview.Kept(binary=guarding.binary(self.directory))
        (self.directory / "state" / guarding.KEPT).write_bytes(msgspec.json.encode(kept))


async def test_a_mount_is_answered_with_what_is_not_ready(tmp_path: Path) -> None:
    node = Node(tmp_path, booting(devices={str(VOL): GONE}))
    node.seen_ready()
    async with node.serving() as (_, agent):
        said = await agent.mount()
    assert said is not None
    assert said.ruling.changed
    assert DEVICE in said.ruling.text
    assert not said.settling


async def test_better_news_is_waited_for_a_little(tmp_path: Path) -> None:
    node = Node(tmp_path, booting(devices={str(VOL): GONE}))
    node.seen_ready()
    async with node.serving() as (_, agent), asyncio.TaskGroup() as group:
        asking = group.create_task(agent.volumes(RD, {}))
        asyncio.get_running_loop().call_later(0.05, node.scene.show, booting())
        held = await asking
    assert held is not None
    assert held.ready


@pytest.mark.parametrize("acts", [True, False])
async def test_the_bar_is_remembered_by_the_next_agent_of_the_same_boot(
    tmp_path: Path, acts: bool
) -> None:
    node = Node(tmp_path, booting())
    node.seen_ready()
    async with node.serving(acts=acts) as (_, agent):
        first = await agent.mount(checked=True)
    assert first is not None
    assert first.ruling.why is Why.READY
    node.scene.show(booting(devices={str(VOL): GONE}))
    async with node.serving(acts=acts) as (_, agent):
        second = await agent.mount()
    assert second is not None
    assert second.ruling.why is Why.BAR_OVER


async def test_nothing_is_decided_before_the_controllers_lists_were_looked_at(
    tmp_path: Path,
) -> None:
    node = Node(tmp_path, booting())
    node.seen_ready()
    async with node.serving() as (_, agent):
        first = await agent.mount()
        flawed = await agent.mount(checked=True, flaw="incus-volume-c1: an empty list")
        well = await agent.mount(checked=True)
    assert first is not None
    assert first.check == (RD,)
    assert flawed is not None
    assert flawed.ruling.changed
    assert "an empty list" in flawed.ruling.text
    assert well is not None
    assert well.ruling.why is Why.READY


async def test_a_host_never_seen_ready_is_never_turned_away(tmp_path: Path) -> None:
    node = Node(tmp_path, booting(devices={str(VOL): GONE}))
    async with node.serving() as (side, agent):
        said = await agent.mount()
        assert said is not None
        assert said.ruling.why is Why.EXEMPT
        ready = IncusFacts(phase=IncusPhase.READY, version="7.0.2")
        node.scene.show(world(incus=ready))
        side.saw(node.scene.snapshot, node.scene.report, wants_mount=False)
    side.write()
    kept = json.loads((tmp_path / "state" / guarding.KEPT).read_text())
    assert kept["binary"].startswith("/usr/libexec/incus/incusd ")


async def test_recoverys_wish_opens_the_pool_and_runs_out(tmp_path: Path) -> None:
    node = Node(tmp_path, booting(devices={str(VOL): GONE}))
    node.seen_ready()
    async with node.serving() as (side, agent):
        before = (side.leased, await agent.state())
        side.saw(node.scene.snapshot, node.scene.report, wants_mount=True)
        after = (side.leased, await agent.state())
        said = await agent.mount()
    assert said is not None
    assert said.ruling.why is Why.LEASE
    assert [one[0] for one in (before, after)] == [False, True]
    assert [one[1] is not None and one[1].lenient for one in (before, after)] == [True, False]


async def test_another_device_than_the_one_proven_has_all_looked_at_anew(tmp_path: Path) -> None:
    node = Node(tmp_path, booting())
    async with node.serving() as (_, agent):
        held = await agent.volumes(RD, {"0": "/dev/drbd7"})
    assert held is not None
    assert held.paths == {"0": DEVICE}
    assert set(node.woken) == {Source.LINSTOR, Source.DEVICES}


async def test_devices_of_unknown_resources_are_opened(tmp_path: Path) -> None:
    node = Node(tmp_path, booting())
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/drbd5").write_bytes(b"x" * 4096)
    other = ResourceName("image")
    async with node.serving() as (_, agent):
        there = await agent.volumes(other, {"0": "/dev/drbd5"})
        missing = await agent.volumes(other, {"0": "/dev/drbd6"})
        unnamed = await agent.volumes(other, {})
    assert there is not None
    assert there.ready
    assert missing is not None
    assert missing.code == "device.missing"
    assert unnamed is not None
    assert unnamed.ready


class Stranger(GuardSocket):
    """Everybody is a stranger: in the agent's user namespace the guard's user has no number."""

    def may(self, uid: int, request: dict[str, Any]) -> bool:
        assert uid != 65534
        return super().may(65534, request)


@pytest.mark.parametrize(("secret", "answered"), [("right", True), ("wrong", False), ("", False)])
async def test_a_stranger_brings_the_secret(tmp_path: Path, secret: str, answered: bool) -> None:
    node = Node(tmp_path, booting())
    node.secret = secret
    async with node.serving(kind=Stranger) as (_, agent):
        assert (await agent.state() is not None) == answered


async def test_nonsense_is_told_and_the_socket_goes_on(tmp_path: Path) -> None:
    node = Node(tmp_path, booting())
    async with node.serving() as (_, agent):
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "run" / SOCKET))
        writer.write(b'{"type": "dance"}\n')
        assert b"error" in await reader.readline()
        writer.close()
        assert await agent.state() is not None


@pytest.mark.parametrize("trouble", ["nobody", "hung", "garbage"])
async def test_an_agent_that_does_not_answer_is_none_in_time(
    tmp_path: Path, trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    agent = Agent(tmp_path, within=0.05, knock=0.05)

    ended = asyncio.Event()

    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if trouble == "garbage":
            writer.write(b"what?\n")
            await writer.drain()
        else:
            await ended.wait()
        writer.close()
        await writer.wait_closed()

    async with contextlib.AsyncExitStack() as stack:
        if trouble != "nobody":
            server = await asyncio.start_unix_server(talk, path=str(tmp_path / SOCKET))
            await stack.enter_async_context(server)
        stack.callback(ended.set)
        assert await agent.state() is None
        assert await agent.mount() is None
        assert await agent.volumes(RD, {}) is None
        assert await agent.local() is None
    assert len([one for one in caplog.records if "does not answer" in one.message]) == 1
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others)


async def test_an_agent_that_comes_up_beside_the_guard_is_waited_for_once(tmp_path: Path) -> None:
    node = Node(tmp_path, booting())
    agent = Agent(tmp_path / "run", within=5.0, knock=5.0)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(agent.state())
        await asyncio.sleep(0)
        async with node.serving():
            assert await first is not None
    assert await agent.state() is None


@pytest.mark.parametrize("content", ["{", "[]", '{"secret": 5}', '{"secret": "s3"}'])
def test_the_secret_is_read_or_there_is_none(tmp_path: Path, content: str) -> None:
    assert guarding.secret_of(tmp_path) == ""
    (tmp_path / "guard.json").write_text(content)
    assert guarding.secret_of(tmp_path) == ("s3" if "s3" in content else "")


@pytest.mark.parametrize("name", [guarding.MEMORY, guarding.KEPT])
async def test_damaged_files_are_the_same_as_none(tmp_path: Path, name: str) -> None:
    node = Node(tmp_path, booting(devices={str(VOL): GONE}))
    for folder in ("run", "state"):
        (tmp_path / folder / name).write_text("{ damaged")
    async with node.serving() as (_, agent):
        assert await agent.mount() is not None
