# SPDX-License-Identifier: Apache-2.0
"""Everything a real LINSTOR answered in the recordings decodes, and the values that matter are there."""

import collections
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.recordings import DATA

from tidegate.clients import errors, http
from tidegate.clients.linstor import answers, wire

LINSTOR = DATA / "linstor"
CASES = sorted(
    path.name
    for path in LINSTOR.glob("*.jsonl.gz")
    if not path.name.startswith("g_") and ".timeline." not in path.name
)

# Path of a recorded request -> what its answer is; the first that matches counts.
SHAPES: tuple[tuple[str, Any], ...] = (
    (r"GET /v1/controller/version", wire.Version),
    (r"GET /v1/nodes/[^/?]+", wire.Node),
    (r"GET /v1/nodes/?(\?.*)?", tuple[wire.Node, ...]),
    (r"GET /v1/nodes/[^/]+/storage-pools", tuple[wire.StoragePool, ...]),
    (r"GET /v1/nodes/[^/]+/storage-pools/[^/]+", wire.StoragePool),
    (r"GET /v1/view/storage-pools(\?.*)?", tuple[wire.StoragePool, ...]),
    (r"GET /v1/resource-definitions(\?.*)?", tuple[wire.ResourceDefinition, ...]),
    (r"GET /v1/resource-definitions/[^/]+", wire.ResourceDefinition),
    (r"GET /v1/resource-definitions/[^/]+/volume-definitions", tuple[wire.VolumeDefinition, ...]),
    (r"GET /v1/resource-definitions/[^/]+/resources", tuple[wire.Resource, ...]),
    (r"GET /v1/resource-definitions/[^/]+/resources/[^/]+", wire.Resource),
    (r"GET /v1/resource-definitions/[^/]+/resources/[^/]+/volumes", tuple[wire.Volume, ...]),
    (r"GET /v1/resource-definitions/[^/]+/resources/[^/]+/volumes/\d", wire.Volume),
    (r"GET /v1/view/resources(\?.*)?", tuple[wire.Resource, ...]),
    (r"(POST|PUT|DELETE) /v1/.*", tuple[wire.ApiCallRc, ...]),
)


def recorded(case: str) -> Iterator[tuple[str, int, Any]]:
    """("GET /path", status, body) of every answer that was recorded whole."""
    with gzip.open(LINSTOR / case, "rt") as lines:
        for record in map(json.loads, lines):
            if record.get("status") and record.get("body") is not None:
                yield f"{record['method']} {record['path']}", record["status"], record["body"]


def shape_of(request: str) -> Any:
    return next((shape for path, shape in SHAPES if re.fullmatch(path, request)), None)


@pytest.mark.parametrize("case", CASES)
def test_every_recorded_answer_decodes(case: str) -> None:
    seen: collections.Counter[str] = collections.Counter()
    for request, status, body in recorded(case):
        if isinstance(body, str) and body.startswith("\x1f"):
            continue  # gzip, asked for on purpose
        raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        answer = http.Answer(status=status, headers={}, body=raw)
        if status >= 400 and " /v1/" in request:
            trouble = answers.check(answer, request)
            assert trouble is not None
            if status == 500:
                expected = {"controller.error", "controller.lost-satellite"}
            else:
                is_path = b"not found on server" in raw
                expected = {"controller.error" if is_path else "controller.not-found"}
            assert trouble.code in expected, (request, trouble)
            seen[trouble.code] += 1
        elif (shape := shape_of(request)) is not None:
            answers.read(answer, shape, request)
            seen["decoded"] += 1
    assert seen["decoded"], seen


def find(case: str, request: str, number: int = 0) -> Any:
    """The recorded answer to a request, decoded as the client would."""
    bodies = [body for asked, _, body in recorded(f"{case}.jsonl.gz") if asked == request]
    return msgspec.json.decode(json.dumps(bodies[number]), type=shape_of(request))


def test_version() -> None:
    found = find("a_healthy", "GET /v1/controller/version")
    assert (found.version, found.rest_api_version) == ("1.34.0", "1.28.0")


def test_nodes_of_a_healthy_cluster() -> None:
    one, two = find("a_healthy", "GET /v1/nodes")
    assert [one.name, two.name] == ["n1", "n2"]
    assert one.connection_status == "ONLINE"
    assert one.net_interfaces[0].address == "10.77.0.11"
    assert one.net_interfaces[0].satellite_port == 3366
    assert "DRBD" not in one.resource_layers
    assert "FILE_THIN" in one.storage_providers
    assert "drbdadm" in one.unsupported_layers["DRBD"][0]


