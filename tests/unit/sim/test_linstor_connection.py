"""The controller's view of a node: rounds, detection, false ONLINE, and what each change does to what REST shows."""

import itertools

import pytest
from tests import linstor_worlds as worlds
from tests.linstor_worlds import Fault, FaultKind

from tidegate.sim import faults
from tidegate.sim.linstor import world
from tidegate.sim.linstor.node import Status

SEEDS = range(40)


def test_a_boot_goes_offline_connected_online_and_online_comes_before_the_devices() -> None:
    one = worlds.build(timings=faults.TYPICAL)
    seen: list[world.Event] = []
    one.listeners.append(seen.append)
    assert worlds.status(one) == "OFFLINE"
    worlds.advance(one, 60)
    kinds = [
        event.get("status") or event["event"]
        for event in seen
        if event["node"] == "n1" and event["event"] in ("node-status", "device-appears", "run-over")
    ]
    assert kinds == ["CONNECTED", "ONLINE", *["device-appears"] * 3, "run-over"]


def test_devices_come_one_after_another_in_name_order() -> None:
    one = worlds.build(made=worlds.layout(6), timings=faults.TYPICAL)
    seen: list[world.Event] = []
    one.listeners.append(seen.append)
    worlds.advance(one, 60)
    found = [(e["resource"], e["at"]) for e in seen if e["event"] == "device-appears"]
    assert [name for name, _ in found] == [f"r{i}" for i in range(6)]
    assert all(later - sooner > 0.5 for (_, sooner), (_, later) in itertools.pairwise(found))


def test_between_open_port_and_authentication_lie_up_to_two_reconnect_rounds() -> None:
    """facts/linstor-observed.md A7: 10 of 19 at once, 9 one further round."""
    waits = []
    for seed in SEEDS:
        one = worlds.build(timings=faults.TYPICAL, seed=seed)
        while not one.lives["n1"].started:
            worlds.advance(one, one.clock.next_due() or 0.0)
        opened = one.now
        waits.append(worlds.until(one, "CONNECTED") - opened)
    said = f"seeds {SEEDS}: {[round(w, 1) for w in waits]}"
    assert 0 < min(waits) < 3, said
    assert 12 < max(waits) < 21, said


@pytest.mark.parametrize(("silent", "low", "high"), [(False, 0.5, 1.5), (True, 4.5, 7.5)])
def test_a_loss_is_noticed_at_once_or_after_a_window_of_stale_online(
    *, silent: bool, low: float, high: float
) -> None:
    fault = Fault(kind=FaultKind.NODE_OFFLINE, subject="n1", start=100, end=150, silent=silent)
    one = worlds.build(fault, timings=faults.TYPICAL)
    worlds.advance(one, 100.1)
    assert worlds.status(one) == "ONLINE", "stale"
    assert low < worlds.until(one, "OFFLINE") - 100 < high


def test_a_silent_gap_shorter_than_the_detection_goes_unnoticed() -> None:
    fault = Fault(kind=FaultKind.NODE_OFFLINE, subject="n1", start=100, end=102, silent=True)
    one = worlds.build(fault, timings=faults.TYPICAL)
    seen = []
    worlds.advance(one, 99)
    one.listeners.append(lambda event: seen.append(event["event"]))
    worlds.advance(one, 200)
    assert "node-status" not in seen


def test_a_machine_that_is_back_at_once_ends_the_stale_online_early() -> None:
    """facts/linstor-observed.md C, recording b8: the new kernel answers with RST."""
    one = worlds.build(timings=faults.TYPICAL)
    worlds.advance(one, 100)
    one.power_off()
    worlds.advance(one, 101)
    assert worlds.status(one) == "ONLINE", "stale"
    one.boot()
    assert worlds.until(one, "OFFLINE") < 102.5


def test_state_vanishes_with_the_connection_and_the_device_path_stays() -> None:
    fault = Fault(kind=FaultKind.NODE_OFFLINE, subject="n1", start=10, end=20)
    one = worlds.build(fault)
    before = worlds.shown(one, "r1")
    assert before["state"] == {"in_use": False}
    worlds.advance(one, 12)
    away = worlds.shown(one, "r1")
    assert "state" not in away
    assert {"connections", "may_promote", "promotion_score"}.isdisjoint(
        away["layer_object"]["drbd"]
    )
    assert worlds.path_of(one, "r1") == "/dev/drbd1001"
    assert one.open("/dev/drbd1001") == 0, "DRBD does not mind a satellite that stops"
    worlds.advance(one, 21)
    assert worlds.shown(one, "r1") == before


