# SPDX-License-Identifier: Apache-2.0
"""Feeds what goes by in the agent to the tally, and what is worth keeping to history."""

from collections.abc import Callable, Sequence

from tidegate import __version__
from tidegate.core.action import Outcome
from tidegate.core.finding import Report
from tidegate.core.snapshot import Snapshot
from tidegate.metrics import families
from tidegate.metrics.moments import Moment
from tidegate.metrics.tally import Tally, Told
from tidegate.metrics.values import BootFigures, Family, Measure

Keep = Callable[[tuple[tuple[str, str, float], ...]], None]


class Meter:
    """Counts in memory; ``keep`` writes measures, in the background."""

    def __init__(self, tally: Tally, keep: Keep) -> None:
        self._tally = tally
        self._keep = keep

    def saw(self, snapshot: Snapshot, report: Report) -> None:
        """Take one cycle of the loop into account."""
        self._store(self._tally.saw(snapshot, report))

    def outcome(self, outcome: Outcome) -> None:
        """Take what came of an action into account."""
        self._store(self._tally.outcome(outcome))

    def told(self, told: Told) -> None:
        """Take something that Incus said into account."""
        self._tally.told(told)

    def read(self, figures: BootFigures) -> None:
        """Take what this boot's journal says into account."""
        self._store(self._tally.read(figures))

    @property
    def last_instance(self) -> float | None:
        """Seconds since boot at which the last wanted instance ran; None while that is not known."""
        return self._tally.moments.get(Moment.LAST_INSTANCE)

    def families(self, snapshot: Snapshot, report: Report, now: float) -> tuple[Family, ...]:
        """Return all metrics as of ``now``, seconds since boot."""
        return families.families(self._tally, snapshot, report, now=now, version=__version__)

    def _store(self, measures: Sequence[Measure]) -> None:
        if measures:
            self._keep(tuple((one.name, one.subject, one.value) for one in measures))
