# SPDX-License-Identifier: Apache-2.0
"""Metrics as plain values, before any format."""

import bisect
import enum
from collections.abc import Mapping
from typing import Final

import msgspec

BUCKETS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Upper bounds in seconds: from a start that nothing held up to a gate that waited for all its time."""


class MetricKind(enum.StrEnum):
    """The type of a family, in Prometheus's words."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


class Histogram:
    """How many observations fell below which bound, and their sum in seconds."""

    def __init__(self, bounds: tuple[float, ...] = BUCKETS) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one observation; one below zero, as a clock that steps makes it, counts as zero."""
        value = max(0.0, seconds)
        self._counts[bisect.bisect_left(self._bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        """How many observations there were."""
        return sum(self._counts)

    def cumulative(self) -> tuple[tuple[str, int], ...]:
        """Return (upper bound as text, observations up to it), ending in ("+Inf", all)."""
        rows = []
        below = 0
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            below += count
            rows.append((bound, below))
        return tuple(rows)


class Sample(msgspec.Struct, frozen=True):
    """One series: labels and its value, which for a histogram is the histogram."""

    labels: Mapping[str, str]
    value: float | Histogram


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """All series of one name. ``name`` without the ``_total`` of counters; seconds and bytes only."""

    name: str
    kind: MetricKind
    help: str
    samples: tuple[Sample, ...] = ()


class Measure(msgspec.Struct, frozen=True):
    """One figure of one boot, kept in history for ``tidegate stats``: seconds, by name and, where it is about one, subject."""

    name: str
    subject: str
    value: float


class Mounts(msgspec.Struct, frozen=True, kw_only=True):
    """How a pool of Incus was tried in this boot, by the journal."""

    pool: str
    failed: int
    mounted: int


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """A first cause, by the journal."""

    code: str
    subject: str = ""


class BootFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What this boot's journal tells once the boot is over, to the millisecond: one row of ``tidegate boot list --format json``."""

    status: str
    phases: Mapping[str, float] = {}
    mounts: tuple[Mounts, ...] = ()
    first_causes: tuple[Cause, ...] = ()
    instances: Mapping[str, int] = {}
    """How many came to which outcome."""
