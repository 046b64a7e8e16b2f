# SPDX-License-Identifier: Apache-2.0
"""The door of this package: the machine's own journal, a file, a directory, as entries."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from tidegate.boot.model import Entry
from tidegate.clients.journal import decode, files, lines, program
from tidegate.clients.journal.files import Form
from tidegate.clients.journal.notes import Notes

_BASE: Final = ("journalctl", "--quiet", "--no-pager", "--output=json")
_ASKED: Final = f"--output-fields={','.join(decode.FIELDS)}"
JOURNAL: Final = "journal"
"""The source of entries of the machine's own journal."""
MAX_FILES: Final = 2000
_MAX_DEPTH: Final = 3


class BootRow(msgspec.Struct, frozen=True, kw_only=True):
    """One boot that a journal knows. ``index`` is 0 for the newest, -1 for the one before, as in ``journalctl -b``."""

    index: int
    boot: str
    first: float
    """Wall clock of the first line, seconds since the epoch."""
    last: float


def machine(
    notes: Notes,
    *,
    boot: str = "",
    directory: Path | None = None,
    deadline: float = program.DEADLINE,
) -> Iterator[Entry]:
    """Yield the entries of the machine's own journal, or of a directory of journal files.

    ``boot`` is what ``journalctl --boot=`` takes (``0``, ``-1``, an id); empty means all boots. Closing the generator ends journalctl.
    """
    argv = [*_BASE, _ASKED, *_where(directory)]
    if boot:
        argv.append(f"--boot={boot}")
    source = str(directory.name) if directory is not None else JOURNAL
    return files.json_lines(program.chunks(argv, notes, deadline=deadline), source, notes)


def _where(directory: Path | None) -> tuple[str, ...]:
    return () if directory is None else (f"--directory={directory}",)


class _Row(msgspec.Struct):
    index: int
    boot_id: str
    first_entry: int
    last_entry: int


def boots(notes: Notes, *, directory: Path | None = None) -> tuple[BootRow, ...]:
    """Return the boots that the journal knows, oldest first."""
    argv = [*_BASE, "--list-boots", *_where(directory)]
    told = b"".join(program.chunks(argv, notes, deadline=60.0)).strip()
    try:
        rows = msgspec.json.decode(told or b"[]", type=list[_Row])
    except msgspec.DecodeError:
        rows = [row for line in told.splitlines() if (row := _row(line)) is not None]
        if not rows:
            notes.add("journalctl --list-boots answered in a form that is not known")
    return tuple(
        BootRow(
            index=row.index,
            boot=row.boot_id,
            first=row.first_entry / 1e6,
            last=row.last_entry / 1e6,
        )
        for row in rows
    )


def _row(line: bytes) -> _Row | None:
    """Read a line of the table that systemd before 251 prints instead of JSON: index and id; its times are in local words."""
    parts = line.decode("utf-8", errors="replace").split()
    if len(parts) < 2 or not parts[0].lstrip("-").isdecimal():
        return None
    return _Row(index=int(parts[0]), boot_id=parts[1], first_entry=0, last_entry=0)


def file(path: Path, notes: Notes) -> Iterator[Entry]:
    """Yield the entries of one file of any form: JSON, export, text, gzip of these, LINSTOR's reports, journald's own."""
    if files.form(path, notes) is Form.JOURNAL:
        yield from _journals([path], notes)
    else:
        yield from files.read(path, notes)


def directory(path: Path, notes: Notes) -> Iterator[Entry]:
    """Yield the entries of every file below ``path`` that is a journal or a log: journals first, by whose clocks the others are placed."""
    found = sorted(_below(path, _MAX_DEPTH))
    if len(found) > MAX_FILES:
        notes.add(f"{path}: only the first {MAX_FILES} of {len(found)} files were read")
    forms = [(one, files.form(one, notes)) for one in found[:MAX_FILES]]
    own = [one for one, form in forms if form is Form.JOURNAL]
    if own:
        yield from _journals(own, notes)
    whole = {Form.JSON, Form.EXPORT, Form.PRETTY}
    if own or any(form in whole for _, form in forms):
        forms = [pair for pair in forms if not _again(pair[1], pair[0], notes)]
    for wanted in (whole, {Form.JOURNAL_TEXT}, {Form.TEXT, Form.REPORT}):
        for one, form in forms:
            if form in wanted:
                yield from files.read(one, notes, source=str(one.relative_to(path)))


def _again(form: Form, path: Path, notes: Notes) -> bool:
    """Return whether a file is a journal as text, which stands beside the whole one and says the same with less."""
    if form is not Form.JOURNAL_TEXT:
        return False
    notes.add(f"{path.name}: a journal as text beside a whole one was passed over")
    return True


def _below(path: Path, depth: int) -> Iterator[Path]:
    try:
        inside = list(path.iterdir())
    except OSError:
        return
    for one in inside:
        if one.is_symlink():
            continue
        if one.is_dir():
            if depth > 0:
                yield from _below(one, depth - 1)
        elif one.is_file():
            yield one


def _journals(paths: Sequence[Path], notes: Notes) -> Iterator[Entry]:
    argv = [*_BASE, _ASKED, *(f"--file={one}" for one in paths)]
    source = paths[0].name if len(paths) == 1 else JOURNAL
    return files.json_lines(program.chunks(argv, notes), source, notes)


__all__ = [
    "JOURNAL",
    "MAX_FILES",
    "BootRow",
    "Notes",
    "boots",
    "directory",
    "file",
    "lines",
    "machine",
]
