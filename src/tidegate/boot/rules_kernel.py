# SPDX-License-Identifier: Apache-2.0
"""What the machine itself lacked or reported: memory, room, disks, file systems, the kernel; and what followed from it."""

from typing import Final

import msgspec

from tidegate.boot.case import Case, secs
from tidegate.boot.facts import INCUS_UNIT
from tidegate.boot.model import Event, Kind

_OURS: Final = frozenset({"java", "incusd", "tidegate", "python3"})
_VOLUMES: Final = ("drbd", "loop", "zd", "dm-")
TOOLS: Final = frozenset(
    {"lvs", "vgs", "pvs", "lvchange", "lvcreate", "lvm", "zfs", "zpool", "drbdsetup", "drbdadm"}
    | {"drbdmeta", "losetup", "blkid", "java", "udevadm", "cryptsetup", "dmsetup"}
)
"""What the satellite runs: one of them hanging is a run that stands still."""
_NEAR: Final = 60.0
_AFTER: Final = 600.0
"""Seconds after Incus was up from which on a trouble that hit nobody is not the boot's any more, only worth knowing."""


class _Trouble(msgspec.Struct, frozen=True):
    """A kind of the machine's own troubles: its code, its words, and the codes of what follows from it."""

    kind: Kind
    code: str
    text: str
    effects: tuple[str, ...]
    why: str


_DEVICES: Final = ("satellite.stuck", "satellite.error", "devices.missing", "devices.late")
_STORAGE: Final = ("drbd.io-error", "storage.missing", "storage.broken", "satellite.error")
_WRITERS: Final = ("incus.fatal", "satellite.failed", "controller.failed", "controller.database")
_TROUBLES: Final = (
    _Trouble(
        Kind.DISK_FULL,
        "host.disk-full",
        "A file system was full",
        (*_WRITERS, "incus.panic", "instance.error"),
        "what it writes had no room",
    ),
    _Trouble(
        Kind.IO_ERROR,
        "host.io-error",
        "A disk reported errors",
        (*_STORAGE, "volume.not-mountable", "host.file-system", "satellite.stuck"),
        "the disk under it reported errors",
    ),
    _Trouble(
        Kind.FS_ERROR,
        "host.file-system",
        "A file system reported errors",
        _WRITERS,
        "what it writes lies on that file system",
    ),
    _Trouble(
        Kind.KERNEL_OOPS,
        "host.kernel-fault",
        "The kernel reported a fault of its own",
        (*_DEVICES, "controller.no-answer"),
        "what the kernel was doing for it did not end",
    ),
    _Trouble(
        Kind.HUNG_TASK,
        "host.hung-task",
        "A process hung in the kernel",
        (),
        "a process that it needs hung in the kernel",
    ),
    _Trouble(
        Kind.OOM_KILL,
        "host.out-of-memory",
        "Memory ran out and a process was killed",
        (),
        "",
    ),
)


def examine(case: Case) -> None:
    """Add the machine's own troubles, each with what followed from it."""
    up = case.facts.first(Kind.UNIT_STARTED, INCUS_UNIT)
    over = up.at + _AFTER if up is not None else case.facts.end
    for trouble in _TROUBLES:
        found = [event for event in case.facts.all(trouble.kind) if _of_the_host(event)]
        if not found:
            continue
        first = found[0]
        who = first.data.get("name") or first.data.get("dev") or ""
        key = case.graph.add(
            trouble.code,
            "host",
            f"{trouble.text} at {secs(first.at)}{f' ({who})' if who else ''}: “{first.evidence[0].text[:160]}”.",
            begin=first.at,
            events=found[:5],
            note=first.at > over or all(_inside(event) for event in found),
        )
        _link(case, key, trouble, first)
        if trouble.kind is Kind.HUNG_TASK:
            _hung(case, key, found)


def _of_the_host(event: Event) -> bool:
    """Return whether a file system's trouble is the machine's, not that of an instance's volume."""
    return event.kind is not Kind.FS_ERROR or not event.data.get("dev", "").startswith(_VOLUMES)


def _inside(event: Event) -> bool:
    """Return whether a limit of an instance or a unit was met, not the end of the host's memory."""
    if event.kind is not Kind.OOM_KILL:
        return False
    return "Memory cgroup" in event.evidence[0].text and event.data.get("name") not in _OURS


def _link(case: Case, key: str, trouble: _Trouble, first: Event) -> None:
    for effect, cause in list(case.graph.nodes.items()):
        ends = cause.end if cause.end is not None else case.facts.end
        if cause.code in trouble.effects and first.at <= ends + 1.0:
            if trouble.kind is Kind.KERNEL_OOPS and first.at > cause.begin + _NEAR:
                continue
            case.graph.link(key, effect, trouble.why, [first])


def _hung(case: Case, key: str, found: list[Event]) -> None:
    """Link hanging tools to the run that they held up, a hanging incusd to its silence; and what they hang on."""
    names = {event.data.get("name", "").partition("/")[0] for event in found}
    for effect, cause in list(case.graph.nodes.items()):
        if cause.code == "satellite.stuck" and names & TOOLS:
            case.graph.link(key, effect, "a command that the satellite runs hung", found[:1])
        elif cause.code in {"controller.no-answer", "incus.start-timeout", "incus.killed"}:
            if "incusd" in names:
                case.graph.link(key, effect, "incusd hung in the kernel", found[:1])
        elif cause.code in {"storage.broken", "storage.full", "drbd.quorum-lost"}:
            case.graph.link(effect, key, "whoever writes to it waits", found[:1])
