# SPDX-License-Identifier: Apache-2.0
"""Lines → events of one boot, in one pass, with memory that does not grow with the number of lines."""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from tidegate.boot import catalogue, linstor_line, patterns_systemd, shapes
from tidegate.boot.model import Entry, Kind
from tidegate.boot.pattern import Match, Program

MAX_OF_ONE: Final = 40
"""Events kept of one kind about one subject; more are counted with the last of them."""
MAX_SUBJECTS: Final = 400
"""Subjects for which events of one kind are kept."""
CLOCK_STEP: Final = 2.0
"""Seconds by which the wall clock must part from the monotonic one to be told as a step."""
_MAX_STEPS: Final = 20
_OUT_OF_ORDER: Final = 1.0
_WARNING: Final = 4

_OF_ANY_UNIT: Final = frozenset(
    {
        Kind.UNIT_STARTING,
        Kind.UNIT_STARTED,
        Kind.UNIT_STOPPING,
        Kind.UNIT_STOPPED,
        Kind.UNIT_SKIPPED,
        Kind.UNIT_LISTENING,
    }
)
"""What is said of every unit, and kept only for those that matter."""
_MATTERS: Final = re.compile(
    r"unit/(?:incus|linstor|drbd|tidegate|lxcfs|network|NetworkManager|systemd-networkd|systemd-modules-load|zfs|lvm|blk-avail"
    r"|local-fs|remote-fs|multi-user|graphical|time-sync|shutdown|reboot|poweroff|halt|kexec|multipath|iscsi|openvswitch|ovs"
    r"|systemd-udev-settle|[\w.@\\-]*wait-online|(?!run-user)[\w.@\\-]+\.mount)"
)
_PLAIN: Final = re.compile(
    r"(?:Start(?:ing|ed)|Finished|Reached target|Stopp(?:ed target|ing|ed)|Listening on|Mount(?:ed|ing)|Unmount(?:ed|ing)|Created slice|Removed slice)"
    r" ([\w@:.\\-]+\.\w+)(?: - |\.|$)"
    r"|([\w@:.\\-]+\.\w+): (?:Deactivated successfully\.|Consumed |Succeeded\.)"
).match
"""What systemd says all day of units that do not matter: looked at with one regex instead of many."""
_MESSAGES_AT_ALL_LEVELS: Final = frozenset({Program.LINSTOR, Program.INCUS, Program.TIDEGATE})


class Record(msgspec.Struct):
    """An event while it is gathered: ``at`` in the machine's monotonic seconds, None where only the wall clock is known."""

    kind: Kind
    subject: str
    at: float | None
    entry: Entry
    data: Mapping[str, str] = {}
    count: int = 1
    last: float | None = None


