# SPDX-License-Identifier: Apache-2.0
"""``make bench``: the figures that Tidegate promises, against their targets. Exit code 1 when one is missed.

Each figure is the best and the median of several runs: on a shared machine only the best tells something of the program. Decode and
judge are measured in CPU time, commands as who waits for them sees them.
"""

import argparse
import functools
import gc
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from benchmarks import commands, judging

RUNS = 15


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One measured thing; times in milliseconds."""

    name: str
    best: float
    median: float
    target: float | None

    @property
    def verdict(self) -> str:
        """Whether the target was met."""
        if self.target is None:
            return ""
        return "ok" if self.best <= self.target else "MISSED"


def measure(
    name: str,
    work: Callable[[], object],
    *,
    target: float | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Figure:
    """Run ``work`` several times, after once for nothing.

    ``clock``: what only computes, and in this process, is measured by the CPU's: what else runs on the machine is none of it.
    """
    work()
    times = []
    for _ in range(RUNS):
        gc.collect()
        began = clock()
        work()
        times.append((clock() - began) * 1000)
    return Figure(name=name, best=min(times), median=statistics.median(times), target=target)


def figures() -> Iterator[Figure]:
    """Measure everything, in order."""
    bare = measure("an empty Python process", commands.bare)
    yield bare
    yield measure("tidegate --version", commands.version, target=35.0)
    with commands.agent() as ask:
        yield measure("tidegate status, answered by a running agent", ask, target=35.0)
    yield measure("import of the agent and all its clients", commands.import_agent)
    view = judging.view(5_000)
    here = functools.partial(measure, clock=time.process_time)
    yield here("decode a view of 5,000 resources", lambda: judging.decode(view))
    seen = judging.decode(view)
    yield here("judge it, 50 volumes wanted here", lambda: judging.judged(seen, wanted=50))
    yield here(
        "both: decode and judge 5,000 resources",
        lambda: judging.judged(judging.decode(view), wanted=50),
        target=100.0,
    )
    yield here("judge 500 wanted volumes", lambda: judging.judged(seen, wanted=500), target=100.0)


def machine() -> str:
    """What was measured on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} x {model}, load {load:.1f}; Python {platform.python_version()}, "
        f"{platform.system()} {platform.release()}"
    )


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    as_json = parser.parse_args().json
    found = []
    if not as_json:
        print(f"{machine()}\nbest and median of {RUNS} runs, milliseconds\n")
        print(f"  {'':<48}{'best':>8}{'median':>9}{'target':>9}")
    for figure in figures():
        found.append(figure)
        if not as_json:
            target = "" if figure.target is None else f"{figure.target:.0f}"
            print(
                f"  {figure.name:<48}{figure.best:>8.1f}{figure.median:>9.1f}{target:>9}  {figure.verdict}"
            )
    if as_json:
        print(json.dumps({"machine": machine(), "figures": msgspec.to_builtins(found)}, indent=2))
    return int(any(figure.verdict == "MISSED" for figure in found))


if __name__ == "__main__":
    sys.exit(main())
