# SPDX-License-Identifier: Apache-2.0
"""Lines of satellite and controller taken apart: time, thread, level, component, message (facts/linstor.md 9.1)."""

import datetime as dt
import re
from typing import Final

import msgspec

_LINE: Final = re.compile(
    r"^(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) \[(?P<thread>[^\]]{1,80})\] (?P<level>[A-Z]{4,5})\s+"
    r"(?P<component>\S{1,60})/(?P<id>[0-9A-Za-z]{0,16}) (?P<user>\S{1,60}) - (?P<message>.*)$",
    re.DOTALL,
)
_OLD: Final = re.compile(
    r"^(?P<time>\d\d:\d\d:\d\d\.\d{3}) \[(?P<thread>[^\]]{1,80})\] (?P<level>[A-Z]{4,5})\s+"
    r"(?P<component>\S{1,60}) - (?P<user>\S{1,60}) - (?P<message>.*)$",
    re.DOTALL,
)


class LinstorLine(msgspec.Struct, frozen=True):
    """One line; ``seconds`` is its own time of day in seconds, of a clock in an unknown zone."""

    seconds: float
    level: str
    component: str
    """``LINSTOR/Satellite`` or ``LINSTOR/Controller``."""
    message: str
    date: str = ""


def parse(line: str) -> LinstorLine | None:
    """Return the parts of a line; None when it is not of that form (the banner, a stack trace, the logging library's own)."""
    found = _LINE.match(line) or _OLD.match(line)
    if found is None:
        return None
    date, _, clock = found["time"].rpartition(" ")
    hours, minutes, seconds = clock.split(":")
    return LinstorLine(
        seconds=int(hours) * 3600 + int(minutes) * 60 + float(seconds),
        level=found["level"],
        component=found["component"],
        message=found["message"],
        date=date,
    )


def wall(line: LinstorLine) -> float | None:
    """Return the line's own time as seconds since the epoch, taking its zone for UTC; None without a (possible) date."""
    if not line.date:
        return None
    try:
        day = dt.datetime.strptime(line.date, "%Y-%m-%d").replace(tzinfo=dt.UTC)
    except ValueError:
        return None
    return day.timestamp() + line.seconds


_ZONE_STEP: Final = 900.0
_LATE_AT_MOST: Final = 30.0


def lag(line: LinstorLine, received: float) -> float:
    """Return by how many seconds the journal took the line later than it was written (0 when that cannot be told).

    Zones differ by multiples of 15 minutes, so the difference modulo that is the delay.
    """
    own = wall(line)
    if own is None:
        return 0.0
    late = (received - own) % _ZONE_STEP
    return late if late <= _LATE_AT_MOST else 0.0
