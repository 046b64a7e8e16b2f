# SPDX-License-Identifier: Apache-2.0
"""The one door for writing files (whole or not at all) and for reading them with a limit.

A power cut may come at any moment, and files written within some 30 s before it come back empty
when nobody synced them (facts/drbd-observed.md): a file is written beside its place, synced,
renamed, and the directory is synced as well. These calls block; the agent runs them in a thread.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
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


def make_directory(path: Path, *, mode: int = 0o755) -> None:
    """Make the directory ``path`` of ``mode``, whatever the umask is; its parent must be there. Raises ClientError ``file.*``."""
    try:
        path.mkdir(exist_ok=True)
        path.chmod(mode)
        sync_directory(path.parent)
    except OSError as error:
        raise _trouble("make", path, error) from error


def make_link(path: Path, target: str) -> None:
    """Make the symbolic link ``path`` to ``target``; nothing may be there. Raises ClientError ``file.*``."""
    try:
        path.symlink_to(target)
        sync_directory(path.parent)
    except OSError as error:
        raise _trouble("make", path, error) from error


def remove(path: Path) -> None:
    """Take the file or link ``path`` away; that it is not there is no error. Raises ClientError ``file.*``."""
    try:
        path.unlink(missing_ok=True)
        sync_directory(path.parent)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _trouble("remove", path, error) from error


def remove_directory(path: Path) -> bool:
    """Take the directory ``path`` away if it is there and empty; returns whether it is gone. Raises ClientError ``file.*``."""
    try:
        path.rmdir()
        sync_directory(path.parent)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY}:
            return False
        raise _trouble("remove", path, error) from error
    return True


def move(path: Path, to: Path) -> None:
    """Give ``path`` the name ``to`` in the same directory, at once. Raises ClientError ``file.*``."""
    try:
        path.rename(to)
        sync_directory(to.parent)
    except OSError as error:
        raise _trouble("rename", path, error) from error


def clear(path: Path) -> None:
    """Take the directory ``path`` away with all that is in it; not there is no error. Raises ClientError ``file.*``."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
    except OSError as error:
        raise _trouble("remove", path, error) from error


@contextlib.contextmanager
def alone(directory: Path, busy: errors.Trouble) -> Iterator[None]:
    """Keep a second one of us out of ``directory``; the lock goes with the process and leaves no file.

    Raises ClientError with ``busy`` while another holds it, or ``file.*``.
    """
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _trouble("open", directory, error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise errors.ClientError(busy) from error
        yield
    finally:
        os.close(descriptor)
