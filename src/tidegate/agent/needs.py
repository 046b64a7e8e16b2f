# SPDX-License-Identifier: Apache-2.0
"""What the probes should look at, derived from what is known: the resources and devices of what is wanted."""

import msgspec

from tidegate.core.finding import Report
from tidegate.core.ids import SubjectKind, VolumeId
from tidegate.core.snapshot import Snapshot, Source
from tidegate.probes.base import Need, Urgency


class Needs:
    """Works out what to look at, anew only when what that rests on has changed: each look of each source asks, and 500 volumes cost."""

    def __init__(self) -> None:
        self._report: Report | None = None
        self._volumes: list[VolumeId] = []
        self._rests_on: tuple[object, ...] = ()
        self._need = Need()

    def of(
        self, snapshot: Snapshot, report: Report | None, urgency: Urgency, *, told: bool = False
    ) -> Need:
        """Return what to look at now. Before the first report that is what the kept map wants."""
        if report is None or report is not self._report:
            self._report = report
            self._volumes = _wanted_volumes(snapshot, report)
        rests_on = _rests_on(snapshot, self._volumes)
        if rests_on != self._rests_on:
            self._rests_on = rests_on
            self._need = Need.of(snapshot, self._volumes)
        return msgspec.structs.replace(self._need, urgency=urgency, told=told)


def _rests_on(snapshot: Snapshot, volumes: list[VolumeId]) -> tuple[object, ...]:
    """Return what tells that a need is another one: ``since`` of a fact moves with its value only."""
    facts = (snapshot.drbd, snapshot.instances, snapshot.storage_pools, snapshot.nodes)
    return (
        volumes,
        snapshot.node,
        snapshot.source(Source.DRBD).liveness,
        None if snapshot.wanted is None else snapshot.wanted.saved_at,
        *(None if fact is None else fact.since for fact in facts),
        {name: fact.since for name, fact in snapshot.placements.items()},
    )


def _wanted_volumes(snapshot: Snapshot, report: Report | None) -> list[VolumeId]:
    if report is None:
        return [volume.id for volume in snapshot.wanted.volumes] if snapshot.wanted else []
    subjects = (state.subject for state in report.subjects.values())
    return [
        VolumeId.parse(subject.name) for subject in subjects if subject.kind is SubjectKind.VOLUME
    ]
