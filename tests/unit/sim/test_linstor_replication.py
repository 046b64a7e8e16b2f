"""DRBD and device files along a boot: the order of the steps, peers, quorum, split brain, and what opens when."""

import errno

import pytest
from tests import linstor_worlds as worlds
from tests.linstor_worlds import Fault, FaultKind

from tidegate.sim import drbd, drbd_text, faults
from tidegate.sim.linstor import world

RD = "/v1/resource-definitions"


def disk_story(one: world.LinstorWorld, name: str, end: float) -> list[str]:
    """What REST shows of a volume's disk on n1, and what opening says, without repetitions."""
    told: list[str] = []
    while one.now < end:
        shown = worlds.get(one, f"{RD}/{name}/resources/n1/volumes")[0].get("state", {})
        minor = one.store.data.definitions[name].volumes[0].minor
        code = one.open(f"/dev/drbd{minor}")
        said = f"{shown.get('disk_state')} {errno.errorcode.get(code, 'opens')}"
        if said not in told[-1:]:
            told.append(said)
        worlds.advance(one, one.now + 0.02)
    return told


def test_a_volume_comes_up_in_the_recorded_steps() -> None:
    """facts/fullstack-observed.md: node, ENODATA while Diskless and Attaching, UpToDate before the peer connects."""
    one = worlds.build(timings=faults.TYPICAL)
    assert disk_story(one, "r1", 60) == [
        "None ENOENT",
        "Diskless ENODATA",
        "Attaching ENODATA",
        "UpToDate opens",
    ]


def test_the_disk_is_usable_before_the_peer_connects() -> None:
    one = worlds.build(timings=faults.TYPICAL)
    seen: list[tuple[str, int, bool]] = []
    while not seen or seen[-1] != ("Connected", 10102, True):
        worlds.advance(one, one.now + 0.02)
        shown = worlds.shown(one, "r0")["layer_object"]["drbd"]
        if "connections" in shown:
            said = (
                shown["connections"]["n2"]["message"],
                shown["promotion_score"],
                shown["may_promote"],
            )
            if said not in seen[-1:]:
                seen.append(said)
    assert seen == [
        ("StandAlone", 0, False),
        ("Connecting", 10101, True),
        ("Connected", 10102, True),
    ]


def test_after_a_crash_up_to_date_is_not_final() -> None:
    """facts/early-observed.md E2: UpToDate, then Outdated, SyncTarget, UpToDate when the peer connects."""
    one = worlds.build(made=worlds.layout(crashed=True), timings=faults.TYPICAL)
    assert disk_story(one, "r0", 60) == [
        "None ENOENT",
        "Diskless ENODATA",
        "Attaching ENODATA",
        "UpToDate opens",
        "Outdated opens",
        "SyncTarget(0.00%) opens",
        "UpToDate opens",
    ]
    assert worlds.get(one, f"{RD}/r0/sync-status") == {"synced_on_all": True}


def test_what_was_primary_when_the_power_went_resynchronises() -> None:
    one = worlds.build(timings=faults.TYPICAL)
    worlds.advance(one, 60)
    one.replication.promote("n1", "r1", drbd.Role.PRIMARY)
    one.power_off()
    worlds.advance(one, 70)
    one.boot()
    assert "SyncTarget(0.00%) opens" in disk_story(one, "r1", 140)
    assert "SyncTarget(0.00%) opens" not in disk_story(one, "r2", 141)


def test_a_lonely_node_is_usable_on_two_nodes_because_linstor_sets_no_quorum() -> None:
    one = worlds.build(Fault(kind=FaultKind.PEER_AWAY, subject="n2"))
    assert worlds.status(one, "n2") == "OFFLINE"
    shown = worlds.shown(one, "r0")["layer_object"]["drbd"]
    assert shown["connections"] == {"n2": {"connected": False, "message": "Connecting"}}
    assert (shown["promotion_score"], shown["may_promote"]) == (10101, True)
    assert one.open("/dev/drbd1000") == 0


