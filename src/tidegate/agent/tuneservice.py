# SPDX-License-Identifier: Apache-2.0
"""The services that run a JVM: what their unit files, their start script and the kernel say of them, and what the JVM accepts."""

import asyncio
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from tidegate.clients import errors, files, process, unitfiles
from tidegate.clients.systemd.manager import Unit
from tidegate.config import environment
from tidegate.tuning import archive, jvm
from tidegate.tuning.facts import Java, Limits, Service
from tidegate.units import parse, render
from tidegate.units.tree import Index, Load
from tidegate.units.tree import Unit as Merged

WITHIN: Final = 30.0
_VARIABLE: Final = "JAVA_OPTS"
_OURS: Final = f"{render.PREFIX}tune-"
_PEAK: Final = re.compile(r"^VmHWM:\s+(\d+) kB", re.MULTILINE)
_FILES: Final = re.compile(r"^Max open files\s+(\d+)", re.MULTILINE)
_INSTANCES: Final = "proc/sys/fs/inotify/max_user_instances"


def units(root: Path) -> Index:
    """Return the unit files below ``root`` without what ``tune apply`` added. Raises ClientError ``file.*``."""
    tree = unitfiles.read(root)
    kept = {path: entry for path, entry in tree.entries.items() if f"/{_OURS}" not in path}
    return Index(msgspec.structs.replace(tree, entries=kept))


def service(root: Path, index: Index, name: str, running: Unit | None) -> Service | None:
    """Return what is known of the service ``name``; None when there is none."""
    unit = index.unit(name)
    if unit.load is not Load.LOADED:
        return None
    options, file = java_options(root, unit)
    found = script(root, unit)
    weights = ("StartupCPUWeight", "CPUWeight", "Nice")
    seen = Service(
        unit=name,
        command=command(unit),
        identifier=unit.value("Service", "SyslogIdentifier") or _called(unit),
        options=options,
        options_file=file,
        quoted=_is_quoted(unit, options),
        heap=jvm.heap(" ".join(found.defaults)) if isinstance(found, archive.Script) else None,
        restart=unit.value("Service", "Restart"),
        weight=any(unit.value("Service", key) for key in weights),
        online="network-online.target" in {value for value, _ in unit.listed("Unit", "After")},
    )
    pid = running.main_pid if running is not None else 0
    return _with_process(root, seen, pid) if pid else seen


def java_options(root: Path, unit: Merged) -> tuple[str, str]:
    """Return ``JAVA_OPTS`` and the file that sets it: what ``EnvironmentFile=`` names wins over ``Environment=`` (man systemd.exec)."""
    options = file = ""
    for value, _ in unit.listed("Service", "Environment"):
        name, equals, text = value.partition("=")
        if equals and name == _VARIABLE:
            options = text
    for value, _ in unit.listed("Service", "EnvironmentFile"):
        path = value.removeprefix("-")
        if (found := _in_file(root / path.lstrip("/"))) is not None:
            options, file = found, path
    return options, file


def _is_quoted(unit: Merged, options: str) -> bool:
    """Return whether quotes or escapes are among the options: they are not ours to take apart."""
    raw = [
        one.value for one in unit.assignments("Service", "Environment") if _VARIABLE in one.value
    ]
    return any(mark in options for mark in "\"'\\") or any("\\" in value for value in raw)


def command(unit: Merged) -> str:
    """Return what the unit runs, without systemd's prefixes; "" when that is not one command."""
    found = unit.assignments("Service", "ExecStart")
    return found[0].value.lstrip("@-:+!") if len(found) == 1 else ""


def _called(unit: Merged) -> str:
    """Return what systemd calls the unit in the journal: its program's name (man systemd.exec)."""
    return command(unit).partition(" ")[0].rpartition("/")[2]


def script(root: Path, unit: Merged) -> archive.Script | str:
    """Return what the unit's start script runs, or why that is not known."""
    words = parse.words(command(unit))
    if not words or not words[0].startswith("/"):
        return f"{unit.name} has not one plain ExecStart="
    try:
        text = files.read_text(unitfiles.inside(root, words[0]), limit=256 * 1024)
    except errors.ClientError as error:
        return error.trouble.text
    return archive.parse(words[0], text, lambda folder: _jars(root, folder))


def _jars(root: Path, folder: str) -> list[str]:
    place = unitfiles.inside(root, folder)
    return sorted(f"{folder}/{path.name}" for path in place.glob("*.jar"))


def java_of(root: Path, index: Index, name: str) -> str:
    """Return the JVM that the unit's script starts: ``JAVA_HOME`` of the unit's environment, else what the script has."""
    unit = index.unit(name)
    for value, _ in unit.listed("Service", "Environment"):
        key, equals, place = value.partition("=")
        if equals and key == "JAVA_HOME" and place:
            return f"{place}/bin/java"
    found = script(root, unit)
    return found.java if isinstance(found, archive.Script) else "java"


async def java(program: str) -> Java | None:
    """Return which JVM ``program`` is and which of our flags it accepts; None when it does not run."""
    done = await process.run([program, "-version"], deadline=WITHIN)
    if done.trouble is not None:
        return None
    first = done.stderr.decode("utf-8", "replace").splitlines()[:1]
    accepts = jvm.TRIED if await _accepts(program, jvm.TRIED) else ()
    # That one is tolerated is no proof: each has to be known by itself.
    known = [flag for flag in accepts if await _accepts(program, [flag])]
    return Java(program=program, version=first[0] if first else program, accepts=frozenset(known))


async def _accepts(program: str, flags: Sequence[str]) -> bool:
    done = await process.run([program, *flags, "-version"], deadline=WITHIN)
    return done.trouble is None and b"warning" not in done.stderr.lower()


async def limits(root: Path) -> Limits | None:
    """Return root's inotify instances: how many there may be, and are. None where they cannot be seen."""
    return await asyncio.to_thread(_limits, root)


def _limits(root: Path) -> Limits | None:
    try:
        most = int(files.read_text(root / _INSTANCES))
    except (errors.ClientError, ValueError):
        return None
    used = sum(_instances(folder) for folder in (root / "proc").glob("[0-9]*"))
    return Limits(inotify_instances=most, inotify_used=used)


def _instances(folder: Path) -> int:
    """Return the inotify instances of one process, if it is root's; 0 when it cannot be seen or has just ended."""
    try:
        if folder.stat().st_uid != 0:
            return 0
        links = [os.readlink(path) for path in (folder / "fd").iterdir()]  # noqa: PTH115  a text, not a path
    except OSError:
        return 0
    return sum("inotify" in link for link in links)


def _with_process(root: Path, seen: Service, pid: int) -> Service:
    folder = root / "proc" / str(pid)
    try:
        peak = _PEAK.search(files.read_text(folder / "status"))
        most = _FILES.search(files.read_text(folder / "limits"))
        used = sum(1 for _ in (folder / "fd").iterdir())
    except (errors.ClientError, OSError):
        return seen
    return msgspec.structs.replace(
        seen,
        peak=int(peak[1]) * 1024 if peak else None,
        files_used=used,
        files_limit=int(most[1]) if most else 0,
    )


def _in_file(path: Path) -> str | None:
    try:
        text = files.read_text(path, limit=64 * 1024)
    except errors.ClientError:
        return None
    return environment.parse_file(text).get(_VARIABLE)
