# SPDX-License-Identifier: Apache-2.0
"""Files of any form that a journal or a log is kept in: what a file is, is told by its first bytes, not by its name."""

import enum
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from tidegate.boot.model import Entry
from tidegate.clients.journal import decode, export, lines, reports, text
from tidegate.clients.journal.notes import Notes

_HEAD: Final = 4096
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_XZ: Final = b"\xfd7zXZ\x00"
_JOURNAL: Final = b"LPKSHHRH"
_MAX_REPORT: Final = 1024 * 1024


class Form(enum.StrEnum):
    """What a file holds."""

    JOURNAL = "journal"
    """journald's own file, which only journalctl reads."""
    JSON = "json"
    PRETTY = "json-pretty"
    EXPORT = "export"
    REPORT = "error-report"
    JOURNAL_TEXT = "journal-text"
    """A journal in one of journalctl's short forms."""
    TEXT = "text"
    EMPTY = "empty"
    UNREADABLE = "unreadable"


def form_of(head: bytes) -> Form:
    """Return what begins with ``head``, which is not packed any more."""
    start = head.lstrip(b" \t\r\n\x1e\xef\xbb\xbf")
    if not start:
        return Form.EMPTY
    if head.startswith(_JOURNAL):
        return Form.JOURNAL
    if reports.is_report(start):
        return Form.REPORT
    if start.startswith(b"{"):
        return Form.PRETTY if start[1:2] in {b"\n", b"\r"} else Form.JSON
    if start.startswith((b"__CURSOR=", b"__REALTIME_TIMESTAMP=")):
        return Form.EXPORT
    if start.startswith((_ZSTD, _XZ)) or head.count(0) * 10 > len(head):
        return Form.UNREADABLE
    if text.is_journal(head):
        return Form.JOURNAL_TEXT
    return Form.TEXT


def unpacked(file: BinaryIO, source: str, notes: Notes) -> Iterator[bytes]:
    """Yield the bytes of a file, unpacked if it is gzip. A damaged or cut one ends early, with a note."""
    first = file.read(lines.CHUNK)
    if not first.startswith(_GZIP):
        while first:
            yield first
            first = file.read(lines.CHUNK)
        return
    unpacker = zlib.decompressobj(wbits=31)
    packed = first
    while packed:
        try:
            part = unpacker.decompress(packed, lines.CHUNK)
        except zlib.error:
            notes.add(f"{source}: damaged gzip data, what follows is missing")
            return
        if part:
            yield part
        if unpacker.eof:
            packed = unpacker.unused_data or file.read(lines.CHUNK)
            unpacker = zlib.decompressobj(wbits=31)
            if packed and not packed.startswith(_GZIP):
                return  # padding after the last member
        else:
            packed = unpacker.unconsumed_tail or file.read(lines.CHUNK)
            if not packed:
                notes.add(f"{source}: the gzip data is cut off, what follows is missing")


def form(path: Path, notes: Notes) -> Form:
    """Return what the file holds; a file that cannot be read is ``unreadable``, with a note."""
    try:
        with path.open("rb") as file:
            return form_of(next(unpacked(file, path.name, notes), b"")[:_HEAD])
    except OSError as error:
        notes.add(f"{path.name}: {error.strerror or error}")
        return Form.UNREADABLE


def read(path: Path, notes: Notes, *, source: str = "") -> Iterator[Entry]:
    """Yield the entries of one file, except journald's own (``read.file`` knows these). ``source`` stands for its name."""
    name = source or path.name
    try:
        with path.open("rb") as file:
            yield from from_chunks(unpacked(file, name, notes), name, notes)
    except OSError as error:
        notes.add(f"{name}: {error.strerror or error}")


def from_chunks(chunks: Iterable[bytes], source: str, notes: Notes) -> Iterator[Entry]:
    """Yield the entries of bytes of any form."""
    iterator = iter(chunks)
    first = next(iterator, b"")
    match form_of(first[:_HEAD]):
        case Form.EMPTY:
            notes.add(f"{source}: empty")
        case Form.JOURNAL | Form.UNREADABLE:
            notes.add(
                f"{source}: of a form that cannot be read here; unpack it, or export it with journalctl -o json"
            )
        case Form.JSON:
            yield from json_lines(_again(first, iterator), source, notes)
        case Form.PRETTY:
            yield from _pretty(lines.split(_again(first, iterator), source, notes), source, notes)
        case Form.EXPORT:
            yield from export.read(_again(first, iterator), source, notes)
        case Form.REPORT:
            entry = reports.read(_bounded(_again(first, iterator)).lstrip(), source)
            if entry is not None:
                yield entry
        case Form.TEXT | Form.JOURNAL_TEXT:
            yield from text.read(lines.split(_again(first, iterator), source, notes), source, notes)


def json_lines(chunks: Iterable[bytes], source: str, notes: Notes) -> Iterator[Entry]:
    """Yield the entries of ``journalctl -o json``. The hot path: a million lines go through here."""
    json_line = decode.json_line
    for number, line in enumerate(lines.split(chunks, source, notes), 1):
        if line:
            if line[0] == 0x1E:  # json-seq
                line = line[1:]  # noqa: PLW2901
            entry = json_line(line, number, source, notes)
            if entry is not None:
                yield entry


def _pretty(each: Iterator[bytes], source: str, notes: Notes) -> Iterator[Entry]:
    held: list[bytes] = []
    size = 0
    for number, line in enumerate(each, 1):
        held.append(line)
        size += len(line)
        if line.rstrip() in {b"}", b"},"} or size > lines.MAX_LINE:
            entry = decode.json_line(b"".join(held).rstrip(b",\r "), number, source, notes)
            held, size = [], 0
            if entry is not None:
                yield entry


def _again(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _bounded(chunks: Iterable[bytes]) -> bytes:
    kept = b""
    for chunk in chunks:
        kept += chunk[: _MAX_REPORT - len(kept)]
        if len(kept) >= _MAX_REPORT:
            break
    return kept