def test_a_node_goes_through_its_states() -> None:
    states = [
        body["connection_status"]
        for request, _, body in recorded("b1_satellite_boot_controller_up.jsonl.gz")
        if request == "GET /v1/nodes/n1"
    ]
    assert states[0] == "ONLINE"
    assert set(states) == {"ONLINE", "OFFLINE", "CONNECTED"}
    raw = {"name": "n1", "connection_status": "SOME_NEW_WORD", "new_field": {"x": 1}}
    assert msgspec.convert(raw, wire.Node).connection_status == "SOME_NEW_WORD"


def test_definitions_carry_what_incus_wrote() -> None:
    all_of_them = find("a_healthy", "GET /v1/resource-definitions?with_volume_definitions=true")
    (of_incus,) = [found for found in all_of_them if found.props.get("Aux/Incus/name")]
    assert of_incus.name == "incus-volume-0123456789abcdef0123456789abcdef"
    assert of_incus.props["Aux/Incus/name"] == "incus-volume-vm1"
    assert of_incus.props["Aux/Incus/type"] == "virtual-machines"
    assert of_incus.props["DrbdOptions/Resource/quorum"] == "off"
    assert of_incus.resource_group_name == "rg1"
    assert [volume.size_kib for volume in of_incus.volume_definitions] == [102400, 51200]


def test_state_of_a_placement_vanishes_while_the_satellite_is_away() -> None:
    placements = [
        msgspec.convert(body, wire.Resource)
        for request, _, body in recorded("b1_satellite_boot_controller_up.jsonl.gz")
        if request == "GET /v1/resource-definitions/both/resources/n1"
    ]
    reported = [placement.state is not None for placement in placements]
    assert reported[0]
    assert reported[-1]
    assert not all(reported)
    # the path stays, stale as it is (facts/linstor.md 6.2)
    for placement in placements:
        assert placement.layer_object is not None
        assert placement.layer_object.kinds() == ("STORAGE",)
        assert placement.layer_object.storage is not None
        assert placement.layer_object.storage.storage_volumes[0].device_path is not None


def test_device_path_is_absent_after_a_controller_restart() -> None:
    paths = [
        msgspec.convert(body, tuple[wire.Volume, ...])[0].device_path
        for request, status, body in recorded("b4_controller_restart_satellites_up.jsonl.gz")
        if request == "GET /v1/resource-definitions/both/resources/n1/volumes" and status == 200
    ]
    assert paths[0] is not None
    assert paths[-1] is not None
    assert None in paths


def test_pools_with_and_without_their_satellite() -> None:
    healthy = {
        (pool.node_name, pool.storage_pool_name): pool
        for pool in find("a_healthy", "GET /v1/view/storage-pools?cached=true")
    }
    thin = healthy["n1", "thin"]
    assert (thin.free_capacity, thin.total_capacity) == (3005140, 3021608)
    assert thin.props["StorDriver/StorPoolName"] == "/srv/pool-n1/data"
    assert thin.reports == ()
    assert healthy["n1", "DfltDisklessStorPool"].free_capacity == 2**63 - 1
    away = [
        pool
        for request, status, body in recorded("b1_satellite_boot_controller_up.jsonl.gz")
        if request.startswith("GET /v1/view/storage-pools") and status == 200
        for pool in msgspec.convert(body, tuple[wire.StoragePool, ...])
        if pool.reports
    ]
    assert away
    assert {pool.node_name for pool in away} == {"n1"}
    for pool in away:
        assert pool.total_capacity is None
        assert pool.reports[0].is_warning
        assert pool.reports[0].code == 1002  # WARN_NOT_CONNECTED
        assert pool.reports[0].message == "No active connection to satellite 'n1'"


def test_make_available_says_what_it_did() -> None:
    request = "POST /v1/resource-definitions/both/resources/n1/make-available"
    (entry,) = find("b1_satellite_boot_controller_up", request)
    assert entry.message == "Resource already deployed as requested"
    assert entry.ret_code == 20185088
    assert not entry.is_error
    assert not entry.is_warning


def test_a_500_without_message_is_a_lost_satellite() -> None:
    lost = collections.Counter(
        request.partition("?")[0]
        for request, status, body in recorded("d1_satellite_sigstop_40s.jsonl.gz")
        if status == 500
        and (
            trouble := answers.check(
                http.Answer(status=500, headers={}, body=json.dumps(body).encode()), request
            )
        )
        and trouble.code == "controller.lost-satellite"
    )
    assert lost["GET /v1/resource-definitions/both/resources/n1/volumes"] == 1
    assert lost["GET /v1/view/resources"] >= 1


def test_ret_codes() -> None:
    missing = wire.ApiCallRc(ret_code=-4611686018427387604)
    assert (missing.is_error, missing.is_warning, missing.code) == (True, False, 300)
    created = wire.ApiCallRc(ret_code=20185089)
    assert (created.is_error, created.is_warning, created.code) == (False, False, 1)
    info = wire.ApiCallRc(ret_code=4611686018427397904)
    assert (info.is_error, info.is_warning, info.code) == (False, False, 10000)


