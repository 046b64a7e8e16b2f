# SPDX-License-Identifier: Apache-2.0
"""Counts what happens: reports and outcomes go by, figures stay. Bounded: of what is named, the newest :data:`MOST_KEPT` at most."""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from tidegate.core.action import Outcome, OutcomeKind, StartInstance, ValidatePool
from tidegate.core.finding import Report
from tidegate.core.ids import SubjectKind
from tidegate.core.snapshot import Snapshot
from tidegate.metrics import moments
from tidegate.metrics.moments import Moment
from tidegate.metrics.values import BootFigures, Histogram, Measure

MOST_KEPT: Final = 10_000
"""Starts that are remembered as begun and not ended, volumes that are held, …: more than any node has."""
LONGEST_START: Final = 900.0
"""Seconds after which a start whose end nobody heard is forgotten."""
SETTLED: Final = 2.0
"""Seconds after which what a look showed is not taken back by the next, and the answer to a call of ours that did it has come."""
CREATED: Final = "Created"
_TENTH: Final = 0.1
_WHOLE_BOOT: Final = frozenset(Moment) - {Moment.RESYNC_BEGAN}
"""Once all of these are noted nothing more is looked for: a resync that begins later is none of the boot's."""
_ALL_STARTED: Final = frozenset({Moment.LAST_INSTANCE, Moment.RESYNC_OVER})
_HELD: Final = frozenset({SubjectKind.VOLUME, SubjectKind.POOL, SubjectKind.INSTANCE})


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """Something that Incus said: ``what`` happened to which pool or ``PROJECT/NAME``, when (seconds since boot)."""

    what: str
    """``starting``, ``started``, ``start-failed``, ``pool-failed``."""
    name: str
    at: float


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """A start of an instance of which the beginning is known, and perhaps the end."""

    began: float
    ended: float | None = None


