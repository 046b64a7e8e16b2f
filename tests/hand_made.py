# SPDX-License-Identifier: Apache-2.0
"""Reports made by hand, for tests of what people and programs read."""

from typing import Any

from tidegate.core import ids
from tidegate.core.finding import Finding, Grade, Report, SubjectState
from tidegate.core.ids import (
    BootId,
    InstanceId,
    InstanceName,
    NodeName,
    ProjectName,
    ResourceName,
    Subject,
    VolumeId,
)
from tidegate.core.snapshot import Liveness, Snapshot, Source, SourceState

NOW = 75.0
VOLUME = ids.volume(VolumeId(ResourceName("incus-volume-c1"), 0))


def instance(name: str) -> Subject:
    return ids.instance(InstanceId(ProjectName("default"), InstanceName(name)))


def finding(
    subject: Subject = ids.SATELLITE, code: str = "satellite.offline", **more: Any
) -> Finding:
    base: dict[str, Any] = {
        "code": code,
        "grade": Grade.FAILING,
        "subject": subject,
        "observed": "OFFLINE for 12 s",
        "expected": "the controller shows this node's satellite as ONLINE",
        "remedy": "systemctl status linstor-satellite",
        "source": Source.LINSTOR,
        "age": 0.2,
        "since": 63.0,
    }
    return Finding(**(base | more))


def state(subject: Subject, grade: Grade = Grade.OK, **more: Any) -> SubjectState:
    base: dict[str, Any] = {"ready": grade is Grade.OK, "summary": "as it should be"}
    return SubjectState(subject=subject, grade=grade, **(base | more))


def report(*findings: Finding, states: tuple[SubjectState, ...] = (), node: str = "n1") -> Report:
    return Report(
        at=NOW,
        node=node,
        findings=findings,
        subjects={str(one.subject): one for one in states},
    )


def snapshot(**sources: SourceState) -> Snapshot:
    told: dict[str, SourceState] = {
        source: SourceState(liveness=Liveness.UP, since=1.0, answered_at=74.8) for source in Source
    }
    return Snapshot(
        at=NOW,
        boot_id=BootId("boot-a"),
        boot_wall=1_795_000_000.0,
        node=NodeName("n1"),
        sources=told | sources,
    )


def offline() -> Report:
    """A node whose satellite is away: one container waits for it, one that needs nothing of it runs."""
    waits = "waits for satellite: OFFLINE for 12 s"
    return report(
        finding(),
        finding(
            VOLUME,
            "volume.not-reported",
            observed="the satellite has not reported it since it connected",
            remedy="",
            waiting=True,
        ),
        states=(
            state(ids.HOST, summary="DRBD 9.2.16"),
            state(ids.CONTROLLER, summary="LINSTOR 1.34.0 at http://c:3370 answers in 2 ms"),
            state(
                ids.SATELLITE,
                Grade.FAILING,
                rests_on=(ids.HOST, ids.CONTROLLER),
                summary="OFFLINE for 12 s",
            ),
            state(VOLUME, Grade.FAILING, rests_on=(ids.SATELLITE,), summary=waits),
            state(ids.INCUS, summary="Incus 7.0.2 is ready"),
            state(instance("c1"), Grade.FAILING, rests_on=(ids.INCUS, VOLUME), summary=waits),
            state(instance("d1"), rests_on=(ids.INCUS,), summary="runs"),
            state(instance("old"), Grade.FAILING, wanted=False, summary="stopped"),
        ),
    )
