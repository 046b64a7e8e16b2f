# SPDX-License-Identifier: Apache-2.0
"""What a look needs, and what bounds it."""

import asyncio

from tidegate.clients import errors
from tidegate.core import snapshot as snapshots
from tidegate.core.drbd import DrbdDevice, DrbdResource
from tidegate.core.facts import InstanceFacts, PlacedVolume, PlacementFacts
from tidegate.core.ids import (
    BootId,
    InstanceId,
    InstanceName,
    NodeName,
    ProjectName,
    ResourceName,
    VolumeId,
)
from tidegate.core.snapshot import Liveness, Observation, Snapshot, Source
from tidegate.core.trouble import Trouble
from tidegate.core.wanted import WantedInstance, WantedMap
from tidegate.probes import base

N1 = NodeName("n1")
R = ResourceName("r")
V0, V1 = VolumeId(R, 0), VolumeId(R, 1)
C1 = InstanceId(ProjectName("default"), InstanceName("c1"))
EMPTY = Snapshot(at=0.0, boot_id=BootId("b"), boot_wall=0.0, node=N1)


def placed(node: str, *paths: str | None) -> PlacementFacts:
    volumes = tuple(PlacedVolume(number=n, device_path=path) for n, path in enumerate(paths))
    return PlacementFacts(resource=R, node=NodeName(node), volumes=volumes)


def with_placements(*placements: PlacementFacts) -> Snapshot:
    seen = Observation(source=Source.LINSTOR, at=1.0, placements={R: placements})
    return snapshots.apply(EMPTY, seen)


def with_drbd(snapshot: Snapshot, number: int, minor: int) -> Snapshot:
    device = DrbdDevice(
        number=number, minor=minor, disk="UpToDate", client=False, quorum=True, since=0.0
    )
    resource = DrbdResource(
        name=R,
        role="Secondary",
        suspended="no",
        may_promote=True,
        promotion_score=1,
        devices=(device,),
    )
    return snapshots.apply(snapshot, Observation(source=Source.DRBD, at=1.0, drbd={R: resource}))


def test_a_need_names_resources_once_and_devices_as_far_as_known() -> None:
    snapshot = with_placements(placed("n2", "/dev/other"), placed("n1", "/dev/drbd1000", None))
    need = base.Need.of(snapshot, [V1, V0, V1])
    assert need.resources == (R,)
    assert need.volumes == {"r/0": "/dev/drbd1000", "r/1": None}


def test_drbd_tells_the_device_while_linstor_does_not() -> None:
    assert base.device_path(EMPTY, V0) is None
    assert base.device_path(with_drbd(EMPTY, 0, 1000), V0) == "/dev/drbd1000"
    assert base.device_path(with_drbd(EMPTY, 0, 1000), V1) is None
    forgotten = with_drbd(with_placements(placed("n1", None)), 0, 1000)
    assert base.device_path(forgotten, V0) == "/dev/drbd1000"
    named = with_drbd(with_placements(placed("n1", "/dev/mapper/Linstor-Crypt-r")), 0, 1000)
    assert base.device_path(named, V0) == "/dev/mapper/Linstor-Crypt-r"


def test_instances_are_known_from_incus_else_from_the_kept_map() -> None:
    assert base.Need.of(EMPTY, []).instances == ()
    kept = WantedMap(node=N1, instances=(WantedInstance(id=C1),))
    before = Snapshot(at=0.0, boot_id=BootId("b"), boot_wall=0.0, node=N1, wanted=kept)
    assert base.Need.of(before, []).instances == (C1,)
    other = InstanceId(ProjectName("p"), InstanceName("c2"))
    facts = InstanceFacts(
        id=other,
        kind="container",
        status="Running",
        location="none",
        autostart=None,
        last_power=None,
    )
    seen = Observation(source=Source.INCUS, at=1.0, instances={str(other): facts})
    assert base.Need.of(snapshots.apply(before, seen), []).instances == (other,)


async def test_a_look_that_hangs_is_lost_and_one_that_fails_says_why() -> None:
    async def hang() -> Observation:
        await asyncio.Event().wait()
        raise AssertionError

    async def fail() -> Observation:
        raise errors.ClientError(Trouble(code="x.y", text="why"))

    lost = await base.bounded(Source.HOST, lambda: 3.0, hang(), limit=0.01)
    assert (lost.liveness, lost.at) == (Liveness.LOST, 3.0)
    assert lost.trouble is not None
    assert lost.trouble.code == "host.timeout"
    failed = await base.bounded(Source.HOST, lambda: 3.0, fail())
    assert failed.trouble == Trouble(code="x.y", text="why")


async def test_calls_run_a_few_at_a_time_and_end_together() -> None:
    running = most = 0
    gate = asyncio.Event()

    async def quick(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return number

    async def stuck() -> int:
        await gate.wait()
        return 0

    calls = base.Calls(Source.HOST, at_once=2, limit=5.0)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(calls.ask(quick(number))) for number in range(10)]
    assert [task.result() for task in tasks] == list(range(10))
    assert most == 2
    assert calls.troubles == []

    calls = base.Calls(Source.HOST, at_once=1, limit=0.05)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(calls.ask(stuck())) for _ in range(3)]
    assert [task.result() for task in tasks] == [None, None, None]
    assert len(calls.troubles) == 3
