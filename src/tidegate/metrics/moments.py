# SPDX-License-Identifier: Apache-2.0
"""Moments of a boot: what has become true, each noted once, in seconds since boot.

A moment is noted only where it was seen to come, or where a source tells its time: an agent that was installed on the third day knows
nothing of how this boot went, and says nothing (the journal does: ``tidegate boot show``).
"""

import enum
from collections.abc import Iterator
from typing import Final

from tidegate.core import ids
from tidegate.core.facts import IncusPhase
from tidegate.core.finding import Report
from tidegate.core.ids import SubjectKind
from tidegate.core.snapshot import Snapshot

SEEN_FROM_THE_START: Final = 180.0
"""An agent that was there by so many seconds after boot takes what it did not know before for what was not so before."""
_ONLINE: Final = "ONLINE"
_CONNECTED: Final = "Connected"
_COPIES: Final = ("Sync", "PausedSync")
_INCUS_UP: Final = frozenset({IncusPhase.AUTOSTART, IncusPhase.READY})


class Moment(enum.StrEnum):
    """What a boot passes through, from the ground up."""

    SATELLITE_STARTED = "satellite-started"
    """systemd called its unit active: for a unit of Type=simple that is the fork."""
    SATELLITE_LISTENING = "satellite-listening"
    """Its port is open: the JVM has started."""
    SATELLITE_ONLINE = "satellite-online"
    """The controller shows it ONLINE: the full sync was accepted, which is not yet a device."""
    SATELLITE_READY = "satellite-ready"
    VOLUMES_READY = "volumes-ready"
    """Every wanted volume is proven ready."""
    INCUS_API = "incus-api"
    """incusd answers: pools were tried once, its own first pass of instances begins."""
    INCUS_READY = "incus-ready"
    """Incus's own first pass is over."""
    POOLS_READY = "pools-ready"
    """Every wanted pool is mounted."""
    LAST_INSTANCE = "last-instance"
    """Every wanted instance runs."""
    RESYNC_BEGAN = "resync-began"
    """DRBD copies data of a wanted volume, to here or from here."""
    RESYNC_OVER = "resync-over"
    """Every wanted volume is ready and has its peers, and nothing of it is copied, or no more."""


SATELLITE_PHASES: Final = (
    ("jvm", Moment.SATELLITE_STARTED, Moment.SATELLITE_LISTENING),
    ("connect", Moment.SATELLITE_LISTENING, Moment.SATELLITE_ONLINE),
    ("devices", Moment.SATELLITE_ONLINE, Moment.VOLUMES_READY),
)
"""The start of the satellite by phase: name, from, to."""


def truths(
    snapshot: Snapshot, report: Report, satellite_unit: str
) -> Iterator[tuple[Moment, bool | None, float]]:
    """Yield for each moment whether it is so now (None: not known) and since when at the latest it is."""
    yield _unit(snapshot, satellite_unit)
    host = snapshot.host
    listens = host.value.satellite_listens if host is not None else None
    yield Moment.SATELLITE_LISTENING, listens, host.since if host is not None else 0.0
    yield _online(snapshot)
    satellite = report.state(ids.SATELLITE)
    yield Moment.SATELLITE_READY, satellite.ready if satellite else None, report.at
    volumes = _all_ready(report, SubjectKind.VOLUME)
    yield Moment.VOLUMES_READY, volumes, report.at
    incus = snapshot.incus
    phase = incus.value.phase if incus is not None else None
    since = incus.since if incus is not None else 0.0
    yield Moment.INCUS_API, phase in _INCUS_UP if phase is not None else None, since
    yield Moment.INCUS_READY, phase is IncusPhase.READY if phase is not None else None, since
    yield Moment.POOLS_READY, _all_ready(report, SubjectKind.POOL), report.at
    yield Moment.LAST_INSTANCE, _all_ready(report, SubjectKind.INSTANCE), report.at
    yield from _resync(snapshot, report, ready=volumes)


def _unit(snapshot: Snapshot, name: str) -> tuple[Moment, bool | None, float]:
    unit = snapshot.units.value.get(name) if snapshot.units is not None else None
    if unit is None or unit.active_since is None:
        return Moment.SATELLITE_STARTED, None if unit is None else False, 0.0
    return Moment.SATELLITE_STARTED, True, unit.active_since


def _online(snapshot: Snapshot) -> tuple[Moment, bool | None, float]:
    node = snapshot.nodes.value.get(snapshot.node) if snapshot.nodes is not None else None
    if node is None or snapshot.nodes is None:
        return Moment.SATELLITE_ONLINE, None, 0.0
    return Moment.SATELLITE_ONLINE, node.connection_status == _ONLINE, snapshot.nodes.since


def _resync(
    snapshot: Snapshot, report: Report, *, ready: bool | None
) -> Iterator[tuple[Moment, bool | None, float]]:
    """Of wanted volumes alone: what only peers use is copied after every boot, as they have gone on writing."""
    if snapshot.drbd is None:
        return
    wanted = {
        s.subject.name.rpartition("/")[0]
        for s in report.subjects.values()
        if s.wanted and s.subject.kind is SubjectKind.VOLUME
    }
    known = [each for name, each in snapshot.drbd.value.items() if name in wanted]
    copies = any(each.replicates(_COPIES) for each in known)
    alone = any(link.state != _CONNECTED for each in known for link in each.connections)
    yield Moment.RESYNC_BEGAN, copies, report.at
    yield Moment.RESYNC_OVER, ready and not copies and not alone, report.at


def _all_ready(report: Report, kind: SubjectKind) -> bool | None:
    """Return whether all that is wanted of ``kind`` is ready; None when nothing of it is wanted, as far as is known."""
    states = [s for s in report.subjects.values() if s.wanted and s.subject.kind is kind]
    return all(state.ready for state in states) if states else None
