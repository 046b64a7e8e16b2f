# SPDX-License-Identifier: Apache-2.0
"""What the probes should look at, derived from what is known: the resources and devices of what is wanted."""

from tidegate.core.finding import Report
from tidegate.core.ids import SubjectKind, VolumeId
from tidegate.core.snapshot import Snapshot
from tidegate.probes.base import Need, Urgency


def of(snapshot: Snapshot, report: Report | None, urgency: Urgency) -> Need:
    """Return what to look at now. Before the first report that is what the kept map wants."""
    return Need.of(snapshot, _wanted_volumes(snapshot, report), urgency)


def _wanted_volumes(snapshot: Snapshot, report: Report | None) -> list[VolumeId]:
    if report is None:
        return [volume.id for volume in snapshot.wanted.volumes] if snapshot.wanted else []
    subjects = (state.subject for state in report.subjects.values())
    return [
        VolumeId.parse(subject.name) for subject in subjects if subject.kind is SubjectKind.VOLUME
    ]
