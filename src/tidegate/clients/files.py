# SPDX-License-Identifier: Apache-2.0
"""The one door for writing files (whole or not at all) and for reading them with a limit.

A power cut may come at any moment, and files written within some 30 s before it come back empty
when nobody synced them (facts/drbd-observed.md): a file is written beside its place, synced,
renamed, and the directory is synced as well. These calls block; the agent runs them in a thread.
"""

import contextlib
import errno
import os
import tempfile
from pathlib import Path

from tidegate.clients import errors

_CODES = {
    errno.ENOENT: "file.missing",
    errno.ENOTDIR: "file.missing",
    errno.EACCES: "file.permission",
    errno.EPERM: "file.permission",
    errno.EROFS: "file.read-only",
    errno.ENOSPC: "file.full",
    errno.EDQUOT: "file.full",
}
_HINTS = {
    "file.missing": "check the path, or create its directory",
    "file.permission": "run as root, or give this user access to it",
    "file.read-only": "its file system is mounted read-only: see the kernel's messages, remount it",
    "file.full": "free space in its file system",
    "file.error": "see the kernel's messages",
}


def _trouble(doing: str, path: Path, error: OSError) -> errors.ClientError:
    code = _CODES.get(error.errno or 0, "file.error")
    text = f"cannot {doing} {path}: {error.strerror or error}"
    return errors.ClientError(errors.Trouble(code=code, text=text, hint=_HINTS[code]))


def write(path: Path, data: bytes, *, mode: int = 0o644, durable: bool = True) -> None:
    """Replace ``path`` by ``data`` so that a reader, or a power cut, sees the old or the new whole.

    ``mode`` is the file's mode whatever the umask is. ``durable`` False: for what need not outlive
    this boot; nothing is synced, and a power cut may leave it empty. A symbolic link at ``path`` is
    replaced, not followed. Raises ClientError ``file.*`` naming the path; then the old content is untouched.
    """
    try:
        _write(path, data, mode, durable)
    except OSError as error:
        raise _trouble("write", path, error) from error


def _write(path: Path, data: bytes, mode: int, durable: bool) -> None:
    prefix = f".{path.name}."
    descriptor, name = tempfile.mkstemp(prefix=prefix, suffix=".new", dir=path.parent)
    beside = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            if durable:
                os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    if durable:
        sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make names created, renamed or removed in the directory ``path`` last through a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: Path, *, limit: int = 16 * 1024 * 1024) -> bytes:
    """The content of ``path``, at most ``limit`` bytes.

    Raises ClientError ``file.missing``, ``file.permission``, ``file.too-big`` or ``file.error``.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise _trouble("read", path, error) from error
    if len(data) > limit:
        raise errors.ClientError(
            errors.Trouble(
                code="file.too-big",
                text=f"{path} is larger than {limit} bytes",
                hint="this is not the file that was expected here: look at it, move it away",
            )
        )
    return data


def read_text(path: Path, *, limit: int = 1024 * 1024) -> str:
    """As :func:`read`, decoded as UTF-8; what is not UTF-8 becomes replacement characters."""
    return read(path, limit=limit).decode("utf-8", errors="replace")
