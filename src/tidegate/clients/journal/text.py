# SPDX-License-Identifier: Apache-2.0
"""Logs that are plain text: exports of the journal in its short forms, dmesg, LINSTOR's and Incus's own log files.

Forms of the journal: journalctl(1), ``short``, ``short-iso``, ``short-iso-precise``, ``short-precise``, ``short-full``,
``short-monotonic``, ``short-unix``. Without a year in the text (``short``) no wall clock is known.
"""

import datetime as dt
import re
from collections.abc import Iterable, Iterator
from typing import Final

from tidegate.boot import patterns_incus
from tidegate.boot.model import Entry
from tidegate.clients.journal.notes import Notes

_MONOTONIC: Final = re.compile(r"^\[\s*(?P<at>\d{1,9}\.\d{3,9})\] (?P<rest>.*)$", re.DOTALL)
_ISO: Final = re.compile(
    r"^(?P<day>\d{4}-\d\d-\d\d)T(?P<time>\d\d:\d\d:\d\d(?:[.,]\d{1,9})?)(?P<zone>Z|[+-]\d\d:?\d\d)? (?P<rest>.*)$",
    re.DOTALL,
)
_UNIX: Final = re.compile(r"^(?P<wall>\d{9,11}\.\d{3,9}) (?P<rest>.*)$", re.DOTALL)
_FULL: Final = re.compile(
    r"^[A-Z][a-z]{2} (?P<day>\d{4}-\d\d-\d\d) (?P<time>\d\d:\d\d:\d\d(?:\.\d{1,9})?) (?P<zone>[A-Z+\-\d:]{1,6}) (?P<rest>.*)$",
    re.DOTALL,
)
_SHORT: Final = re.compile(
    r"^(?P<month>[A-Z][a-z]{2}) [ \d]\d (?P<time>\d\d:\d\d:\d\d(?:\.\d{1,9})?) (?P<rest>.*)$",
    re.DOTALL,
)
_HOST: Final = re.compile(
    r"^(?P<host>[\w.-]{1,64}) (?P<who>[^\s\[\]:]{1,64})(?:\[(?P<pid>\d{1,9})\])?: (?P<message>.*)$",
    re.DOTALL,
)
_SOURCE: Final = re.compile(r"^(?P<host>[\w.-]{1,64}) (?P<message>.*)$", re.DOTALL)
_LINSTOR: Final = re.compile(
    r"^(?P<day>\d{4}-\d\d-\d\d) (?P<time>\d\d:\d\d:\d\d\.\d{3}) \[[^\]]{1,80}\] [A-Z]{4,5}\s+(?:LINSTOR/)?(?P<component>Satellite|Controller)"
)
_LINSTOR_OLD: Final = re.compile(
    r"^(?P<time>\d\d:\d\d:\d\d\.\d{3}) \[[^\]]{1,80}\] [A-Z]{4,5}\s+LINSTOR/(?P<component>Satellite|Controller) - "
)
"""Before "Log v2" (facts/linstor.md 9.1): no date."""
_INCUS: Final = re.compile(
    r'^time="(?P<day>\d{4}-\d\d-\d\d)T(?P<time>\d\d:\d\d:\d\d)(?P<zone>Z|[+-]\d\d:\d\d)" level='
)
_BOOT: Final = re.compile(r"^-- (?:Boot (?P<id>[0-9a-f]{32})|Reboot) --")
_SEPARATOR: Final = re.compile(r"^-- (?:Logs begin|Journal begins|No entries|cursor:)")
_NAMES: Final = {
    "Satellite": "linstor-satellite.service",
    "Controller": "linstor-controller.service",
}
_LEVELS: Final = {"error": 3, "fatal": 2, "panic": 1, "warning": 4, "info": 6, "debug": 7}


