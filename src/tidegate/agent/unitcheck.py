# SPDX-License-Identifier: Apache-2.0
"""When this host's units really started: asked of systemd for the running boot, read from the journal for earlier ones.

Both within limits. For the running boot the manager's times count; where a unit was started again since, only the journal still
knows its first start.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from tidegate.agent import unitview
from tidegate.clients import errors, process
from tidegate.clients.journal import files as journal_files
from tidegate.clients.journal import lines
from tidegate.clients.journal.notes import Notes
from tidegate.clients.systemd.manager import Manager, Unit
from tidegate.config.model import Config
from tidegate.core.trouble import Trouble
from tidegate.units import compare, expected, lastboot
from tidegate.units.compare import Check
from tidegate.units.deadlock import Place
from tidegate.units.lastboot import BootTimes, UnitTimes
from tidegate.units.packaging import SATELLITE_UNIT
from tidegate.units.traps import Scene
from tidegate.units.tree import Index

_DEADLINE: Final = 30.0
"""Seconds for reading one boot's journal."""
_SPAN: Final = 3600.0
"""Seconds of a boot that are read: what starts later is no part of it."""
_MOST_LINES: Final = 200_000
_LONGEST_LINE: Final = 256 * 1024


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Which boot: ``boot`` as ``journalctl --boot`` counts (0 the last one, -1 before it), or a recorded ``journal``."""

    boot: int = 0
    journal: Path | None = None


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The comparison, what it rests on, and what could not be asked."""

    check: Check
    boot: str
    sources: tuple[str, ...]
    troubles: tuple[Trouble, ...] = ()


async def look(root: Path, config: Config, asked: Asked, place: Place | None = None) -> Result:
    """Compare one boot with the unit files that are below ``root`` today.

    Raises ClientError ``file.*`` where the unit files or a recorded journal cannot be read.
    """
    view = await unitview.look(root, config, place)
    scene = Scene(view, Index(view.tree))
    names = expected.units(scene)
    troubles: list[Trouble] = []
    if asked.journal is not None:
        times, notes = await asyncio.to_thread(_recorded, asked.journal)
        if not times.boot:
            notes = (*notes, f"{asked.journal} holds no line of `journalctl -o json`")
        troubles.extend(_unfit(note) for note in notes)
        return _result(scene, times, [str(asked.journal)], troubles)
    times, trouble = await _journal(root, asked.boot, names)
    sources = ["journal"] if times.units else []
    if trouble is not None:
        troubles.append(trouble)
    if asked.boot == 0 and root == unitview.HOST and unitview.is_booted():
        try:
            times = lastboot.merged(await of_manager(names), times)
            sources.insert(0, "systemd")
        except errors.ClientError as error:
            troubles.append(error.trouble)
    return _result(scene, times, sources, troubles)


def _result(
    scene: Scene, times: BootTimes, sources: Sequence[str], troubles: Sequence[Trouble]
) -> Result:
    return Result(
        check=compare.check(scene, times),
        boot=times.boot,
        sources=tuple(sources),
        troubles=tuple(troubles),
    )


def _recorded(path: Path) -> tuple[BootTimes, tuple[str, ...]]:
    """Read a recorded journal, packed by gzip or not; with what could not be read of it."""
    notes = Notes()
    try:
        with path.open("rb") as file:
            told = lines.split(journal_files.unpacked(file, str(path), notes), str(path), notes)
            times = lastboot.of_journal(line.decode("utf-8", "replace") for line in told)
    except OSError as error:
        raise errors.ClientError(_unreadable(path, error)) from error
    return times, notes.lines()


def _unreadable(path: Path, error: OSError) -> Trouble:
    return Trouble(
        code="file.error",
        text=f"cannot read {path}: {error.strerror or error}",
        hint="give the file that `journalctl -b -o json` wrote with --journal",
    )


def _unfit(note: str) -> Trouble:
    return Trouble(
        code="units.journal-unfit",
        text=note,
        hint="`journalctl -b -o json > FILE` on that host writes what is read here; it may be packed by gzip",
    )


async def _journal(root: Path, boot: int, names: Sequence[str]) -> tuple[BootTimes, Trouble | None]:
    reader = lastboot.Reader()
    count = 0
    async with process.lines(_command(root, boot, names), max_line=_LONGEST_LINE) as told:
        try:
            async with asyncio.timeout(_DEADLINE):
                while batch := await told.batch():
                    for line in batch:
                        reader.take(line)
                    count += len(batch)
                    if reader.last > _SPAN or count > _MOST_LINES:
                        return reader.times(), None
        except TimeoutError:
            return reader.times(), _late()
        trouble = told.end().trouble
    times = reader.times()
    return times, None if times.boot else _unread(boot, trouble)


def _command(root: Path, boot: int, names: Sequence[str]) -> list[str]:
    """What the manager said of these units and of anything grave, and what the satellite said; oldest first."""
    where = [] if root == unitview.HOST else [f"--root={root}"]
    return [
        *("journalctl", "--no-pager", "--quiet", "--output=json", f"--boot={boot}", *where),
        f"--output-fields={','.join(lastboot.FIELDS)}",
        *("_PID=1", *(f"UNIT={name}" for name in names)),
        *("+", "SYSLOG_IDENTIFIER=systemd", "PRIORITY=3", "PRIORITY=4"),
        *("+", f"_SYSTEMD_UNIT={SATELLITE_UNIT}"),
    ]


async def of_manager(
    names: Sequence[str], address: str | None = None
) -> Mapping[str, UnitTimes | None]:
    """Ask the manager on the bus at ``address`` (default: the system bus) when each unit started. Raises ClientError."""
    async with Manager(address) as manager:
        return {name: of_unit(await manager.unit(name)) for name in names}


def of_unit(unit: Unit) -> UnitTimes | None:
    """Return the start of ``unit`` that the manager remembers; None when that is not its first in this boot."""
    down = unit.inactive_enter
    again = down is not None and unit.inactive_exit is not None and unit.inactive_exit > down
    if again or unit.restarts:
        return None
    if unit.inactive_exit is None:
        return UnitTimes()
    up = unit.active_enter
    failed = None
    if up is None and down is not None:
        # A oneshot that does not remain is over when it is gone again; it was never active.
        up, failed = (down, None) if unit.result == "success" else (None, down)
    return UnitTimes(
        begun=unit.inactive_exit,
        up=up,
        failed=failed,
        result=unit.result if failed is not None else "",
    )


def _late() -> Trouble:
    return Trouble(
        code="units.journal-slow",
        text=f"the journal was not read to its end within {_DEADLINE:.0f} s",
        hint="`journalctl --vacuum-size=1G` makes it smaller; what was read until then counts",
    )


def _unread(boot: int, trouble: Trouble | None) -> Trouble:
    if trouble is not None and trouble.code == "process.missing":
        return trouble
    told = f": {trouble.text}" if trouble is not None else ""
    return Trouble(
        code="units.no-journal",
        text=f"the journal has no boot {boot}{told}",
        hint="`journalctl --list-boots` shows which there are; Storage=persistent in journald.conf keeps them; run as root",
    )
