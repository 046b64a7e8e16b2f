# SPDX-License-Identifier: Apache-2.0
"""Where the lines of boots come from (this machine, a directory, a file, a bundle) and which boot of them is meant."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

from tidegate import boot as room
from tidegate.boot.model import BootAnalysis, Entry, Hints
from tidegate.clients import bundle
from tidegate.clients.journal import read
from tidegate.clients.journal.notes import Notes

_NUMBER: Final = re.compile(r"[+-]?\d{1,6}")
Numbered = tuple[int, BootAnalysis]
"""A boot with its number: 0 the newest, -1 the one before, as in ``journalctl -b``."""


class Unknown(Exception):  # noqa: N818  told to the person as it is
    """What was asked for is not there; the text says what is."""


class Source(Protocol):
    """Lines of one or more boots. Memory does not grow with the lines: they are read anew for each pass."""

    def newest(self, most: int) -> list[Numbered]:
        """Return the newest boots, the oldest of them first. Raises Unknown when there is none."""

    def one(self, wish: str) -> BootAnalysis:
        """Return the boot that ``wish`` means (:func:`position`). Raises Unknown."""

    def entries(self, analysis: BootAnalysis) -> Iterator[Entry]:
        """Yield the lines of a boot, once more."""

    def hints(self) -> Hints:
        """Return what is known besides the lines."""


class Machine:
    """The machine's own journal; each boot is read by itself, so that the newest is quick to have."""

    def __init__(self, hints: Hints) -> None:
        self._hints = hints

    def newest(self, most: int) -> list[Numbered]:
        """Return the newest boots that journald knows."""
        if most == 1:
            return [(0, self.one("0"))]
        return [(row.index, self._analysed(row.boot)) for row in self._rows()[-most:]]

    def one(self, wish: str) -> BootAnalysis:
        """Return one boot; this one without a list of all, which takes long where journals are large."""
        if wish == "0":
            return self._analysed("0")
        rows = self._rows()
        return self._analysed(rows[position(wish, tuple(row.boot for row in rows))].boot)

    def entries(self, analysis: BootAnalysis) -> Iterator[Entry]:
        """Yield the lines of a boot."""
        return read.machine(Notes(), boot=analysis.boot)

    def hints(self) -> Hints:
        """Return what the agent knows of this host."""
        return self._hints

    def _rows(self) -> tuple[read.BootRow, ...]:
        notes = Notes()
        if found := read.boots(notes):
            return found
        raise _nothing(notes)

    def _analysed(self, boot: str) -> BootAnalysis:
        notes = Notes()
        lines = read.machine(notes, boot=boot)
        found = room.analyse(lines, hints=self._hints, notes=_later(notes))
        if not found.entries:
            raise _nothing(notes)
        return found


class Files:
    """Files that hold lines, in any form that is known; several boots in one as well."""

    def __init__(self, paths: tuple[Path, ...]) -> None:
        self._paths = paths
        self._found: tuple[BootAnalysis, ...] | None = None
        for path in paths:
            if not path.exists():
                raise Unknown(f"{path} does not exist")

    def newest(self, most: int) -> list[Numbered]:
        """Return the newest boots in the files."""
        found = self._all()
        return [(number - len(found) + 1, one) for number, one in enumerate(found)][-most:]

    def one(self, wish: str) -> BootAnalysis:
        """Return one boot."""
        found = self._all()
        return found[position(wish, tuple(one.boot for one in found))]

    def entries(self, analysis: BootAnalysis) -> Iterator[Entry]:
        """Yield the lines of a boot, and those that name none: log files beside a journal."""
        boots = {"", analysis.boot}
        return (entry for entry in self._lines(Notes()) if entry.boot in boots)

    def hints(self) -> Hints:
        """Return what a bundle brings along."""
        found = [bundle.hints(path, Notes()) for path in self._paths if bundle.is_bundle(path)]
        return found[0] if found else Hints()

    def _all(self) -> tuple[BootAnalysis, ...]:
        if self._found is None:
            notes = Notes()
            self._found = room.analyse_all(
                self._lines(notes), hints=self.hints(), notes=_later(notes)
            )
            if not self._found:
                said = "; ".join(notes.lines())
                where = ", ".join(str(path) for path in self._paths)
                raise Unknown(
                    f"no line of a journal was found in {where}{f' ({said})' if said else ''}"
                )
        return self._found

    def _lines(self, notes: Notes) -> Iterator[Entry]:
        for path in self._paths:
            if path.is_dir():
                yield from read.directory(path, notes)
            elif bundle.is_bundle(path):
                yield from bundle.entries(path, notes)
            else:
                yield from read.file(path, notes)


def position(wish: str, boots: tuple[str, ...]) -> int:
    """Return the place in ``boots`` (ids, the oldest first) of what ``wish`` means.

    ``0`` or ``-1`` as in ``journalctl -b``, ``1`` for the oldest, or (the beginning of) an id.

    Raises:
        Unknown: There is no such boot, or more than one.
    """
    if _NUMBER.fullmatch(wish):
        number = int(wish)
        at = number - 1 if number > 0 else len(boots) - 1 + number
        found = [at] if 0 <= at < len(boots) else []
    else:
        # The kernel writes its id with dashes, the journal without.
        starts = (wish.lower(), wish.replace("-", "").lower())
        found = [at for at, boot in enumerate(boots) if boot == wish] or [
            at for at, boot in enumerate(boots) if wish and boot.lower().startswith(starts)
        ]
    if len(found) == 1:
        return found[0]
    about = f"{len(found)} boots begin with {wish!r}" if found else f"there is no boot {wish!r}"
    raise Unknown(f"{about}; {len(boots)} are known: `tidegate boot list` names them")


def _nothing(notes: Notes) -> Unknown:
    said = "; ".join(notes.lines())
    return Unknown(
        f"the journal of this machine knows no boot{f' ({said})' if said else ''}: run as root or as a member of "
        "systemd-journal, or name a --file or a --directory"
    )


def _later(notes: Notes) -> Iterator[str]:
    """Yield what could not be read, as known when it is asked for: after the lines."""
    yield from notes.lines()
