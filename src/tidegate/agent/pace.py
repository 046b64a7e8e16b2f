# SPDX-License-Identifier: Apache-2.0
"""How often each source is looked at: often while something waits, rarely at rest, never at a cost the host would feel."""

import msgspec

from tidegate.core.finding import Report
from tidegate.core.snapshot import Source


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds between two looks at a source."""

    fast: float = 0.25
    rest: float = 10.0
    slow_after: float = 900.0
    """What has waited longer than this is looked at every ``slow`` seconds only: nobody is at the edge of their chair."""
    slow: float = 2.0


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


def is_waiting(report: Report) -> bool:
    """Return True when something that is wanted is not ready."""
    return any(state.wanted and not state.ready for state in report.subjects.values())
