# SPDX-License-Identifier: Apache-2.0
"""What a change has brought: real boots before it against real boots after it. "No difference" is a result."""

import enum
import statistics
from collections.abc import Iterable

import msgspec

from tidegate.tuning.facts import Boot

LEAST = 0.3
"""Seconds below which a difference of medians is chance."""


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """Advice that was applied at ``at`` (seconds since the epoch), and taken back at ``reverted``."""

    id: str
    measure: str
    at: float
    expected: float
    """Seconds of gain that were promised."""
    reverted: float | None = None


class Verdict(enum.StrEnum):
    """What the boots show."""

    FASTER = "faster"
    SLOWER = "slower"
    NO_DIFFERENCE = "no difference"
    TOO_EARLY = "too early to say"


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of one phase over some boots."""

    count: int
    median: float
    least: float
    most: float


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Before and after."""

    verdict: Verdict
    before: Spread | None
    after: Spread | None

    @property
    def gain(self) -> float:
        """Seconds by which the median is shorter."""
        if self.before is None or self.after is None:
            return 0.0
        return self.before.median - self.after.median


def compare(applied: Applied, boots: Iterable[Boot]) -> Result:
    """Return what the boots say of ``applied``.

    A difference counts when the medians differ by :data:`LEAST` and the one lies outside of all that was seen on the other side.
    """
    known = [boot for boot in boots if applied.measure in boot.phases]
    before = _spread(known, applied.measure, None, applied.at)
    after = _spread(known, applied.measure, applied.at, applied.reverted)
    if before is None or after is None:
        return Result(verdict=Verdict.TOO_EARLY, before=before, after=after)
    verdict = Verdict.NO_DIFFERENCE
    if abs(before.median - after.median) >= LEAST:
        if after.median < before.least and before.median > after.most:
            verdict = Verdict.FASTER
        elif after.median > before.most and before.median < after.least:
            verdict = Verdict.SLOWER
    return Result(verdict=verdict, before=before, after=after)


def _spread(
    boots: Iterable[Boot], measure: str, begin: float | None, end: float | None
) -> Spread | None:
    found = [
        boot.phases[measure]
        for boot in boots
        if (begin is None or boot.began >= begin) and (end is None or boot.began < end)
    ]
    if not found:
        return None
    return Spread(
        count=len(found), median=statistics.median(found), least=min(found), most=max(found)
    )
