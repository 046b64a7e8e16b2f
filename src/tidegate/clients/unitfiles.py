# SPDX-License-Identifier: Apache-2.0
"""Reads the unit files of a host, or of an image under any root, as the value that ``units`` works on.

Nothing is decided here. Links are followed as they would be with that root as ``/``; nothing outside of it is read.
"""

import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tidegate.clients import errors, files
from tidegate.units import tree
from tidegate.units.tree import File, Link, Tree

_TEXT_LIMIT: Final = 1024 * 1024
_ENTRIES: Final = 50_000
"""More files than any host has; a bound against a directory that never ends."""
_LINKS: Final = 40


def read(root: Path = Path("/"), search: tuple[str, ...] = tree.SEARCH) -> Tree:
    """Return the unit files below ``root``, with their drop-ins, links and ``.wants`` directories.

    Directories that are not there are left out. Raises ClientError ``file.*`` naming what cannot be read, ``units.too-many``
    when there are more than any host has.
    """
    entries: dict[str, File | Link] = {}
    seen: set[Path] = set()
    for folder in search:
        real = inside(root, folder)
        if real in seen or not real.is_dir():
            continue  # /lib is /usr/lib on most hosts: the same files would count twice
        seen.add(real)
        for path in _walk(root, folder, real):
            if len(entries) > _ENTRIES:
                raise _too_many(root)
            _take(root, path, entries)
    return Tree(entries=entries, search=search)


def copy(units: Tree, folder: Path) -> None:
    """Write ``units`` below ``folder``, a root of its own that nobody uses but whoever checks it. Raises ClientError ``file.*``."""
    try:
        (folder / "usr/lib").mkdir(parents=True)
        # As on every system of today; systemd of 257 looks nowhere else.
        (folder / "lib").symlink_to("usr/lib")
        for path, entry in sorted(units.entries.items()):
            place = inside(folder, posixpath.dirname(path)) / posixpath.basename(path)
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.is_symlink() or place.exists():
                continue
            if isinstance(entry, Link):
                place.symlink_to(entry.target)
            else:
                place.write_text(entry.text, encoding="utf-8")
    except OSError as error:
        raise _unreadable(folder, error) from error


def _walk(root: Path, folder: str, real: Path) -> Iterator[tuple[str, Path]]:
    """Yield (path in the root, place on this machine) of what lies in ``folder`` and its drop-in directories."""
    for place in _listing(real):
        path = f"{folder}/{place.name}"
        if not place.name.endswith((".d", ".wants", ".requires", ".upholds")):
            yield path, place
            continue
        inner = inside(root, path)
        if inner.is_dir():
            yield from ((f"{path}/{entry.name}", entry) for entry in _listing(inner))


def _listing(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise _unreadable(folder, error) from error


def _take(root: Path, found: tuple[str, Path], entries: dict[str, File | Link]) -> None:
    """Read one entry; of a link the files it leads to as well, when they lie outside the search path."""
    path, place = found
    for _ in range(_LINKS):
        try:
            if not place.is_symlink():
                if place.is_file():
                    entries[path] = File(files.read_text(place, limit=_TEXT_LIMIT))
                return
            target = str(place.readlink())
        except OSError as error:
            raise _unreadable(place, error) from error
        entries[path] = Link(target)
        path = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        if path in entries:
            return
        place = inside(root, posixpath.dirname(path)) / posixpath.basename(path)


def inside(root: Path, path: str) -> Path:
    """Return where ``path`` is on this machine when ``root`` counts as ``/``: links, also the last one, lead nowhere else."""
    real = root
    rest = [piece for piece in path.split("/") if piece not in {"", "."}]
    links = 0
    while rest:
        piece = rest.pop(0)
        if piece == "..":
            real = real if real == root else real.parent
            continue
        real = real / piece
        if real.is_symlink() and links < _LINKS:
            links += 1
            target = str(real.readlink())
            real = root if target.startswith("/") else real.parent
            rest = [part for part in target.split("/") if part not in {"", "."}] + rest
    return real


def _unreadable(path: Path, error: OSError) -> errors.ClientError:
    return errors.ClientError(
        errors.Trouble(
            code="file.permission" if isinstance(error, PermissionError) else "file.error",
            text=f"cannot read {path}: {error.strerror or error}",
            hint="run as root, or give this user access to it",
        )
    )


def _too_many(root: Path) -> errors.ClientError:
    return errors.ClientError(
        errors.Trouble(
            code="units.too-many",
            text=f"more than {_ENTRIES} unit files below {root}",
            hint="this is not the root of a host: check --root",
        )
    )
