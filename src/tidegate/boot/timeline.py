# SPDX-License-Identifier: Apache-2.0
"""What was gathered of one boot → events in order of time, on one clock that begins with the boot."""

from typing import Final

import msgspec

from tidegate.boot import shapes
from tidegate.boot.gather import Gathered, Record
from tidegate.boot.model import Entry, Event, Evidence, Kind, Shape

_LATE_FIRST_LINE: Final = 300.0
"""A first line later than this on the monotonic clock is of a container (its machine runs longer), or the beginning is missing."""
_SHOWN_SHAPES: Final = 200
_BEGINNINGS: Final = ("Journal started", "Linux version ", "systemd ")
_SATELLITE_START: Final = frozenset(
    {Kind.SATELLITE_JVM, Kind.SATELLITE_LOADED, Kind.SATELLITE_LISTENING}
)


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """The events of a boot; times are seconds since ``origin``."""

    boot: str
    hostname: str
    kernel: str
    source: str
    origin: float
    began: float | None
    length: float
    events: tuple[Event, ...]
    shapes: tuple[Shape, ...]
    entries: int
    dropped: int
    has_beginning: bool
    notes: tuple[str, ...]


def make(gathered: Gathered, *, node: str = "", notes: tuple[str, ...] = ()) -> Timeline:
    """Return the time line of one boot. ``node`` is whose satellite counts, where a log holds several."""
    clock = _Clock(gathered)
    records = _of_one_satellite(gathered.records, node)
    events = tuple(
        sorted((_event(record, clock) for record in records), key=lambda event: event.at)
    )
    kernel = next((e.data.get("version", "") for e in events if e.kind is Kind.KERNEL_STARTED), "")
    return Timeline(
        boot=gathered.boot,
        hostname=gathered.hostname,
        kernel=kernel,
        source=gathered.first.source if gathered.first is not None else "",
        origin=clock.origin,
        began=clock.began,
        length=clock.length,
        events=events,
        shapes=_shapes(gathered.shapes, clock),
        entries=gathered.entries,
        dropped=gathered.dropped,
        has_beginning=clock.has_beginning,
        notes=(*notes, *_notes(gathered, clock)),
    )


class _Clock:
    """Seconds since the boot began, from whichever clock a line knows."""

    def __init__(self, gathered: Gathered) -> None:
        first_at = gathered.first_at
        self.has_beginning = _begins(gathered)
        self._offset = gathered.offset
        self._first_wall = gathered.first_wall
        if first_at is None:
            self.origin = 0.0
            self.began = gathered.first_wall
            self.length = max((gathered.last_wall or 0.0) - (gathered.first_wall or 0.0), 0.0)
            return
        late = first_at > _LATE_FIRST_LINE
        self.origin = first_at if late and self.has_beginning else 0.0
        self.began = None if self._offset is None else self._offset + self.origin
        self.length = max((gathered.last_at or first_at) - self.origin, 0.0)

    def at(self, mono: float | None, wall: float | None) -> float:
        """Return a line's time; 0 where neither clock is known."""
        if mono is not None:
            return round(mono - self.origin, 6)
        if wall is None:
            return 0.0
        if self._offset is not None:
            return round(wall - self._offset - self.origin, 6)
        return round(wall - (self._first_wall or wall), 6)


def _begins(gathered: Gathered) -> bool:
    first = gathered.first
    if first is None:
        return False
    if any(first.message.startswith(text) for text in _BEGINNINGS):
        return True
    early = first.at is not None and first.at < _LATE_FIRST_LINE
    return early or any(
        record.kind in {Kind.KERNEL_STARTED, Kind.STARTUP_FINISHED} for record in gathered.records
    )


def _event(record: Record, clock: _Clock) -> Event:
    at = clock.at(record.at, record.entry.wall)
    return Event(
        kind=record.kind,
        subject=record.subject,
        at=at,
        detail=record.data.get("err", ""),
        data=record.data,
        evidence=(shapes.evidence(record.entry, at),),
        count=record.count,
        last=None if record.last is None else clock.at(record.last, None),
    )


def _of_one_satellite(records: list[Record], node: str) -> list[Record]:
    """Drop the lines of other nodes' satellites, which logs collected in one place hold."""
    hosts = [
        record.data["host"]
        for record in records
        if "host" in record.data and record.subject == "satellite"
    ]
    if len(set(hosts)) < 2:
        return records
    if node not in hosts:
        starts = [
            record.data["host"]
            for record in records
            if record.kind in _SATELLITE_START and "host" in record.data
        ]
        node = starts[0] if starts else max(set(hosts), key=hosts.count)
    return [
        record
        for record in records
        if record.data.get("host", node) == node or _of_controller(record.entry)
    ]


def _of_controller(entry: Entry) -> bool:
    return entry.identifier == "Controller" or "/Controller/" in entry.message[:120]


def _shapes(found: shapes.Shapes, clock: _Clock) -> tuple[Shape, ...]:
    rows = [
        _shape(who, form, group, clock)
        for (who, form), group in sorted(
            found.groups.items(), key=lambda item: (-item[1].count, item[0])
        )[:_SHOWN_SHAPES]
    ]
    rest = sorted(found.others.items(), key=lambda item: -item[1].count)[:_SHOWN_SHAPES]
    rows += [_shape(who, shapes.EVERYTHING_ELSE, group, clock) for who, group in rest]
    return tuple(rows)


def _shape(who: str, form: str, group: shapes.Group, clock: _Clock) -> Shape:
    first = clock.at(group.sample.at, group.sample.wall)
    sample: Evidence = shapes.evidence(group.sample, first)
    last = first if group.last is None else clock.at(group.last, None)
    return Shape(
        who=who,
        shape=form,
        count=group.count,
        first=first,
        last=max(first, last),
        priority=group.sample.priority,
        sample=sample,
    )


def _notes(gathered: Gathered, clock: _Clock) -> tuple[str, ...]:
    notes = []
    if gathered.entries and not clock.has_beginning:
        notes.append(
            "the beginning of this boot is missing: what was before the first line is not known"
        )
    lost: dict[str, int] = {}
    for record in gathered.records:
        if record.kind is Kind.LINES_LOST:
            unit = record.data.get("unit", "")
            lost[unit] = lost.get(unit, 0) + int(record.data.get("number", "0")[:12])
    notes += [
        f"journald threw away {number} lines of {unit} because there were too many: what they said is missing here"
        for unit, number in list(lost.items())[:5]
    ]
    if gathered.disorder:
        notes.append(f"{gathered.disorder} lines were out of order and were put into order")
    if gathered.dropped:
        notes.append(f"{gathered.dropped} events were only counted, because there were too many")
    if gathered.first_at is None and gathered.entries:
        notes.append("only the wall clock is known; where it stepped, the differences are wrong")
    return tuple(notes)
