# SPDX-License-Identifier: Apache-2.0
"""What the guard counts: calls and times per class, reasons, refusals, connections. The agent reads it for its metrics."""

import bisect
from collections import Counter
from collections.abc import Mapping
from typing import Final

import msgspec

from tidegate.guard.interface import CallClass, Counts

BOUNDS: Final = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
)
"""Upper bounds of the histogram's buckets in seconds; one more has no bound."""


class ClassStats(msgspec.Struct, frozen=True, kw_only=True):
    """Counts and times of one class of call since the guard started."""

    calls: int
    """Answered in any way."""
    under_way: int
    statuses: Mapping[str, int]
    """Status -> calls answered with it; "aborted": the answer broke off, or the client went away first."""
    troubles: Mapping[str, int]
    """Code of a trouble with the controllers -> calls that met it."""
    reasons: Mapping[str, int]
    """`Answer.why` of the rules -> calls answered with it."""
    seconds: float
    """Sum of their durations, from the whole head to the last byte of the answer (streams: to their end)."""
    longest: float
    buckets: tuple[int, ...]
    """Calls per bucket of `BOUNDS`, the last one for all that took longer. Not cumulated."""


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """All counts. Times are seconds of CLOCK_BOOTTIME."""

    version: str
    started_at: float
    at: float
    node: str
    controller: str | None
    """The controller that is asked at the moment."""
    controllers: tuple[str, ...]
    trouble: str
    """Why no controller is asked at the moment, "" while one is."""
    unreached_since: float | None
    switches: int
    """How often another controller than before became the active one."""
    connections: int
    streams: int
    refused: Mapping[str, int]
    """Reason -> requests or connections that were refused without asking anybody."""
    rules: Counts = Counts()
    bounds: tuple[float, ...] = BOUNDS
    classes: Mapping[CallClass, ClassStats]


class ClassCounter:
    """Counts one class."""

    def __init__(self) -> None:
        self.under_way = 0
        self.statuses: Counter[str] = Counter()
        self.troubles: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self._seconds = 0.0
        self._longest = 0.0
        self._buckets = [0] * (len(BOUNDS) + 1)

    def ended(self, status: str, seconds: float) -> None:
        """Count a call that ended."""
        self.statuses[status] += 1
        self._seconds += seconds
        self._longest = max(self._longest, seconds)
        self._buckets[bisect.bisect_left(BOUNDS, seconds)] += 1

    def value(self) -> ClassStats:
        """Return the counts."""
        return ClassStats(
            calls=sum(self._buckets),
            under_way=self.under_way,
            statuses=dict(self.statuses),
            troubles=dict(self.troubles),
            reasons=dict(self.reasons),
            seconds=self._seconds,
            longest=self._longest,
            buckets=tuple(self._buckets),
        )


class Counters:
    """Counts everything that is not kept elsewhere."""

    def __init__(self) -> None:
        self._classes = {name: ClassCounter() for name in CallClass}
        self.refused: Counter[str] = Counter()

    def of(self, name: CallClass) -> ClassCounter:
        """Return the counter of a class."""
        return self._classes[name]

    def classes(self) -> dict[CallClass, ClassStats]:
        """Return the counts of all classes that had a call."""
        found = {name: counter.value() for name, counter in self._classes.items()}
        return {name: value for name, value in found.items() if value.calls or value.under_way}
