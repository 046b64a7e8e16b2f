# SPDX-License-Identifier: Apache-2.0
"""The lines of ``drbdsetup events2``: text in, values out. No state, no I/O.

A line is ``[timestamp] action object key:value …`` (facts/linstor.md 7.2). The set of keys grows with
the version of drbd-utils (9.34 added ``open``), so a line keeps all its keys as text and readers take
what they know. Actions and objects we never heard of are kept as well.
"""

import enum
import re
from typing import Final

import msgspec

_TIMESTAMP: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


class Action(enum.StrEnum):
    """What happened to the object. ``exists`` lines describe how things stood at the start."""

    EXISTS = "exists"
    CREATE = "create"
    CHANGE = "change"
    DESTROY = "destroy"
    CALL = "call"
    RESPONSE = "response"
    RENAME = "rename"


class Kind(enum.StrEnum):
    """What kind of object a line is about; ``END`` is the line ``exists -`` after the initial state."""

    RESOURCE = "resource"
    DEVICE = "device"
    CONNECTION = "connection"
    PEER_DEVICE = "peer-device"
    PATH = "path"
    HELPER = "helper"
    END = "-"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One line. ``action`` and ``kind`` are text, comparable with :class:`Action` and :class:`Kind`."""

    action: str
    kind: str
    keys: dict[str, str] = {}
    timestamp: str | None = None
    """As printed, ISO 8601 with microseconds and offset; None without ``--timestamps``."""

    @property
    def is_end_of_initial_state(self) -> bool:
        """True for ``exists -``: everything that existed at the start has been told."""
        return self.kind == Kind.END and self.action == Action.EXISTS

    @property
    def resource(self) -> str:
        """The resource's name, empty for ``exists -``."""
        return self.keys.get("name", "")


class Malformed(msgspec.Struct, frozen=True, kw_only=True):
    """A line that is none: cut short, or an error text. What came since the last full state is in doubt."""

    text: str


def parse(line: str) -> Event | Malformed | None:
    """The value of one line; None for an empty line or a comment."""
    text = line.strip()
    if not text or text.startswith("#"):
        return None
    words = text.split()
    timestamp = words.pop(0) if _TIMESTAMP.match(words[0]) else None
    if len(words) < 2:
        return Malformed(text=text)
    action, kind = words[0], words[1]
    try:
        keys = dict(word.split(":", 1) for word in words[2:])
    except ValueError:  # a word without a colon
        return Malformed(text=text)
    if kind != Kind.END and "name" not in keys:
        return Malformed(text=text)
    return Event(action=action, kind=kind, keys=keys, timestamp=timestamp)
