# SPDX-License-Identifier: Apache-2.0
"""Volumes of the lab: sparse files behind loop devices, shown in a machine as ``/dev/drbdMINOR`` while the simulator says so.

The files are the disks: they keep what Incus wrote. A loop device lives as long as the rig; the device file inside the machine comes
and goes with the model, and with it the link ``/dev/drbd/by-res`` that udev would make on a real node.
"""

import os
import stat
from pathlib import Path

import msgspec
from tests.lab import host


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What should be: one volume of one resource on the machine's node.

    Attributes:
        resource: LINSTOR's resource name.
        number: volume number.
        minor: of DRBD.
        size_kib: size of the disk.
        clone_of: resource whose disk a new one copies; "" = empty.
        device: whether the device file is there now.
    """

    resource: str
    number: int
    minor: int
    size_kib: int
    clone_of: str = ""
    device: bool = False


class Disks:
    """The backing files in ``directory`` and their loop devices."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._loops: dict[tuple[str, int], tuple[str, int]] = {}
        directory.mkdir(parents=True, exist_ok=True)

    def _file(self, resource: str, number: int) -> Path:
        return self._directory / f"{resource}_{number:05d}"

    def ensure(self, wish: Wish) -> int:
        """Make the disk and its loop device if they are not there; returns the loop's device number."""
        key = (wish.resource, wish.number)
        if key not in self._loops:
            path = self._file(*key)
            if not path.exists():
                self._create(path, wish)
            name = host.run(["losetup", "--find", "--show", str(path)], timeout=20).strip()
            self._loops[key] = (name, Path(name).stat().st_rdev)
        return self._loops[key][1]

    def _create(self, path: Path, wish: Wish) -> None:
        source = self._file(wish.clone_of, wish.number) if wish.clone_of else None
        if source is not None and source.exists():
            loop = self._loops.get((wish.clone_of, wish.number))
            if loop is not None:  # what the page cache of the device holds must be in the file
                fd = os.open(loop[0], os.O_RDONLY)
                os.fsync(fd)
                os.close(fd)
            copy = ["cp", "--sparse=always", "--reflink=auto", str(source), str(path)]
            host.run(copy, timeout=120)
        size = wish.size_kib * 1024
        with path.open("ab") as disk:
            if os.fstat(disk.fileno()).st_size < size:
                disk.truncate(size)

    def known(self) -> set[tuple[str, int]]:
        """The disks that have a loop device."""
        return set(self._loops)

    def remove(self, key: tuple[str, int]) -> None:
        """Detach and delete the disk of ``key`` (resource, volume number)."""
        loop = self._loops.pop(key, None)
        if loop is not None:
            host.run(["losetup", "--detach", loop[0]], timeout=20, check=False)
        self._file(*key).unlink(missing_ok=True)

    def close(self) -> None:
        """Detach every loop device; the files stay."""
        for name, _ in self._loops.values():
            host.run(["losetup", "--detach", name], timeout=20, check=False)
        self._loops.clear()


class Nodes:
    """The device files of one machine that is up; ``dev`` is its ``/dev`` as the host reaches it."""

    def __init__(self, dev: Path) -> None:
        self._dev = dev
        self._shown: set[Wish] = set()

    def settle(self, wishes: list[Wish], disks: Disks) -> None:
        """Show and hide until exactly the wished devices are there."""
        wanted = {wish for wish in wishes if wish.device}
        for wish in self._shown - wanted:
            self._link(wish).unlink(missing_ok=True)
            (self._dev / f"drbd{wish.minor}").unlink(missing_ok=True)
        for wish in sorted(wanted - self._shown, key=lambda w: w.minor):
            node = self._dev / f"drbd{wish.minor}"
            node.unlink(missing_ok=True)
            os.mknod(node, stat.S_IFBLK | 0o660, disks.ensure(wish))
            link = self._link(wish)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(f"../../../drbd{wish.minor}")
        self._shown = wanted

    def _link(self, wish: Wish) -> Path:
        return self._dev / "drbd" / "by-res" / wish.resource / str(wish.number)


def settle(wishes: list[Wish], disks: Disks, nodes: Nodes | None) -> None:
    """Make disks and, in a machine that is up, device files be as wished; disks of resources not wished any more are deleted."""
    for wish in wishes:
        disks.ensure(wish)
    if nodes is not None:
        nodes.settle(wishes, disks)
    keys = {(wish.resource, wish.number) for wish in wishes}
    for key in disks.known() - keys:
        disks.remove(key)
