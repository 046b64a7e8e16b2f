# SPDX-License-Identifier: Apache-2.0
"""Lines of the journal -> what they tell of the satellite, of DRBD in the kernel and of Incus's pools. Pure.

The words are LINSTOR's (facts/linstor.md 9.2, seen in tests/data/linstor), DRBD's and the kernel's, and Incus's (facts/incus.md G1).
A line that means nothing to us changes nothing.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from tidegate.clients.systemd.follow import Line
from tidegate.core.evidence import Filling, JournalFacts, SatelliteLog

MOST_LOCKED: Final = 50
MOST_POOLS: Final = 50
_LONGEST: Final = 300

_START: Final = "Log directory set to:"
_MOMENTS: Final[Mapping[str, str]] = {
    "NetComService started on port": "port_at",
    "Controller connected and authenticated": "authenticated_at",
    "FullSync successful": "synced_at",
    "Ignored an incoming but outdated fullsync": "outdated_at",
    "End DeviceManager cycle": "run_ended_at",
}
_BEGIN: Final = "Begin DeviceManager cycle"
_WAITS: Final = "DeviceManager waiting for service-condition"
_LOCKED: Final = re.compile(
    r"Skipped actions for encrypted resource '([^']+)' because the encryption key"
)
_REPORT: Final = re.compile(r"\[Report number [0-9A-Fa-f]+-[0-9A-Fa-f]+-\d+\]")
_PREFIX: Final = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ \[[^\]]*\] \w+ +\S+ \w+ - ")
_WEDGED: Final = re.compile(
    r"ASSERTION .*FAILED"
    r"|ASSERT FAILED"
    r"|BUG: (?:unable to handle|kernel NULL|soft lockup)"
    r"|kernel BUG at"
    r"|RIP: \S*drbd"
    r"|task drbd_\S+ blocked for more than"
)
"""Not a file system's thread that is blocked on a DRBD device: that is what suspended I/O looks like."""
_THIN: Final = re.compile(
    r"WARNING: Thin pool (\S+?)(?:-tpool)? metadata is now (\d+(?:\.\d+)?)% full"
)
"""LVM's dmeventd, from 80 % on; it says nothing when there is room again (lvm2, daemons/dmeventd/plugins/thin)."""
_FIELD: Final = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)')
_UNLOADED: Final = "Failed loading storage pool"
_LOADED: Final = "Initialized storage pool"
_FATAL: Final = ("Failed to start the daemon", "Error: ")
_INCUS_START: Final = ("Starting up", "Incus is starting")


def fold(
    before: JournalFacts, lines: Iterable[Line], *, satellite: str, incus: str, shift: float = 0.0
) -> JournalFacts:
    """Return what is known after ``lines``.

    Args:
        before: What was known.
        lines: Oldest first.
        satellite: The satellite's unit.
        incus: The daemon's unit.
        shift: Seconds to add to CLOCK_MONOTONIC to get seconds since boot.
    """
    known = before
    for line in lines:
        at = line.at + shift
        if line.kernel:
            known = _kernel(known, line.text, at)
        elif line.unit == satellite:
            log = _satellite(known.satellite, line.text, at)
            if log is not known.satellite:
                known = msgspec.structs.replace(known, satellite=log)
        elif line.unit == incus:
            known = _incus(known, line.text)
        elif (full := _THIN.search(line.text)) is not None:
            known = _thin(known, full[1], float(full[2]), at)
    return known


def _kernel(known: JournalFacts, text: str, at: float) -> JournalFacts:
    """Remember the first line after which DRBD cannot be trusted: what follows is its consequence."""
    if known.assertion is not None or "drbd" not in text or not _WEDGED.search(text):
        return known
    return msgspec.structs.replace(known, assertion=text[:_LONGEST], assertion_at=at)


def _thin(known: JournalFacts, pool: str, percent: float, at: float) -> JournalFacts:
    told = {**known.thin_metadata, pool: Filling(percent=percent, at=at)}
    return msgspec.structs.replace(known, thin_metadata=dict(list(told.items())[-MOST_POOLS:]))


def _satellite(log: SatelliteLog, text: str, at: float) -> SatelliteLog:
    if _START in text:
        return SatelliteLog(started_at=at)
    for words, field in _MOMENTS.items():
        if words in text:
            return msgspec.structs.replace(log, **{field: at})
    if _BEGIN in text:
        return msgspec.structs.replace(log, waiting=False, run_began_at=at)
    if _WAITS in text:
        return msgspec.structs.replace(log, waiting=True)
    if (match := _LOCKED.search(text)) is not None:
        locked = dict.fromkeys((*log.locked, match[1]))
        return msgspec.structs.replace(log, locked=tuple(locked)[-MOST_LOCKED:])
    if _REPORT.search(text):
        said = _PREFIX.sub("", text.partition("\n")[0])[:_LONGEST]
        return msgspec.structs.replace(log, reports=log.reports + 1, last_report=said)
    return log


def _incus(known: JournalFacts, text: str) -> JournalFacts:
    if _UNLOADED in text or _LOADED in text:
        fields = {name: _bare(value) for name, value in _FIELD.findall(text)}
        pool, pools = fields.get("pool", ""), dict(known.unloaded_pools)
        if _LOADED in text:
            pools.pop(pool, None)
        elif pool and len(pools) < MOST_POOLS:
            pools[pool] = fields.get("err", "")[:_LONGEST]
        return msgspec.structs.replace(known, unloaded_pools=pools)
    if any(words in text for words in _INCUS_START):
        return msgspec.structs.replace(known, unloaded_pools={}, incus_error="")
    if any(words in text for words in _FATAL):
        return msgspec.structs.replace(known, incus_error=text.partition("\n")[0][:_LONGEST])
    return known


def _bare(value: str) -> str:
    if value[:1] != '"':
        return value
    return value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
