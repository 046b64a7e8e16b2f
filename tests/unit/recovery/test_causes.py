# SPDX-License-Identifier: Apache-2.0
import msgspec
import pytest
from tests.unit.recovery.world import World, instance_id, stopped, volume_id

from tidegate.core import ids
from tidegate.core.facts import PlacedVolume, PlacementFacts
from tidegate.core.finding import Report
from tidegate.core.ids import NodeName, VolumeId
from tidegate.core.snapshot import Fact, Snapshot, Source
from tidegate.recovery.causes import Blame, Fault, blame

C1 = instance_id("c1")
OWN, SHARED = Fault.OWN, Fault.INFRASTRUCTURE


def of(text: str, code: str = "instance.start-failed", world: World | None = None) -> Blame:
    world = world or World(stopped("c1"))
    return blame(C1, code=code, text=text, snapshot=world.snapshot(), report=world.report())


@pytest.mark.parametrize(
    ("text", "key"),
    [
        # facts/incus.md G20
        ("Node n1 is offline", "satellite"),
        ("Could not mount volume: 404 Not Found", "satellite"),
        ("Failed to connect to Linstor: Failed to create Linstor client: Get", "controller"),
        (
            'Could not mount volume: Get "http://c:3370/v1/nodes/n1": dial tcp: connection refused',
            "controller",
        ),
        ('Storage pool "remote" unavailable on this server', "pool/remote"),
        ("Storage pool is unavailable on this server", "pool/remote"),
        (
            'Could not mount volume: Get "http://c:3370/v1/resource-definitions?props=Aux%2FIncus%2Fname%3Dx&props=y": EOF',
            "controller",
        ),
        # G21
        (
            'Failed start validation for device "root": Failed to get storage pool "remote": Could not determine DRBD module version: Module not loaded',
            "host",
        ),
        ("LINSTOR satellite executable not found", "host"),
        # G22
        ("open /dev/drbd1001: no such file or directory", "volume/rd-c1/0"),
        ("open : no such file or directory", "volume/rd-c1/0"),
        ("open /dev/drbd1001: no data available", "volume/rd-c1/0"),
        ("open /dev/drbd1001: wrong medium type", "volume/rd-c1/0"),
        (
            'Failed to mount "/dev/loop5" on "/x" using "ext4": invalid argument',
            "volume/rd-c1/0",
        ),
        (
            "Could not mount volume: Could not make resource available on node: Message: 'x'",
            "volume/rd-c1/0",
        ),
        # G23
        (
            'Failed to start device "data": Failed mounting custom storage volume "v" on storage pool "remote": open /dev/drbd7: no such file or directory',
            "volume/rd-c1/0",
        ),
        # other drivers: their own programs
        (
            "Failed to run: rbd --id admin --cluster ceph --pool incus map container_c1: exit status 110 (Connection timed out)",
            "pool/remote",
        ),
        (
            'Failed to start device "data": Failed to run: /usr/sbin/zfs mount tank/custom/default_v: exit status 1',
            "pool/remote",
        ),
        ('Network "ovn0" unavailable on this server', "network/ovn0"),
        ("Incus is shutting down", "incus"),
    ],
)
def test_what_infrastructure_breaks_is_charged_to_it(text: str, key: str) -> None:
    assert of(text) == Blame(fault=SHARED, key=key)


@pytest.mark.parametrize(
    "text",
    [
        "Failed to run: /usr/libexec/incus/incusd forklxc start c1: exit status 1",
        "Unable to resolve container rootfs: lstat /x: no such file or directory",
        "Failed to run QEMU: could not open '/x/OVMF.fd'",
        "something that nobody has seen before",
    ],
)
def test_what_remains_is_the_instances_own(text: str) -> None:
    assert of(text) == Blame(fault=OWN, key="instance/default/c1")


def test_evidence_wins_over_words_that_name_no_cause() -> None:
    world = World(stopped("c1"))
    world.unready = {ids.SATELLITE}
    assert of("exit status 1", world=world) == Blame(fault=SHARED, key="satellite")


@pytest.mark.parametrize("text", ["The instance is already running", "Cluster member is evacuated"])
def test_what_incus_refuses_is_nobodys_fault(text: str) -> None:
    assert of(text) == Blame(fault=Fault.REFUSED, key="start/default/c1")


def test_an_instance_that_forbids_its_start_is_not_asked_again() -> None:
    assert of("Instance has startup protection enabled").fault is Fault.FORBIDDEN


@pytest.mark.parametrize("code", ["incus.timeout", "incus.disconnected", "incus.no-socket"])
def test_an_incus_that_cannot_be_asked_is_no_fault_of_the_instance(code: str) -> None:
    assert of("did not answer", code) == Blame(fault=SHARED, key="incus")


def test_an_odd_answer_about_one_instance_holds_no_other() -> None:
    assert of("Invalid devices: bad name", "incus.error") == Blame(
        fault=OWN, key="instance/default/c1"
    )


def test_of_several_volumes_the_one_whose_device_is_named_pays() -> None:
    world = World(stopped("c1"))
    report = _with_volumes(world.report(), volume_id("c1"), volume_id("data"))
    snapshot = _placed(world.snapshot(), volume_id("data"), "/dev/drbd1007")
    text = "open /dev/drbd1007: no such file or directory"
    found = blame(C1, code="x", text=text, snapshot=snapshot, report=report)
    assert found.key == "volume/rd-data/0"
    text = "open /dev/drbd9999: no such file or directory"
    found = blame(C1, code="x", text=text, snapshot=snapshot, report=report)
    assert found.key == "volumes-of/default/c1"


def _with_volumes(report: Report, *volumes: VolumeId) -> Report:
    own = report.subjects["instance/default/c1"]
    rests_on = (*map(ids.volume, volumes), ids.pool(ids.PoolName("remote")))
    changed = msgspec.structs.replace(own, rests_on=rests_on)
    return msgspec.structs.replace(report, subjects={**report.subjects, str(own.subject): changed})


def _placed(snapshot: Snapshot, volume: VolumeId, path: str) -> Snapshot:
    placement = PlacementFacts(
        resource=volume.resource,
        node=NodeName("n1"),
        volumes=(PlacedVolume(number=volume.number, device_path=path),),
    )
    fact = Fact(value=(placement,), source=Source.LINSTOR, at=1.0, since=1.0)
    return msgspec.structs.replace(snapshot, placements={volume.resource: fact})
