# SPDX-License-Identifier: Apache-2.0
"""``python -m benchmarks.wake_latency [--lab]``: from a fact to the end of the ``tidegate wait`` that waited for it.

Without ``--lab`` on a simulated node with real sockets and an agent as a process; with it in a machine of the boot lab (real systemd,
real Incus, needs root). The agent polls as it is shipped; what is faster than that was told by the source. Exit code 1 when the median of
a fact exceeds the target.
"""

import argparse
import asyncio
import contextlib
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

from tests import embedded_nodes as nodes

from tidegate.sim import drbd
from tidegate.sim.embedded import EmbeddedNode
from tidegate.sim.incus.values import instance_id

ROUNDS = 25
TARGET = 50.0
"""Milliseconds, of the median: ``make bench`` promises it of what an event tells."""
POLLED = 300.0
"""Milliseconds for what no event tells: LINSTOR's word on a node, asked for every 250 ms while something waits."""
LET_GO = {0, 4}
_SCRIPT = Path(sys.executable).with_name("tidegate")
_WITHIN = 30.0

Row = tuple[str, list[float]]


class Bench:
    """A node, an agent that acts on nothing, and a stopwatch."""

    def __init__(self, node: EmbeddedNode, chance: random.Random) -> None:
        self._node = node
        self._chance = chance
        self._env = os.environ | {"TIDEGATE_AGENT_RUN_DIR": str(node.directory / "run")}

    async def until(self, condition: Callable[[], bool]) -> float:
        """Let the node live until ``condition`` holds; returns the moment."""
        async with asyncio.timeout(_WITHIN):
            while not (self._node.now() >= 0 and condition()):  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        return time.monotonic()

    async def wait_for(
        self, subject: str, happens: Callable[[], object], is_there: Callable[[], bool]
    ) -> float:
        """Wait for ``subject``, have it happen at a random moment, and return the milliseconds from then to the end of the command."""
        waiting = await asyncio.create_subprocess_exec(
            *(str(_SCRIPT), "wait", subject, "--timeout", "30"),
            env=self._env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert waiting.stderr is not None
        line = await waiting.stderr.readline()
        assert line, f"{subject} did not have to be waited for"
        await asyncio.sleep(0.3 + self._chance.random())
        ended = asyncio.ensure_future(self._ended(waiting))
        happens()
        began = await self.until(is_there)
        async with asyncio.timeout(_WITHIN):
            return (await ended - began) * 1000

    async def _ended(self, process: asyncio.subprocess.Process) -> float:
        assert process.stderr is not None
        text, code = await process.stderr.read(), await process.wait()
        moment = time.monotonic()
        assert code in LET_GO, text.decode()
        return moment

    async def not_ready(self, subject: str) -> None:
        """Return when the agent says that ``subject`` is not ready."""
        async with asyncio.timeout(_WITHIN):
            while True:
                looked = await asyncio.create_subprocess_exec(
                    *(str(_SCRIPT), "wait", subject, "--timeout", "0", "--quiet"),
                    env=self._env,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
                if await looked.wait() not in LET_GO:
                    return
                await asyncio.sleep(0.05)


async def device_appears(bench: Bench, node: EmbeddedNode) -> float:
    """The device node of a volume."""
    tree = node.world.trees[node.world.local]
    file = tree.of("incus-volume-c1", 0)
    assert file is not None
    path = node.root / file.path.lstrip("/")
    tree.vanish(file.path)
    await bench.until(lambda: not path.exists())
    await bench.not_ready("volume/incus-volume-c1/0")
    return await bench.wait_for("volume/incus-volume-c1/0", lambda: tree.appear(file), path.exists)


async def drbd_connects(bench: Bench, node: EmbeddedNode) -> float:
    """The connection of a volume to its peer."""
    resource = node.world.drbd[node.world.local].resources["incus-volume-c2"]
    connection = next(iter(resource.connections.values()))
    stream = node.directory / "bin" / "events2.stream"
    subject = "volume/incus-volume-c2/0"

    def go(link: drbd.Link) -> None:
        connection.link = link

    # In use here it would be good without its peer.
    if "c2" in nodes.running(node):
        nodes.stop(node, "c2")
        await bench.until(lambda: "c2" not in nodes.running(node))
        resource.role = drbd.Role.SECONDARY
    go(drbd.Link.CONNECTING)
    await bench.not_ready(subject)
    size = stream.stat().st_size
    return await bench.wait_for(
        subject, lambda: go(drbd.Link.CONNECTED), lambda: stream.stat().st_size > size
    )


async def instance_starts(bench: Bench, node: EmbeddedNode) -> float:
    """An instance that somebody starts by hand."""
    nodes.stop(node, "d1")
    await bench.until(lambda: "d1" not in nodes.running(node))
    await bench.not_ready("instance/default/d1")
    return await bench.wait_for(
        "instance/default/d1",
        lambda: node.incus.change_state(instance_id("d1"), "start"),
        lambda: "d1" in nodes.running(node),
    )


@contextlib.asynccontextmanager
async def simulated() -> AsyncIterator[EmbeddedNode]:
    """A node on which all is well, and an agent that observes."""
    with tempfile.TemporaryDirectory(prefix="tidegate-wake-") as name:
        node = nodes.node(Path(name))
        async with (
            node.running(),
            nodes.agent(node, "--observe", more={"agent.poll_fast": 0.25}) as agent,
        ):
            await agent.until(lambda status: status["grade"] == "ok")
            yield node


async def on_simulated_node(rounds: int, seed: int) -> list[Row]:
    """Measure everything on a simulated node."""
    chance = random.Random(seed)
    rows = []
    async with simulated() as node:
        bench = Bench(node, chance)
        for name, measure in (
            ("a device node appears", device_appears),
            ("DRBD connects to its peer", drbd_connects),
            ("an Incus instance runs", instance_starts),
        ):
            rows.append((name, [await measure(bench, node) for _ in range(rounds)]))
    return rows


def table(rows: Iterable[Row]) -> int:
    """Print the rows; returns the exit code."""
    missed = 0
    print(f"  {'from … to the end of `tidegate wait`, ms':<44}{'best':>8}{'median':>8}{'worst':>8}")
    for name, delays in rows:
        median = statistics.median(delays)
        target = POLLED if "polled" in name else TARGET
        missed += median > target
        verdict = "MISSED" if median > target else "ok"
        print(f"  {name:<44}{min(delays):>8.1f}{median:>8.1f}{max(delays):>8.1f}  {verdict}")
    return int(missed > 0)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wake_latency", description=__doc__)
    parser.add_argument("--lab", action="store_true", help="in a machine of the boot lab (root)")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(
        f"median of {options.rounds} each, target {TARGET:.0f} ms, {POLLED:.0f} where it is polled; seed {options.seed}"
    )
    if options.lab:
        from benchmarks import wake_lab

        return table(wake_lab.rows(options.rounds, options.seed))
    return table(asyncio.run(on_simulated_node(options.rounds, options.seed)))


if __name__ == "__main__":
    sys.exit(main())
