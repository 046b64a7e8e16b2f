# SPDX-License-Identifier: Apache-2.0
"""What a change has brought: real boots before it against real boots after it. "No difference" is a result."""

import enum
import itertools
import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from tidegate.tuning.facts import Boot

LEAST: Final = 0.3
"""Seconds below which a difference of medians is worth nobody's while."""
CHANCE: Final = 0.1
"""Chance that a difference as clear as the one seen comes about by itself, up to which it is believed."""
FEWEST: Final = 2
"""Boots since below which nothing is said: one proves nothing."""
_EXACT: Final = 20_000
"""Ways to divide the boots, up to which all are counted."""
WHOLE: Final = "ready"
"""The phase that is the whole of a boot: until the last wanted instance runs."""
RESYNC: Final = "resync"
"""DRBD's resync of wanted volumes at the start of a boot; 0 in a boot that had none."""
RESYNCED: Final = "resync-where-one-was"
"""The same, of boots alone that had one."""


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """Advice that was applied at ``at`` (seconds since the epoch), and taken back at ``reverted``."""

    id: str
    measure: str
    at: float
    expected: float
    """Seconds of gain that were promised."""
    reverted: float | None = None
    unit: str = ""
    words: tuple[str, ...] = ()
    """Options of a JVM that it added."""
    theirs: str = ""
    """Options that were set by others when it was applied."""
    by_hand: bool = False
    """A person has made the change, and told us so: nothing of ours is written."""

    def covers(self, began: float) -> bool:
        """Return whether it was in force in a boot that began at ``began``."""
        return began >= self.at and (self.reverted is None or began < self.reverted)


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
    """Before and after, of one phase. ``chance``: that what was seen comes about by itself; None: nothing to compare.

    ``others``: advice whose boots are not told from these, as it was applied or taken back between the same two boots.
    """

    phase: str
    verdict: Verdict
    before: Spread | None
    after: Spread | None
    chance: float | None = None
    others: tuple[str, ...] = ()

    @property
    def gain(self) -> float:
        """Seconds by which the median is shorter."""
        if self.before is None or self.after is None:
            return 0.0
        return self.before.median - self.after.median


def compare(
    applied: Applied, boots: Iterable[Boot], notes: Sequence[Applied] = (), phase: str = ""
) -> Result:
    """Return what the boots say of ``applied``, by the phase that it was to shorten or by another.

    Before: boots in which it was not in force, up to then; after: those since in which it was. A difference counts when the medians
    differ by :data:`LEAST` and boots drawn at random would differ as much in at most :data:`CHANCE` of all ways to divide them (rank sums,
    two-sided). Too early: so few boots that no difference could count.
    """
    name = phase or applied.measure
    known = [boot for boot in boots if name in boot.phases]
    same = [one for one in notes if one.id == applied.id] or [applied]
    before = [
        boot.phases[name]
        for boot in known
        if boot.began < applied.at and not any(one.covers(boot.began) for one in same)
    ]
    after = [boot.phases[name] for boot in known if applied.covers(boot.began)]
    others = _others(applied, known, notes)
    if not before or not after:
        verdict, chance = Verdict.TOO_EARLY, None
    else:
        chance = _chance(before, after)
        verdict = _verdict(before, after, chance)
    return Result(
        phase=name,
        verdict=verdict,
        before=_spread(before),
        after=_spread(after),
        chance=chance,
        others=others,
    )


def needed(before: int) -> int:
    """Return how many boots after it are needed with ``before`` boots before it, for a clear difference to count."""
    after = FEWEST
    while not _could_tell(before, after) and after < 100:
        after += 1
    return after


def _could_tell(before: int, after: int) -> bool:
    """Return whether so many boots are enough for the clearest of all differences to count."""
    return after >= FEWEST and 2 / math.comb(before + after, after) <= CHANCE


def _verdict(before: Sequence[float], after: Sequence[float], chance: float) -> Verdict:
    if not _could_tell(len(before), len(after)):
        return Verdict.TOO_EARLY
    gain = statistics.median(before) - statistics.median(after)
    if abs(gain) < LEAST or chance > CHANCE:
        return Verdict.NO_DIFFERENCE
    return Verdict.FASTER if gain > 0 else Verdict.SLOWER


def _chance(before: Sequence[float], after: Sequence[float]) -> float:
    """Return how many ways to divide all boots into two such groups show rank sums at least as far apart (Wilcoxon, Mann and Whitney)."""
    ranks = _ranks([*before, *after])
    size, every = len(after), len(ranks)
    middle = size * (every + 1) / 2
    seen = abs(sum(ranks[len(before) :]) - middle)
    ways = math.comb(every, size)
    if ways <= _EXACT:
        sums = (sum(chosen) for chosen in itertools.combinations(ranks, size))
        return sum(abs(one - middle) >= seen - 1e-9 for one in sums) / ways
    deviation = math.sqrt(size * len(before) * (every + 1) / 12)
    return math.erfc(seen / deviation / math.sqrt(2))


def _ranks(values: Sequence[float]) -> list[float]:
    """Return each value's place among all, from 1; those that are equal share theirs."""
    ordered = sorted(values)
    return [
        statistics.mean(place + 1 for place, other in enumerate(ordered) if other == value)
        for value in values
    ]


def _others(applied: Applied, boots: Sequence[Boot], notes: Sequence[Applied]) -> tuple[str, ...]:
    """Return advice of the same phase that changed between the last boot before and the first one after."""
    last = max((boot.began for boot in boots if boot.began < applied.at), default=-math.inf)
    first = min((boot.began for boot in boots if boot.began >= applied.at), default=math.inf)
    changed = {
        one.id
        for one in notes
        if one.id != applied.id and one.measure == applied.measure
        for moment in (one.at, one.reverted)
        if moment is not None and last <= moment < first
    }
    return tuple(sorted(changed))


def _spread(found: Sequence[float]) -> Spread | None:
    if not found:
        return None
    return Spread(
        count=len(found), median=statistics.median(found), least=min(found), most=max(found)
    )