def wall_of(day: str, clock: str, zone: str | None) -> float | None:
    """Return a date, a time of day and a zone (none: taken for UTC) as seconds since the epoch; None when impossible."""
    written = zone if zone and (zone == "Z" or zone[0] in "+-") else "Z"
    whole, _, part = clock.replace(",", ".").partition(".")
    try:
        moment = dt.datetime.fromisoformat(
            f"{day}T{whole}{'+00:00' if written == 'Z' else written}"
        )
    except ValueError:
        return None
    return moment.timestamp() + (float(f"0.{part}") if part else 0.0)


_FORMS: Final = (_MONOTONIC, _ISO, _UNIX, _FULL, _SHORT)
_OF_JOURNAL: Final = 3
"""Lines in a journal's form among the first ones that make a file a journal."""


def is_journal(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` is a journal in one of its short forms, not the log of one program."""
    number = 0
    for line in head.decode("utf-8", errors="replace").split("\n")[:20]:
        found = next((form for one in _FORMS if (form := one.match(line)) is not None), None)
        if found is not None:
            told = _HOST.match(found["rest"])
            number += told is not None and (told["pid"] is not None or told["who"] == "kernel")
    return number >= _OF_JOURNAL


class _State:
    """What earlier lines of a file say about the later ones."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.boot = ""
        self.boots = 0
        self.daemon_at: float | None = None
        self.days = 0
        """Midnights passed in a log that tells only the time of day."""
        self.clock = ""
        self.last: Entry | None = None


def read(lines: Iterable[bytes], source: str, notes: Notes) -> Iterator[Entry]:
    """Yield the entries of a text; lines that belong to the one before (stack traces) carry its time."""
    state = _State(source)
    for number, raw in enumerate(lines, 1):
        line = raw.decode("utf-8", errors="replace").rstrip("\r")
        if not line.strip():
            continue
        separator = _BOOT.match(line)
        if separator is not None:
            state.boots += 1
            state.boot = separator["id"] or f"{source}#{state.boots}"
            state.last = None
            continue
        if _SEPARATOR.match(line):
            continue
        entry = _entry(line, number, state)
        if entry is None:
            notes.add(f"{source}: a line of unknown form was passed over")
        else:
            state.last = entry
            yield entry


def _entry(line: str, number: int, state: _State) -> Entry | None:
    own = _program_log(line, number, state)
    if own is not None:
        return own
    found = _MONOTONIC.match(line)
    if found is not None:
        return _told(found["rest"], number, state, at=float(found["at"]))
    found = _ISO.match(line) or _FULL.match(line)
    if found is not None:
        wall = wall_of(found["day"], found["time"], found["zone"])
        return _told(found["rest"], number, state, wall=wall)
    found = _UNIX.match(line)
    if found is not None:
        return _told(found["rest"], number, state, wall=float(found["wall"]))
    found = _SHORT.match(line)
    if found is not None:
        return _told(found["rest"], number, state, wall=_yearless(line, found["time"]))
    return _continued(line, number, state)


_MONTHS: Final = (
    "Jan",
    "Feb",
    "Mar",
    "Apr",
    "May",
    "Jun",
    "Jul",
    "Aug",
    "Sep",
    "Oct",
    "Nov",
    "Dec",
)


def _yearless(line: str, clock: str) -> float | None:
    """Return a time in a year that is not told: 1972, which has all days. Differences within a boot are right."""
    if line[:3] not in _MONTHS:
        return None
    day = line[4:6].replace(" ", "0")
    return wall_of(f"1972-{_MONTHS.index(line[:3]) + 1:02}-{day}", clock, None)


def _dateless(clock: str, state: _State) -> float | None:
    """Return a time of day in a year that is not told, a day later where the clock went past midnight."""
    if clock < "06" and state.clock > "18":
        state.days += 1
    state.clock = clock
    wall = wall_of("1972-01-01", clock, None)
    return None if wall is None else wall + state.days * 86_400.0


def _told(
    rest: str, number: int, state: _State, *, at: float | None = None, wall: float | None = None
) -> Entry | None:
    found = _HOST.match(rest)
    if found is not None and (found["pid"] or found["who"] in {"kernel", "systemd"}):
        return _make(
            found["message"],
            number,
            state,
            at=at,
            wall=wall,
            host=found["host"],
            who=found["who"],
            pid=found["pid"],
        )
    if at is not None:
        return _make(rest, number, state, at=at, wall=None, who="kernel")
    if found is not None and not rest.startswith(found["host"] + " 2"):
        return _make(
            found["message"], number, state, wall=wall, host=found["host"], who=found["who"]
        )
    named = _SOURCE.match(rest)
    if named is None:
        return None
    return _of_component(named["message"], number, state, wall, named["host"])


def _of_component(message: str, number: int, state: _State, wall: float | None, host: str) -> Entry:
    """Take a line that names only where it was recorded: it is LINSTOR's, from satellite or controller."""
    line = _LINSTOR.match(message)
    if line is not None:
        who = line["component"]
    elif "Module Controller" in message or host in {"ctl", "controller"}:
        who = "Controller"
    else:
        who = "Satellite"
    return _make(message, number, state, wall=wall, host=host, who=who)


def _program_log(line: str, number: int, state: _State) -> Entry | None:
    found = _LINSTOR.match(line)
    if found is not None:
        return _make(
            line,
            number,
            state,
            wall=wall_of(found["day"], found["time"], None),
            who=found["component"],
            transport="file",
        )
    old = _LINSTOR_OLD.match(line)
    if old is not None:
        wall = _dateless(old["time"], state)
        return _make(line, number, state, wall=wall, who=old["component"], transport="file")
    if line.startswith("LINSTOR, Module "):
        return _make(
            line,
            number,
            state,
            who=line.removeprefix("LINSTOR, Module ").strip()[:20],
            transport="file",
        )
    found = _INCUS.match(line)
    if found is None:
        return None
    wall = wall_of(found["day"], found["time"], found["zone"])
    _daemon_start(line, wall, state)
    return _make(line, number, state, wall=wall, who="incusd", transport="file")


_ONE_START: Final = 15.0
"""Seconds within which the first lines of a daemon's start come, each of which may be the first that is there."""


def _daemon_start(line: str, wall: float | None, state: _State) -> None:
    """Split incusd's own log, which has no separator of boots (facts/incus.md G7), where the daemon starts."""
    if wall is None or not any(text in line for text in patterns_incus.DAEMON_BEGINS):
        return
    if state.daemon_at is None or wall - state.daemon_at > _ONE_START or wall < state.daemon_at:
        state.boots += 1
        state.boot = f"{state.source}#{state.boots}"
    state.daemon_at = wall


def _continued(line: str, number: int, state: _State) -> Entry | None:
    last = state.last
    if last is None:
        return _make(line, number, state, who="kernel") if line.startswith("drbd ") else None
    return _make(
        line,
        number,
        state,
        at=last.at,
        wall=last.wall,
        host=last.hostname,
        who=last.identifier,
        transport=last.transport,
    )


def _make(
    message: str,
    number: int,
    state: _State,
    *,
    at: float | None = None,
    wall: float | None = None,
    host: str = "",
    who: str = "",
    pid: str | None = None,
    transport: str = "",
) -> Entry:
    unit = _NAMES.get(who, "")
    if who in {"startup", "incusd"}:
        unit = "incus.service"
    return Entry(
        message=message,
        at=at,
        wall=wall,
        unit=unit,
        identifier=who,
        pid=int(pid) if pid else None,
        priority=_priority(message),
        transport="kernel" if who == "kernel" else transport,
        boot=state.boot,
        hostname=host,
        line=number,
        source=state.source,
    )


_LEVEL: Final = re.compile(r"\blevel=(\w+)")


def _priority(message: str) -> int | None:
    found = _LEVEL.search(message, 0, 80)
    return _LEVELS.get(found[1]) if found is not None else None