def test_a_peer_can_be_alive_for_linstor_and_gone_for_drbd() -> None:
    one = worlds.build(Fault(kind=FaultKind.PEER_AWAY, subject="n2", alive=True, end=30))
    assert worlds.status(one, "n2") == "ONLINE"
    links = worlds.shown(one, "r0")["layer_object"]["drbd"]["connections"]
    assert links["n2"]["message"] == "Connecting"
    worlds.advance(one, 30)
    links = worlds.shown(one, "r0")["layer_object"]["drbd"]["connections"]
    assert links["n2"]["connected"]


def test_with_a_tie_breaker_quorum_needs_one_more_node() -> None:
    away = [
        Fault(kind=FaultKind.PEER_AWAY, subject=n, end=e) for n, e in (("n2", None), ("n3", 20))
    ]
    one = worlds.build(*away, made=worlds.layout(peers=2))
    assert one.open("/dev/drbd1000") == errno.ENODATA
    assert worlds.shown(one, "r0")["layer_object"]["drbd"]["promotion_score"] == 0
    worlds.advance(one, 20)
    assert one.open("/dev/drbd1000") == 0, "the tie-breaker is there"


def test_split_brain_is_standalone_and_up_to_date_on_both_sides_until_a_person_comes() -> None:
    one = worlds.build(Fault(kind=FaultKind.SPLIT_BRAIN, subject="r0", end=50))
    for node in ("n1", "n2"):
        shown = worlds.shown(one, "r0", node)["layer_object"]["drbd"]
        assert [c["message"] for c in shown["connections"].values()] == ["StandAlone"]
        assert (shown["promotion_score"], shown["may_promote"]) == (10101, True)
    assert worlds.shown(one, "r1")["layer_object"]["drbd"]["promotion_score"] == 10102
    worlds.advance(one, 50)
    assert worlds.shown(one, "r0")["layer_object"]["drbd"]["promotion_score"] == 10102


@pytest.mark.parametrize(
    ("kind", "code", "score"),
    [
        (FaultKind.DRBD_NO_QUORUM, errno.ENODATA, 0),
        (FaultKind.SUSPENDED, errno.ENODATA, 0),
        (FaultKind.PEER_PRIMARY, errno.EMEDIUMTYPE, 10102),
    ],
)
def test_faults_of_drbd_are_seen_by_open_rest_and_drbdsetup(
    kind: FaultKind, code: int, score: int
) -> None:
    one = worlds.build(Fault(kind=kind, subject="r1", start=5, end=10))
    worlds.advance(one, 6)
    assert (one.open("/dev/drbd1001"), one.open("/dev/drbd1002")) == (code, 0)
    shown = worlds.shown(one, "r1")["layer_object"]["drbd"]
    assert (shown["promotion_score"], shown["may_promote"]) == (score, False)
    lines = drbd_text.events2_now([one.drbd["n1"].resources["r1"]])
    assert f"may_promote:no promotion_score:{score}" in lines[0]
    worlds.advance(one, 10)
    assert one.open("/dev/drbd1001") == 0


def test_a_device_can_be_missing_with_drbd_up_and_reported() -> None:
    """ONLINE, UpToDate, a path, and no file: the s4 of a late udev."""
    one = worlds.build(
        Fault(
            kind=FaultKind.DEVICE_MISSING, subject="r1", end=40, drbd_up=True, state_reported=True
        )
    )
    assert worlds.status(one) == "ONLINE"
    volume = worlds.get(one, f"{RD}/r1/resources/n1/volumes")[0]
    assert (volume["device_path"], volume["state"]["disk_state"]) == ("/dev/drbd1001", "UpToDate")
    assert one.open("/dev/drbd1001") == errno.ENOENT
    worlds.advance(one, 40)
    assert one.open("/dev/drbd1001") == 0


def test_a_device_can_be_missing_because_the_satellite_has_not_come_to_it() -> None:
    one = worlds.build(Fault(kind=FaultKind.DEVICE_MISSING, subject="r1", end=40))
    assert "state" not in worlds.shown(one, "r1")
    assert worlds.path_of(one, "r1") == "/dev/drbd1001", "the old path stays"
    assert "r1" not in one.drbd["n1"].resources
    assert one.open("/dev/drbd1000") == one.open("/dev/drbd1002") == 0, "the others do not wait"
    worlds.advance(one, 40)
    assert one.open("/dev/drbd1001") == 0
    assert "state" in worlds.shown(one, "r1")


