"""What Incus's driver gets of the world, in Incus's own words (facts/incus.md 2.3 and 6.3)."""

import msgspec
import pytest
from tests import linstor_worlds as worlds
from tests.linstor_worlds import Fault, FaultKind

from tidegate.sim import faults
from tidegate.sim.linstor import front
from tidegate.sim.storage import (
    ContentType,
    Done,
    Failed,
    Hangs,
    IncusVolume,
    StorageFront,
    VolumeKind,
)

URL = "http://10.99.0.1:3370"


def incus(*found: Fault, **more: object) -> front.LinstorFront:
    return front.LinstorFront(worlds.build(*found, **more), url=URL)  # type: ignore[arg-type]


def volume(name: str, kind: VolumeKind = VolumeKind.CONTAINERS) -> IncusVolume:
    return IncusVolume(pool="remote", kind=kind, name=name)


def text(reply: object) -> str:
    assert isinstance(reply, Failed), reply
    return reply.text


def test_a_healthy_pool_mounts_and_its_volumes_are_usable() -> None:
    one: StorageFront = incus()
    assert one.mount_pool() == Done()
    assert [one.prepare_volume(volume(f"c{i}")) for i in range(3)] == [Done()] * 3


@pytest.mark.parametrize(
    ("fault", "wanted", "unavailable"),
    [
        (Fault(kind=FaultKind.NODE_OFFLINE, end=25), "Node n1 is offline", True),
        (Fault(kind=FaultKind.NODE_CONNECTED, end=25), "Node n1 is offline", True),
        (
            Fault(kind=FaultKind.CONTROLLER_REFUSES, end=25),
            (
                f'Failed to connect to Linstor: Failed to create Linstor client: Get "{URL}/v1/controller/version": '
                "dial tcp 10.99.0.1:3370: connect: connection refused"
            ),
            True,
        ),
        (
            Fault(kind=FaultKind.CONTROLLER_500, body="html", end=25),
            (
                "Failed to connect to Linstor: Failed to create Linstor client: "
                "invalid character '<' looking for beginning of value"
            ),
            True,
        ),
        (
            Fault(kind=FaultKind.MODULE_LATE, subject="n1", end=25),
            "Could not determine DRBD module version: Module not loaded",
            False,
        ),
    ],
)
def test_a_pool_fails_in_the_words_of_incus_and_mounts_when_the_fault_is_over(
    fault: Fault, wanted: str, *, unavailable: bool
) -> None:
    one = incus(fault)
    assert one.mount_pool() == Failed(text=wanted, unavailable=unavailable)
    worlds.advance(one.world, 25)
    assert one.mount_pool() == Done()


def test_a_500_is_told_with_its_message() -> None:
    one = incus(Fault(kind=FaultKind.CONTROLLER_500))
    assert text(one.mount_pool()).startswith(
        "Failed to connect to Linstor: Failed to create Linstor client: Message: 'An unknown error occurred.'"
    )


def test_a_client_once_made_names_the_request_that_fails() -> None:
    one = incus(Fault(kind=FaultKind.CONTROLLER_REFUSES, start=10))
    assert one.mount_pool() == Done()
    worlds.advance(one.world, 10)
    refused = "dial tcp 10.99.0.1:3370: connect: connection refused"
    assert text(one.mount_pool()) == f'Get "{URL}/v1/nodes/n1": {refused}'
    assert text(one.prepare_volume(volume("c1"))) == (
        f'Could not mount volume: Get "{URL}/v1/resource-definitions?props=Aux%2FIncus%2Fname%3Dincus-volume-c1'
        f'&props=Aux%2FIncus%2Ftype%3Dcontainers": {refused}'
    )
    one.restarted()
    assert text(one.mount_pool()).startswith("Failed to connect to Linstor")


def test_a_hanging_controller_hangs_incus_until_it_answers() -> None:
    one = incus(Fault(kind=FaultKind.CONTROLLER_HANGS, end=40))
    assert one.mount_pool() == Hangs(until=40)
    worlds.advance(one.world, 40)
    assert one.mount_pool() == Done()


