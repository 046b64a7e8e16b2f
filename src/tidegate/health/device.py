# SPDX-License-Identifier: Apache-2.0
"""Evidence of a volume's device: it exists, is what LINSTOR names, opens, and carries what it carried.

A device node, its link in by-res, ``device_path`` and even ONLINE prove nothing (facts/drbd-observed.md, early-observed.md): only
opening does, and only of the right device. ENOENT and ENODATA mean "wait" while the node comes up.
"""

from typing import Final

import msgspec

from tidegate.core.facts import DeviceFacts, OpenResult
from tidegate.core.ids import VolumeId
from tidegate.health.opinion import Doubt

DRBD_MAJOR: Final = 147
EMPTY: Final = frozenset({"zero", "empty"})
"""Words for a device that holds nothing, or has no size."""
NAMELESS: Final = frozenset({None, "unknown", *EMPTY})
"""Contents that are not worth remembering."""

_ADVICE: Final = {
    "EAGAIN": "Wait: it takes a moment until the peer is connected.",
    "EMEDIUMTYPE": "A peer is Primary, or no data can be reached from here: drbdadm status {resource} on all its nodes.",
    "EACCES": "Tidegate may not open devices: run it as root, or ask the agent.",
    "EPERM": "Tidegate may not open devices: run it as root, or ask the agent.",
    "EIO": "The disk below gives I/O errors: dmesg; drbdadm status {resource}",
    "ENXIO": "Nothing is behind the device node: drbdadm status {resource}; for a loop device: losetup -l",
    "ENODEV": "Nothing is behind the device node: drbdadm status {resource}",
    "EBUSY": "Something holds it exclusively: lsblk {path}; fuser -v {path}",
}
_WHY: Final = {
    "EMEDIUMTYPE": "wrong medium type: a peer is Primary, or no data can be reached",
    "EACCES": "permission denied",
    "EPERM": "operation not permitted",
    "EAGAIN": "a peer is just connecting",
    "EIO": "input/output error",
    "ENXIO": "nothing behind the device node",
    "ENODEV": "nothing behind the device node",
    "EBUSY": "held by something else",
}


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What the device of a volume should be."""

    volume: VolumeId
    path: str | None
    """As LINSTOR names it; None when LINSTOR cannot be asked: then the kernel's minor has to do."""
    is_drbd: bool
    """The device is DRBD's own: DRBD is the top layer."""
    kernel_minor: int | None = None
    """The minor that DRBD in the kernel gives the volume; None where the kernel was not asked."""
    linstor_minor: int | None = None
    backing: str | None = None
    """The file or disk below, as LINSTOR names it."""
    content: str | None = None
    """What it held at the last good moment."""
    is_filesystem: bool = False
    """Incus made a file system on it, which its user cannot replace."""


def judge(
    seen: DeviceFacts, expected: Expected, *, coming_up: bool, lasts: float, since: float
) -> tuple[Doubt, ...]:
    """Return the doubts about the device ``seen``, which has been like this for ``lasts`` seconds (``since`` after boot)."""
    named = _named_wrong(expected)
    if named:
        return (Doubt(code="device.wrong", observed=named, since=since),)
    if _is_elsewhere(seen, expected):
        return (
            Doubt(
                code="device.not-looked",
                observed=f"LINSTOR names {expected.path}, {seen.path} was looked at",
                waiting=True,
            ),
        )
    if not seen.exists:
        missing = _missing(seen, coming_up=coming_up, lasts=lasts, since=since)
        if (
            missing.code == "device.missing"
            and expected.is_drbd
            and expected.kernel_minor is not None
        ):
            text = f"{seen.path} does not exist for {lasts:.0f} s, and DRBD has its minor {expected.kernel_minor}"
            missing = msgspec.structs.replace(missing, code="device.node-missing", observed=text)
        return (missing,)
    # What hangs tells nothing of itself.
    wrong = "" if seen.opened is OpenResult.TIMED_OUT else _wrong(seen, expected)
    if wrong:
        # A kept path of a loop device that became another's is put right by the satellite's run.
        stale = coming_up and not expected.is_drbd and seen.is_device
        return (Doubt(code="device.wrong", observed=wrong, since=since, waiting=stale),)
    unopened = _unopened(seen, coming_up=coming_up, lasts=lasts, since=since)
    if unopened is not None:
        return (unopened,)
    carried = _carried(seen, expected)
    return () if carried is None else (carried,)


def _missing(seen: DeviceFacts, *, coming_up: bool, lasts: float, since: float) -> Doubt:
    if seen.errno not in {None, "ENOENT", "ENOTDIR"}:
        return _cannot_open(seen, since)
    return Doubt(
        code="device.missing",
        observed=f"{seen.path} does not exist for {lasts:.0f} s",
        since=since,
        waiting=coming_up,
    )


def _is_elsewhere(seen: DeviceFacts, expected: Expected) -> bool:
    """Return True when another path was looked at than LINSTOR names, and the kernel does not say that it is the same."""
    if expected.path is None or seen.path == expected.path:
        return False
    return expected.kernel_minor is None or not _is_minor(seen, expected.kernel_minor)


