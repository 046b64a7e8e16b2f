# SPDX-License-Identifier: Apache-2.0
"""What the text of a failed start says about its cause (facts/incus.md 6.3).

An infrastructure fault is charged to its cause, which many instances may share, and is retried for as long as it lasts. Only what
remains is the instance's own, counted, and given up at last.
"""

import enum
import re

import msgspec

from tidegate.core import ids
from tidegate.core.finding import Report
from tidegate.core.ids import InstanceId, PoolName, Subject, SubjectKind
from tidegate.core.snapshot import Snapshot
from tidegate.recovery import local_truth
from tidegate.recovery.state import pace_key


class Fault(enum.StrEnum):
    """Whose fault a failed start is."""

    INFRASTRUCTURE = "infrastructure"
    OWN = "own"
    REFUSED = "refused"
    """Nobody's: what we asked for was not wanted or not needed any more (facts/incus.md G26)."""
    FORBIDDEN = "forbidden"
    """The instance's own configuration says no; asking again is useless."""


class Blame(msgspec.Struct, frozen=True, kw_only=True):
    """Whose fault it is, and the key of the budget that pays for it."""

    fault: Fault
    key: str


_GONE = frozenset({"incus.not-found", "incus.evacuated"})
_UNREACHED = frozenset(
    f"incus.{what}"
    for what in (
        *("timeout", "timeout-connect", "disconnected", "refused", "no-socket", "garbage"),
        *("starting", "stopping", "not-ready", "permission", "unavailable"),
    )
)
"""Codes of the client that say that Incus could not be asked, not that a start failed."""
_REFUSED = re.compile(
    r"already running|Cluster member is evacuated|cannot be started as in Error status|Instance not found|is busy"
)
_FORBIDDEN = re.compile(r"startup protection enabled")
_INCUS = re.compile(
    r"Incus is shutting down|Daemon is starting up|Daemon not ready|Daemon is shutting down|unix\.socket|server is unavailable"
    r"|database is locked|Failed to begin transaction|no available cowsql leader|driver: bad connection",
    re.IGNORECASE,
)
_HOST = re.compile(
    r"Could not determine DRBD module version|Could not load Linstor driver|LINSTOR satellite executable not found"
    r"|Could not parse LINSTOR satellite version",
    re.IGNORECASE,
)
_CONTROLLER = re.compile(r"Failed to connect to Linstor|\"https?://[^\"\s]*/v1/[^\"\s]*\": ")
_SATELLITE = re.compile(
    r"Node \S+ is offline|\b404 Not Found\b|No active connection to satellite|not connected",
    re.IGNORECASE,
)
_POOL = re.compile(
    r"Storage pool \"(?P<quoted>[^\"]+)\" unavailable|Failed (?:to get|loading) storage pool \"(?P<loading>[^\"]+)\""
    r"|Storage pool is unavailable",
    re.IGNORECASE,
)
_NETWORK = re.compile(r"Network \"(?P<name>[^\"]+)\" unavailable", re.IGNORECASE)
_DEVICE = re.compile(
    r"^open |: open |wrong medium type|no data available|Failed flushing block device|Failed to mount |Failed probing filesystem"
    r"|Could not mount volume|Failed mounting |Unable to get Linstor volumes|make resource available"
    r"|mount point busy|Input/output error|No such device|block device",
    re.IGNORECASE,
)
_GUARD = re.compile(r"Tidegate: \S+ cannot be used on ")
_STORAGE = re.compile(
    r"Failed to run: (?:\S*/)?(?:rbd|ceph|mount|truenas_incus_ctl|iscsiadm|nvme|multipathd?|lv\w+|vg\w+|zfs|zpool|btrfs)\b"
)
"""Incus runs a storage's own program (of whatever driver), and it failed: nothing that the instance could have done."""
_PATH = re.compile(r"/dev/[\w./-]+")


def blame(
    instance: InstanceId, *, code: str, text: str, snapshot: Snapshot, report: Report
) -> Blame:
    """Return whose fault it is that a start of ``instance`` failed with ``code`` and ``text``.

    Texts are Incus's (facts/incus.md G20–G26). One that names no cause we know is the instance's own only while all that it
    rests on can be used: evidence wins over words.
    """
    own = ids.instance(instance)
    if _FORBIDDEN.search(text):
        return Blame(fault=Fault.FORBIDDEN, key=str(own))
    if _REFUSED.search(text):
        return Blame(fault=Fault.REFUSED, key=pace_key(instance))
    if key := _named_cause(instance, text, snapshot, report):
        return Blame(fault=Fault.INFRASTRUCTURE, key=key)
    if code in _GONE:
        return Blame(fault=Fault.REFUSED, key=pace_key(instance))
    if code in _UNREACHED:
        return Blame(fault=Fault.INFRASTRUCTURE, key=str(ids.INCUS))
    spared = local_truth.spared(snapshot)
    for state in reversed(tuple(report.chain(own))):
        if state.subject != own and not state.ready and state.subject.kind not in spared:
            return Blame(fault=Fault.INFRASTRUCTURE, key=str(state.subject))
    return Blame(fault=Fault.OWN, key=str(own))


def is_the_guards(text: str) -> bool:
    """Return True when our own guard refused the volume, though all that we can see of it is well (``guard.volumes.refusal``)."""
    return _GUARD.search(text) is not None


def _named_cause(instance: InstanceId, text: str, snapshot: Snapshot, report: Report) -> str | None:
    """Return the budget of the cause that ``text`` names, from the ground up; None when it names none."""
    if _HOST.search(text):
        return str(ids.HOST)
    if _CONTROLLER.search(text):
        return str(ids.CONTROLLER)
    if _SATELLITE.search(text):
        return str(ids.SATELLITE)
    if found := _NETWORK.search(text):
        return f"network/{found['name']}"
    if found := _POOL.search(text):
        name = found["quoted"] or found["loading"]
        return str(ids.pool(PoolName(name))) if name else _only_pool(instance, report)
    if _DEVICE.search(text):
        return _volume(instance, text, snapshot, report)
    if _STORAGE.search(text):
        return _only_pool(instance, report)
    if _INCUS.search(text):
        return str(ids.INCUS)
    return None


def _only_pool(instance: InstanceId, report: Report) -> str:
    pools = _below(instance, report, SubjectKind.POOL)
    return str(pools[0]) if len(pools) == 1 else f"pools-of/{instance}"


def _volume(instance: InstanceId, text: str, snapshot: Snapshot, report: Report) -> str:
    """Return the budget of the volume whose device ``text`` names, or of all the instance's volumes together."""
    volumes = _below(instance, report, SubjectKind.VOLUME)
    if len(volumes) == 1:
        return str(volumes[0])
    paths = set(_PATH.findall(text))
    for subject in volumes:
        volume = ids.VolumeId.parse(subject.name)
        fact = snapshot.placements.get(volume.resource)
        if fact is not None and any(
            placed.number == volume.number and placed.device_path in paths
            for placement in fact.value
            if placement.node == snapshot.node
            for placed in placement.volumes
        ):
            return str(subject)
    return f"volumes-of/{instance}"


def _below(instance: InstanceId, report: Report, kind: SubjectKind) -> tuple[Subject, ...]:
    state = report.state(ids.instance(instance))
    return tuple(s for s in state.rests_on if s.kind is kind) if state is not None else ()
