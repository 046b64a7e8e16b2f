# SPDX-License-Identifier: Apache-2.0
"""A node's device files: which exist, what open(2) says, what they carry.

Others ask here instead of ``/dev``: the Incus model before it mounts, probes in tests, the lab that makes real files from the
events. Whether a DRBD device opens is DRBD's business; the world supplies that as ``verdict``.
"""

import errno
from collections.abc import Callable, Iterator

import msgspec

DRBD_MAJOR = 147
LOOP_MAJOR = 7

ERRNO_TEXT = {
    errno.ENOENT: "no such file or directory",
    errno.ENODATA: "no data available",
    errno.EMEDIUMTYPE: "wrong medium type",
    errno.EAGAIN: "resource temporarily unavailable",
    errno.EACCES: "permission denied",
    errno.EIO: "input/output error",
    errno.ENODEV: "no such device",
    errno.ENXIO: "no such device or address",
    errno.EROFS: "read-only file system",
    errno.EBUSY: "device or resource busy",
    errno.ENOTRECOVERABLE: "state not recoverable",
}
"""What Go prints for an errno; Incus's log lines carry these (facts/incus.md 6.3)."""


class DeviceFile(msgspec.Struct, frozen=True, kw_only=True):
    """One block device file.

    Attributes:
        path: as LINSTOR names it.
        major, minor: of the block device.
        resource, volume: whose it is.
        size_kib: size.
        signature: what it carries ("ext4", "dos", "" = nothing).
        links: udev's symbolic links to it.
    """

    path: str
    major: int
    minor: int
    resource: str
    volume: int
    size_kib: int
    signature: str = ""
    links: tuple[str, ...] = ()


class DeviceTree:
    """The ``/dev`` of one node."""

    def __init__(self, node: str) -> None:
        self.node = node
        self._files: dict[str, DeviceFile] = {}
        self.first_loop = 4
        self.verdict: Callable[[DeviceFile], int] = lambda _file: 0
        self.on_change: Callable[[str, DeviceFile], None] = lambda _what, _file: None

    def __iter__(self) -> Iterator[DeviceFile]:
        return iter(sorted(self._files.values(), key=lambda f: f.path))

    def appear(self, file: DeviceFile) -> None:
        """The file comes into being (again: nothing happens)."""
        if self._files.get(file.path) == file:
            return
        self._files[file.path] = file
        self.on_change("device-appears", file)

    def vanish(self, path: str) -> None:
        """The file goes (it was not there: nothing happens)."""
        file = self._files.pop(path, None)
        if file is not None:
            self.on_change("device-vanishes", file)

    def find(self, path: str) -> DeviceFile | None:
        """The file at ``path``, also through one of its links."""
        found = self._files.get(path)
        return found or next((f for f in self._files.values() if path in f.links), None)

    def of(self, resource: str, volume: int) -> DeviceFile | None:
        """The file of a volume."""
        return next(
            (f for f in self._files.values() if f.resource == resource and f.volume == volume),
            None,
        )

    def open(self, path: str) -> int:
        """What ``open(path, O_RDONLY)`` says: 0 or an errno. An empty path is ENOENT, as in the kernel."""
        file = self.find(path) if path else None
        return self.verdict(file) if file else errno.ENOENT

    def free_loop(self) -> int:
        """The lowest free loop device number. They move from boot to boot (facts/linstor-observed.md A6): see ``first_loop``."""
        used = {f.minor for f in self._files.values() if f.major == LOOP_MAJOR}
        return next(n for n in range(self.first_loop, 4096) if n not in used)
