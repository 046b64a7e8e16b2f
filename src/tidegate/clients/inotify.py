# SPDX-License-Identifier: Apache-2.0
"""What appears in directories and vanishes from them, told by the kernel (``man 7 inotify``).

Through the C library that Python runs on, because the standard library has no call for it. Marks are on inodes: what
another mount namespace makes in the same directory is told as well.
"""

import asyncio
import contextlib
import ctypes
import functools
import os
import struct
from typing import Final, Self

import msgspec

from tidegate.clients import errors

_ATTRIB, _MOVED_FROM, _MOVED_TO = 0x4, 0x40, 0x80
_CREATE, _DELETE, _DELETE_SELF = 0x100, 0x200, 0x400
_OVERFLOW, _IGNORED, _ONLYDIR = 0x4000, 0x8000, 0x01000000
# Not opening, reading and closing: examining a device would then tell of itself, and every "> /dev/null" too.
_WANTED: Final = _ATTRIB | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _ONLYDIR
_HEADER: Final = struct.Struct("iIII")
_READ: Final = 64 * 1024


class Change(msgspec.Struct, frozen=True):
    """Something appeared, vanished or changed its owner or mode. Empty ``path``: changes were lost, look at everything."""

    path: str


class Inotify:
    """Watches directories; use as a context manager. Raises ClientError ``inotify.refused`` when the kernel gives none."""

    def __init__(self) -> None:
        self._fd = _libc().inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise _refused(ctypes.get_errno())
        self._directories: dict[int, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def watch(self, directory: str) -> bool:
        """Tell of changes in ``directory`` too; True when it was not watched before, False also when there is none."""
        found: int = _libc().inotify_add_watch(self._fd, os.fsencode(directory), _WANTED)
        if found < 0 or found in self._directories:
            return False
        self._directories[found] = directory
        return True

    async def changes(self) -> list[Change]:
        """At least one change, as soon as there is one. What is not asked for waits in the kernel, which keeps 16,384."""
        await self._readable()
        found = []
        data = os.read(self._fd, _READ)
        while data:
            number, mask, _, length = _HEADER.unpack_from(data)
            name = data[_HEADER.size : _HEADER.size + length].rstrip(b"\0")
            data = data[_HEADER.size + length :]
            directory = self._directories.get(number, "")
            if mask & _IGNORED:
                self._directories.pop(number, None)
            elif mask & _OVERFLOW or not directory:
                found.append(Change(""))
            else:
                found.append(Change(f"{directory}/{os.fsdecode(name)}" if name else directory))
        return found

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()

        def tell() -> None:
            with contextlib.suppress(asyncio.InvalidStateError):
                ready.set_result(None)

        loop.add_reader(self._fd, tell)
        try:
            await ready
        finally:
            loop.remove_reader(self._fd)


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _refused(number: int) -> errors.ClientError:
    return errors.ClientError(
        errors.Trouble(
            code="inotify.refused",
            text=f"the kernel gives no inotify instance: {os.strerror(number)}",
            hint="sysctl fs.inotify.max_user_instances; directories are looked at now and then instead",
        )
    )
