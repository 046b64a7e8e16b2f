# SPDX-License-Identifier: Apache-2.0
"""What the probes should look at, derived from what is known: the resources and devices of what is wanted."""

import msgspec

from tidegate.core.finding import Report
from tidegate.core.ids import SubjectKind, VolumeId
from tidegate.core.snapshot import Liveness, Snapshot, Source
from tidegate.probes.base import Need, Urgency

_RUNNING = frozenset({"active", "activating", "reloading", "deactivating"})


def of(snapshot: Snapshot, report: Report | None, *, incus_unit: str, urgent: bool) -> Need:
    """Return what to look at now. Before the first report that is what the kept map wants."""
    urgency = Urgency.FAST if urgent else Urgency.REST
    need = Need.of(snapshot, _wanted_volumes(snapshot, report), urgency)
    return msgspec.structs.replace(need, incus_runs=_incus_runs(snapshot, incus_unit))


def _wanted_volumes(snapshot: Snapshot, report: Report | None) -> list[VolumeId]:
    if report is None:
        return [volume.id for volume in snapshot.wanted.volumes] if snapshot.wanted else []
    subjects = (state.subject for state in report.subjects.values())
    return [VolumeId.parse(subject.name) for subject in subjects if subject.kind is SubjectKind.VOLUME]


def _incus_runs(snapshot: Snapshot, incus_unit: str) -> bool | None:
    if snapshot.units is None or snapshot.source(Source.SYSTEMD).liveness is not Liveness.UP:
        return None
    unit = snapshot.units.value.get(incus_unit)
    return unit is not None and unit.active_state in _RUNNING
