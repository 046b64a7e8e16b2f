# SPDX-License-Identifier: Apache-2.0
"""The next step for one kept resource. Called anew after every step, so that it can be interrupted anywhere and begun again."""

from collections.abc import Iterable, Sequence
from typing import Final

from tidegate.bringup.model import (
    Activate,
    Adjust,
    Examine,
    FileState,
    KeptFile,
    KeptVolume,
    Left,
    LogicalVolume,
    Seen,
    Step,
)

_FILES: Final = {
    FileState.EMPTY: (
        "bringup.file-empty",
        "its file holds no resource, as after a power loss; LINSTOR writes it anew",
    ),
    FileState.TORN: (
        "bringup.file-torn",
        "drbdadm cannot read its file; LINSTOR writes it anew",
    ),
    FileState.NOT_HERE: (
        "bringup.not-here",
        "its file says nothing about this node",
    ),
    FileState.FOREIGN: (
        "bringup.file-foreign",
        "its file is not as LINSTOR writes one",
    ),
}
LINSTOR_DOES_IT: Final = "the satellite brings it up as always"
_ZVOL: Final = "/dev/zvol/"
_MAJOR: Final = 9
"""DRBD before 9 cannot serve LINSTOR; given such a module, ``drbdadm`` runs its forerunner, which reads other files."""
LEAST_INTERNAL: Final = 36 * 1024
"""Bytes that metadata takes of the disk at least when it lies on it: superblock and activity log, and a bitmap for each peer besides."""


def next_step(file: KeptFile, seen: Seen) -> Step:
    """Return what is to be done next with the resource of ``file``. What it never does: promote, force, write metadata or files.

    Rules of issue "devices first", from facts/early-observed.md: only what is wanted; nothing once the satellite runs; backing
    disks of LVM (activated with ``-K``: thin snapshots are skipped otherwise) and ZFS alone, since others need LINSTOR.
    """
    if left := _not_now(file, seen) or _not_ours(file, seen) or _not_drbd(file, seen):
        return left
    disks = [volume for volume in file.volumes if volume.disk is not None]
    places = list(dict.fromkeys(path for volume in disks for path in paths(volume)))
    for path in places:
        if left := _needs_linstor(path, seen):
            return left
    if sleeping := _sleeping(places, seen):
        return Activate(volumes=tuple(f"{found.vg}/{found.name}" for found in sleeping))
    for path in places:
        if left := _missing(path, seen):
            return left
    # What is attached already (we were ended in between) has been examined before, by us and by the kernel.
    closed = [volume for volume in disks if not _is_attached(volume, seen)]
    unread = tuple(volume for volume in closed if volume.minor not in seen.metadata)
    if unread:
        return Examine(volumes=unread)
    for volume in closed:
        if left := _misfit(volume, seen):
            return left
    return Adjust(file=file.path)


def paths(volume: KeptVolume) -> tuple[str, ...]:
    """Return the block devices that ``volume`` lies on, external metadata's included."""
    if volume.disk is None:
        return ()
    own = volume.disk
    return (own,) if volume.meta_disk == "internal" else (own, volume.meta_disk)


def absent(files: Iterable[KeptFile], seen: Seen) -> dict[str, Left]:
    """Return wanted resources that have no file on this node, each with why nothing is done."""
    kept = {file.resource for file in files}
    return {
        resource: Left(
            code="bringup.no-file",
            why="wanted here, but LINSTOR has left no file of it on this node",
        )
        for resource in sorted(seen.wanted or ())
        if resource not in kept
    }


def clashes(files: Sequence[KeptFile]) -> dict[str, Left]:
    """Return resources whose minor numbers another file claims as well: one of the two is stale, and nothing here tells which."""
    owners: dict[int, list[str]] = {}
    for file in files:
        for volume in file.volumes:
            owners.setdefault(volume.minor, []).append(file.resource)
    found = {}
    for minor, names in owners.items():
        if len(set(names)) > 1:
            for name in names:
                others = ", ".join(sorted(set(names) - {name}))
                found[name] = Left(
                    code="bringup.minor-twice",
                    why=f"its minor {minor} is claimed by {others} too: one of the files is stale",
                )
    return found


def _not_now(file: KeptFile, seen: Seen) -> Left | None:
    """Say that nothing may be brought up any more, or that this is up."""
    if seen.satellite:
        return Left(
            code="bringup.satellite-runs", why="the satellite runs already: it is its work now"
        )
    if file.resource in (seen.up or ()) and file.resource not in seen.begun:
        return Left(code="bringup.up", why="it is up already")
    return None


