# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus scrapes the agent; what it answers to the three questions that people ask is what the boot's own log says."""

import asyncio
import contextlib
import json
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from tests import embedded_nodes as nodes
from tests.contract.test_web import ALL, TCP, log_of_starts, port
from tests.embedded_nodes import CONTAINERS, agent, until, until_moment

from tidegate.sim.faults import FaultKind

pytestmark = pytest.mark.needs("prometheus")
EXACT = 0.05
"""Seconds by which a figure may differ from the boot's own log."""
ONLINE_AT = 2.5
RULES = Path(__file__).resolve().parents[2] / "packaging" / "prometheus" / "tidegate.rules.yml"


def free_port() -> int:
    """A port that was free a moment ago: Prometheus does not tell which one it got."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
        return found


class Prometheus:
    """A running one."""

    def __init__(self, client: aiohttp.ClientSession) -> None:
        self._client = client

    async def ask(self, query: str) -> dict[str, float]:
        """The value of each series that answers ``query``, by its labels as text."""
        async with self._client.get("/api/v1/query", params={"query": query}) as answer:
            told = await answer.json()
        assert told["status"] == "success", told
        return {
            json.dumps(
                {k: v for k, v in one["metric"].items() if k not in {"instance", "job"}}
            ): float(one["value"][1])
            for one in told["data"]["result"]
        }

    async def one(self, query: str) -> float:
        """The one value that answers ``query``, as soon as it is there."""
        async with asyncio.timeout(nodes.WITHIN):
            while len(found := await self.ask(query)) != 1:  # noqa: ASYNC110  it tells by being asked only
                await asyncio.sleep(0.1)
        return next(iter(found.values()))


@contextlib.asynccontextmanager
async def prometheus(directory: Path, target: int) -> AsyncIterator[Prometheus]:
    config = {
        "global": {
            "scrape_interval": "200ms",
            "scrape_timeout": "200ms",
            "evaluation_interval": "500ms",
        },
        "rule_files": [str(RULES)],
        "scrape_configs": [
            {"job_name": "tidegate", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}
        ],
    }
    (directory / "prometheus.yml").write_text(json.dumps(config))
    own = free_port()
    process = await asyncio.create_subprocess_exec(
        "prometheus", f"--config.file={directory / 'prometheus.yml'}", f"--storage.tsdb.path={directory / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{own}", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with aiohttp.ClientSession(
            f"http://127.0.0.1:{own}", timeout=aiohttp.ClientTimeout(total=10)
        ) as client:
            async with asyncio.timeout(nodes.WITHIN):
                while True:
                    with contextlib.suppress(aiohttp.ClientError):
                        async with client.get("/-/ready") as answer:
                            if answer.status == 200:
                                break
                    assert process.returncode is None, "prometheus did not start"
                    await asyncio.sleep(0.1)
            yield Prometheus(client)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_its_answers_are_what_the_boot_itself_says(tmp_path: Path) -> None:
    node = nodes.node(tmp_path / "node", until_moment(FaultKind.NODE_OFFLINE, ONLINE_AT))
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(node.running())
        running = await stack.enter_async_context(agent(node, more=TCP))
        asked = await stack.enter_async_context(prometheus(tmp_path, await port(running)))
        await until(node, lambda: nodes.running(node) == ALL)
        last = await asked.one("tidegate_boot_to_last_instance_seconds")
        online = await asked.one('tidegate_boot_moment_seconds{moment="satellite-online"}')
        devices = await asked.one('tidegate_satellite_start_seconds{phase="devices"}')
        ready = await asked.one('tidegate_boot_moment_seconds{moment="volumes-ready"}')
        began = await asked.one("tidegate_boot_time_seconds")
        mounted = 'sum(tidegate_pool_mount_attempts_total{outcome="mounted"})'
        async with asyncio.timeout(nodes.WITHIN):
            while await asked.one(mounted) < 2:  # noqa: ASYNC110  as above
                await asyncio.sleep(0.1)
        rate = await asked.one(f"{mounted} / sum(tidegate_pool_mount_attempts_total)")
        total = 'tidegate_instance_start_seconds_{}{{type="container", phase="total"}}'
        mean = await asked.one(f"{total.format('sum')} / {total.format('count')}")
        assert await asked.one('up{job="tidegate"}') == 1
    world = node.incus.world
    # The node's /proc/stat knows its beginning to the second only; everything is told since that.
    shift = world.server.epoch - began
    # the start of the satellite
    first = min(record.at for record in world.starts if record.instance.name in CONTAINERS)
    assert shift + ONLINE_AT - EXACT <= online <= shift + first, (
        "seen by looking, however busy the machine is, and before it was of use: the journal is exact"
    )
    assert devices == pytest.approx(ready - online, abs=0.001)
    # success of mounts: Incus's log tells of its own, its API of ours
    said = [line.msg for line in world.journal]
    mounts = said.count("Initialized storage pool") + sum(not v.error for v in world.validations)
    assert rate == pytest.approx(mounts / (mounts + said.count("Failed mounting storage pool")))
    # starts of containers
    starts = log_of_starts(node)
    assert mean == pytest.approx(sum(starts.values()) / len(starts), abs=EXACT)
    assert last == pytest.approx(shift + max(record.at for record in world.starts), abs=EXACT)
