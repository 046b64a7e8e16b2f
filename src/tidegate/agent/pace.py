# SPDX-License-Identifier: Apache-2.0
"""How often each source is looked at: often while something waits, rarely at rest, never at a cost the host would feel."""

import msgspec

from tidegate.core.facts import IncusPhase
from tidegate.core.finding import Report
from tidegate.core.ids import SubjectKind
from tidegate.core.snapshot import Liveness, Snapshot, Source


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds between two looks at a source."""

    fast: float = 0.25
    rest: float = 10.0
    slow_after: float = 900.0
    """What has waited longer than this is looked at every ``slow`` seconds only: nobody is at the edge of their chair."""
    slow: float = 2.0


_INCUS_OWN = frozenset({SubjectKind.INCUS, SubjectKind.INSTANCE})
LOCAL = frozenset({Source.HOST, Source.DRBD, Source.DEVICES})
"""Looking at these asks nobody but this kernel."""


def interval(
    pace: Pace, source: Source, report: Report | None, *, waiting_since: float | None, cost: float
) -> float:
    """Return the seconds until ``source`` is looked at again.

    Args:
        pace: The configured intervals.
        source: Which source.
        report: The last report; None before the first.
        waiting_since: Moment (seconds since boot) from which on something wanted has not been ready; None at rest.
        cost: Seconds the last look took: a source that answers slowly is not asked more often than a quarter of the time.
    """
    if report is None or waiting_since is None:
        chosen = pace.rest if report is not None else pace.fast
    elif report.at - waiting_since > pace.slow_after:
        chosen = pace.slow
    else:
        chosen = pace.fast
    return chosen if source in LOCAL else max(chosen, 3 * cost)


def is_waiting(report: Report, snapshot: Snapshot) -> bool:
    """Return True when something that is wanted is not ready, and frequent looks could be of use.

    While Incus's own first pass starts instances whose storage is ready, its API holds every start of ours (facts/incus.md A25)
    and each look would only slow it down; systemd tells the end of the pass.
    """
    waiting = [state for state in report.subjects.values() if state.wanted and not state.ready]
    phase = snapshot.incus.value.phase if snapshot.incus is not None else None
    systemd = snapshot.source(Source.SYSTEMD).liveness
    if phase is IncusPhase.AUTOSTART and systemd is Liveness.UP:
        return any(state.subject.kind not in _INCUS_OWN for state in waiting)
    return bool(waiting)


GAP = 0.02
"""Seconds between two looks at a source that hints ask for: what is told together is looked at together."""
LONGEST_GAP = 1.0
"""Seconds after which a source that answers slowly may be looked at again if a hint asks for it."""
READ_MOST = 20_000.0
"""Units of work (``Heard.work``, 10 µs each) that reading one stream of hints may take at once."""
READ_REST, READ_WAITING = 300.0, 5_000.0
"""Units a second that it may take in the long run. A stream that tells more is left alone for a while."""


class Allowance(msgspec.Struct, frozen=True, kw_only=True):
    """A store that is spent from and refills with time. A value: :meth:`spent` returns the next one."""

    most: float
    left: float
    at: float
    """Seconds, on the clock that ``now`` is of."""

    @classmethod
    def full(cls, most: float, now: float) -> "Allowance":
        """Return a store of which nothing is spent."""
        return cls(most=most, left=most, at=now)

    def now(self, now: float, rate: float) -> float:
        """Return what is left; it refills by ``rate`` a second."""
        return min(self.most, self.left + rate * max(0.0, now - self.at))

    def spent(self, amount: float, now: float, rate: float) -> "Allowance":
        """Return the store after ``amount`` was spent: it may be overdrawn, by ``most`` at most."""
        left = max(-self.most, self.now(now, rate) - amount)
        return msgspec.structs.replace(self, left=left, at=now)

    def wait(self, now: float, rate: float, *, enough: float = 0.0) -> float:
        """Return the seconds until more than ``enough`` is left; 0 or less when it is."""
        return (enough - self.now(now, rate)) / rate


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What looks at one source may use that hints ask for. Beyond it the source is polled only, as if there were no hints."""

    most: float
    """Processor seconds at once."""
    share: float
    """Share of a core at which they go on then."""


WAITING = Terms(most=2.0, share=0.05)
"""While something waits."""
RESTING = Terms(most=0.5, share=0.00025)
"""While all is well. A store of its own: what a noisy stream uses up at rest is not missing when something waits again."""


def gap(source: Source, took: float) -> float:
    """Return the seconds between a look at ``source`` that ``took`` so long and the next that a hint may ask for."""
    return GAP if source in LOCAL else min(max(GAP, 3 * took), LONGEST_GAP)