def _not_ours(file: KeptFile, seen: Seen) -> Left | None:
    """Say why this resource is none that may be brought up from what is kept of it."""
    if not seen.everything and seen.wanted is None:
        return Left(code="bringup.no-map", why="it is not known yet what is wanted on this node")
    if not seen.everything and file.resource not in (seen.wanted or ()):
        return Left(code="bringup.not-wanted", why="nothing that starts here needs it")
    if why := seen.reserved.get(file.resource):
        return Left(code="bringup.reserved", why=why)
    if file.state is not FileState.GOOD:
        code, why = _FILES[file.state]
        return Left(code=code, why=f"{why}: {file.says}" if file.says else why)
    if file.proxy:
        return Left(
            code="bringup.layer", why="it replicates over DRBD Proxy, which LINSTOR sets up"
        )
    return None


def _not_drbd(file: KeptFile, seen: Seen) -> Left | None:
    """Say why DRBD in the kernel cannot take it."""
    if seen.module is None:
        return Left(code="bringup.no-module", why="the module drbd is not loaded", again=True)
    major = seen.module.partition(".")[0]
    if not major.isdecimal() or int(major) < _MAJOR:
        why = f"the module drbd is version {seen.module}, and LINSTOR needs 9 or newer"
        return Left(code="bringup.old-module", why=why)
    if seen.up is None:
        return Left(
            code="bringup.drbd-silent", why="DRBD cannot be asked what is up already", again=True
        )
    for volume in file.volumes:
        owner = seen.devices.get(volume.minor)
        if owner is not None and owner.resource != file.resource:
            why = f"its minor {volume.minor} belongs to {owner.resource}, which is up"
            return Left(code="bringup.minor-taken", why=why)
    return None


def _needs_linstor(path: str, seen: Seen) -> Left | None:
    if path.startswith(_ZVOL):
        return None
    if not _looks_like_lv(path):
        return Left(
            code="bringup.layer",
            why=f"it lies on {path}, which LINSTOR sets up (LUKS, a file, a cache)",
        )
    if seen.volumes is None:
        return Left(code="bringup.lvm-silent", why=f"LVM cannot be asked about {path}", again=True)
    return None


def _looks_like_lv(path: str) -> bool:
    parts = path.split("/")
    others = {"mapper", "disk", "drbd", "loop"}
    return len(parts) == 4 and parts[:2] == ["", "dev"] and parts[2] not in others


def _sleeping(paths: Sequence[str], seen: Seen) -> list[LogicalVolume]:
    found = [(path, (seen.volumes or {}).get(path)) for path in paths]
    return [lv for path, lv in found if lv and not lv.active and path not in seen.activated]


def _missing(path: str, seen: Seen) -> Left | None:
    if path in seen.disks:
        if path.startswith(_ZVOL) or path in (seen.volumes or {}):
            return None
        return Left(
            code="bringup.layer", why=f"it lies on {path}, which is no logical volume of LVM's"
        )
    if said := seen.activated.get(path):
        why = f"{path} could not be activated: {said}"
    elif path in (seen.volumes or {}):
        why = f"{path} was activated, and its device has not come"
    elif path.startswith(_ZVOL):
        why = f"{path} is not there: its zpool is not imported, or it is gone"
    else:
        why = f"{path} is not there: its volume group has not been found, or it is gone"
    return Left(code="bringup.disk-missing", why=why, again=True)


def _is_attached(volume: KeptVolume, seen: Seen) -> bool:
    device = seen.devices.get(volume.minor)
    return device is not None and device.attached


def _misfit(volume: KeptVolume, seen: Seen) -> Left | None:
    found = seen.metadata[volume.minor]
    internal = volume.meta_disk == "internal"
    if found.busy:
        why = f"somebody holds {volume.disk if internal else volume.meta_disk}: {found.says}"
        return Left(code="bringup.disk-busy", why=why, again=True)
    if not found.valid:
        said = f": {found.says}" if found.says else ""
        where = volume.disk if internal else volume.meta_disk
        return Left(
            code="bringup.no-metadata",
            why=f"no DRBD metadata that fits {volume.disk} was found on {where}{said}",
        )
    size = seen.disks[volume.disk or ""]
    room = size - LEAST_INTERNAL if internal else size
    if found.agreed and found.agreed > room:
        return Left(
            code="bringup.too-small",
            why=f"{volume.disk} has {size} bytes, and the nodes agreed upon {found.agreed}",
        )
    return None
