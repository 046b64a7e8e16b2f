# SPDX-License-Identifier: Apache-2.0
"""What is to be looked at follows what is known, and is not worked out again while that stays as it is."""

import msgspec
import pytest
from tests import hand_made

from tidegate.agent.needs import Needs
from tidegate.core import ids
from tidegate.core.drbd import DrbdDevice, DrbdResource
from tidegate.core.ids import ResourceName, VolumeId
from tidegate.core.snapshot import Observation, Snapshot, Source, apply
from tidegate.probes.base import Need, Urgency

NAME = ResourceName("incus-volume-c1")
VOLUME = VolumeId(NAME, 0)


def seen(at: float, minor: int) -> Observation:
    device = DrbdDevice(
        number=0, minor=minor, disk="UpToDate", client=False, quorum=True, since=1.0
    )
    resource = DrbdResource(
        name=NAME,
        role="Secondary",
        suspended="no",
        may_promote=True,
        promotion_score=10101,
        devices=(device,),
    )
    return Observation(source=Source.DRBD, at=at, drbd={NAME: resource})


def test_it_is_worked_out_when_what_it_rests_on_has_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worked_out: list[float] = []
    whole = Need.of

    def counted(snapshot: Snapshot, volumes: list[VolumeId]) -> Need:
        worked_out.append(snapshot.at)
        return whole(snapshot, volumes)

    monkeypatch.setattr(Need, "of", counted)
    report = hand_made.report(states=(hand_made.state(ids.volume(VOLUME)),))
    needs, snapshot = Needs(), apply(hand_made.snapshot(), seen(100.0, 1001))
    first = needs.of(snapshot, report, Urgency.FAST)
    assert first.volumes == {str(VOLUME): "/dev/drbd1001"}

    again = apply(snapshot, seen(101.0, 1001))
    same = msgspec.structs.replace(report)
    assert needs.of(again, same, Urgency.REST) == msgspec.structs.replace(
        first, urgency=Urgency.REST
    )
    assert len(worked_out) == 1, "nothing is new but the time"

    moved = apply(again, seen(102.0, 1002))
    assert needs.of(moved, same, Urgency.FAST).volumes == {str(VOLUME): "/dev/drbd1002"}
    nothing = hand_made.report()
    assert needs.of(moved, nothing, Urgency.FAST).volumes == {}
