# SPDX-License-Identifier: Apache-2.0
"""The agent at rest, for long: ``make soak``. Memory and CPU with 500 volumes and a noisy stream of events must be flat and small.

The agent is a process of its own against the embedded node; what the node itself costs is not counted. While it is measured, LINSTOR
and Incus tell something at a steady pace, none of which changes anything.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
from tests import embedded_nodes as nodes

from tidegate.clients import clock
from tidegate.sim.embedded import EmbeddedNode

VOLUMES = 500
NOISE = 4.0
"""Events in a second, half from LINSTOR, half from Incus."""
MOST_MIB = 60.0
MOST_CPU = 0.005
"""Share of a core."""
MOST_GROWTH = 1.0
"""MiB that memory may grow from the first third of the time to the last."""
_TICKS = os.sysconf("SC_CLK_TCK")


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """The agent at one moment: seconds since boot, seconds of CPU so far, resident MiB."""

    at: float
    cpu: float
    mib: float


class Soaked(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured."""

    volumes: int
    samples: tuple[Sample, ...]

    @property
    def cpu(self) -> float:
        """Share of a core over the whole time."""
        first, last = self.samples[0], self.samples[-1]
        return (last.cpu - first.cpu) / (last.at - first.at)

    @property
    def mib(self) -> float:
        """The most that was resident."""
        return max(sample.mib for sample in self.samples)

    @property
    def growth(self) -> float:
        """MiB between the medians of the first and the last third."""
        third = max(1, len(self.samples) // 3)
        return _median(self.samples[-third:]) - _median(self.samples[:third])

    def __str__(self) -> str:
        length = self.samples[-1].at - self.samples[0].at
        return (
            f"{self.volumes} volumes, {length:.0f} s at rest with {NOISE:.0f} events in a second: {self.cpu:.2%} of a core, "
            f"{self.mib:.1f} MiB at most, {self.growth:+.2f} MiB from the first third to the last"
        )


def _median(samples: Sequence[Sample]) -> float:
    return sorted(sample.mib for sample in samples)[len(samples) // 2]


def sample(pid: int) -> Sample:
    """Look at process ``pid`` and what it has started and waited for."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    cpu = sum(int(words[index]) for index in (11, 12, 13, 14)) / _TICKS
    mib = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    return Sample(at=clock.boottime(), cpu=cpu, mib=mib)


async def soak(
    directory: Path, *, volumes: int = VOLUMES, seconds: float, settle: float = 180.0
) -> Soaked:
    """Measure the agent for ``seconds`` after everything runs and ``settle`` seconds more have passed.

    So long because looks that hints ask for may at first use some seconds of CPU at once (``agent.pace.RESTING``).
    """
    names = tuple(f"c{number:03}" for number in range(volumes))
    quick = nodes.quick(instance_start=0.01)
    node = nodes.node(directory, containers=names, local=(), timings=quick)
    async with node.running(), nodes.agent(node) as agent:
        await nodes.until(node, lambda: len(nodes.running(node)) == volumes, within=180.0)
        await agent.until(lambda status: status["sentence"].startswith("nothing to do"))
        found: list[Sample] = []
        began = clock.boottime()
        number = 0
        while (now := clock.boottime()) < began + settle + seconds:
            _noise(node, names[number % volumes], number)
            number += 1
            if now >= began + settle and (not found or now >= found[-1].at + seconds / 60):
                found.append(sample(agent.process.pid))
            await asyncio.sleep(1.0 / NOISE)
            node.now()
        return Soaked(volumes=volumes, samples=tuple(found))


def _noise(node: EmbeddedNode, name: str, number: int) -> None:
    """Tell something that changes nothing."""
    if number % 2:
        resource = f"incus-volume-{name}"
        node.world.emit("may-promote", node=node.world.local, resource=resource, may_promote=False)
    elif node.incus.daemon is not None:
        node.incus.daemon.events.lifecycle("instance-updated", name, "default", by_api=True)


def main() -> int:
    """Soak for as long as told; 1 when it was not flat, small and cheap."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--volumes", type=int, default=VOLUMES)
    parser.add_argument(
        "--slack",
        type=float,
        default=1.0,
        help="factor on what the CPU may be: a short run on a shared machine tells it less exactly",
    )
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tg-") as directory:
        found = asyncio.run(
            soak(Path(directory), volumes=chosen.volumes, seconds=chosen.minutes * 60)
        )
    cheap = found.cpu <= MOST_CPU * chosen.slack
    good = found.mib <= MOST_MIB and cheap and found.growth <= MOST_GROWTH
    sys.stdout.write(f"{found}: {'good' if good else 'TOO MUCH'}\n")
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
