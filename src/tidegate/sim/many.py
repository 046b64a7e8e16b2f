# SPDX-License-Identifier: Apache-2.0
"""Thousands of random boots on all cores: ``python -m tidegate.sim.many``. A seed that breaks a rule is cut down and printed.

python -m tidegate.sim.many                     10,000 seeds
python -m tidegate.sim.many --from 500 --count 200
python -m tidegate.sim.many --seed 27           one, with its time line
"""

import argparse
import concurrent.futures
import multiprocessing
import os
import sys
from collections.abc import Iterable, Sequence

import msgspec

from tidegate.clients import clock
from tidegate.sim import shrink
from tidegate.sim.chance import by_chance
from tidegate.sim.run import simulate
from tidegate.sim.schedule import Schedule
from tidegate.sim.watch import Result

COUNT = 10_000
CHUNK = 25
MOST_SHOWN = 3
"""Failing seeds that are cut down and shown; the others are named."""


def broken(seeds: Iterable[int]) -> list[int]:
    """Return those of ``seeds`` whose boot breaks a rule, or cannot be simulated at all."""
    return [seed for seed in seeds if _breaks(by_chance(seed))]


def _breaks(schedule: Schedule) -> bool:
    return bool(simulate(schedule).violations)


def story(result: Result) -> str:
    """Return what was simulated and what happened, for people, and the schedule as JSON, for a test."""
    schedule = result.schedule
    faults = [f"  fault  {f.kind} {f.subject} {f.start:.2f} - {f.end}" for f in schedule.faults]
    deeds = [f"  deed   {h.at:.2f} {h.deed} {h.instance or ''}" for h in schedule.happenings]
    lines = [f"{at:9.3f}  {text}" for at, text in result.timeline]
    data = msgspec.json.encode(schedule).decode()
    return "\n".join([schedule.name, *faults, *deeds, *lines, "as a test:", data])


def minimal(seed: int) -> Result:
    """Return the smallest boot that breaks the first of the rules that ``seed`` breaks."""
    first = simulate(by_chance(seed))
    rules = {rule.partition("s: ")[2].split(" ")[0] for rule in first.violations}

    def fails(schedule: Schedule) -> bool:
        found = {rule.partition("s: ")[2].split(" ")[0] for rule in simulate(schedule).violations}
        return bool(found & rules)

    return simulate(shrink.smallest(by_chance(seed), fails))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns 0 when no rule was broken, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tidegate.sim.many", description=__doc__)
    parser.add_argument("--from", dest="first", type=int, default=0, metavar="SEED")
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, help="this one only, with its time line")
    chosen = parser.parse_args(argv)
    if chosen.seed is not None:
        result = simulate(by_chance(chosen.seed))
        sys.stdout.write(story(result) + "\n")
        return int(bool(result.violations))
    return _all(chosen.first, chosen.count, chosen.workers)


def _all(first: int, count: int, workers: int) -> int:
    began = clock.boottime()
    chunks = [
        range(start, min(start + CHUNK, first + count))
        for start in range(first, first + count, CHUNK)
    ]
    context = multiprocessing.get_context("forkserver")
    with concurrent.futures.ProcessPoolExecutor(workers, mp_context=context) as pool:
        bad: list[int] = []
        for found in pool.map(broken, chunks):
            bad += found
            for seed in found:
                sys.stdout.write(f"seed {seed} breaks a rule\n")
                sys.stdout.flush()
    took = clock.boottime() - began
    sys.stdout.write(
        f"{count} boots by chance (seeds {first} to {first + count - 1}) in {took:.0f} s on {workers} cores, "
        f"{count / max(took, 0.001):.0f} in a second: {len(bad)} broke a rule\n"
    )
    for seed in bad[:MOST_SHOWN]:
        sys.stdout.write(story(minimal(seed)) + "\n")
    if len(bad) > MOST_SHOWN:
        sys.stdout.write(f"also: {', '.join(str(seed) for seed in bad[MOST_SHOWN:])}\n")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
