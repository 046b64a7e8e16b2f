# SPDX-License-Identifier: Apache-2.0
"""What the agent serves over HTTP while it brings a simulated node back: figures, health, the status page."""

import asyncio
import contextlib
import json
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests import embedded_nodes as nodes
from tests.embedded_nodes import CONTAINERS, agent, until, until_moment

from tidegate.sim.embedded import EmbeddedNode
from tidegate.sim.faults import FaultKind

EXACT = 0.05
ALL = {*CONTAINERS, "d1"}
TCP = {"web.listen": "127.0.0.1:0"}
Figures = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@contextlib.asynccontextmanager
async def asking(agent_socket: Path) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of the agent's own socket."""
    connector = aiohttp.UnixConnector(path=str(agent_socket.with_name("web.sock")))
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(
        "http://agent", connector=connector, timeout=timeout
    ) as session:
        yield session


async def port(running: nodes.Agent) -> int:
    async with asyncio.timeout(nodes.WITHIN):
        while (found := re.search(r"status page: 127\.0\.0\.1 port (\d+)", running.log)) is None:  # noqa: ASYNC110  a file
            await asyncio.sleep(nodes.STEP)
    return int(found[1])


def figures(text: str) -> Figures:
    """Every series of an exposition."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def named(found: Figures, name: str, **labels: str) -> float:
    return found[(name, tuple(sorted(labels.items())))]


async def test_a_boot_is_measured_while_it_happens(tmp_path: Path) -> None:
    node = nodes.node(tmp_path, until_moment(FaultKind.NODE_OFFLINE, 2.5))
    async with node.running(), agent(node) as running:
        await until(node, lambda: nodes.running(node) == ALL)
        await running.until(lambda s: "all 4" in s["sentence"])
        async with asking(running.socket) as client:
            async with asyncio.timeout(nodes.WITHIN):
                while True:
                    async with client.get("/metrics") as answer:
                        assert answer.status == 200
                        found = figures(await answer.text())
                    totals = [
                        v
                        for (n, _), v in found.items()
                        if n == "tidegate_boot_to_last_instance_seconds"
                    ]
                    pools = [
                        v
                        for (n, k), v in found.items()
                        if n == "tidegate_pool_mount_attempts_total" and ("outcome", "mounted") in k
                    ]
                    if totals and sum(pools) >= 2:  # both are told when they have lasted
                        break
                    await asyncio.sleep(nodes.STEP)
    # What the simulated boot's own log says, by the wall clock: the node's /proc/stat knows its beginning to the second only.
    world = node.incus.world
    epoch = world.server.epoch - named(found, "tidegate_boot_time_seconds")
    last = max(record.at for record in world.starts)
    assert named(found, "tidegate_boot_to_last_instance_seconds") == pytest.approx(
        epoch + last, abs=EXACT
    )
    starts = log_of_starts(node)
    begun = {"type": "container", "phase": "total"}
    assert named(found, "tidegate_instance_start_seconds_count", **begun) == len(starts) == 3
    assert named(found, "tidegate_instance_start_seconds_sum", **begun) == pytest.approx(
        sum(starts.values()), abs=EXACT
    )
    online = named(found, "tidegate_boot_moment_seconds", moment="satellite-online")
    first = min(record.at for record in world.starts if record.instance.name in CONTAINERS)
    assert epoch + 2.45 <= online <= epoch + first, "seen by a look, and before it was used"
    mounts = {key: v for (name, key), v in found.items() if name.endswith("mount_attempts_total")}
    assert mounts == {
        (("by", "incus"), ("outcome", "mounted"), ("pool", "local")): 1,
        (("by", "incus"), ("outcome", "failed"), ("pool", "remote")): 1,
        (("by", "tidegate"), ("outcome", "mounted"), ("pool", "remote")): 1,
    }
    assert named(found, "tidegate_volume_hold_seconds_count") == 3
    assert (
        named(found, "tidegate_recovery_actions_total", action="start-instance", outcome="done")
        == 3
    )
    assert sum(v for (name, _), v in found.items() if name == "tidegate_grade") == 1


def log_of_starts(node: EmbeddedNode) -> dict[str, float]:
    """How long each start took that somebody listening from the API's opening on could see, by Incus's own log."""
    began: dict[str, float] = {}
    took: dict[str, float] = {}
    for line in node.incus.world.journal:
        name = line.context.get("instance", "")
        if line.msg == "Starting instance":
            began[name] = line.at
        elif line.msg == "Started instance" and name in CONTAINERS:
            took[name] = line.at - began[name]
    return took


async def test_the_endpoints_say_how_it_is(tmp_path: Path) -> None:
    node = nodes.node(tmp_path, until_moment(FaultKind.NODE_OFFLINE, None))
    async with node.running(), agent(node, more=TCP) as running:
        await running.until(lambda s: "satellite.offline" in nodes.codes(s))
        async with asking(running.socket) as client:
            assert (await said(client, "/livez"))[:2] == (200, "alive\n")
            await until_said(client, "/startupz", 200)
            status, text, _ = await said(client, "/readyz")
            assert status == 503
            assert "satellite: OFFLINE" in text
            status, text, headers = await said(client, "/health")
            assert (status, headers["Content-Type"]) == (503, "application/health+json")
            health = json.loads(text)
            assert health["status"] == "fail"
            assert health["checks"]["satellite:ready"][0]["status"] == "fail"
            status, text, _ = await said(client, "/status.json")
            assert (status, json.loads(text)["node"]) == (200, health["serviceId"])
            assert (await said(client, "/nonsense"))[0] == 404
            async with client.post("/metrics") as answer:
                assert answer.status == 405
        assert (running.socket.with_name("web.sock").stat().st_mode & 0o777) == 0o660
        assert await running.end() == 0
        assert not running.socket.with_name("web.sock").exists()


async def test_over_tcp_no_name_of_others_leads_here(tmp_path: Path) -> None:
    """A page from elsewhere can have the reader's browser ask 127.0.0.1 by a name of its own (DNS rebinding)."""
    node = nodes.node(tmp_path)
    more = {**TCP, "web.names": ["node.example"]}
    async with node.running(), agent(node, more=more) as running:
        url = f"http://127.0.0.1:{await port(running)}"
        async with aiohttp.ClientSession(url) as client:
            status, text, headers = await said(client, "/")
            assert status == 200
            assert "default-src 'none'" in text
            assert headers["X-Content-Type-Options"] == "nosniff"
            async with client.get("/", headers={"Host": "evil.example:13371"}) as answer:
                assert answer.status == 421
            for name in ("localhost:13371", "Node.Example", socket.gethostname(), "[::1]:80"):
                async with client.get("/livez", headers={"Host": name}) as answer:
                    assert answer.status == 200, name