class Tally:
    """The figures of one run of the agent.

    Args:
        satellite_unit: The satellite's unit on this host.
        born: Seconds since boot at which the counting begins.
        known: Moments that an agent before us noted in this boot: name to seconds since boot.
    """

    def __init__(
        self, *, satellite_unit: str, born: float, known: Mapping[str, float] | None = None
    ) -> None:
        self._unit = satellite_unit
        self._early = born <= moments.SEEN_FROM_THE_START
        self._not_yet: set[Moment] = set()
        self._mounted: dict[str, bool] = {}
        self._come: dict[str, float] = {}
        """Pools seen mounted lately, by whom is not known yet: since when."""
        self._by_us: set[str] = set()
        self._starts: dict[str, Start] = {}
        self._last_started: float | None = None
        self._come_true: dict[Moment, float] = {}
        self._known = frozenset(known or ())
        self.moments: dict[Moment, float] = {
            Moment(name): at for name, at in (known or {}).items() if name in set(Moment)
        }
        self.down: dict[str, float] = {}
        """Wanted volumes, pools and instances that are not ready, by subject: since when."""
        self.actions: dict[tuple[str, ...], int] = {}
        """By (action, outcome)."""
        self.mounts: dict[tuple[str, ...], int] = {}
        """Attempts to mount a pool, by (pool, who, outcome)."""
        self.boot: BootFigures | None = None
        """What the journal says of this boot, once it is over and was read."""
        self.mount_seconds = Histogram()
        self.holds = Histogram()
        self.starts: dict[tuple[str, str], Histogram] = {}
        """How long starts took, by (container or virtual-machine, phase)."""

    # --- what goes by -------------------------------------------------------------------------

    def saw(self, snapshot: Snapshot, report: Report) -> tuple[Measure, ...]:
        """Take a snapshot and what it is worth into account; returns what is worth keeping for good."""
        self._see_pools(snapshot)
        self._see_down(report)
        measures = [*self._see_starts(snapshot), *self._see_moments(snapshot, report)]
        return tuple(measures)

    def outcome(self, outcome: Outcome) -> tuple[Measure, ...]:
        """Take what came of an action into account."""
        action = outcome.action
        _count(self.actions, (str(type(action).__struct_config__.tag), str(outcome.kind)))
        took = outcome.ended_at - outcome.started_at
        if isinstance(action, ValidatePool) and outcome.kind is not OutcomeKind.VOID:
            done = outcome.kind is OutcomeKind.DONE
            _count(self.mounts, (action.pool, "tidegate", "mounted" if done else "failed"))
            self.mount_seconds.observe(took)
            if done:
                self._ours(action.pool)
                return (Measure("pool-mount", str(action.subject), took),)
        if isinstance(action, StartInstance) and outcome.kind is OutcomeKind.DONE:
            # A virtual machine says nothing of its beginning by itself: what we asked for is measured here.
            self._starts.setdefault(str(action.instance), Start(began=outcome.started_at))
            self._ended(str(action.instance), outcome.ended_at)
        return ()

    def told(self, told: Told) -> None:
        """Take something that Incus said into account."""
        match told.what:
            case "starting":
                if len(self._starts) < MOST_KEPT:
                    self._starts[told.name] = Start(began=told.at)
            case "started":
                self._last_started = max(self._last_started or 0.0, told.at)
                self._ended(told.name, told.at)
            case "start-failed":
                self._starts.pop(told.name, None)
            case "pool-failed":
                self._mounted.setdefault(told.name, False)
                _count(self.mounts, (told.name, "incus", "failed"))
            case _:
                pass

    def read(self, figures: BootFigures) -> tuple[Measure, ...]:
        """Take what the journal of this boot says into account; returns what an agent before us has not kept already."""
        self.boot = figures
        return tuple(
            Measure(name, "", seconds)
            for phase, seconds in figures.phases.items()
            if (name := f"phase/{phase}") not in self._known
        )

    # --- how it is counted --------------------------------------------------------------------

    def _see_pools(self, snapshot: Snapshot) -> None:
        """Incus tries each pool once while it starts and tells nobody but its log: what came of that is seen by its status (D16)."""
        for name, at in list(self._come.items()):
            if snapshot.at - at > SETTLED:
                del self._come[name]
                _count(self.mounts, (name, "incus", "mounted"))
        if snapshot.pools is None:
            return
        for name, pool in snapshot.pools.value.items():
            now, before = pool.status == CREATED, self._mounted.get(name)
            if before is None and not now:
                _count(self.mounts, (name, "incus", "failed"))
            elif now and not before and name not in self._by_us:
                self._come[name] = snapshot.at
            if now:
                self._by_us.discard(name)
            self._mounted[name] = now

    def _ours(self, pool: str) -> None:
        """A pool was mounted by our asking; a look may have shown it before our call had its answer."""
        if self._come.pop(pool, None) is None:
            self._by_us.add(pool)

    def _see_down(self, report: Report) -> None:
        for text, state in report.subjects.items():
            if state.subject.kind not in _HELD:
                continue
            if state.wanted and not state.ready:
                if text not in self.down and len(self.down) < MOST_KEPT:
                    self.down[text] = report.at
                continue
            since = self.down.pop(text, None)
            if since is not None and state.ready and state.subject.kind is SubjectKind.VOLUME:
                self.holds.observe(report.at - since)
        for text in [text for text in self.down if text not in report.subjects]:
            del self.down[text]

    def _see_moments(self, snapshot: Snapshot, report: Report) -> Iterable[Measure]:
        """Note what has become so and stayed so: a look in the middle of a start can show all as well for a moment.

        What cannot be said takes nothing back: while every instance is just being started, nothing is wanted.
        """
        if self.moments.keys() >= _WHOLE_BOOT:
            return
        starting = self._is_starting(snapshot)
        for moment, now, since in moments.truths(snapshot, report, self._unit):
            if moment in self.moments:
                continue
            so = False if starting and moment in _ALL_STARTED else now
            if so is False:
                self._come_true.pop(moment, None)
            if not so:
                if so is False or self._early:
                    self._not_yet.add(moment)
            elif moment in self._not_yet or self._early:
                at = self._come_true.setdefault(moment, since)
                if snapshot.at - at >= SETTLED:
                    self.moments[moment] = self._exactly(moment, at)
                    yield Measure(moment.value, "", self.moments[moment])

    def _exactly(self, moment: Moment, seen: float) -> float:
        """Return when it was: for the last instance Incus's own word, if it said so about then."""
        heard = self._last_started
        near = heard is not None and abs(seen - heard) < 5.0
        return heard if moment is Moment.LAST_INSTANCE and near and heard is not None else seen

    def _is_starting(self, snapshot: Snapshot) -> bool:
        """Return True while an instance is being started: it has been used in this boot and does not run, and so nothing is wanted of it."""
        shown = snapshot.instances.value if snapshot.instances is not None else {}
        begun = (name for name, start in self._starts.items() if start.ended is None)
        return any(name in shown and not shown[name].runs for name in begun)

    def _ended(self, name: str, at: float) -> None:
        begun = self._starts.get(name)
        if begun is not None and begun.ended is None:
            self._starts[name] = msgspec.structs.replace(begun, ended=at)

    def _see_starts(self, snapshot: Snapshot) -> Iterable[Measure]:
        """Measure the starts that have ended once Incus shows when storage was done: its time of last use (facts/incus.md M7)."""
        if not self._starts or snapshot.instances is None:
            return
        for name, start in list(self._starts.items()):
            facts = snapshot.instances.value.get(name)
            if start.ended is None:
                if facts is None or snapshot.at - start.began > LONGEST_START:
                    del self._starts[name]
                continue
            if facts is None or snapshot.instances.at < start.ended:
                continue
            del self._starts[name]
            total = start.ended - start.began
            self._start(facts.kind, "total").observe(total)
            yield Measure("instance-start", f"instance/{name}", total)
            used = facts.last_used_at
            stored = used - snapshot.boot_wall - start.began if used is not None else -1.0
            if -_TENTH <= stored <= total + _TENTH:
                self._start(facts.kind, "storage").observe(stored)
                self._start(facts.kind, "init").observe(total - stored)
                yield Measure("instance-storage", f"instance/{name}", max(0.0, stored))

    def _start(self, kind: str, phase: str) -> Histogram:
        return self.starts.setdefault((kind, phase), Histogram())


def _count(counter: dict[tuple[str, ...], int], key: tuple[str, ...]) -> None:
    if key in counter or len(counter) < MOST_KEPT:
        counter[key] = counter.get(key, 0) + 1