def _named_wrong(expected: Expected) -> str:
    """Return why the path that LINSTOR names, which Incus opens, cannot be this volume's by what the kernel says; empty else."""
    path, minor = expected.path or "", expected.kernel_minor
    number = path.removeprefix("/dev/drbd")
    if minor is None or number == path or not number.isdecimal() or number == str(minor):
        return ""
    return f"LINSTOR names {path}, and DRBD has the volume as minor {minor}"


def _is_minor(seen: DeviceFacts, minor: int) -> bool:
    """Return True when ``seen`` is DRBD's device ``minor``.

    A node that is not DRBD's by its major number stands for one by its name: in the lab, loop devices play DRBD's part, and
    under another root regular files do.
    """
    if seen.rdev is not None and seen.rdev[0] == DRBD_MAJOR:
        return seen.rdev[1] == minor
    return seen.path == f"/dev/drbd{minor}"


def _wrong(seen: DeviceFacts, expected: Expected) -> str:
    """Return why ``seen`` is not the device of the volume; empty when it may be."""
    if not seen.is_device:
        return f"{seen.path} is not a block device"
    minor = expected.linstor_minor if expected.kernel_minor is None else expected.kernel_minor
    if expected.is_drbd:
        # DRBD's minors are fixed (facts/linstor-observed.md A6): the kernel's word counts, then LINSTOR's.
        if minor is None or _is_minor(seen, minor):
            return ""
        is_device = f" is device {seen.rdev[0]}:{seen.rdev[1]}" if seen.rdev is not None else ""
        return f"{seen.path}{is_device}, and the volume has DRBD's minor {minor}"
    return _wrong_backing(seen, expected)


def _wrong_backing(seen: DeviceFacts, expected: Expected) -> str:
    """A loop device's number moves at every boot; a kept path may name another volume's (facts/linstor-observed.md A6)."""
    if seen.backing_file is None:
        return ""
    if expected.backing is not None and not expected.backing.startswith("/dev/"):
        right = seen.backing_file == expected.backing
    else:
        # LINSTOR names the files of FILE and FILE_THIN pools RESOURCE_NNNNN.img.
        name = seen.backing_file.rpartition("/")[2]
        stem = f"{expected.volume.resource}_{expected.volume.number:05d}"
        right = name.partition(".")[0] == stem and not name.endswith("(deleted)")
    return "" if right else f"{seen.path} is backed by {seen.backing_file}"


def _unopened(seen: DeviceFacts, *, coming_up: bool, lasts: float, since: float) -> Doubt | None:
    match seen.opened:
        case OpenResult.OPENED:
            # A kept path of a loop device to which nothing is attached yet opens well (tests/data/linstor, case c8 at 106.7 s).
            return _sizeless(seen, coming_up=coming_up, since=since)
        case OpenResult.NOT_TRIED:
            return Doubt(
                code="device.not-looked",
                observed=f"{seen.path} exists, and nobody tried to open it",
                waiting=coming_up,
            )
        case OpenResult.TIMED_OUT:
            return Doubt(
                code="device.open-hangs",
                observed=f"opening {seen.path} does not come back for {lasts:.0f} s",
                since=since,
            )
        case OpenResult.FAILED:
            if seen.errno == "ENODATA":
                return Doubt(
                    code="device.no-data",
                    observed=f"opening {seen.path} says ENODATA for {lasts:.0f} s: no disk attached yet, no quorum, or no data",
                    since=since,
                    waiting=coming_up,
                )
            if seen.errno == "ENOENT":
                return _missing(seen, coming_up=coming_up, lasts=lasts, since=since)
            return _cannot_open(seen, since)


def _sizeless(seen: DeviceFacts, *, coming_up: bool, since: float) -> Doubt | None:
    if seen.size != 0 and seen.content != "empty":
        return None
    return Doubt(
        code="device.no-data",
        observed=f"{seen.path} opens and has no size: nothing is attached to it",
        since=since,
        waiting=coming_up,
    )


def _cannot_open(seen: DeviceFacts, since: float) -> Doubt:
    errno = seen.errno or "an error"
    why = f" ({_WHY[errno]})" if errno in _WHY else ""
    advice = _ADVICE.get(errno, "dmesg; drbdadm status {resource}")
    return Doubt(
        code="device.cannot-open",
        observed=f"opening {seen.path} says {errno}{why}",
        since=since,
        waiting=errno == "EAGAIN",
        context={"advice": advice},
    )


def _carried(seen: DeviceFacts, expected: Expected) -> Doubt | None:
    """Compare with what it held at the last good moment (facts/linstor-observed.md A5, A19).

    Where that is not known (no map yet, or one that was lost), what Incus keeps a file system on holds at least one.
    """
    before, now = expected.content, seen.content
    if before is None and expected.is_filesystem and now in EMPTY:
        observed = f"{seen.path} holds nothing, and Incus keeps a file system on it"
        return _content("device.empty", observed, "a file system")
    if before is None or before in NAMELESS or before == now:
        return None
    if now is None:
        return _content("device.content-unknown", f"{seen.path} held {before}", before)
    if now in EMPTY:
        return _content("device.empty", f"{seen.path} holds nothing, it held {before}", before)
    code = "device.other-content" if expected.is_filesystem else "device.content-changed"
    holds = "something else" if now in NAMELESS else now
    return _content(code, f"{seen.path} holds {holds}, it held {before}", before)


def _content(code: str, observed: str, before: str) -> Doubt:
    return Doubt(code=code, observed=observed, context={"content": before})
