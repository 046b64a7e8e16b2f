"""DRBD's model against every recorded state of real DRBD: promotability, texts; and what opening a device says."""

import errno

import pytest
from tests import drbd_recordings as recorded

from tidegate.sim import drbd, drbd_text

STATES = {state.name: state for state in recorded.states()}
ODD = dict(recorded.odd_states())


def promotions(lines: tuple[str, ...] | list[str]) -> dict[str, tuple[str, str]]:
    found = {}
    for line in lines:
        words = dict(w.split(":", 1) for w in line.split()[2:] if ":" in w)
        if "promotion_score" in words:
            found[words["name"]] = (words["may_promote"], words["promotion_score"])
    return found


def model_promotions(resources: tuple[drbd.Resource, ...]) -> dict[str, tuple[str, str]]:
    shown = {r.name: drbd.promotion(r) for r in resources}
    return {n: ("yes" if p.may else "no", str(p.score)) for n, p in shown.items()}


def test_enough_states_were_recorded() -> None:
    assert len(STATES) > 60
    assert len(ODD) > 12


@pytest.mark.parametrize("name", STATES)
def test_promotability_is_the_recorded_one(name: str) -> None:
    state = STATES[name]
    assert model_promotions(state.resources) == promotions(state.events2)


@pytest.mark.parametrize("name", ODD)
def test_promotability_on_the_real_stack_is_the_recorded_one(name: str) -> None:
    resources = recorded.from_lines(ODD[name], {})
    assert model_promotions(resources) == promotions(ODD[name])


@pytest.mark.parametrize("name", STATES)
def test_events2_prints_the_recorded_lines(name: str) -> None:
    state = STATES[name]
    printed = drbd_text.events2_now(state.resources, state.utils)
    assert printed[-1] == "exists -"
    real = sorted(recorded.masked_line(line) for line in state.events2)
    assert sorted(recorded.masked_line(line) for line in printed[:-1]) == real


@pytest.mark.parametrize("name", STATES)
def test_status_prints_the_recorded_json_to_the_byte_but_for_counters(name: str) -> None:
    state = STATES[name]
    printed = drbd_text.status_json(state.resources, state.utils)
    assert recorded.masked_json(printed) == recorded.masked_json(state.status)


def test_nothing_configured_prints_an_empty_list() -> None:
    assert drbd_text.status_json([]) == "[\n]\n\n"
    assert drbd_text.events2_now([]) == ["exists -"]


def resource(disk: drbd.Disk, *, peer: drbd.Disk | None = drbd.Disk.UP_TO_DATE) -> drbd.Resource:
    """One volume, and a peer that is connected unless ``peer`` is None."""
    link = drbd.Connection(peer="n2", peer_id=1, local="10.0.0.1:7000", remote="10.0.0.2:7000")
    link.volumes[0] = drbd.PeerVolume(disk=peer or drbd.Disk.UNKNOWN)
    link.link = drbd.Link.CONNECTED if peer else drbd.Link.CONNECTING
    link.role = drbd.Role.SECONDARY if peer else drbd.Role.UNKNOWN
    made = drbd.Resource(name="r", node_id=0, connections={"n2": link})
    made.volumes[0] = drbd.Volume(number=0, minor=1000, size_kib=1024, disk=disk)
    made.volumes[0].backing = "" if disk is drbd.Disk.DISKLESS else "/dev/vg0/r_00000"
    return made


def test_opening_between_device_file_and_attach_is_enodata() -> None:
    assert drbd.open_errno(resource(drbd.Disk.DISKLESS, peer=None), 0) == errno.ENODATA
    assert drbd.open_errno(resource(drbd.Disk.ATTACHING, peer=None), 0) == errno.ENODATA
    assert drbd.open_errno(resource(drbd.Disk.UP_TO_DATE, peer=None), 0) == 0


def test_opening_outdated_data_needs_a_peer() -> None:
    assert drbd.open_errno(resource(drbd.Disk.OUTDATED, peer=None), 0) == errno.ENODATA
    assert drbd.open_errno(resource(drbd.Disk.INCONSISTENT), 0) == 0


def test_opening_without_quorum_or_suspended_is_enodata_even_on_a_primary() -> None:
    one = resource(drbd.Disk.UP_TO_DATE)
    one.role = drbd.Role.PRIMARY
    one.volumes[0].quorum = False
    assert drbd.open_errno(one, 0) == errno.ENODATA
    one.volumes[0].quorum = True
    one.suspended = ("quorum",)
    assert drbd.open_errno(one, 0) == errno.ENODATA


def test_opening_where_the_peer_is_primary_is_emediumtype() -> None:
    one = resource(drbd.Disk.UP_TO_DATE)
    one.connections["n2"].role = drbd.Role.PRIMARY
    assert drbd.open_errno(one, 0) == errno.EMEDIUMTYPE


@pytest.mark.parametrize(
    ("diskful", "here", "diskless", "diskless_here", "has"),
    [
        (2, 1, 1, 0, False),  # alone with a tie-breaker that is away
        (2, 1, 1, 1, True),  # the tie-breaker is with us
        (3, 2, 0, 0, True),
        (3, 1, 0, 0, False),
        (2, 0, 1, 1, False),  # the tie-breaker alone
    ],
)
def test_quorum_is_a_majority_of_the_diskful_with_ties_broken_by_the_diskless(
    *, diskful: int, here: int, diskless: int, diskless_here: int, has: bool
) -> None:
    assert (
        drbd.quorate(
            diskful=diskful, diskful_here=here, diskless=diskless, diskless_here=diskless_here
        )
        is has
    )


def test_changes_are_create_change_and_destroy_lines() -> None:
    one = resource(drbd.Disk.DISKLESS, peer=None)
    before = drbd_text.state_lines(one)
    assert [line.split()[:2] for line in drbd_text.changes({}, before)] == [
        ["create", "resource"],
        ["create", "connection"],
        ["create", "device"],
        ["create", "peer-device"],
        ["create", "path"],
    ]
    one.volumes[0].disk, one.volumes[0].backing = drbd.Disk.UP_TO_DATE, "/dev/vg0/r_00000"
    changed = list(drbd_text.changes(before, drbd_text.state_lines(one)))
    assert [line.split()[:2] for line in changed] == [["change", "resource"], ["change", "device"]]
    assert "may_promote:yes promotion_score:10101" in changed[0]
    gone = list(drbd_text.changes(before, {}))
    assert gone[0].startswith("destroy path name:r peer-node-id:1 conn-name:n2 local:ipv4:")
    assert gone[1:] == [
        "destroy peer-device name:r peer-node-id:1 conn-name:n2 volume:0",
        "destroy device name:r volume:0",
        "destroy connection name:r peer-node-id:1 conn-name:n2",
        "destroy resource name:r",
    ]