# --- the whole stack with DRBD ---------------------------------------------------------------

STACK = DATA / "fullstack"


def of_stack(state: str) -> dict[str, wire.Resource]:
    raw = (STACK / "odd-states" / state / "view-resources.json").read_bytes()
    return {
        found.node_name: found for found in msgspec.json.decode(raw, type=tuple[wire.Resource, ...])
    }


def drbd_of(resource: wire.Resource) -> wire.DrbdLayer:
    assert resource.layer_object is not None
    assert resource.layer_object.kinds() == ("DRBD", "STORAGE")
    found = resource.layer_object.find_drbd()
    assert found is not None
    return found


@pytest.mark.parametrize(
    "path",
    sorted(STACK.glob("**/*view-resources.json")) + sorted(STACK.glob("**/*nodes.json")),
    ids=lambda path: f"{path.parent.name}/{path.name}",
)
def test_every_answer_of_the_whole_stack_decodes(path: Path) -> None:
    shape: Any = wire.Node if path.name.endswith("nodes.json") else wire.Resource
    found = msgspec.json.decode(path.read_bytes(), type=tuple[shape, ...])
    assert found
    assert all(item.name for item in found)
    assert b"secret" not in msgspec.json.encode(found)


def test_healthy_drbd() -> None:
    both = of_stack("01-both-uptodate-secondary")
    drbd = drbd_of(both["n1"])
    assert drbd.connections["n2"] == wire.Connection(connected=True, message="Connected")
    assert (drbd.promotion_score, drbd.may_promote) == (10102, True)
    assert drbd.drbd_volumes[0].device_path == "/dev/drbd1001"
    assert drbd.drbd_volumes[0].backing_device == "/dev/vg0/odd_00000"
    assert drbd.drbd_volumes[0].drbd_volume_definition == wire.DrbdVolumeDefinition(
        volume_number=0, minor_number=1001
    )
    volume = both["n1"].volumes[0]
    assert volume.state is not None
    assert volume.state.disk_state == "UpToDate"
    assert volume.state.replication_states["n2"].replication_state == "Established"
    assert both["n1"].state == wire.ResourceState(in_use=False)


def test_split_brain_shows_in_the_connections() -> None:
    both = of_stack("21-split-brain-standalone")
    messages = {name: drbd_of(found).connections for name, found in both.items()}
    assert "StandAlone" in {
        connection.message for found in messages.values() for connection in found.values()
    }


def test_a_resource_that_is_down_has_no_state() -> None:
    both = of_stack("44-n1-down")
    assert both["n1"].state is None
    assert both["n1"].volumes[0].device_path == "/dev/drbd1001"
    assert both["n2"].state is not None


def test_suspended_for_lack_of_quorum_shows_in_the_score_only() -> None:
    drbd = drbd_of(of_stack("31-n1-primary-quorum-lost-suspended")["n1"])
    assert (drbd.promotion_score, drbd.may_promote) == (0, False)


def test_skip_disk_is_seen() -> None:
    found = of_stack("46-skipdisk-n1-diskless-client-n2-gone")["n1"]
    assert found.props["DrbdOptions/SkipDisk"] == "True"
    assert found.effective_props["DrbdOptions/SkipDisk"].type == "RESOURCE"
    assert found.volumes[0].state is not None
    assert found.volumes[0].state.disk_state == "Diskless"


def test_resync_percentage_and_layers_in_between() -> None:
    raw = """{"name": "r", "layer_object": {"type": "DRBD", "drbd": {}, "children": [
        {"type": "LUKS", "luks": {"luks_volumes": [{"volume_number": 1, "opened": false}]},
         "children": [{"type": "STORAGE"}]}]},
      "volumes": [{"state": {"replication_states": {"n2": {"replication_state": "SyncTarget",
         "done_percentage": 12.34}}}}]}"""
    found = msgspec.json.decode(raw, type=wire.Resource)
    assert found.layer_object is not None
    assert found.layer_object.kinds() == ("DRBD", "LUKS", "STORAGE")
    assert found.layer_object.children[0].luks is not None
    assert found.layer_object.children[0].luks.luks_volumes[0].number == 1
    assert found.volumes[0].state is not None
    assert found.volumes[0].state.replication_states["n2"].done_percentage == 12.34


@pytest.mark.parametrize("free", [2**63, -(2**63) - 1, 10**400])
def test_a_number_that_java_could_not_send_is_refused(free: int) -> None:
    """Else it would fit into no float where it is judged."""
    body = b'[{"storage_pool_name": "pool", "node_name": "n1", "free_capacity": %d}]' % free
    answer = http.Answer(status=200, headers={}, body=body)
    with pytest.raises(errors.ClientError, match="JSON of another shape") as caught:
        answers.decode(answer, tuple[wire.StoragePool, ...], "http://ctl:3370/v1")
    assert caught.value.code == "controller.not-linstor"