def test_a_black_hole_ends_with_the_next_syn_after_its_end() -> None:
    """facts/observed.md s7: fault until 45, incusd goes on later."""
    one = incus(Fault(kind=FaultKind.CONTROLLER_BLACK_HOLE, end=45))
    worlds.advance(one.world, 1)
    moment = 1.0
    while isinstance(reply := one.mount_pool(), Hangs):
        assert reply.until is not None
        moment = reply.until
        worlds.advance(one.world, moment)
    assert (reply, moment) == (Done(), 64.0)


def test_a_black_hole_without_end_is_a_connection_timeout_at_last() -> None:
    one = incus(Fault(kind=FaultKind.CONTROLLER_BLACK_HOLE))
    while isinstance(reply := one.mount_pool(), Hangs):
        assert reply.until is not None
        worlds.advance(one.world, reply.until)
    assert "connection timed out" in text(reply)
    assert one.world.now == 127


@pytest.mark.parametrize(
    ("fault", "wanted"),
    [
        (Fault(kind=FaultKind.DEVICE_MISSING), "open /dev/drbd1001: no such file or directory"),
        (Fault(kind=FaultKind.DEVICE_PATH_MISSING), "open : no such file or directory"),
        (
            Fault(kind=FaultKind.DEVICE_CANNOT_OPEN, errno=61),
            "open /dev/drbd1001: no data available",
        ),
        (Fault(kind=FaultKind.PEER_PRIMARY), "open /dev/drbd1001: wrong medium type"),
    ],
)
def test_a_volume_fails_in_the_words_of_incus(fault: Fault, wanted: str) -> None:
    one = incus(fault)
    assert one.mount_pool() == Done(), "the pool does not tell"
    assert text(one.prepare_volume(volume("c1"))) == wanted


def test_an_empty_list_of_volumes_makes_incusd_panic() -> None:
    reply = incus(Fault(kind=FaultKind.VOLUMES_EMPTY)).prepare_volume(volume("c1"))
    assert isinstance(reply, Failed)
    assert reply.panics
    assert reply.text == "panic: runtime error: index out of range [0] with length 0"


def test_an_empty_volume_fails_to_mount_after_ten_seconds_of_trying() -> None:
    reply = incus(Fault(kind=FaultKind.CONTENT_EMPTY)).prepare_volume(volume("c1"))
    assert isinstance(reply, Failed)
    assert reply.took == 10
    assert reply.text == (
        'Failed to mount "/dev/drbd1001" on "/var/lib/incus/storage-pools/remote/containers/c1" '
        'using "ext4": invalid argument'
    )


def test_an_unknown_volume_has_no_resource_definition() -> None:
    reply = incus().prepare_volume(volume("c9"))
    assert text(reply) == "Could not mount volume: Resource definition not found"


def test_a_virtual_machine_has_its_configuration_on_volume_1() -> None:
    made = worlds.layout(0)
    spec = faults.ResourceSpec(
        name="vm",
        sizes_kib=(102_400, 51_200),
        signatures=("", "ext4"),
        props=worlds.props("vm1", "virtual-machines"),
    )
    one = incus(made=msgspec.structs.replace(made, resources=(spec,)))
    kind = VolumeKind.VIRTUAL_MACHINES
    for content in (ContentType.BLOCK, ContentType.FILESYSTEM):
        wanted = IncusVolume(pool="remote", kind=kind, name="vm1", content=content)
        assert one.prepare_volume(wanted) == Done(), "an empty block volume is the guest's matter"


def test_a_mounted_volume_is_primary() -> None:
    one = incus()
    one.prepare_volume(volume("c1"))
    assert one.world.drbd["n1"].resources["r1"].role == "Primary"
    assert worlds.shown(one.world, "r1")["state"] == {"in_use": True}


def test_a_mute_satellite_hangs_a_start_and_then_fails_it_with_an_empty_500() -> None:
    """facts/linstor-observed.md A2: Incus does not know that it should ask again."""
    fault = Fault(kind=FaultKind.SATELLITE_MUTE, subject="n1", start=100, end=140)
    one = incus(fault, timings=faults.TYPICAL)
    worlds.advance(one.world, 101)
    assert isinstance(one.prepare_volume(volume("c1")), Hangs)
    while isinstance(reply := one.prepare_volume(volume("c1")), Hangs):
        assert reply.until is not None
        worlds.advance(one.world, reply.until)
    assert text(reply).startswith("Could not mount volume: Unable to get Linstor volumes: Reports:")
    assert one.world.now < 108