class Gathered:
    """Everything kept of one boot. ``take`` is called once per line."""

    def __init__(self, boot: str) -> None:
        self.boot = boot
        self.records: list[Record] = []
        self.shapes = shapes.Shapes()
        self.entries = 0
        self.dropped = 0
        self.disorder = 0
        self.hostname = ""
        self.first: Entry | None = None
        self.first_at: float | None = None
        self.last_at: float | None = None
        self.first_wall: float | None = None
        self.last_wall: float | None = None
        self.offset: float | None = None
        """Wall clock minus monotonic clock, from the first line that knows both."""
        self._offset_now: float | None = None
        self._steps = 0
        self._kept: dict[tuple[Kind, str], list[Record]] = {}
        self._subjects: dict[Kind, int] = {}
        self._matters: dict[str, bool] = {}

    def take(self, entry: Entry) -> None:
        """Look at one line."""
        self.entries += 1
        self._clocks(entry)
        program = catalogue.program_of(entry)
        if program is None:
            self._stranger(entry)
            return
        if program is Program.SYSTEMD:
            self._systemd(entry)
            return
        match = catalogue.classify(program, entry.message)
        if match is None:
            priority = entry.priority
            if program in _MESSAGES_AT_ALL_LEVELS or (
                priority is not None and priority <= _WARNING
            ):
                self.shapes.unknown(entry, _bare(program, entry.message))
            else:
                self.shapes.other(entry)
            return
        kind = match.pattern.kind
        if program is Program.TIDEGATE:
            kind, match = _own(entry, kind, match)
        if kind is not None:
            self._keep(kind, match.subject, entry, match.data, program)

    def _stranger(self, entry: Entry) -> None:
        priority = entry.priority
        if priority is None or priority > _WARNING:
            self.shapes.other(entry)
            return
        match = catalogue.anywhere(entry.message)
        if match is not None and match.pattern.kind is not None:
            self._keep(match.pattern.kind, match.subject, entry, match.data, Program.ANY)
        else:
            self.shapes.unknown(entry, entry.message)

    def _systemd(self, entry: Entry) -> None:
        if entry.pid not in {None, 1}:  # a user's manager
            self.shapes.other(entry)
            return
        plain = _PLAIN(entry.message)
        if plain is not None and not self._unit_matters(f"unit/{plain[1] or plain[2]}"):
            self.shapes.other(entry)
            return
        match = catalogue.classify(Program.SYSTEMD, entry.message)
        if match is not None and match.pattern.kind is not None:
            kind, subject, data = match.pattern.kind, match.subject, match.data
            if kind in _OF_ANY_UNIT and not self._unit_matters(subject):
                return
            self._keep(kind, subject, entry, data, Program.SYSTEMD)
            return
        found = by_fields(entry)
        if found is None:
            self.shapes.other(entry)
        elif found[0] not in _OF_ANY_UNIT or self._unit_matters(found[1]):
            self._keep(found[0], found[1], entry, {}, Program.SYSTEMD)

    def _unit_matters(self, subject: str) -> bool:
        known = self._matters.get(subject)
        if known is None:
            known = _MATTERS.match(subject) is not None
            if len(self._matters) < MAX_SUBJECTS * 10:
                self._matters[subject] = known
        return known

    def _clocks(self, entry: Entry) -> None:
        at, wall = entry.at, entry.wall
        if self.first is None:
            self.first, self.first_at, self.first_wall = entry, at, wall
            self.last_at, self.last_wall = at, wall
            self.hostname = entry.hostname
        if at is not None:
            last = self.last_at
            if last is None or at > last:
                self.last_at = at
                if self.first_at is None:
                    self.first_at = at
            elif at < last - _OUT_OF_ORDER:
                self.disorder += 1
                if self.first_at is not None and at < self.first_at:
                    self.first_at = at
        if wall is None:
            return
        if self.first_wall is None:
            self.first_wall = wall
        self.last_wall = wall
        if at is not None:
            offset = wall - at
            if self._offset_now is None:
                self.offset = self._offset_now = offset
            elif abs(offset - self._offset_now) > CLOCK_STEP:
                self._step(entry, offset - self._offset_now)
                self._offset_now = offset

    def _step(self, entry: Entry, seconds: float) -> None:
        self._steps += 1
        if self._steps <= _MAX_STEPS:
            data = {"seconds": f"{seconds:.3f}", "seen": "timestamps"}
            self._keep(Kind.CLOCK_STEP, "host", entry, data, Program.ANY)

    def _keep(
        self, kind: Kind, subject: str, entry: Entry, data: Mapping[str, str], program: Program
    ) -> None:
        at = entry.at
        if program is Program.LINSTOR and at is not None and entry.wall is not None:
            line = linstor_line.parse(entry.message)
            if line is not None:
                at -= linstor_line.lag(line, entry.wall)
        if _shuts_down(kind, subject):
            kind, subject = Kind.SHUTDOWN_BEGAN, "host"
        key = (kind, subject)
        kept = self._kept.get(key)
        if kept is None:
            subjects = self._subjects.get(kind, 0)
            if subjects >= MAX_SUBJECTS:
                self.dropped += 1
                return
            self._subjects[kind] = subjects + 1
            kept = self._kept[key] = []
        if any(_twice(record.entry, entry) for record in kept):
            return
        if len(kept) >= MAX_OF_ONE:
            kept[-1].count += 1
            kept[-1].last = at
            self.dropped += 1
            return
        if program is Program.LINSTOR:
            data = _of_linstor(entry, data)
            if kind in _OF_A_SATELLITE and data.get("component") == "Controller":
                return
        record = Record(
            kind=kind, subject=subject[:200], at=at, entry=shapes.shortened(entry), data=data
        )
        kept.append(record)
        self.records.append(record)


_OF_A_SATELLITE: Final = frozenset(
    {Kind.SATELLITE_JVM, Kind.SATELLITE_LOADED, Kind.SATELLITE_STOPPING, Kind.SATELLITE_TOOL_ABSENT}
)
"""Steps that a controller tells in the same words of itself."""


def _of_linstor(entry: Entry, data: Mapping[str, str]) -> Mapping[str, str]:
    """Add whose line it is: of which host, and of the controller, which a line without LINSTOR's own prefix (Java's) does not say."""
    more = {"host": entry.hostname} if entry.hostname else {}
    if entry.identifier == "Controller" or entry.unit == "linstor-controller.service":
        more["component"] = "Controller"
    return {**data, **more} if more else data


