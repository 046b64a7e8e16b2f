# SPDX-License-Identifier: Apache-2.0
"""Inputs made by damaging real ones, and what must hold for each: no exception but those that are agreed, bounded time and memory.

No coverage is measured: the seeds are recordings that reach every branch, and the damage is what wires, disks and people do.
A target is a :class:`Target` in a module ``tests/fuzz/targets_*.py``, in a tuple ``TARGETS``.
"""

import random
import resource
import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

SLOWEST: Final = 2.0
"""Processor seconds that one input may take."""
MOST_MEMORY: Final = 256 * 1024 * 1024
"""Bytes by which the process may grow over all inputs of a target."""
LONGEST: Final = 64 * 1024

_TOKENS: Final = (
    b"null",
    b"true",
    b"[]",
    b"{}",
    b'""',
    b"-1",
    b"0",
    b"1e999",
    b"9" * 25,
    b"9" * 5000,
    b"18446744073709551616",
    b"\\ud800",
    b"\xff\xfe",
    b"\x00",
    b"\r\n",
    b"\n\n",
    b" ",
    b":",
    b"=",
    b"\xe2\x80\xa8",
    "٣".encode(),
    b"NaN",
    b"[" * 2000,
    b'{"a":' * 1500,
)


class Target(msgspec.Struct, frozen=True):
    """One parser of outside text."""

    name: str
    run: Callable[[bytes], object]
    """Reads the input, and does with the result what the product does first."""
    seeds: tuple[bytes, ...]
    allowed: tuple[type[Exception], ...] = ()
    """What it may raise."""


class Failure(AssertionError):  # noqa: N818 - a verdict, told as such
    """A parser did what it must not; the input that did it is in the message."""


def run(target: Target, *, inputs: int, seed: int) -> None:
    """Give ``target`` so many inputs; raises :class:`Failure`. The same seed gives the same inputs."""
    chance = random.Random(f"{target.name}/{seed}")
    before = _memory()
    for number in range(inputs):
        data = damaged(chance, target.seeds)
        began = time.process_time()
        try:
            target.run(data)
        except target.allowed:
            pass
        except Exception as error:
            raise Failure(
                f"{target.name}, seed {seed}, input {number}: {error!r}: {data[:2000]!r}"
            ) from error
        if time.process_time() - began > SLOWEST:
            raise Failure(
                f"{target.name}, seed {seed}, input {number} took too long: {data[:2000]!r}"
            )
    grown = _memory() - before
    if grown > MOST_MEMORY:
        raise Failure(f"{target.name}, seed {seed}: {grown >> 20} MiB more after {inputs} inputs")


def damaged(chance: random.Random, seeds: Sequence[bytes]) -> bytes:
    """Return one of ``seeds`` after some damage; now and then nothing but noise."""
    if chance.random() < 0.02:
        return chance.randbytes(chance.randrange(400))
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.choice((0, 1, 1, 2, 3, 8))):
        chance.choice(_DAMAGES)(chance, data, seeds)
        del data[LONGEST:]
    return bytes(data)


def _flip(chance: random.Random, data: bytearray, _seeds: Sequence[bytes]) -> None:
    if data:
        data[chance.randrange(len(data))] = chance.randrange(256)


def _cut(chance: random.Random, data: bytearray, _seeds: Sequence[bytes]) -> None:
    del data[chance.randrange(len(data) + 1) :]


def _drop(chance: random.Random, data: bytearray, _seeds: Sequence[bytes]) -> None:
    start = chance.randrange(len(data) + 1)
    del data[start : start + chance.choice((1, 2, 7, 40))]


def _repeat(chance: random.Random, data: bytearray, _seeds: Sequence[bytes]) -> None:
    start = chance.randrange(len(data) + 1)
    piece = bytes(data[start : start + chance.choice((1, 5, 60))])
    data[start:start] = piece * chance.choice((1, 2, 30))


def _insert(chance: random.Random, data: bytearray, _seeds: Sequence[bytes]) -> None:
    start = chance.randrange(len(data) + 1)
    data[start:start] = chance.choice(_TOKENS)


def _replace_number(chance: random.Random, data: bytearray, _seeds: Sequence[bytes]) -> None:
    """Put something else where a number or a word stands."""
    places = [at for at in range(len(data)) if data[at : at + 1].isdigit()]
    if places:
        start = chance.choice(places)
        end = start
        while end < len(data) and data[end : end + 1].isdigit():
            end += 1
        data[start:end] = chance.choice(_TOKENS)


def _splice(chance: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    other = chance.choice(seeds)
    data[chance.randrange(len(data) + 1) :] = other[chance.randrange(len(other) + 1) :]


_DAMAGES: Final = (_flip, _cut, _drop, _repeat, _insert, _replace_number, _splice)


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
