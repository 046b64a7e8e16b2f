# SPDX-License-Identifier: Apache-2.0
"""``make fuzz``: mutated journals through readers and analysis. Nothing may raise, nothing may grow without bound.

``python -m tests.journal_fuzz 100000 --seed 1`` prints what it did; a failure prints the seed of its journal, and ``--only SEED`` runs that
one alone.
"""

import argparse
import gzip
import random
import resource
import sys
import time
from collections.abc import Callable
from typing import Final

from tests import boot_journals

from tidegate.boot import analyse_all, compare
from tidegate.boot.model import BootAnalysis
from tidegate.clients.journal import files, read

SOURCES: Final = (
    "real/r-crash.json.gz",
    "real/r-notify-ctrl-down.json.gz",
    "fullstack/s2-power-loss.json.gz",
    "fullstack/s6-recipe-notify-before-incus-controller-down.json.gz",
    "fullstack/e0-incusd.log",
    "lab/s4-agent.json.gz",
    "lab/s1-stock.export.gz",
    "lab/s1-gate-agent-1.txt.gz",
    "lab/power-gate.txt.gz",
    "linstor/d1_satellite_sigstop_40s.log.gz",
    "linstor/c2_pool_directory_missing_at_start/ErrorReport-6B03F0B3-63795-000002.log.gz",
)
MAX_LINES: Final = 60
"""Lines of one mutated journal: many small ones find more than few large ones."""
MEMORY: Final = 200
"""MiB that the whole run may take at its peak."""
_NASTY: Final = (
    b"\x00",
    b"\xff\xfe",
    b"\x1b[2J",
    b"\n",
    b"\n\n",
    b"{",
    b"}",
    b'"',
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"null",
    b"[[[[",
    b"-1",
    b"9" * 400,
    b"=",
    b" -> ",
    b"/",
    b"A" * 5000,
    b"{unit}",
    b"{project}",
    b"../..",
    b"<script>",
    "ß€🦀\u202e".encode(),
)


def load() -> list[list[bytes]]:
    """Return the lines of the recordings, with what their endings need."""
    found = []
    for name in SOURCES:
        content = (boot_journals.BOOTS / name).read_bytes()
        if name.endswith(".gz"):
            content = gzip.decompress(content)
        found.append(content.split(b"\n"))
    return found


Mutation = Callable[[random.Random, list[bytes], list[list[bytes]]], list[bytes]]


def _flip(chance: random.Random, lines: list[bytes], _: list[list[bytes]]) -> list[bytes]:
    index = chance.randrange(len(lines))
    line = bytearray(lines[index] or b"x")
    for _step in range(chance.randrange(1, 8)):
        line[chance.randrange(len(line))] = chance.randrange(256)
    return [*lines[:index], bytes(line), *lines[index + 1 :]]


def _insert(chance: random.Random, lines: list[bytes], _: list[list[bytes]]) -> list[bytes]:
    index = chance.randrange(len(lines))
    line = lines[index]
    place = chance.randrange(len(line) + 1)
    return [
        *lines[:index],
        line[:place] + chance.choice(_NASTY) + line[place:],
        *lines[index + 1 :],
    ]


def _cut(chance: random.Random, lines: list[bytes], _: list[list[bytes]]) -> list[bytes]:
    index = chance.randrange(len(lines))
    line = lines[index]
    begin, end = sorted((chance.randrange(len(line) + 1), chance.randrange(len(line) + 1)))
    return [*lines[:index], line[:begin] + line[end:], *lines[index + 1 :]]


def _shuffle(chance: random.Random, lines: list[bytes], _: list[list[bytes]]) -> list[bytes]:
    mixed = list(lines)
    chance.shuffle(mixed)
    return mixed


def _repeat(chance: random.Random, lines: list[bytes], _: list[list[bytes]]) -> list[bytes]:
    index = chance.randrange(len(lines))
    return [*lines[:index], *[lines[index]] * chance.randrange(2, 100), *lines[index:]]


def _drop(chance: random.Random, lines: list[bytes], _: list[list[bytes]]) -> list[bytes]:
    return [line for line in lines if chance.random() < 0.8] or lines


def _splice(chance: random.Random, lines: list[bytes], all_: list[list[bytes]]) -> list[bytes]:
    other = chance.choice(all_)
    begin = chance.randrange(len(other))
    index = chance.randrange(len(lines))
    return [*lines[:index], *other[begin : begin + 20], *lines[index:]]


