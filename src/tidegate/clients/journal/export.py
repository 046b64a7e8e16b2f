# SPDX-License-Identifier: Apache-2.0
"""``journalctl -o export``: fields line by line, binary ones with a length in front, an empty line between entries.

Source: systemd.io, Journal Export Formats.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import Final

from tidegate.boot.model import Entry
from tidegate.clients.journal import decode
from tidegate.clients.journal.notes import Notes

MAX_FIELD: Final = 64 * 1024
"""Bytes of one field that are kept."""
MAX_BINARY: Final = 768 * 1024 * 1024
"""A length beyond the journal's own limit is damage, not data."""
_KEPT: Final = frozenset(
    (*decode.FIELDS, "_BOOT_ID", "__CURSOR", "__REALTIME_TIMESTAMP", "__MONOTONIC_TIMESTAMP")
)


class _Bytes:
    """Chunks read as lines and as counted bytes."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._held = b""
        self._at = 0

    def _more(self) -> bool:
        for chunk in self._chunks:
            if chunk:
                self._held = self._held[self._at :] + chunk
                self._at = 0
                return True
        return False

    def line(self) -> bytes | None:
        """Return the next line, cut to a bounded length; None at the end."""
        while True:
            end = self._held.find(b"\n", self._at)
            if end >= 0:
                found = self._held[self._at : end]
                self._at = end + 1
                return found
            if len(self._held) - self._at > MAX_FIELD:
                head = self._held[self._at : self._at + MAX_FIELD]
                self._skip_line()
                return head
            if not self._more():
                found, self._held, self._at = self._held[self._at :], b"", 0
                return found or None

    def _skip_line(self) -> None:
        while True:
            end = self._held.find(b"\n", self._at)
            if end >= 0:
                self._at = end + 1
                return
            self._held, self._at = b"", 0
            if not self._more():
                return

    def take(self, length: int) -> bytes:
        """Return up to ``MAX_FIELD`` of the next ``length`` bytes, and pass over all of them."""
        kept = b""
        while length > 0:
            part = self._held[self._at : self._at + length]
            if part:
                self._at += len(part)
                length -= len(part)
                kept += part[: MAX_FIELD - len(kept)]
            elif not self._more():
                break
        return kept


def read(chunks: Iterable[bytes], source: str, notes: Notes) -> Iterator[Entry]:
    """Yield the entries of an export; ``line`` is the number of the entry."""
    stream = _Bytes(chunks)
    fields: dict[str, str] = {}
    number = 0
    while True:
        line = stream.line()
        if not line:
            if fields:
                number += 1
                yield decode.from_fields(fields, number, source)
                fields = {}
            if line is None:
                return
            continue
        name, equals, value = line.partition(b"=")
        if not equals:
            header = stream.take(8)
            if len(header) < 8:
                notes.add(f"{source}: ends in the middle of an entry")
                continue
            (length,) = struct.unpack("<Q", header)
            if length > MAX_BINARY:
                notes.add(f"{source}: a field of impossible length was passed over")
                continue
            value = stream.take(length)
            stream.take(1)
        key = name.decode("ascii", errors="replace")
        if key in _KEPT:
            fields.setdefault(key, value.decode("utf-8", errors="replace"))
