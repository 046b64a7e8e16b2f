# SPDX-License-Identifier: Apache-2.0
"""Server-sent events, without any I/O: bytes in, events out, split wherever the network likes.

The rules are those of the WHATWG HTML standard (section "Server-sent events"): one leading byte
order mark is dropped, lines end with CR, LF or CRLF, `data` lines are joined with a line feed, an
event without data is dropped, an event that the end of the stream cuts off is dropped too.
LINSTOR sends no ids, no retry times and no comments (facts/linstor.md 4.7); all are understood.
"""

import re
from typing import Final

import msgspec

MAX_EVENT: Final = 1024 * 1024  # bytes of one event, field names included; a node object is 4 KB

_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_BOM: Final = b"\xef\xbb\xbf"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One event. `name` is "message" when the stream gave none; `id` is the last id seen so far."""

    name: str
    data: str
    id: str = ""


class TooLongError(ValueError):
    """One event is longer than the limit: what comes is no event stream of ours."""


class Parser:
    """Feed it bytes, get events. `retry` is the time (ms) the server last asked us to wait, if it did."""

    def __init__(self, limit: int = MAX_EVENT) -> None:
        self.retry: int | None = None
        self._limit = limit
        self._size = 0  # bytes of the event that is being collected
        self._rest = b""  # an unfinished line
        self._at_start = True
        self._after_cr = False  # the last line ended with CR: a LF now belongs to it
        self._name = ""
        self._data: list[str] = []
        self._id = ""

    def feed(self, chunk: bytes) -> list[Event]:
        """Take what has arrived and return the events it completes. Raises `TooLongError`."""
        buffer = self._rest + chunk
        if self._at_start:
            if len(buffer) < len(_BOM) and _BOM.startswith(buffer):
                self._rest = buffer
                return []
            buffer = buffer.removeprefix(_BOM)
            self._at_start = False
        if self._after_cr and buffer:
            buffer = buffer.removeprefix(b"\n")
            self._after_cr = False
        events: list[Event] = []
        start = 0
        for end in _LINE_END.finditer(buffer):
            event = self._line(buffer[start : end.start()])
            start = end.end()
            if event is not None:
                events.append(event)
        self._after_cr = buffer.endswith(b"\r")
        self._rest = buffer[start:]
        self._check(len(self._rest))
        return events

    def _check(self, more: int) -> None:
        if self._size + more > self._limit:
            raise TooLongError(f"one event is longer than {self._limit} bytes")

    def _line(self, line: bytes) -> Event | None:
        if not line:
            return self._dispatch()
        self._check(len(line))
        field, _, raw = line.partition(b":")
        if not field:
            return None  # a comment, used as a sign of life
        self._size += len(line)
        value = raw.removeprefix(b" ").decode("utf-8", "replace")
        if field == b"data":
            self._data.append(value)
        elif field == b"event":
            self._name = value
        elif field == b"id" and "\0" not in value:
            self._id = value
        elif field == b"retry" and value.isascii() and value.isdigit() and len(value) < 10:
            self.retry = int(value)
        return None

    def _dispatch(self) -> Event | None:
        name, data = self._name, self._data
        self._name, self._data, self._size = "", [], 0
        if not data:
            return None
        return Event(name=name or "message", data="\n".join(data), id=self._id)
