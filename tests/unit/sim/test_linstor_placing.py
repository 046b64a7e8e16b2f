"""Placing resources: make-available and its traps, Incus's creating calls, deleting, copying, and waiting for the lab."""

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from tests import linstor_worlds as worlds
from tests import recordings
from tests.linstor_worlds import Fault, FaultKind

from tidegate.sim import drbd, faults
from tidegate.sim.linstor import api, build, world

RD = "/v1/resource-definitions"


def codes(body: Any) -> list[int]:
    return [entry["ret_code"] for entry in body]


def definition(one: world.LinstorWorld, name: str, *, layers: tuple[str, ...] = ()) -> None:
    """A definition with one volume that is placed nowhere."""
    data = {"layer_data": [{"type": layer} for layer in layers]} if layers else {}
    fields = {"name": name, "resource_group_name": worlds.GROUP, **data}
    assert worlds.post(one, RD, {"resource_definition": fields}).status == 201
    body = {"volume_definition": {"size_kib": 8192}}
    assert worlds.post(one, f"{RD}/{name}/volume-definitions", body).status == 200


@pytest.mark.parametrize("moment", [5.0, 12.0, 20.5, 60.0])
def test_make_available_of_an_existing_placement_is_200_whatever_the_node_does(
    moment: float,
) -> None:
    """facts/linstor.md 0.4: OFFLINE, CONNECTED, ONLINE without devices, healthy."""
    one = worlds.build(
        Fault(kind=FaultKind.NODE_OFFLINE, subject="n1", end=10),
        Fault(kind=FaultKind.NODE_CONNECTED, subject="n1", end=20),
        Fault(kind=FaultKind.DEVICE_MISSING, end=30),
    )
    worlds.advance(one, moment)
    got = worlds.post(one, f"{RD}/r0/resources/n1/make-available")
    assert got.status == 200
    assert [(e["ret_code"], e["message"]) for e in got.body] == [
        (20185088, "Resource already deployed as requested")
    ]


def test_make_available_of_a_missing_placement_on_an_offline_node_is_404() -> None:
    one = worlds.build(
        Fault(kind=FaultKind.NODE_OFFLINE, subject="n1"), made=worlds.layout(plain=True)
    )
    definition(one, "new", layers=("STORAGE",))
    got = worlds.post(one, f"{RD}/new/resources/n1/make-available")
    assert (got.status, codes(got.body)) == (404, [-4611686018407202506])
    assert "Autoplacer could not find diskful stor pool on node n1" in got.body[0]["message"]


def test_make_available_without_the_pool_is_404() -> None:
    one = worlds.build(Fault(kind=FaultKind.POOL_MISSING), made=worlds.layout(0, plain=True))
    definition(one, "new", layers=("STORAGE",))
    assert worlds.post(one, f"{RD}/new/resources/n1/make-available").status == 404


def test_a_placement_made_while_connected_is_answered_at_once_and_comes_late() -> None:
    """facts/linstor-observed.md A4, recording c1 (mk-05): 200 with WARN_NOT_CONNECTED, the device after the first run."""
    one = worlds.build(
        Fault(kind=FaultKind.NODE_CONNECTED, subject="n1", end=100),
        made=worlds.layout(plain=True),
        timings=faults.TYPICAL,
    )
    worlds.until(one, "CONNECTED")
    definition(one, "new", layers=("STORAGE",))
    got = worlds.post(one, f"{RD}/new/resources/n1/make-available")
    assert got.status == 200
    assert codes(got.body) == [20185089, 20185089, 19660801, -9223372036834589718, 20185091]
    seen: list[world.Event] = []
    one.listeners.append(seen.append)
    worlds.advance(one, 140)
    order = [
        e.get("resource", "run-over") for e in seen if e["event"] in ("device-appears", "run-over")
    ]
    assert order == ["r0", "r1", "r2", "run-over", "new"]
    assert worlds.path_of(one, "new") is not None


def test_a_placement_made_while_online_waits_for_its_device() -> None:
    """Recording c1 (mk-21): only the entry ``… created`` proves a device."""
    one = worlds.build(made=worlds.layout(plain=True), timings=faults.TYPICAL)
    worlds.until(one, "ONLINE")
    definition(one, "new", layers=("STORAGE",))
    assert worlds.call(one, "POST", f"{RD}/new/resources/n1/make-available", {}) is None
    one = worlds.build(made=worlds.layout(plain=True))
    definition(one, "new", layers=("STORAGE",))
    got = worlds.post(one, f"{RD}/new/resources/n1/make-available")
    assert codes(got.body) == [20185089, 20185089, 19660801, 19660801, 20185091]
    assert got.body[3]["message"] == "(n1) Volume number 0 of resource 'new' [FILE THIN] created"
    path = worlds.path_of(one, "new")
    assert path is not None
    assert one.open(path) == 0