def test_after_a_controller_restart_the_path_is_unknown_until_the_first_run_is_over() -> None:
    fault = Fault(kind=FaultKind.CONTROLLER_REFUSES, start=100, end=130, restarts=True)
    one = worlds.build(fault, timings=faults.TYPICAL)
    worlds.advance(one, 131)
    assert worlds.status(one) == "OFFLINE"
    assert worlds.path_of(one, "r1") is None
    worlds.until(one, "ONLINE")
    assert "state" in worlds.shown(one, "r1"), "what DRBD knows is reported before ONLINE"
    assert worlds.path_of(one, "r1") is None, "told only at the end of the run"
    worlds.advance(one, one.now + 30)
    assert worlds.path_of(one, "r1") == "/dev/drbd1001"


def test_a_refusing_port_alone_loses_nothing() -> None:
    one = worlds.build(Fault(kind=FaultKind.CONTROLLER_REFUSES, start=10, end=20))
    worlds.advance(one, 21)
    assert (worlds.status(one), worlds.path_of(one, "r1")) == ("ONLINE", "/dev/drbd1001")


def test_stuck_in_connected_until_the_fault_ends() -> None:
    one = worlds.build(Fault(kind=FaultKind.NODE_CONNECTED, subject="n1", end=25))
    worlds.advance(one, 24.9)
    assert worlds.status(one) == "CONNECTED"
    assert one.open("/dev/drbd1000") != 0
    pools = worlds.get(one, "/v1/view/storage-pools?nodes=n1")
    assert all("free_capacity" in p and "reports" not in p for p in pools), "reachable already"
    worlds.advance(one, 25)
    assert (worlds.status(one), one.open("/dev/drbd1000")) == ("ONLINE", 0)


@pytest.mark.parametrize("wanted", [Status.FULL_SYNC_FAILED, Status.VERSION_MISMATCH])
def test_a_failed_sync_stays_until_somebody_reconnects(wanted: Status) -> None:
    fault = Fault(kind=FaultKind.NODE_STATUS, subject="n1", status=wanted.value, end=5)
    one = worlds.build(fault)
    worlds.advance(one, 60)
    assert worlds.status(one) == wanted
    got = worlds.call(one, "PUT", "/v1/nodes/n1/reconnect")
    assert got is not None
    assert got.body[-1]["message"] == "Node 'n1' authenticated"
    assert worlds.status(one) == "ONLINE"


def test_a_missing_module_is_missing_ext_tools_until_somebody_reconnects() -> None:
    one = worlds.build(Fault(kind=FaultKind.MODULE_LATE, subject="n1", end=20, installed=False))
    assert worlds.status(one) == "MISSING_EXT_TOOLS"
    assert "DRBD" not in worlds.get(one, "/v1/nodes/n1")["resource_layers"]
    worlds.advance(one, 30)
    assert worlds.status(one) == "MISSING_EXT_TOOLS"
    worlds.call(one, "PUT", "/v1/nodes/n1/reconnect")
    assert (worlds.status(one), one.open("/dev/drbd1002")) == ("ONLINE", 0)


def test_false_online_shows_no_state_answers_no_change_and_a_reconnect_cures_it() -> None:
    """facts/linstor-observed.md A1; recording d1b."""
    one = worlds.build(Fault(kind=FaultKind.FALSE_ONLINE, subject="n1"))
    assert worlds.status(one) == "ONLINE"
    assert "state" not in worlds.shown(one, "r0")
    existing = worlds.post(one, "/v1/resource-definitions/r0/resources/n1/make-available")
    assert existing.body[0]["ret_code"] == 20185088
    change = ("PUT", "/v1/resource-definitions/r0", {"override_props": {"Aux/y": "1"}})
    assert worlds.call(one, *change, limit=600) is None, "never answers"
    got = worlds.call(one, "PUT", "/v1/nodes/n1/reconnect")
    assert got is not None
    assert got.status == 200
    assert "state" in worlds.shown(one, "r0")
    assert worlds.call(one, *change) is not None


