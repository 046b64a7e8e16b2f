# SPDX-License-Identifier: Apache-2.0
"""Volumes of the lab: sparse files behind loop devices, shown in a machine as ``/dev/drbdMINOR`` while the simulator says so.

The files are the disks: they keep what Incus wrote. Each is named as LINSTOR names a volume (``RESOURCE_00000``). The device file
inside the machine comes and goes with the model, and with it the link in ``/dev/drbd/by-res`` that udev would make on a real node.
"""

import os
import stat
from pathlib import Path

from tests.lab import host


class Disks:
    """The backing files in ``directory`` and their loop devices; a volume is named by resource and number."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._loops: dict[Path, Path] = {}
        directory.mkdir(parents=True, exist_ok=True)

    def _file(self, resource: str, number: int) -> Path:
        return self._directory / f"{resource}_{number:05d}"

    @staticmethod
    def _elsewhere(path: Path) -> Path:
        return path.with_name(f"{path.name}.elsewhere")

    def create(self, resource: str, number: int, size_kib: int) -> None:
        """An empty disk, or a longer one if it is there already."""
        path = self._file(resource, number)
        self._elsewhere(path).unlink(missing_ok=True)
        size = size_kib * 1024
        with path.open("ab") as disk:
            if os.fstat(disk.fileno()).st_size < size:
                disk.truncate(size)
        if path in self._loops:
            host.run(["losetup", "--set-capacity", str(self._loops[path])], timeout=20)

    def copy(self, source: str, resource: str, number: int) -> None:
        """Let the disk of ``resource`` hold what that of ``source`` holds now (clones, snapshots, restores)."""
        original = self._file(source, number)
        loop = self._loops.get(original)
        if loop is not None:  # what the device's page cache holds must be in the file first
            fd = os.open(loop, os.O_RDONLY)
            os.fsync(fd)
            os.close(fd)
        words = ["cp", "--sparse=always", "--reflink=auto"]
        host.run([*words, str(original), str(self._file(resource, number))], timeout=120)

    def delete(self, resource: str, number: int) -> None:
        """Detach and delete a disk; harmless when it is not there. What it held is kept as another node's replica would keep it."""
        path = self._file(resource, number)
        self._detach(path)
        if path.exists():
            path.rename(self._elsewhere(path))

    def device(self, resource: str, number: int) -> int:
        """The device number of the disk's loop device, attached if it is not yet. Raises LabError when there is no disk."""
        path = self._file(resource, number)
        if not path.exists() and self._elsewhere(path).exists():
            path = self._elsewhere(path)  # a diskless device: another node's replica serves it
        if path not in self._loops:
            name = host.run(["losetup", "--find", "--show", str(path)], timeout=20).strip()
            self._loops[path] = Path(name)
        return self._loops[path].stat().st_rdev

    def _detach(self, path: Path) -> None:
        loop = self._loops.pop(path, None)
        if loop is not None:
            host.run(["losetup", "--detach", str(loop)], timeout=20, check=False)

    def close(self) -> None:
        """Detach every loop device; the files stay."""
        for path in tuple(self._loops):
            self._detach(path)


class DeviceFiles:
    """The DRBD device files of one machine that is up; ``dev`` is its ``/dev`` as the host reaches it."""

    def __init__(self, dev: Path) -> None:
        if dev.stat().st_dev == Path("/dev").stat().st_dev:
            raise host.LabError(f"{dev} is this host's own /dev: the machine has no root yet")
        self._dev = dev

    def appear(self, resource: str, number: int, minor: int, device: int) -> None:
        """Make ``/dev/drbdMINOR`` lead to block device ``device``, and the link by resource to it."""
        self.vanish(resource, number, minor)
        os.mknod(self._dev / f"drbd{minor}", stat.S_IFBLK | 0o660, device)
        link = self._link(resource, number)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(f"../../../drbd{minor}")

    def vanish(self, resource: str, number: int, minor: int) -> None:
        """Take both away; harmless when they are not there."""
        self._link(resource, number).unlink(missing_ok=True)
        (self._dev / f"drbd{minor}").unlink(missing_ok=True)

    def _link(self, resource: str, number: int) -> Path:
        return self._dev / "drbd" / "by-res" / resource / str(number)