def test_a_new_resource_that_does_not_come_up_is_a_warning_after_15_seconds() -> None:
    one = worlds.build(Fault(kind=FaultKind.DEVICE_MISSING, subject="r0"))
    definition(one, "new", layers=("DRBD", "STORAGE"))
    one.add_fault(Fault(kind=FaultKind.DEVICE_MISSING, subject="new"))
    assert worlds.call(one, "POST", f"{RD}/new/resources/n1", {}, limit=14.9) is None
    definition(one, "other", layers=("DRBD", "STORAGE"))
    one.add_fault(Fault(kind=FaultKind.DEVICE_MISSING, subject="other"))
    got = worlds.post(one, f"{RD}/other/resources/n1", limit=15)
    assert got.status == 201
    assert "did not become ready" in got.body[-1]["message"]


def test_on_a_node_without_data_make_available_places_a_diskless_client() -> None:
    one = worlds.build(made=worlds.layout(peers=2))
    definition(one, "r9", layers=("DRBD", "STORAGE"))
    worlds.post(one, f"{RD}/r9/resources/n2", {})
    got = worlds.post(one, f"{RD}/r9/resources/n1/make-available")
    assert got.status == 200
    placed = worlds.shown(one, "r9")
    assert placed["flags"] == ["DISKLESS", "DRBD_DISKLESS"]
    volumes = worlds.get(one, f"{RD}/r9/resources/n1/volumes")
    assert (volumes[0]["provider_kind"], volumes[0]["state"]["disk_state"]) == (
        "DISKLESS",
        "Diskless",
    )
    assert one.open(volumes[0]["device_path"]) == 0, "over its peer"


def test_every_recorded_call_of_a_real_incus_is_answered_as_it_expects() -> None:
    one = worlds.build(made=worlds.layout(0))
    one.store.data.groups.pop(worlds.GROUP)
    calls = recordings.DATA / "incus-linstor-calls.jsonl"
    compared = 0
    for line in calls.read_text().splitlines():
        real = json.loads(line)
        query = urlencode([(k, v) for k, values in real["query"].items() for v in values])
        got = worlds.call(one, real["method"], f"{real['path']}?{query}", real["body"], limit=1)
        assert got is not None, real["path"]
        assert got.status == real["status"], (real["phase"], real["path"], got)
        if real["path"].endswith("/volumes"):
            paths = [v["device_path"] for v in got.body]
            assert paths == [v["device_path"] for v in real["response"]]
            assert [one.open(path) for path in paths] == [0]
        compared += 1
    assert compared > 100


def test_answers_wait_until_the_lab_has_made_what_was_asked() -> None:
    one = worlds.build(made=worlds.layout(0))
    one.acks_wanted = True
    asked: list[world.Event] = []
    one.listeners.append(lambda event: asked.append(event) if event.get("ack") else None)
    body = {"resource_definition_name": "new", "volume_sizes": [8192]}
    box: list[Any] = []
    one.calls.start(
        api.Api(one).call(
            worlds.request("POST", f"/v1/resource-groups/{worlds.GROUP}/spawn", body)
        ),
        box.append,
    )
    order = []
    while not box:
        assert asked, "waits for nothing"
        event = asked.pop(0)
        order.append((event["event"], event["node"], event["size_kib"]))
        assert one.acknowledge(event["id"])
        one.calls.poke()
    assert order == [("volume-created", "n1", 8192), ("device-appears", "n1", 8192)]
    assert box[0].status == 201
    assert not one.acknowledge(12345)


def test_a_clone_is_cloning_until_the_lab_has_copied_it() -> None:
    one = worlds.build()
    one.acks_wanted = True
    asked: list[world.Event] = []
    one.listeners.append(lambda event: asked.append(event) if event.get("ack") else None)
    body = {"name": "copy", "resource_group": worlds.GROUP, "override_props": worlds.props("c9")}
    got = worlds.post(one, f"{RD}/r0/clone", body)
    assert got.status == 201
    where = got.body["location"]
    assert worlds.get(one, where) == {"status": "CLONING"}
    assert (asked[0]["event"], asked[0]["source"]) == ("volume-cloned", "r0")
    while asked:
        one.acknowledge(asked.pop(0)["id"])
        one.calls.poke()
    assert worlds.get(one, where) == {"status": "COMPLETE"}
    path = worlds.path_of(one, "copy") or ""
    file = one.trees["n1"].find(path)
    assert file is not None
    assert file.signature == "ext4", "it carries what its source carries"


