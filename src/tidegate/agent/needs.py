# SPDX-License-Identifier: Apache-2.0
"""What the probes should look at, derived from what is known: the resources and devices of what is wanted."""

from tidegate.core.finding import Report
from tidegate.core.ids import NodeName, SubjectKind, VolumeId
from tidegate.core.snapshot import Liveness, Snapshot, Source
from tidegate.probes.base import Need, Urgency

_RUNNING = frozenset({"active", "activating", "reloading", "deactivating"})


def of(snapshot: Snapshot, report: Report | None, *, incus_unit: str, urgent: bool) -> Need:
    """Return what to look at now. Before the first report that is what the kept map wants."""
    volumes = _wanted_volumes(snapshot, report)
    return Need(
        resources=tuple(sorted({volume.resource for volume in volumes})),
        volumes={str(volume): device_path(snapshot, volume) for volume in volumes},
        urgency=Urgency.FAST if urgent else Urgency.REST,
        incus_runs=_incus_runs(snapshot, incus_unit),
    )


def device_path(snapshot: Snapshot, volume: VolumeId) -> str | None:
    """Return the path of ``volume``'s device: as LINSTOR names it here, else by the minor that DRBD's kernel state has."""
    placed = snapshot.placements.get(volume.resource)
    for placement in placed.value if placed is not None else ():
        if placement.node == NodeName(snapshot.node):
            for part in placement.volumes:
                if part.number == volume.number and part.device_path:
                    return part.device_path
    resource = snapshot.drbd.value.get(volume.resource) if snapshot.drbd is not None else None
    for device in resource.devices if resource is not None else ():
        if device.number == volume.number:
            return f"/dev/drbd{device.minor}"
    return None


def _wanted_volumes(snapshot: Snapshot, report: Report | None) -> list[VolumeId]:
    if report is None:
        return [volume.id for volume in snapshot.wanted.volumes] if snapshot.wanted else []
    subjects = (state.subject for state in report.subjects.values())
    return [
        VolumeId.parse(subject.name) for subject in subjects if subject.kind is SubjectKind.VOLUME
    ]


def _incus_runs(snapshot: Snapshot, incus_unit: str) -> bool | None:
    if snapshot.units is None or snapshot.source(Source.SYSTEMD).liveness is not Liveness.UP:
        return None
    unit = snapshot.units.value.get(incus_unit)
    return unit is not None and unit.active_state in _RUNNING
