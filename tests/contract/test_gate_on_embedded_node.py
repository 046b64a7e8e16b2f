# SPDX-License-Identifier: Apache-2.0
"""The real gate, as a process, against a simulated node: with an agent, without, with one that dies; and always it ends."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import msgspec
import pytest
from tests import embedded_nodes as nodes
from tests.embedded_nodes import agent, until_moment

from tidegate.core.ids import InstanceId, InstanceName, NodeName, PoolName, ProjectName, VolumeId
from tidegate.core.wanted import WantedInstance, WantedMap, WantedPool, WantedVolume
from tidegate.sim.embedded import PREFIX, EmbeddedNode
from tidegate.sim.faults import FaultKind

FOREVER = 3600.0


class Gate:
    """A running ``tidegate gate``."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path, told: socket.socket) -> None:
        self.process = process
        self._log = log
        self._told = told

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def told(self) -> list[str]:
        """Everything systemd was told so far."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found += self._told.recv(65536).decode().splitlines()
        return found

    async def ended(self, within: float = nodes.WITHIN) -> int:
        async with asyncio.timeout(within):
            return await self.process.wait()

    async def says(self, text: str) -> None:
        """Wait until ``text`` is in its log."""
        async with asyncio.timeout(nodes.WITHIN):
            while text not in self.log:
                assert self.process.returncode is None, self.log
                await asyncio.sleep(nodes.STEP)


@contextlib.asynccontextmanager
async def gate(
    directory: Path, config: Path, *arguments: str, env: Mapping[str, str] = os.environ
) -> AsyncIterator[Gate]:
    log, address = directory / "gate.log", directory / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told, log.open("wb") as stream:
        told.setblocking(False)
        told.bind(str(address))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tidegate", "gate", "--config", str(config), *arguments),
            stdout=stream,
            stderr=stream,
            env={**env, "NOTIFY_SOCKET": str(address)},
        )
        try:
            yield Gate(process, log, told)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


def keep_map(node: EmbeddedNode, containers: tuple[str, ...] = nodes.CONTAINERS) -> None:
    """The map that an agent would have kept from the last good moment."""
    pool = PoolName("remote")
    volumes = {name: VolumeId.parse(f"{PREFIX}{name}/0") for name in containers}
    kept = WantedMap(
        node=NodeName(node.world.local),
        pools=(WantedPool(name=pool, resource_group="remote", volume_prefix=PREFIX),),
        volumes=tuple(WantedVolume(id=volume, pool=pool) for volume in volumes.values()),
        instances=tuple(
            WantedInstance(
                id=InstanceId(ProjectName("default"), InstanceName(name)),
                volumes=(volume,),
                pools=(pool,),
            )
            for name, volume in volumes.items()
        ),
    )
    state = node.directory / "state"
    state.mkdir(parents=True, exist_ok=True)
    (state / "wanted.json").write_bytes(msgspec.json.encode(kept))


@contextlib.contextmanager
def nobody_may_connect(path: Path) -> Iterator[None]:
    """Incus's socket as systemd holds it before incusd runs: a connection would start it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(path))
        listening.listen()
        listening.setblocking(False)
        yield
        with pytest.raises(BlockingIOError):
            listening.accept()


async def test_without_an_agent_it_looks_itself_and_ends_when_all_is_ready(tmp_path: Path) -> None:
    node = nodes.node(tmp_path, until_moment(FaultKind.DEVICE_MISSING, FOREVER))
    async with node.running():
        keep_map(node)
        async with gate(tmp_path, nodes.config_file(node)) as running:
            await running.says("holds Incus")
            await running.says(f"volume/{PREFIX}c1/0")
            assert running.process.returncode is None
            node.world.clear_faults()
            assert await running.ended() == 0
    log = running.log
    assert "the gate goes by our own look" in log
    assert "Incus may start after" in log
    assert "satellite and 3 volumes are ready" in log


async def test_it_never_connects_to_incus(tmp_path: Path) -> None:
    """Even where the socket exists and is named in the configuration; with and without a shared configuration file."""
    node = nodes.node(tmp_path / "node", until_moment(FaultKind.NODE_OFFLINE, 2.5))
    async with node.running():
        keep_map(node)
        path = tmp_path / "incus"
        config = nodes.config_file(node, {"incus.socket": str(path), "incus.use": "auto"})
        env = {**os.environ, "INCUS_SOCKET": str(path), "TIDEGATE_INCUS_USE": "auto"}
        with nobody_may_connect(path):
            async with gate(tmp_path, config, env=env) as running:
                assert await running.ended() == 0
    assert "Incus may start" in running.log


