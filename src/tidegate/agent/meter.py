# SPDX-License-Identifier: Apache-2.0
"""Feeds what goes by in the agent to the tally, and what is worth keeping to history."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from tidegate import __version__
from tidegate.core.action import Outcome
from tidegate.core.finding import Report
from tidegate.core.snapshot import Snapshot
from tidegate.metrics import families
from tidegate.metrics.moments import Moment
from tidegate.metrics.tally import Tally, Told
from tidegate.metrics.values import BootFigures, Family, Measure

CPU_WAITED: Final = "cpu-waited"
"""Measure of a boot: seconds in which some process waited for a processor, from our first look until the satellite's port was open."""
Keep = Callable[[tuple[tuple[str, str, float], ...]], None]


class Meter:
    """Counts in memory; ``keep`` writes measures, in the background.

    ``waited``: seconds since boot in which some process waited for a processor; None where the kernel does not tell.
    """

    def __init__(
        self, tally: Tally, keep: Keep, waited: Callable[[], float | None] = lambda: None
    ) -> None:
        self._tally = tally
        self._keep = keep
        self._waited = waited
        self._waited_for: tuple[float | None, float | None] = (None, None)
        """What was waited at our first look, and at the last one at which the satellite's port was not open."""

    def saw(self, snapshot: Snapshot, report: Report) -> None:
        """Take one cycle of the loop into account."""
        measures = self._tally.saw(snapshot, report)
        self._store((*measures, *self._contention(snapshot, measures)))

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

    def _contention(self, snapshot: Snapshot, measures: Sequence[Measure]) -> Iterator[Measure]:
        """Yield how busy the processors were while the satellite's JVM started, once it is known when its port was open.

        A moment is noted some seconds late, so what was waited is looked at for as long as the port is not open.
        """
        first, last = self._waited_for
        if any(one.name == Moment.SATELLITE_LISTENING for one in measures) and first is not None:
            yield Measure(CPU_WAITED, "", (last or first) - first)
        host = snapshot.host
        if host is not None and not host.value.satellite_listens:
            now = self._waited()
            self._waited_for = (now if first is None else first, now)

    def _store(self, measures: Sequence[Measure]) -> None:
        if measures:
            self._keep(tuple((one.name, one.subject, one.value) for one in measures))
