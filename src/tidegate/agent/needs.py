# SPDX-License-Identifier: Apache-2.0
"""What the probes should look at, derived from what is known: the resources and devices of what is wanted."""

from tidegate.core.finding import Report
from tidegate.core.ids import SubjectKind, VolumeId
from tidegate.core.snapshot import Snapshot
from tidegate.probes.base import Need


def of(snapshot: Snapshot, report: Report | None) -> Need:
    """Return what to look at now. Before the first report it is what the kept map wants."""
    if report is None:
        volumes = [volume.id for volume in snapshot.wanted.volumes] if snapshot.wanted else []
    else:
        subjects = (state.subject for state in report.subjects.values())
        volumes = [
            VolumeId.parse(subject.name)
            for subject in subjects
            if subject.kind is SubjectKind.VOLUME
        ]
    return Need.of(snapshot, tuple(volumes))