def _number(chance: random.Random, lines: list[bytes], _: list[list[bytes]]) -> list[bytes]:
    """Change a digit string: times that jump, ids that repeat, counts that are absurd."""
    index = chance.randrange(len(lines))
    line = lines[index]
    places = [place for place, byte in enumerate(line) if 0x30 <= byte <= 0x39]
    if not places:
        return lines
    place = chance.choice(places)
    digits = str(chance.choice((0, 7, 10**6, 10**15, 10**19))).encode()
    return [*lines[:index], line[:place] + digits + line[place + 1 :], *lines[index + 1 :]]


def _swap(chance: random.Random, lines: list[bytes], _: list[list[bytes]]) -> list[bytes]:
    """Exchange two words of a line: names, states and numbers in each other's place."""
    index = chance.randrange(len(lines))
    words = lines[index].split(b" ")
    one, two = chance.randrange(len(words)), chance.randrange(len(words))
    words[one], words[two] = words[two], words[one]
    return [*lines[:index], b" ".join(words), *lines[index + 1 :]]


MUTATIONS: Final[tuple[Mutation, ...]] = (
    _flip,
    _insert,
    _cut,
    _shuffle,
    _repeat,
    _drop,
    _splice,
    _number,
    _swap,
)


def journal(seed: int, sources: list[list[bytes]]) -> bytes:
    """Return the mutated journal of ``seed``."""
    chance = random.Random(seed)
    whole = chance.choice(sources)
    begin = chance.randrange(max(len(whole) - MAX_LINES, 1))
    lines = whole[begin : begin + chance.randrange(1, MAX_LINES)] or [b""]
    for _ in range(chance.randrange(1, 6)):
        lines = chance.choice(MUTATIONS)(chance, lines, sources)[: 4 * MAX_LINES]
    content = b"\n".join(lines)
    if chance.random() < 0.05:
        packed = gzip.compress(content, 1)
        content = packed[: chance.randrange(len(packed))]
    return content


def explain(content: bytes) -> tuple[BootAnalysis, ...]:
    """Return what the analysis makes of ``content``, after looking that it is whole and bounded."""
    notes = read.Notes()
    step = 1000
    chunks = (content[begin : begin + step] for begin in range(0, len(content), step))
    boots = analyse_all(files.from_chunks(chunks, "fuzz", notes), notes=notes.lines())
    for boot in boots:
        check(boot)
    if len(boots) > 1:
        compare(boots[0], boots[-1])
    return boots


def check(boot: BootAnalysis) -> None:
    """Hold an analysis to what every one promises."""
    keys = {cause.key for cause in boot.causes}
    assert len(keys) == len(boot.causes)
    assert all(link.cause in keys and link.effect in keys for link in boot.links)
    assert boot.verdict
    assert bool(boot.first_causes) == any(not cause.note for cause in boot.causes)
    assert all(len(line.text) <= 1000 for cause in boot.causes for line in cause.evidence)
    assert len(boot.events) < 20_000
    before = 0.0
    for step in boot.path.steps:
        assert step.begin == before < step.end
        before = step.end


def main() -> int:
    """Run as many as asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("number", type=int, nargs="?", default=100_000)
    parser.add_argument(
        "--seed", type=int, default=1, help="seed of the first journal; the others follow"
    )
    parser.add_argument("--only", type=int, help="run the journal of this seed alone, and print it")
    options = parser.parse_args()
    sources = load()
    if options.only is not None:
        content = journal(options.only, sources)
        sys.stdout.buffer.write(content + b"\n")
        explain(content)
        return 0
    began = time.monotonic()
    for seed in range(options.seed, options.seed + options.number):
        try:
            explain(journal(seed, sources))
        except Exception:
            sys.stderr.write(
                f"journal of seed {seed} failed: python -m tests.journal_fuzz --only {seed}\n"
            )
            raise
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    sys.stdout.write(
        f"{options.number} mutated journals from seed {options.seed} on, {time.monotonic() - began:.0f} s, peak {peak} MiB (limit {MEMORY})\n"
    )
    return 0 if peak <= MEMORY else 1


if __name__ == "__main__":
    sys.exit(main())
