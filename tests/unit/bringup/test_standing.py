# SPDX-License-Identifier: Apache-2.0
import pytest

from tidegate.bringup import standing
from tidegate.core.drbd import DrbdConnection, DrbdDevice, DrbdResource
from tidegate.core.finding import Grade
from tidegate.core.ids import NodeName, ResourceName


def resource(disk: str = "UpToDate", link: str = "Connected") -> DrbdResource:
    device = DrbdDevice(number=0, minor=1, disk=disk, client=False, quorum=True, since=1.0)
    peer = DrbdConnection(peer=NodeName("n2"), state=link, role="Secondary", since=1.0)
    return DrbdResource(
        name=ResourceName("r"),
        role="Secondary",
        suspended="no",
        may_promote=True,
        promotion_score=10101,
        devices=(device,),
        connections=(peer,),
    )


@pytest.mark.parametrize(
    ("found", "kept", "grade", "says"),
    [
        (resource(), True, Grade.OK, "volume 0 UpToDate, n2 Connected"),
        (resource(link="Connecting"), True, Grade.DEGRADED, "volume 0 UpToDate, n2 Connecting"),
        (resource("Inconsistent"), True, Grade.DEGRADED, "volume 0 Inconsistent, n2 Connected"),
        (None, True, Grade.FAILING, "not up"),
        (None, False, Grade.FAILING, "not up, and LINSTOR has left no file of it on this node"),
    ],
)
def test_how_it_stands(found: DrbdResource | None, kept: bool, grade: Grade, says: str) -> None:
    assert standing.of("r", found, kept=kept) == standing.Standing(
        resource="r", grade=grade, says=says
    )


def test_the_sentence() -> None:
    assert standing.sentence(2, 3) == "2 of 3 resources are up"
    assert standing.sentence(0, 0) == "nothing to bring up"