def test_a_failed_resource_is_retried_by_linstor_itself_later() -> None:
    """facts/linstor-observed.md B: 23 s after the failure, then 45 s later."""
    fault = Fault(kind=FaultKind.POOL_MISSING, subject="pool", node="n1", end=30)
    one = worlds.build(fault, timings=faults.TYPICAL)
    worlds.advance(one, 29)
    failed = one.lives["n1"].failed["r0"]
    worlds.advance(one, failed + 22)
    assert one.open("/dev/drbd1000") == errno.ENOENT
    worlds.advance(one, failed + 25)
    assert one.open("/dev/drbd1000") == 0


def test_one_resource_that_fails_holds_back_the_others() -> None:
    """facts/linstor-observed.md A18: ONLINE and READY, no state for anybody; one other after 23 s, the rest after 68 s."""
    fault = Fault(kind=FaultKind.RESOURCE_FAILS, subject="r1", end=200)
    one = worlds.build(fault, made=worlds.layout(5), timings=faults.TYPICAL)
    seen: list[world.Event] = []
    one.listeners.append(seen.append)
    worlds.until(one, "ONLINE")
    worlds.advance(one, one.now + 10)
    assert "run-over" in [e["event"] for e in seen]
    assert one.open("/dev/drbd1000") == 0, "it came before the one that fails"
    assert ["state" in worlds.shown(one, f"r{i}") for i in range(5)] == [False] * 5
    moment = one.now
    worlds.advance(one, moment + 20)
    assert ["state" in worlds.shown(one, f"r{i}") for i in range(5)] == [True] + [False] * 4
    worlds.advance(one, moment + 65)
    assert [one.open(f"/dev/drbd100{i}") for i in range(5)] == [0, errno.ENOENT, 0, 0, 0]
    worlds.advance(one, 500)
    assert one.open("/dev/drbd1001") == 0


def test_a_volume_that_was_made_anew_opens_and_carries_nothing() -> None:
    """facts/linstor-observed.md A5."""
    one = worlds.build(Fault(kind=FaultKind.CONTENT_EMPTY, subject="r1"))
    files = {f.resource: f for f in one.trees["n1"]}
    assert (files["r0"].signature, files["r1"].signature) == ("ext4", "")
    assert one.open("/dev/drbd1001") == 0


def test_skip_disk_makes_the_next_boot_diskless() -> None:
    """facts/fullstack-observed.md: LINSTOR sets the property by itself after an I/O error."""
    one = worlds.build(booted=False)
    placement = one.store.placement("r1", "n1")
    assert placement is not None
    placement.props["DrbdOptions/SkipDisk"] = "True"
    one.boot()
    one.settle()
    shown = worlds.shown(one, "r1")
    assert shown["effective_props"]["DrbdOptions/SkipDisk"]["value"] == "True"
    assert "flags" not in shown
    volume = one.drbd["n1"].resources["r1"].volumes[0]
    assert (volume.disk, volume.client) == (drbd.Disk.DISKLESS, True)
    assert one.open("/dev/drbd1001") == 0, "over the peer"


def test_loop_devices_move_from_boot_to_boot() -> None:
    """facts/linstor-observed.md A6: an old path can name another resource's device."""
    one = worlds.build(made=worlds.layout(plain=True))
    seen = set()
    for _ in range(6):
        seen.add(worlds.path_of(one, "r0"))
        one.power_off()
        one.settle()
        one.boot()
        one.settle()
    assert len(seen) > 1


def test_the_same_seed_tells_the_same_story() -> None:
    def story(seed: int) -> list[world.Event]:
        found: list[world.Event] = []
        fault = Fault(kind=FaultKind.SATELLITE_MUTE, subject="n1", start=40, end=70)
        one = worlds.build(fault, timings=faults.TYPICAL, seed=seed, booted=False)
        one.listeners.append(found.append)
        one.boot()
        worlds.advance(one, 200)
        return found

    assert story(7) == story(7)
    assert story(7) != story(8)