def test_snapshots_are_made_listed_restored_rolled_back_and_deleted() -> None:
    one = worlds.build()
    heard: list[str] = []
    one.listeners.append(lambda event: heard.append(event["event"]))
    assert (
        worlds.post(one, f"{RD}/r0/snapshots", {"name": "s1", "resource_name": "r0"}).status == 201
    )
    assert [s["name"] for s in worlds.get(one, f"{RD}/r0/snapshots")] == ["s1"]
    new = {"resource_definition": {"name": "back", "resource_group_name": worlds.GROUP}}
    worlds.post(one, RD, new)
    to = {"to_resource": "back"}
    assert worlds.post(one, f"{RD}/r0/snapshot-restore-volume-definition/s1", to).status == 200
    assert worlds.post(one, f"{RD}/r0/snapshot-restore-resource/s1", to).status == 201
    assert one.open(worlds.path_of(one, "back") or "") == 0
    assert worlds.post(one, f"{RD}/r0/snapshot-rollback/s1").status == 200
    got = worlds.call(one, "DELETE", f"{RD}/r0/snapshots/s1")
    assert got is not None
    assert worlds.get(one, f"{RD}/r0/snapshots") == []
    wanted = ["snapshot-created", "snapshot-restored", "volume-rolled-back", "snapshot-deleted"]
    assert [kind for kind in dict.fromkeys(heard) if kind in wanted] == wanted


def test_deleting_takes_the_device_away_and_frees_the_minor_number() -> None:
    one = worlds.build()
    got = worlds.call(one, "DELETE", f"{RD}/r1")
    assert got is not None
    assert got.status == 200
    assert one.trees["n1"].find("/dev/drbd1001") is None
    assert worlds.get(one, f"{RD}?props=Aux%2FIncus%2Fname%3Dincus-volume-c1") == []
    assert one.store.free_minor() == 1001


def test_deleting_what_is_in_use_is_500_in_use_as_incus_retries_it() -> None:
    one = worlds.build()
    one.replication.promote("n1", "r1", drbd.Role.PRIMARY)
    got = worlds.call(one, "DELETE", f"{RD}/r1")
    assert got is not None
    assert (got.status, got.body[0]["ret_code"] & 0x7FFF) == (500, 997)


def test_a_resize_is_seen_by_the_device() -> None:
    one = worlds.build()
    got = worlds.call(one, "PUT", f"{RD}/r1/volume-definitions/0", {"size_kib": 20_971_520})
    assert got is not None
    assert got.status == 200
    file = one.trees["n1"].find("/dev/drbd1001")
    assert file is not None
    assert file.size_kib == 20_971_520


def test_the_data_base_survives_in_another_process_but_not_the_controllers_memory() -> None:
    one = worlds.build()
    raw = one.store.to_bytes()
    other = worlds.build(made=faults.Layout(nodes=worlds.layout().nodes), booted=False)
    build.load(other, raw)
    other.boot()
    other.settle()
    assert other.store.to_bytes() == raw
    assert worlds.get(other, f"{RD}?with_volume_definitions=true") == worlds.get(
        one, f"{RD}?with_volume_definitions=true"
    )
    assert other.open("/dev/drbd1002") == 0


@pytest.mark.parametrize(
    ("count", "flags"), [(1, None), (2, ["DISKLESS", "DRBD_DISKLESS", "TIE_BREAKER"])]
)
def test_two_replicas_get_a_tie_breaker_where_there_is_a_third_node(
    count: int, flags: list[str] | None
) -> None:
    one = worlds.build(made=worlds.layout(0, peers=count))
    body = {"resource_definition_name": "new", "volume_sizes": [8192]}
    assert worlds.post(one, f"/v1/resource-groups/{worlds.GROUP}/spawn", body).status == 201
    diskless = [r.get("flags") for r in worlds.get(one, f"{RD}/new/resources") if r.get("flags")]
    assert diskless == ([flags] if flags else [])
    record = worlds.get(one, f"{RD}/new")
    assert record["props"]["DrbdOptions/Resource/quorum"] == ("majority" if flags else "off")


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [("json", 500, "An unknown error occurred."), ("no-message", 500, None), ("html", 500, None)],
)
def test_a_broken_controller_answers_as_its_fault_says(
    body: str, status: int, text: str | None
) -> None:
    one = worlds.build(Fault(kind=FaultKind.CONTROLLER_500, body=body))
    got = worlds.call(one, "GET", "/v1/nodes/n1")
    assert got is not None
    assert got.status == status
    if body == "html":
        assert got.content_type == "text/html"
    else:
        assert got.body[0].get("message") == text
