# SPDX-License-Identifier: Apache-2.0
"""``make bench-guard``: what the guard costs beside nginx as a plain reverse proxy, in the same run (plain HTTP in, TLS to the controller).

Rounds alternate between the three: directly, through nginx, through the guard. Of times the median of all rounds counts, of requests per
second the best round: on a shared machine only the best tells something of the program. Exit code 1 when a target is missed, 3 when it
cannot be measured here.
"""

import argparse
import json
import resource
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
from benchmarks import guarded
from benchmarks.__main__ import machine
from benchmarks.guarded import Load, Place, Streams, Unusable

ROUNDS = 5
REQUESTS = 2000
CONNECTIONS = 32
SECONDS = 3.0
STREAMS = 1000
ADDED = 0.5
"""Milliseconds that a request through the guard may take longer than directly, by the median."""
PER_SECOND = 4000.0
MEMORY = 128.0
"""MiB with all streams open; the unit's MemoryMax= is 256."""


class Found(msgspec.Struct, kw_only=True):
    """What was measured of one place."""

    place: Place
    times: list[float]
    loads: list[Load]
    streams: Streams | None = None

    @property
    def p50(self) -> float:
        """Milliseconds of one request after another."""
        return statistics.median(self.times)

    @property
    def best(self) -> Load:
        """The round with the most requests per second."""
        return max(self.loads, key=lambda one: one.per_second)


def measured(home: Path, rounds: int) -> list[Found]:
    """Measure all."""
    ca = home / "ca.pem"
    with guarded.standing(home) as (places, events):
        found = [Found(place=place, times=[], loads=[]) for place in places]
        for _ in range(rounds):
            for one in found:
                one.times += guarded.latencies(one.place, ca, REQUESTS)
            for one in found:
                one.loads.append(
                    guarded.load(one.place, ca, connections=CONNECTIONS, seconds=SECONDS)
                )
        for one in found[1:]:
            one.streams = guarded.streams(one.place, events, ca, STREAMS)
        return found


def table(found: list[Found]) -> Iterator[str]:
    """The lines of what was measured."""
    yield (
        f"  {'':<10}{'p50 ms':>8}{'p99 ms':>8}{'added':>8}{'req/s':>9}{'median':>8}{'µs CPU':>8}"
        f"{'MiB':>7}{'KiB each':>10}{'told':>6}{'in ms':>7}{'p50 ms':>8}"
    )
    yield (
        f"  {'':<10}{'one request after another':>24}{f'{CONNECTIONS} connections':>25}"
        f"{f'{STREAMS} idle streams':>38}"
    )
    for one in found:
        cells = (
            f"  {one.place.name:<10}{one.p50:>8.3f}{statistics.quantiles(one.times, n=100)[98]:>8.3f}"
            f"{one.p50 - found[0].p50:>8.3f}{one.best.per_second:>9.0f}"
            f"{statistics.median(load.per_second for load in one.loads):>8.0f}{one.best.cpu:>8.0f}"
        )
        if one.streams is not None:
            held = one.streams
            cells += f"{held.memory:>7.0f}{held.per_stream:>10.1f}{held.told:>6}{held.delivery:>7.0f}{held.p50:>8.3f}"
        yield cells


def missed(found: list[Found]) -> Iterator[str]:
    """The targets that were missed."""
    directly, guard = found[0], found[2]
    held = guard.streams
    assert held is not None
    if (added := guard.p50 - directly.p50) > ADDED:
        yield f"a request takes {added:.3f} ms longer than directly, {ADDED} are allowed"
    if guard.best.per_second < PER_SECOND:
        yield f"{guard.best.per_second:.0f} requests per second, {PER_SECOND:.0f} are promised"
    if held.told < STREAMS:
        yield f"{held.told} of {STREAMS} streams heard of the event"
    if held.memory > MEMORY:
        yield f"{held.memory:.0f} MiB with {STREAMS} streams, {MEMORY:.0f} are allowed"


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guard", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"default: {ROUNDS}")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    chosen = parser.parse_args()
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(16384, hard), hard))
    try:
        with tempfile.TemporaryDirectory() as home:
            found = measured(Path(home), chosen.rounds)
    except Unusable as error:
        print(f"cannot be measured here: {error}", file=sys.stderr)
        return 3
    broken = list(missed(found))
    if chosen.json:
        print(json.dumps({"found": msgspec.to_builtins(found), "missed": broken}, indent=1))
    else:
        print("\n".join((machine(), "", *table(found), "", *(broken or ["every target is met"]))))
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
