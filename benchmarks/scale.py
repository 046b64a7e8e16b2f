# SPDX-License-Identifier: Apache-2.0
"""``python -m benchmarks.scale``: a controller with 5,000 and with 10,000 resources, 500 of them on this node.

The controller is a process of its own on loopback that answers with recorded JSON multiplied; what is measured is the real probe with its
real client, the snapshot and the judge, in this process: wall time, processor time, memory. Exit code 1 when a target is missed.
"""

import argparse
import asyncio
import contextlib
import json
import resource
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import msgspec
from aiohttp import web
from benchmarks import judging

from tidegate.clients.linstor.client import LinstorClient
from tidegate.clients.linstor.endpoints import Endpoints
from tidegate.config.policy import HealthPolicy
from tidegate.core.ids import NodeName, ResourceName
from tidegate.core.snapshot import Snapshot, apply
from tidegate.health import judge
from tidegate.probes import base, linstor

HERE = 500
ROUNDS = 16
REST = 10.0
"""Seconds between two looks at rest (agent.poll_rest)."""
MOST_GROWTH = 2.2
MOST_AT_REST = 0.5
"""Per cent of one core."""
VERSION = {"version": "1.34.0", "rest_api_version": "1.28.0"}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one size; seconds and MiB."""

    resources: int
    full: float
    """From nothing to a report on all that is wanted here."""
    cpu: float
    """Processor time of a look at rest, on average, without the judgement after it."""
    judged: float
    """Processor time of one judgement."""
    memory: float
    """The process's greatest size so far."""

    @property
    def share(self) -> float:
        """Per cent of one core at rest."""
        return 100 * self.cpu / REST


def face(count: int) -> None:
    """Serve a controller with ``count`` resources; prints its port."""
    view = json.loads(judging.view(count))
    placements: dict[str, list[object]] = {}
    for one in view:
        one.pop("volumes", None)
        placements.setdefault(one["name"], []).append(one)
    bodies: dict[str, Any] = {
        "/v1/controller/version": VERSION,
        "/v1/nodes": [
            {"name": f"n{number}", "connection_status": "ONLINE", "resource_layers": ["DRBD"]}
            for number in range(1, 11)
        ],
        "/v1/view/storage-pools": [
            {
                "storage_pool_name": "lvmthin",
                "node_name": "n1",
                "provider_kind": "LVM_THIN",
                "free_capacity": 900,
                "total_capacity": 1000,
            }
        ],
        "/v1/resource-definitions": [
            {
                "name": name,
                "resource_group_name": "rg1",
                "props": {
                    "Aux/Incus/name": f"incus-volume-c{number}",
                    "Aux/Incus/type": "containers",
                    "Aux/Incus/content-type": "filesystem",
                },
            }
            for number, name in enumerate(placements)
        ],
    }
    bodies |= {
        f"/v1/resource-definitions/{name}/resources": all_ for name, all_ in placements.items()
    }
    ready = {path: json.dumps(body).encode() for path, body in bodies.items()}

    async def handle(request: web.Request) -> web.Response:
        return web.Response(body=ready[request.path], content_type="application/json")

    async def serve() -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", handle)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        sys.stdout.write(f"{runner.addresses[0][1]}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()

    asyncio.run(serve())


@contextlib.contextmanager
def served(count: int) -> Iterator[str]:
    """Run :func:`face` in a process of its own; gives its URL."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.scale", "--face", str(count)],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


@contextlib.asynccontextmanager
async def probing(url: str, now: Callable[[], float]) -> AsyncIterator[linstor.LinstorProbe]:
    """Give the product's own probe."""
    client = LinstorClient(Endpoints(urls=(url,)))
    try:
        yield linstor.LinstorProbe(client, node=NodeName("n1"), clock=now, deadline=30.0)
    finally:
        await client.aclose()


async def measure(count: int) -> Row:
    """Measure one size."""
    with served(count) as url:
        rest = judging.rest(HERE)
        names = tuple(ResourceName(judging.name(number)) for number in range(HERE))
        need = base.Need(resources=names, certain=frozenset(names), urgency=base.Urgency.REST)
        moment = [0.0]
        async with probing(url, lambda: moment[0]) as probe:
            began = time.perf_counter()
            snapshot = await look(probe, need, rest)
            full = time.perf_counter() - began
            looks, judgements = [], []
            for _ in range(ROUNDS):
                moment[0] += REST  # as if it had passed: definitions are not read at every look
                used = time.process_time()
                snapshot = await look(probe, need, snapshot)
                both = time.process_time() - used
                used = time.process_time()
                judge.judge(snapshot, HealthPolicy())
                judgements.append(time.process_time() - used)
                looks.append(both - judgements[-1])
    return Row(
        resources=count,
        full=full,
        cpu=sum(looks) / len(looks),
        judged=min(judgements),
        memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


async def look(probe: linstor.LinstorProbe, need: base.Need, snapshot: Snapshot) -> Snapshot:
    """Look, take it in, judge."""
    seen = await probe.look(need)
    assert seen.trouble is None, seen.trouble
    moved = msgspec.structs.replace(seen, at=snapshot.at)
    after = apply(snapshot, moved)
    judge.judge(after, HealthPolicy())
    return after


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--face", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.face:
        face(chosen.face)
        return 0
    rows = [asyncio.run(measure(count)) for count in (5_000, 10_000)]
    write = sys.stdout.write
    write(
        "| resources | here | full report, s | look at rest, ms CPU | at rest, % of a core | judge, ms | memory, MiB |\n"
    )
    write("|---|---|---|---|---|---|---|\n")
    for row in rows:
        write(
            f"| {row.resources:,} | {HERE} | {row.full:.2f} | {row.cpu * 1000:.0f} | {row.share:.2f} | "
            f"{row.judged * 1000:.1f} | {row.memory:.0f} |\n"
        )
    growth = rows[1].cpu / rows[0].cpu
    write(f"\ngrowth from 5,000 to 10,000: {growth:.2f} (at most {MOST_GROWTH})\n")
    missed = growth > MOST_GROWTH or rows[-1].share > MOST_AT_REST
    if rows[-1].share > MOST_AT_REST:
        write(f"MISSED: {rows[-1].share:.2f} % at rest, at most {MOST_AT_REST} % is promised\n")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
