# SPDX-License-Identifier: Apache-2.0
"""Messages that no pattern knows: grouped by their form, counted, never lost, and never more than a bounded number of groups."""

import re
from typing import Final

import msgspec

from tidegate.boot.model import MAX_MESSAGE, Entry, Evidence

MAX_SHAPES: Final = 400
MAX_SHAPE: Final = 160
EVERYTHING_ELSE: Final = "(everything else)"

_VARIABLE: Final = re.compile(
    r'"[^"]{0,200}"'
    r"|'[^']{0,200}'"
    r"|\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4,12}){2,4}\b"
    r"|/[\w./@:+-]{2,200}"
    r"|\b0x[0-9a-fA-F]+\b"
    r"|\b[0-9a-fA-F]{12,64}\b"
    r"|\d[\d.:,-]*"
)


def shape_of(message: str) -> str:
    """Return ``message`` without what differs from time to time: numbers, quoted text, paths, ids."""
    return _VARIABLE.sub("#", message[: MAX_SHAPE * 2])[:MAX_SHAPE]


def evidence(entry: Entry, at: float | None = None) -> Evidence:
    """Return ``entry`` as a line to be shown, cut to a bounded length."""
    return Evidence(
        at=at,
        wall=entry.wall,
        who=(entry.unit or entry.identifier or entry.transport)[:200],
        text=entry.message[:MAX_MESSAGE],
        source=entry.source,
        line=entry.line,
        cursor=entry.cursor,
    )


class Group(msgspec.Struct):
    """One group while it grows; times are the machine's monotonic seconds, None where only the wall clock is known."""

    sample: Entry
    count: int = 1
    last: float | None = None


class Shapes:
    """The groups of one boot."""

    def __init__(self) -> None:
        self.groups: dict[tuple[str, str], Group] = {}
        self.others: dict[str, Group] = {}

    def unknown(self, entry: Entry, message: str) -> None:
        """Count a line of a program that matters (or a warning of any), whose message no pattern knows."""
        key = (entry.unit or entry.identifier, shape_of(message))
        group = self.groups.get(key)
        if group is not None:
            group.count += 1
            group.last = entry.at
        elif len(self.groups) < MAX_SHAPES:
            self.groups[key] = Group(sample=shortened(entry), last=entry.at)
        else:
            self.other(entry)

    def other(self, entry: Entry) -> None:
        """Count a line that is not looked at: by program alone."""
        who = entry.identifier
        group = self.others.get(who)
        if group is not None:
            group.count += 1
            group.last = entry.at
        elif len(self.others) < MAX_SHAPES:
            self.others[who] = Group(sample=shortened(entry), last=entry.at)
        else:
            self.others.setdefault("", Group(sample=shortened(entry), count=0)).count += 1


def shortened(entry: Entry) -> Entry:
    """Return ``entry`` with its message cut to a bounded length."""
    if len(entry.message) <= MAX_MESSAGE:
        return entry
    return msgspec.structs.replace(entry, message=entry.message[:MAX_MESSAGE])
