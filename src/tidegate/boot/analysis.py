# SPDX-License-Identifier: Apache-2.0
"""The way through the room: lines → gathered → time line → facts → stories, causes, phases → the analysis of a boot."""

import bisect
from collections.abc import Iterable
from typing import Final

import msgspec

from tidegate.boot import causes, linstor_line, order, path, phases, stories, timeline, verdict
from tidegate.boot.case import Case
from tidegate.boot.facts import Facts
from tidegate.boot.gather import Gathered
from tidegate.boot.graph import Graph
from tidegate.boot.model import BootAnalysis, Entry, Hints
from tidegate.boot.timeline import Timeline

MAX_BOOTS: Final = 64
"""Boots held at a time; the oldest are finished and forgotten first."""
_FELL: Final = 5.0
"""Seconds by which a monotonic clock must fall to be another boot's."""
_YOUNG: Final = 300.0
_MARGIN: Final = 120.0
_NOTHING: Final = Hints()
_LINSTOR: Final = frozenset({"Satellite", "Controller"})


class Boots:
    """Lines of any number of boots, put to the boot that they belong to."""

    def __init__(self) -> None:
        self.found: dict[str, Gathered] = {}
        self.unplaced = 0
        self.forgotten = 0
        self._named = False
        self._synthetic = 0
        self._last = ""
        self._now: Gathered | None = None
        self._zone: float | None = None
        """Seconds by which LINSTOR's own times are behind UTC, learned from lines that the journal has too."""

    def take(self, entry: Entry) -> None:
        """Look at one line."""
        boot = entry.boot
        if entry.identifier in _LINSTOR:
            entry = self._zoned(entry)
        if not boot:
            boot = self._place(entry)
            if not boot:
                self.unplaced += 1
                return
        elif not self._named and "#" not in boot:
            self._named = True
        if boot != self._last or self._now is None:
            self._now = self.found.get(boot)
            if self._now is None:
                self._now = self.found[boot] = Gathered(boot)
                if len(self.found) > MAX_BOOTS:
                    del self.found[next(iter(self.found))]
                    self.forgotten += 1
            self._last = boot
        self._now.take(entry)

    def _zoned(self, entry: Entry) -> Entry:
        """Return a line of LINSTOR's own log file, which knows only local time, with the time that it had in UTC."""
        if entry.boot and self._zone is not None:
            return entry
        line = linstor_line.parse(entry.message)
        own = None if line is None else linstor_line.wall(line)
        if own is None or entry.wall is None:
            return entry
        if entry.transport != "file":
            self._zone = round((entry.wall - own) / 900.0) * 900.0
            return entry
        if not self._zone:
            return entry
        return msgspec.structs.replace(entry, wall=own + self._zone)

    def _place(self, entry: Entry) -> str:
        """Return the boot of a line that does not name its own."""
        if self._named and entry.at is None:
            return self._by_wall(entry.wall)
        now = self._now
        if now is not None and self._last.startswith("#") and not _begins_anew(now, entry):
            return self._last
        if now is not None and not self._last.startswith("#") and entry.at is None:
            return self._last
        self._synthetic += 1
        return f"#{self._synthetic}"

    def _by_wall(self, wall: float | None) -> str:
        if wall is None:
            return self._last
        best = ""
        for boot, gathered in self.found.items():
            first, last = gathered.first_wall, gathered.last_wall
            if first is not None and last is not None and first - 1 <= wall <= last + _MARGIN:
                best = boot
        return best


def _begins_anew(now: Gathered, entry: Entry) -> bool:
    if entry.identifier == "kernel" and entry.message.startswith("Linux version "):
        return now.entries > 0 and (now.last_at or 0.0) > (entry.at or 0.0)
    if entry.at is None or now.last_at is None:
        return False
    return (
        entry.at < _YOUNG
        and entry.at < now.last_at - _FELL
        and entry.at < (now.first_at or 0.0) + _FELL
    )


def analyse_all(
    entries: Iterable[Entry], *, hints: Hints = _NOTHING, notes: Iterable[str] = ()
) -> tuple[BootAnalysis, ...]:
    """Return an analysis of every boot in ``entries``, in order of their beginnings.

    ``notes`` is read at the end: what the reader has to say about its source. One pass; memory does not grow with the lines.
    """
    boots = Boots()
    take = boots.take
    for entry in entries:
        take(entry)
    said = list(notes)
    if boots.unplaced:
        said.append(f"{boots.unplaced} lines belong to no boot that was read and were passed over")
    if boots.forgotten:
        said.append(f"{boots.forgotten} boots before these were passed over: more than {MAX_BOOTS}")
    keys = [
        (gathered.first_wall or 0.0, number) for number, gathered in enumerate(boots.found.values())
    ]
    ordered = [
        gathered
        for _, gathered in sorted(
            zip(keys, boots.found.values(), strict=True), key=lambda pair: pair[0]
        )
    ]
    found: list[BootAnalysis] = []
    before: Facts | None = None
    for gathered in ordered:
        told = timeline.make(gathered, node=hints.node, notes=tuple(said))
        facts = Facts(told, hints, before)
        found.append(_explain(facts))
        before = facts
        before.before = None
    return tuple(found)


def analyse(
    entries: Iterable[Entry],
    *,
    hints: Hints = _NOTHING,
    boot: str = "",
    notes: Iterable[str] = (),
) -> BootAnalysis:
    """Return the analysis of one boot: the one whose id begins with ``boot``, by default the last in ``entries``."""
    found = analyse_all(entries, hints=hints, notes=notes)
    if boot:
        found = tuple(one for one in found if one.boot.startswith(boot))
    if not found:
        return BootAnalysis(
            boot=boot, verdict="undecided: there is no line of this boot.", notes=tuple(notes)
        )
    return found[-1]


def explain(told: Timeline, hints: Hints = _NOTHING) -> BootAnalysis:
    """Return what the events of one boot say about it."""
    return _explain(Facts(told, hints))


def _explain(facts: Facts) -> BootAnalysis:
    told = facts.timeline
    pools = stories.pools(facts)
    instances = stories.instances(facts, pools)
    case = Case(facts=facts, graph=Graph(), pools=pools, instances=instances)
    found, links = causes.find(case)
    status = verdict.status(case, found)
    return BootAnalysis(
        boot=told.boot,
        hostname=told.hostname,
        kernel=told.kernel,
        source=told.source,
        origin=told.origin,
        began=told.began,
        length=told.length,
        status=status,
        verdict=verdict.sentence(case, status, found),
        causes=found,
        links=links,
        phases=phases.make(case),
        events=told.events,
        order=order.make(case),
        pools=pools,
        instances=instances,
        path=path.make(case, found),
        shapes=told.shapes,
        entries=told.entries,
        dropped=told.dropped,
        ended=facts.shutdown is not None,
        notes=told.notes,
    )


def at_index(found: tuple[BootAnalysis, ...], index: int) -> BootAnalysis | None:
    """Return a boot as ``-b`` counts them: 0 is the last, -1 the one before, 1 the first; None when there is none."""
    position = index - 1 if index > 0 else len(found) - 1 + index
    return found[position] if 0 <= position < len(found) else None


def nearest(found: tuple[BootAnalysis, ...], wall: float) -> BootAnalysis | None:
    """Return the boot that was going on at ``wall`` (seconds since the epoch); None when none had begun."""
    begun = [one.began or 0.0 for one in found]
    position = bisect.bisect_right(begun, wall) - 1
    return found[position] if position >= 0 else None