def test_reconnect_of_a_node_that_does_not_answer_warns_after_a_second() -> None:
    fault = Fault(kind=FaultKind.SATELLITE_LATE, subject="n1")
    one = worlds.build(fault, timings=faults.TYPICAL)
    got = worlds.call(one, "PUT", "/v1/nodes/n1/reconnect", limit=1.0)
    assert got is not None
    assert [e["ret_code"] for e in got.body] == [37486592, -9223372036817288214]


def test_reconnect_wakes_the_controller_between_its_rounds() -> None:
    """facts/linstor-observed.md H: seconds instead of up to 20."""
    one = worlds.build(timings=faults.TYPICAL, seed=3)
    while not one.lives["n1"].started:
        worlds.advance(one, one.clock.next_due() or 0.0)
    opened = one.now
    got = worlds.call(one, "PUT", "/v1/nodes/n1/reconnect", limit=5.0)
    assert got is not None
    assert worlds.status(one) == "ONLINE"
    assert one.now - opened < 3.3


SAFE = (
    "/v1/controller/version",
    "/v1/nodes",
    "/v1/nodes/n1",
    "/v1/resource-definitions?props=Aux%2FIncus%2Ftype%3Dcontainers",
    "/v1/resource-definitions/r0/resources",
    "/v1/resource-definitions/r0/resources/n1",
    "/v1/resource-definitions/r0/resources/n2/volumes",
    "/v1/view/resources?nodes=n2",
    "/v1/view/storage-pools?cached=true",
    "/metrics?error_reports=false",
)
WAITING = (
    "/v1/resource-definitions/r0/resources/n1/volumes",
    "/v1/view/resources",
    "/v1/view/resources?cached=true",
    "/v1/view/resources?limit=0&nodes=n1&offset=0&resources=r0",
    "/v1/view/storage-pools",
    "/v1/nodes/n1/storage-pools",
    "/v1/error-reports",
)


def test_while_a_satellite_is_mute_only_what_asks_it_waits_and_then_fails_without_a_message() -> (
    None
):
    """facts/linstor-observed.md A2, A3, section D; recording d1."""
    fault = Fault(kind=FaultKind.SATELLITE_MUTE, subject="n1", start=100, end=140)
    one = worlds.build(fault, timings=faults.TYPICAL)
    worlds.advance(one, 100.1)
    for path in SAFE:
        assert worlds.call(one, "GET", path) is not None, path
    for path in WAITING:
        assert worlds.call(one, "GET", path) is None, path
    got = worlds.call(one, "GET", WAITING[0], limit=10)
    assert got is not None
    assert got.status == 500
    assert [sorted(e) for e in got.body] == [["created_at", "error_report_ids", "ret_code"]]
    assert got.body[0]["ret_code"] == -4611686018427386906
    assert 4.5 < one.now - 100 < 7.5, "the loss of the connection ends the wait"
    for path in (*SAFE, *WAITING):
        assert worlds.call(one, "GET", path) is not None, "a node known to be gone is not asked"
    worlds.advance(one, 200)
    assert worlds.status(one) == "ONLINE"


def test_a_pool_tells_no_capacity_but_a_warning_while_its_node_is_away() -> None:
    """facts/linstor.md 4.6; recording b10."""
    one = worlds.build(Fault(kind=FaultKind.NODE_OFFLINE, subject="n1", end=10))
    pools = worlds.get(one, "/v1/view/storage-pools?cached=true&nodes=n1")
    assert all({"free_capacity", "total_capacity"}.isdisjoint(p) for p in pools)
    told = [(r["ret_code"], r["message"]) for p in pools for r in p["reports"]]
    assert told == [(-9223372036854774806, "No active connection to satellite 'n1'")] * 2
    worlds.advance(one, 10)
    pools = worlds.get(one, "/v1/view/storage-pools?cached=true&nodes=n1")
    assert all("reports" not in p and p["free_capacity"] > 0 for p in pools)


def test_a_broken_pool_does_not_keep_its_node_from_online() -> None:
    """facts/linstor.md 0.6 and 8.1."""
    one = worlds.build(Fault(kind=FaultKind.POOL_MISSING, subject="pool", node="n1"))
    assert worlds.status(one) == "ONLINE"
    query = "nodes=n1&storage_pools=pool"
    (pool,) = worlds.get(one, f"/v1/view/storage-pools?{query}")
    assert "free_capacity" not in pool
    assert pool["reports"][0]["ret_code"] == -4611686018427386906
    assert one.open("/dev/drbd1000") != 0