async def test_a_port_that_is_taken_is_told_and_done_without(tmp_path: Path) -> None:
    node = nodes.node(tmp_path)
    server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    taken = server.sockets[0].getsockname()[1]
    listen = {"web.listen": f"127.0.0.1:{taken}"}
    async with server, node.running(), agent(node, more=listen) as running:
        await running.until(lambda s: "all 4" in s["sentence"])
        assert f"not served at 127.0.0.1 port {taken}: Address already in use" in running.log
        async with asking(running.socket) as client:
            assert (await said(client, "/livez"))[0] == 200


async def command(node: EmbeddedNode, *words: str) -> tuple[int, str]:
    """Run a command against the node's agent; returns its exit code and what it printed."""
    options = ("--config", str(node.directory / "tidegate.toml"))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tidegate", *words, *options),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    async with asyncio.timeout(nodes.WITHIN):
        text, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, text.decode()


async def test_a_monitoring_system_and_a_person_without_one_are_answered(tmp_path: Path) -> None:
    node = nodes.node(tmp_path, until_moment(FaultKind.NODE_OFFLINE, None))
    async with node.running(), agent(node) as running:
        await running.until(lambda s: "satellite.offline" in nodes.codes(s))
        code, text = await command(node, "check", "satellite")
        assert (code, text.startswith("TIDEGATE CRITICAL - ")) == (2, True), text
        node.world.clear_faults()
        await until(node, lambda: nodes.running(node) == ALL)
        await running.until(lambda s: "all 4" in s["sentence"])
        code, text = await command(node, "check", *(f"instance/default/{name}" for name in ALL))
        assert (code, text.startswith("TIDEGATE OK - ")) == (0, True), text
        assert "4 of 4 wanted instances run | instances_down=0;;;0;4" in text
        assert (await command(node, "check", "--nonsense"))[0] == 3, "2 would be an alarm"
        async with asyncio.timeout(nodes.WITHIN):
            while "last instance runs" not in (shown := (await command(node, "stats"))[1]):
                assert "Traceback" not in shown
        assert "start of an instance" in shown
        file = tmp_path / "tidegate.prom"
        assert await command(node, "stats", "--textfile", str(file)) == (0, "")
        assert named(figures(file.read_text()), "tidegate_agent_up") == 1
        await running.end()
        code, text = await command(node, "stats", "--textfile", str(file))
        assert (code, "no agent answers" in text) == (5, True)
        assert list(figures(file.read_text()).values()) == [0], "old figures would look alive"


async def until_said(client: aiohttp.ClientSession, path: str, status: int) -> None:
    async with asyncio.timeout(nodes.WITHIN):
        while (await said(client, path))[0] != status:  # noqa: ASYNC110  it tells by being asked only
            await asyncio.sleep(nodes.STEP)


async def said(client: aiohttp.ClientSession, path: str) -> tuple[int, str, Any]:
    async with client.get(path) as answer:
        return answer.status, await answer.text(), answer.headers
