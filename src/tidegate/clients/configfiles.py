# SPDX-License-Identifier: Apache-2.0
"""Reads Tidegate's own configuration files; what they mean is decided in :mod:`tidegate.config.load`."""

from pathlib import Path
from typing import Final

from tidegate.clients import errors, files

MAIN: Final = Path("/etc/tidegate/tidegate.toml")
DROP_INS: Final = Path("/etc/tidegate/conf.d")

_HINT: Final = "run as root, or make it readable: it holds no secret unless one was written into it"


def read(
    path: Path | None = None, *, main: Path = MAIN, drop_ins: Path = DROP_INS
) -> tuple[tuple[str, str], ...]:
    """Return (path, text) of the main file, then of the drop-ins ``*.toml`` in the order of their names.

    With ``path`` only that file is read, and it must exist. Without it, what does not exist is left out: no file is needed
    on an ordinary host. Raises ClientError ``config.unreadable`` naming the one that cannot be read.
    """
    if path is not None:
        return (_text(path),)
    try:
        names = _names(drop_ins)
        paths = [main, *names] if _is_there(main) else names
    except OSError as error:
        raise _unreadable(f"cannot read {error.filename}: {error.strerror}") from error
    return tuple(_text(entry) for entry in paths)


def _names(folder: Path) -> list[Path]:
    """Return the drop-ins. Not by glob(), which is silent about a directory that may not be read."""
    try:
        found = sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    return [path for path in found if path.suffix == ".toml" and not path.name.startswith(".")]


def _is_there(path: Path) -> bool:
    """Return True also for a link that leads nowhere: reading it then fails, and says so."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True


def _text(path: Path) -> tuple[str, str]:
    try:
        return str(path), files.read(path, limit=1024 * 1024).decode("utf-8")
    except errors.ClientError as error:
        raise _unreadable(error.trouble.text) from error
    except UnicodeDecodeError as error:
        raise _unreadable(f"{path} is not UTF-8 (at byte {error.start})") from error


def _unreadable(text: str) -> errors.ClientError:
    return errors.ClientError(errors.Trouble(code="config.unreadable", text=text, hint=_HINT))
