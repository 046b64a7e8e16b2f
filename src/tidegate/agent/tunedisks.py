# SPDX-License-Identifier: Apache-2.0
"""What data lies on: from a device down to its disks, by the kernel's own files; and, only if asked, small synced writes into a file of our own."""

import asyncio
import contextlib
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from tidegate.clients import clock, errors, files, process
from tidegate.clients.devices import backing
from tidegate.core.trouble import Trouble
from tidegate.tuning.facts import Database, Medium, Timing, Volume, Writes

_DEEPEST: Final = 12
_KINDS: Final = {"zd": "zvol", "loop": "loop", "drbd": "drbd"}
_NO_CACHE: Final = "write through"
WRITES: Final = 200
WRITE_SIZE: Final = 4096
WRITING: Final = 5.0
"""Seconds that the writes may take."""
_H2: Final = re.compile(r"connection_url\s*=\s*[\"']jdbc:h2:(?:file:)?([^\"';]+)")
_H2_DEFAULT: Final = "/var/lib/linstor/linstordb"
Pools = Mapping[str, tuple[str, ...]]
"""By zpool its disks."""


class Below:
    """Finds the disks below devices and directories of the host whose files lie below ``root``."""

    def __init__(self, root: Path, zpools: Pools) -> None:
        self._root = root
        self._zpools = zpools
        self.media: dict[str, Medium] = {}
        """By kernel name, each disk that was found."""

    def device(self, path: str, depth: int = _DEEPEST) -> tuple[str, ...]:
        """Return the names of the disks below the device file ``path``; none where it cannot be followed."""
        if path.startswith("/dev/zvol/"):
            pool = path.split("/")[3]
            disks = self._zpools.get(pool, ())
            return _unique(name for disk in disks for name in self.device(disk, depth - 1))
        if depth <= 0:
            return ()
        return self._block(self._name(path), depth)

    def directory(self, path: str, depth: int = _DEEPEST) -> tuple[str, ...]:
        """Return the names of the disks below the file system that ``path`` lies on."""
        mount = backing.mount_of(path, backing.mounts(self._root))
        return self.device(mount.device, depth) if mount and mount.device.startswith("/") else ()

    def place(self, directory: Path) -> tuple[str, ...]:
        """Return the names of the disks below a directory of this machine, links in its path followed."""
        return self.directory(os.path.realpath(directory))

    def _name(self, path: str) -> str:
        real = os.path.realpath(self._root / path.lstrip("/"))
        return Path(real).name

    def _block(self, name: str, depth: int) -> tuple[str, ...]:
        try:
            place = (self._root / "sys/class/block" / name).resolve(strict=True)
            slaves = sorted(path.name for path in _entries(place / "slaves"))
            if slaves:
                return _unique(one for each in slaves for one in self._block(each, depth - 1))
            if (place / "partition").exists():
                place = place.parent
            if file := _text(place / "loop/backing_file"):
                return self.directory(file, depth - 1)
        except OSError:
            return ()
        if not (place / "queue/rotational").exists():
            return ()
        self.media[place.name] = Medium(
            name=place.name,
            rotational=_text(place / "queue/rotational") == "1",
            nvme=place.name.startswith("nvme"),
            volatile_cache=_text(place / "queue/write_cache") != _NO_CACHE,
        )
        return (place.name,)


def placed(
    below: Below, volumes: Iterable[Volume], disks: Mapping[str, tuple[str, str]]
) -> tuple[Volume, ...]:
    """Return ``volumes`` with the disks that their data and metadata lie on."""
    return tuple(
        msgspec.structs.replace(
            one, data=below.device(disks[one.name][0]), meta=below.device(disks[one.name][1])
        )
        for one in volumes
        if one.name in disks
    )


def scanned(root: Path) -> dict[str, int]:
    """Return how many block devices LVM looks at for nothing, by kind. A satellite has it leave DRBD devices out by itself."""
    found = dict.fromkeys(_KINDS.values(), 0)
    for path in _entries(root / "sys/block"):
        match = re.fullmatch(r"([a-z]+)\d+", path.name)
        kind = _KINDS.get(match[1]) if match else None
        if kind is not None and _text(path / "size") not in {"", "0"}:
            found[kind] += 1
    return found


def database(root: Path, below: Below) -> Database | None:
    """Return where the controller's own database lies; None when it is elsewhere, or not there."""
    with contextlib.suppress(errors.ClientError):
        text = files.read_text(root / "etc/linstor/linstor.toml")
        match = _H2.search(text)
        if match is None and "connection_url" in text:
            return None  # another kind, perhaps on another host
        path = match[1] if match else _H2_DEFAULT
        return _database(root, path, below)
    return _database(root, _H2_DEFAULT, below)


def _database(root: Path, path: str, below: Below) -> Database | None:
    try:
        size = (root / f"{path.lstrip('/')}.mv.db").stat().st_size
    except OSError:
        return None
    return Database(path=path, size=size, media=below.directory(path))


async def zpools(names: Iterable[str], deadline: float) -> dict[str, tuple[str, ...]]:
    """Return the disks of each zpool, as ``zpool list`` names them."""
    found = {}
    for name in names:
        done = await process.run(["zpool", "list", "-vHP", "-o", "name", name], deadline=deadline)
        lines = done.stdout.decode("utf-8", "replace").splitlines()
        words = [line.split()[0] for line in lines if line.strip()]
        found[name] = tuple(word for word in words if word.startswith("/dev/"))
    return found


async def write_test(directory: Path, below: Below) -> Writes | Trouble:
    """Write :data:`WRITES` times 4 KiB, each synced, into a file of our own in ``directory``, which goes again; for :data:`WRITING` seconds at most."""
    stop: list[bool] = []
    try:
        seconds = await asyncio.to_thread(_write, directory, lambda: bool(stop))
    except OSError as error:
        return Trouble(
            code="tune.write-test",
            text=f"no writes can be measured in {directory}: {error.strerror}",
            hint="name a directory that is there, on the disk that is meant",
        )
    finally:
        stop.append(True)
    timing = Timing(command="write", seconds=seconds, at=clock.wall())
    media = await asyncio.to_thread(below.place, directory)
    return Writes(directory=str(directory), media=media, timing=timing)


def _write(directory: Path, stopped: Callable[[], bool]) -> tuple[float, ...]:
    """Return the seconds of each write. The file has no name for longer than it takes to open it: whatever ends us, it is gone."""
    found: list[float] = []
    with tempfile.TemporaryFile(prefix=".tidegate-", dir=directory) as file:
        number, block = file.fileno(), os.urandom(WRITE_SIZE)
        os.pwrite(number, bytes(WRITE_SIZE * 64), 0)
        os.fsync(number)
        began = clock.boottime()
        while len(found) < WRITES and clock.boottime() - began < WRITING and not stopped():
            at = clock.boottime()
            os.pwrite(number, block, WRITE_SIZE * (len(found) % 64))
            os.fdatasync(number)
            found.append(clock.boottime() - at)
    return tuple(found)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