async def test_it_goes_by_the_agent(tmp_path: Path) -> None:
    """It counts every volume, also while an instance is just being started: for that moment Incus calls it stopped."""
    slow = nodes.quick(instance_start=0.5)
    node = nodes.node(tmp_path, until_moment(FaultKind.DEVICE_MISSING, FOREVER), timings=slow)
    keep_map(
        node
    )  # as after any boot but the first; Incus itself is read late while it starts instances
    async with node.running(), agent(node) as supervisor:
        await supervisor.until(bool)
        async with gate(tmp_path, nodes.config_file(node)) as running:
            await running.says("holds Incus")
            if "our own look" in running.log:  # the agent answered too late on a loaded machine
                await running.says("the gate goes by the agent")
            assert running.process.returncode is None
            node.world.clear_faults()
            assert await running.ended() == 0
        await supervisor.end()  # history is written off the loop; it is complete at the end
    assert "Incus may start" in running.log
    with contextlib.closing(sqlite3.connect(tmp_path / "state" / "history.db")) as history:
        rows = history.execute("SELECT code, text FROM event WHERE kind = 'verdict'").fetchall()
    told = [("gate.passed", "satellite and 3 volumes are ready")]
    assert rows == told, running.log + supervisor.log


async def test_an_agent_killed_meanwhile_changes_nothing(tmp_path: Path) -> None:
    node = nodes.node(tmp_path, until_moment(FaultKind.NODE_OFFLINE, FOREVER))
    async with node.running():
        keep_map(node)
        async with agent(node) as first:
            await first.until(bool)
            async with gate(tmp_path, nodes.config_file(node)) as running:
                await running.says("holds Incus")
                await first.end(nodes.KILL)
                await running.says("the agent does not answer any more")
                await running.says("the gate goes by our own look")
                assert running.process.returncode is None
                node.world.clear_faults()
                assert await running.ended() == 0
    assert "Incus may start" in running.log


async def test_an_agent_that_hangs_is_left(tmp_path: Path) -> None:
    node = nodes.node(tmp_path, until_moment(FaultKind.NODE_OFFLINE, FOREVER))
    async with node.running():
        keep_map(node)
        async with agent(node) as first:
            await first.until(bool)
            async with gate(tmp_path, nodes.config_file(node)) as running:
                await running.says("holds Incus")
                first.process.send_signal(signal.SIGSTOP)
                await running.says("the gate goes by our own look")
                assert running.process.returncode is None
                node.world.clear_faults()
                assert await running.ended() == 0


async def test_an_agent_that_comes_later_is_followed(tmp_path: Path) -> None:
    node = nodes.node(tmp_path, until_moment(FaultKind.NODE_OFFLINE, FOREVER))
    async with node.running():
        keep_map(node)
        async with gate(tmp_path, nodes.config_file(node)) as running:
            await running.says("the gate goes by our own look")
            async with agent(node):
                await running.says("the gate goes by the agent")
                assert running.process.returncode is None
                node.world.clear_faults()
                assert await running.ended() == 0


def let_go_after(log: str) -> float:
    """Seconds after which the gate gave up; on a loaded machine that is later than its limit."""
    found = re.search(r"Incus is let go after ([0-9.]+) s", log)
    assert found, log
    return float(found[1])


async def test_as_a_unit_it_leaves_word_that_this_boot_had_its_gate(tmp_path: Path) -> None:
    node = nodes.node(tmp_path, until_moment(FaultKind.NODE_OFFLINE, FOREVER))
    async with node.running():
        keep_map(node)
        (tmp_path / "run").mkdir()
        env = {**os.environ, "RUNTIME_DIRECTORY": str(tmp_path / "run")}
        async with gate(tmp_path, nodes.config_file(node), env=env) as running:
            await running.says("holds Incus")
            assert (tmp_path / "run/began").exists()


async def test_at_the_limit_incus_is_let_go(tmp_path: Path) -> None:
    node = nodes.node(tmp_path, until_moment(FaultKind.NODE_OFFLINE, FOREVER))
    async with node.running():
        keep_map(node)
        async with gate(tmp_path, nodes.config_file(node), "--limit", "2s") as running:
            assert await running.ended() == 0
            told = running.told
    assert 2.0 <= let_go_after(running.log) < 60
    assert re.search(r"gave up after \d+ s.*, 0 of 4 ready: \S", running.log)
    assert any(line.startswith("STATUS=waits for") for line in told)
    assert any(line.startswith("EXTEND_TIMEOUT_USEC=") for line in told)
    assert told[-1].startswith("STATUS=Incus is let go")