_SAME_MOMENT: Final = 2.0


def _twice(known: Entry, entry: Entry) -> bool:
    """Return whether a line is told a second time: by a log file beside the journal, or by syslog beside stderr (facts/incus.md G3, G4)."""
    if known.message != entry.message[: len(known.message)] or not known.message:
        return False
    if known.source == entry.source and known.identifier == entry.identifier:
        return False
    if known.wall is not None and entry.wall is not None:
        return abs(known.wall - entry.wall) <= _SAME_MOMENT
    return (
        known.at is not None and entry.at is not None and abs(known.at - entry.at) <= _SAME_MOMENT
    )


def _shuts_down(kind: Kind, subject: str) -> bool:
    """Return whether a unit's event shows that the machine goes down: the first targets stop, the last ones are reached."""
    unit = subject.partition("/")[2]
    if kind is Kind.UNIT_STARTED:
        return unit in patterns_systemd.SHUTDOWN_TARGETS
    return kind is Kind.UNIT_STOPPED and unit in {"multi-user.target", "graphical.target"}


_RESULTS: Final = {
    "done": Kind.UNIT_STARTED,
    "failed": Kind.UNIT_FAILED,
    "timeout": Kind.UNIT_FAILED,
    "dependency": Kind.UNIT_DEPENDENCY,
}


def by_fields(entry: Entry) -> tuple[Kind, str] | None:
    """Return what systemd's fields say where the text does not name the unit (before 249, ``StatusUnitFormat=description``)."""
    unit = entry.unit
    if entry.fields.get("JOB_TYPE") in {"start", "restart"} and unit and unit != "init.scope":
        result = entry.fields.get("JOB_RESULT")
        kind = Kind.UNIT_STARTING if result is None else _RESULTS.get(result)
        return (kind, f"unit/{unit}") if kind is not None else None
    for verb, kind in (
        ("Starting ", Kind.UNIT_STARTING),
        ("Started ", Kind.UNIT_STARTED),
        ("Finished ", Kind.UNIT_STARTED),
        ("Reached target ", Kind.UNIT_STARTED),
        ("Failed to start ", Kind.UNIT_FAILED),
        ("Stopping ", Kind.UNIT_STOPPING),
        ("Stopped ", Kind.UNIT_STOPPED),
    ):
        if entry.message.startswith(verb):
            described = entry.message[len(verb) :].rstrip(".")
            named = patterns_systemd.DESCRIPTIONS.get(described)
            return (kind, f"unit/{named}") if named else None
    return None


def _bare(program: Program, message: str) -> str:
    if program is Program.LINSTOR:
        line = linstor_line.parse(message)
        return f"{line.level} {line.message}" if line is not None else message
    if program is Program.INCUS and message.startswith("time="):
        return message.partition(" ")[2]
    return message


_OWN_EVENTS: Final = {
    "gate-waits": Kind.GATE_WAITING,
    "finding": Kind.FINDING,
    "cleared": Kind.FINDING_OVER,
}


_OF_SENTENCES: Final = frozenset({Kind.ALL_RUN, Kind.AGENT_WAITS})


def _own(entry: Entry, kind: Kind | None, match: Match) -> tuple[Kind | None, Match]:
    """Read our own line by its fields, which are exact, where it has them (contract: ``TIDEGATE_EVENT`` and the rest)."""
    fields = entry.fields
    event = fields.get("TIDEGATE_EVENT", "")
    if not event:
        return kind, match
    code = fields.get("TIDEGATE_CODE", "")
    data = {
        **match.data,
        "event": event,
        "code": code,
        "cause": fields.get("TIDEGATE_CAUSE", ""),
    }
    named = fields.get("TIDEGATE_SUBJECT", "")
    if event == "verdict":
        kind = Kind.GATE_TIMED_OUT if code == "gate.gave-up" else Kind.GATE_OPENED
        named = "host"
    elif event.startswith("action-"):
        kind = Kind.ACTION_DONE
    elif event.startswith("guard-"):
        kind = Kind.GUARD_HELD if "hold" in event or "held" in event else Kind.GUARD_PASSED
    elif event == "sentence":
        return (kind if kind in _OF_SENTENCES else None), match
    else:
        kind = _OWN_EVENTS.get(event)
    return kind, Match(match.pattern, named or match.subject, data)
