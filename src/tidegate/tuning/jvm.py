# SPDX-License-Identifier: Apache-2.0
"""Options of a JVM: which belong to which advice, and how they are joined with what somebody else has set."""

import re
import shlex
from collections.abc import Iterable
from typing import Final

TOLERANT: Final = "-XX:+IgnoreUnrecognizedVMOptions"
"""Goes in front of ours: a JVM of a later package that does not know one of them starts all the same."""
QUICK: Final = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""A small collector and the quick compiler alone: facts/linstor-observed.md E, 8.7 to 4.1 processor seconds, 15.9 to 6.0 s."""
TRIED: Final = (TOLERANT, *QUICK)
_SIZE: Final = re.compile(r"-Xmx(\d+)([kKmMgGtT]?)")
_MAXIMUM: Final = re.compile(r"-XX:MaxHeapSize=(\d+)([kKmMgGtT]?)")
_POWER: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
MIB: Final = 1024 * 1024


def joined(theirs: str, ours: Iterable[str]) -> str:
    """Return ``theirs`` with ``ours`` behind them: of an option that is there twice the last one counts. What is there already is not repeated."""
    have = theirs.split()
    new = [word for word in ours if word not in have]
    if not new:
        return theirs
    tolerant = [] if TOLERANT in have else [TOLERANT]
    return " ".join([*have, *tolerant, *(word for word in new if word != TOLERANT)])


def setting(options: str) -> str:
    """Return the line of a unit file that sets ``JAVA_OPTS``; ``options`` without quotes (man systemd.exec: ``%`` begins a specifier)."""
    return f'Environment="JAVA_OPTS={options.replace("%", "%%")}"'


def heap(options: str) -> int | None:
    """Return the bytes that ``options`` allow the heap; None when they do not say."""
    found = None
    for word in words(options):
        match = _SIZE.fullmatch(word) or _MAXIMUM.fullmatch(word)
        if match:
            found = int(match[1]) * 1024 ** _POWER[match[2].lower()]
    return found


def heap_option(amount: int) -> str:
    """Return the option that allows the heap ``amount`` bytes."""
    return f"-Xmx{amount // MIB}m"


def words(options: str) -> tuple[str, ...]:
    """Return the words of ``options``; quotes as a shell takes them."""
    try:
        return tuple(shlex.split(options))
    except ValueError:
        return tuple(options.split())


def chooses_collector(options: str) -> bool:
    """Return whether somebody chose a collector: theirs stays."""
    return any(re.fullmatch(r"-XX:[+-]Use\w*GC", word) for word in words(options))