async def test_the_cap_cuts_the_limit(tmp_path: Path) -> None:
    node = nodes.node(tmp_path, until_moment(FaultKind.NODE_OFFLINE, FOREVER))
    async with node.running():
        keep_map(node)
        arguments = ("--limit", "20min", "--cap", "1s")
        async with gate(tmp_path, nodes.config_file(node), *arguments) as running:
            assert await running.ended() == 0
    assert "the limit of 1200 s is cut to the cap of 1 s" in running.log
    assert 1.0 <= let_go_after(running.log) < 60


async def test_fail_closed_goes_on_until_a_shutdown_begins(tmp_path: Path) -> None:
    node = nodes.node(tmp_path, until_moment(FaultKind.NODE_OFFLINE, FOREVER))
    async with node.running():
        keep_map(node)
        arguments = ("--limit", "500ms", "--policy", "fail-closed")
        async with gate(tmp_path, nodes.config_file(node), *arguments) as running:
            await running.says("holds Incus")
            with pytest.raises(TimeoutError):
                await running.ended(2.0)
            running.process.terminate()
            assert await running.ended(2.0) == 0
    assert "released after" in running.log
    assert "satellite" in running.log.splitlines()[-1]


async def test_a_stop_is_obeyed_at_once_with_an_agent_too(tmp_path: Path) -> None:
    node = nodes.node(tmp_path, until_moment(FaultKind.CONTROLLER_HANGS, FOREVER))
    async with node.running():
        keep_map(node)
        async with agent(node) as supervisor:
            await supervisor.until(bool)
            async with gate(tmp_path, nodes.config_file(node)) as running:
                await running.says("holds Incus")
                running.process.terminate()
                assert await running.ended(2.0) == 0


async def test_without_a_map_only_the_satellite_is_waited_for(tmp_path: Path) -> None:
    faults = (
        until_moment(FaultKind.NODE_OFFLINE, 2.0),
        until_moment(FaultKind.DEVICE_MISSING, FOREVER),
    )
    node = nodes.node(tmp_path, *faults)
    async with (
        node.running(),
        gate(tmp_path, nodes.config_file(node)) as running,
    ):
        assert await running.ended() == 0
        assert node.now() >= 2.0
    assert "satellite is ready" in running.log


async def test_what_is_gone_does_not_hold_the_boot(tmp_path: Path) -> None:
    node = nodes.node(tmp_path)
    async with node.running():
        keep_map(node, (*nodes.CONTAINERS, "deleted-long-ago"))
        async with gate(tmp_path, nodes.config_file(node)) as running:
            assert await running.ended() == 0
    assert "Incus may start" in running.log


async def test_what_only_a_person_can_cure_is_not_waited_for(tmp_path: Path) -> None:
    node = nodes.node(tmp_path)
    async with node.running():
        keep_map(node)
        more = {"node.name": "nobody", "gate.hopeless_after": 1.5}
        async with gate(tmp_path, nodes.config_file(node, more)) as running:
            assert await running.ended() == 0
    assert "Incus is let go" in running.log
    assert "waiting does not help" in running.log
    assert "LINSTOR has no node nobody" in running.log


async def test_a_host_on_which_nobody_names_a_controller_is_not_held(tmp_path: Path) -> None:
    node = nodes.node(tmp_path)
    async with node.running():
        more = {"linstor.controllers": [], "gate.hopeless_after": 1.5}
        async with gate(tmp_path, nodes.config_file(node, more)) as running:
            assert await running.ended() == 0
    assert "no LINSTOR controller is known" in running.log


@pytest.mark.parametrize("text", ["[gate]\nlimit = 'soon'\n", "[gate]\nlimits = 3\n", "[gate\n"])
async def test_a_wrong_configuration_never_holds_the_boot(tmp_path: Path, text: str) -> None:
    config = tmp_path / "tidegate.toml"
    config.write_text(text)
    async with gate(tmp_path, config) as running:
        assert await running.ended() == 0
        told = running.told
    assert "Incus is not held" in running.log
    assert str(config) in running.log
    assert told[-1].startswith("STATUS=Incus is not held")


async def test_a_configuration_that_is_not_there_never_holds_the_boot(tmp_path: Path) -> None:
    async with gate(tmp_path, tmp_path / "none.toml") as running:
        assert await running.ended() == 0
    assert "none.toml" in running.log
