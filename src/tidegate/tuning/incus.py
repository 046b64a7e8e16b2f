# SPDX-License-Identifier: Apache-2.0
"""The order in which Incus starts instances at boot, and what it costs (facts/incus.md A1 to A6)."""

from collections.abc import Iterable
from typing import Final

import msgspec

CPUS_PER_START: Final = 4
"""Incus starts ``max(processors / 4, 1)`` instances at once (A4)."""


class Autostart(msgspec.Struct, frozen=True, kw_only=True):
    """An instance that starts at boot. ``delay``: seconds that Incus sleeps after it; None: the key is not set, likewise ``priority``."""

    name: str
    delay: float | None = None
    priority: int | None = None

    @property
    def bulk(self) -> bool:
        """It starts beside others: neither key is set (A4)."""
        return self.delay is None and self.priority is None


def width(cpus: int) -> int:
    """Return how many instances Incus starts at once."""
    return max(cpus // CPUS_PER_START, 1)


def in_turn(instances: Iterable[Autostart]) -> tuple[Autostart, ...]:
    """Return those that start one after the other, behind all others, in their order (A5)."""
    one_by_one = (one for one in instances if not one.bulk)
    return tuple(sorted(one_by_one, key=lambda one: (-(one.priority or 0), one.name)))


def slept(instances: Iterable[Autostart]) -> float:
    """Return the seconds that Incus sleeps before the last instance starts: what is slept after the last delays nobody."""
    return sum(one.delay or 0.0 for one in in_turn(instances)[:-1])


def steps(instances: Iterable[Autostart], cpus: int) -> int:
    """Return after how many starts, one behind the other, the last instance runs."""
    every = tuple(instances)
    bulk = sum(one.bulk for one in every)
    return -(-bulk // width(cpus)) + len(every) - bulk
