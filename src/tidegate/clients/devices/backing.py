# SPDX-License-Identifier: Apache-2.0
"""What lies behind LINSTOR's storage pools, from the kernel's own files: mounts, active logical volumes, imported zpools.

No program is run for it: ``vgs`` or ``zpool`` hang where the devices do, and need rights that the agent does not have.
"""

from pathlib import Path
from typing import Final

import msgspec

from tidegate.clients import errors, files

_MOUNTS: Final = (Path("proc/1/mountinfo"), Path("proc/self/mountinfo"))
"""The first is the host's own view; a sandbox may hide it."""
_ZPOOLS: Final = Path("proc/spl/kstat/zfs")
_BLOCK: Final = Path("sys/block")
_MOST_DEVICES: Final = 50_000


class Mount(msgspec.Struct, frozen=True):
    """A mounted file system."""

    point: str
    device: str


def mounts(root: Path = Path("/")) -> tuple[Mount, ...]:
    """Return what is mounted, in the order of mounting (man 5 proc, mountinfo); empty when that cannot be read."""
    for place in _MOUNTS:
        try:
            text = files.read_text(root / place, limit=16 * 1024 * 1024)
        except errors.ClientError:
            continue
        return tuple(found for line in text.splitlines() if (found := parse_mount(line)))
    return ()


def parse_mount(line: str) -> Mount | None:
    """Return the mount that a line of ``mountinfo`` tells of; None for what is no such line. Pure."""
    left, dash, right = line.partition(" - ")
    words, behind = left.split(), right.split()
    if not dash or len(words) < 5 or len(behind) < 2:
        return None
    return Mount(_plain(words[4]), _plain(behind[1]))


def mount_of(path: str, mounted: tuple[Mount, ...]) -> Mount | None:
    """Return the mount that ``path`` lies on: of those above it the longest, of equals the last. Pure."""
    best: Mount | None = None
    for mount in mounted:
        point = mount.point.rstrip("/")
        above = path == mount.point or path.startswith(f"{point}/")
        if above and (best is None or len(mount.point) >= len(best.point)):
            best = mount
    return best


def zpool_imported(name: str, root: Path = Path("/")) -> bool | None:
    """Return whether the zpool is imported; None on a host whose kernel has no ZFS loaded, or where it cannot be seen."""
    if not (root / _ZPOOLS).is_dir():
        return None
    return (root / _ZPOOLS / name).is_dir()


def active_groups(root: Path = Path("/")) -> frozenset[str]:
    """Return the volume groups of which at least one logical volume is active."""
    found = set()
    try:
        devices = sorted((root / _BLOCK).glob("dm-*"))[:_MOST_DEVICES]
    except OSError:
        return frozenset()
    for device in devices:
        try:
            uuid = files.read_text(device / "dm/uuid", limit=4096)
            name = files.read_text(device / "dm/name", limit=4096)
        except errors.ClientError:
            continue
        if uuid.startswith("LVM-"):
            found.add(group_of(name.strip()))
    return frozenset(found)


def group_of(name: str) -> str:
    """Return the volume group of a device-mapper name: ``my--vg-lv`` is ``lv`` of ``my-vg`` (man 7 lvm). Pure."""
    return name.replace("--", "\0").partition("-")[0].replace("\0", "-")


def _plain(text: str) -> str:
    """Undo the octal escapes of blanks and backslashes."""
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, char)
    return text
