# SPDX-License-Identifier: Apache-2.0
"""Recorded answers of a real LINSTOR give the facts a person would read from them."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from tests import recordings

from tidegate.clients.linstor import wire
from tidegate.core.facts import PlacedVolume, PlacementFacts
from tidegate.core.ids import NodeName
from tidegate.probes import translate_linstor

T = TypeVar("T")
N1 = NodeName("n1")


def bodies(path: Path, wanted: str) -> Iterator[Any]:
    """Yield the bodies recorded for a path, as often as they changed."""
    with gzip.open(path, "rt") as lines:
        for line in lines:
            call = json.loads(line)
            if call["path"] == wanted and call["status"] == 200 and call.get("body") is not None:
                yield call["body"]


def first(path: Path, wanted: str, shape: type[T]) -> T:
    return msgspec.convert(next(bodies(path, wanted)), shape, strict=False)


LINSTOR = recordings.DATA / "linstor"
HEALTHY = LINSTOR / "a_healthy.jsonl.gz"
BOOT = LINSTOR / "b1_satellite_boot_controller_up.jsonl.gz"
ODD = recordings.DATA / "fullstack" / "odd-states"


def test_nodes() -> None:
    nodes = translate_linstor.nodes(first(HEALTHY, "/v1/nodes", tuple[wire.Node, ...]))
    assert set(nodes) == {"n1", "n2"}
    n1 = nodes["n1"]
    assert (n1.connection_status, n1.addresses, n1.satellite_port) == (
        "ONLINE",
        ("10.77.0.11",),
        3366,
    )
    assert "STORAGE" in n1.resource_layers
    assert "DRBD" not in n1.resource_layers
    assert "FILE_THIN" in n1.storage_providers


def test_a_node_while_it_boots_goes_offline_connected_online() -> None:
    seen: list[str] = []
    for body in bodies(BOOT, "/v1/nodes"):
        status = translate_linstor.nodes(msgspec.convert(body, tuple[wire.Node, ...]))[
            "n1"
        ].connection_status
        if status not in seen[-1:]:
            seen.append(status)
    assert seen == ["ONLINE", "OFFLINE", "CONNECTED", "ONLINE"]


def test_storage_pools_of_this_node_only() -> None:
    wanted = "/v1/view/storage-pools?cached=true"
    pools = translate_linstor.storage_pools(
        first(HEALTHY, wanted, tuple[wire.StoragePool, ...]), N1
    )
    assert set(pools) == {"DfltDisklessStorPool", "thick", "thin"}
    assert {pool.node for pool in pools.values()} == {"n1"}
    thin = pools["thin"]
    assert (thin.provider, thin.free_kib, thin.total_kib, thin.reports) == (
        "FILE_THIN",
        3005140,
        3021608,
        (),
    )


def test_a_storage_pool_whose_satellite_is_away_has_no_capacity_and_says_why() -> None:
    found = [
        translate_linstor.storage_pools(msgspec.convert(body, tuple[wire.StoragePool, ...]), N1)[
            "thin"
        ]
        for body in bodies(BOOT, "/v1/view/storage-pools?cached=true")
    ]
    away = [pool for pool in found if pool.reports]
    assert away
    assert away[0].reports == ("No active connection to satellite 'n1'",)
    assert away[0].total_kib is None
    assert found[-1].reports == ()
    assert found[-1].total_kib


def test_definitions_carry_what_incus_wrote() -> None:
    wanted = "/v1/resource-definitions"
    found = translate_linstor.definitions(
        first(HEALTHY, wanted, tuple[wire.ResourceDefinition, ...])
    )
    vm = found["incus-volume-0123456789abcdef0123456789abcdef"]
    assert (vm.aux_name, vm.aux_type, vm.aux_content) == (
        "incus-volume-vm1",
        "virtual-machines",
        "block",
    )
    assert (vm.resource_group, vm.quorum) == ("rg1", "off")
    assert found["undeployed"].aux_name is None
    assert found["undeployed"].quorum is None


def test_placement_without_drbd_from_the_call_that_asks_no_satellite() -> None:
    wanted = "/v1/resource-definitions/incus-volume-0123456789abcdef0123456789abcdef/resources"
    (placed,) = translate_linstor.placements(first(HEALTHY, wanted, tuple[wire.Resource, ...]))
    assert (placed.node, placed.layers, placed.storage_pool) == ("n1", ("STORAGE",), "thin")
    assert placed.state_reported
    assert placed.in_use is None
    assert not placed.has_drbd
    assert placed.volumes == (
        PlacedVolume(number=0, device_path="/dev/loop6"),
        PlacedVolume(number=1, device_path="/dev/loop7"),
    )


def seen_of_both(case: str) -> list[tuple[bool, str | None]]:
    """Return (state reported, device path) of a placement on n1, once per change."""
    seen: list[tuple[bool, str | None]] = []
    for body in bodies(LINSTOR / case, "/v1/resource-definitions/both/resources/n1"):
        (placed,) = translate_linstor.placements([msgspec.convert(body, wire.Resource)])
        now = (placed.state_reported, placed.volumes[0].device_path)
        if now not in seen[-1:]:
            seen.append(now)
    return seen


def test_state_vanishes_and_the_path_stays_while_a_satellite_restarts() -> None:
    assert seen_of_both("b1_satellite_boot_controller_up.jsonl.gz") == [
        (True, "/dev/loop12"),
        (False, "/dev/loop12"),  # stale: the device is gone
        (True, "/dev/loop12"),  # reported again, and the path still of the boot before
        (True, "/dev/loop11"),
    ]


def test_the_path_is_not_known_after_a_controller_restart() -> None:
    assert seen_of_both("b4_controller_restart_satellites_up.jsonl.gz") == [
        (True, "/dev/loop16"),
        (False, None),
        (True, None),
        (True, "/dev/loop16"),
    ]


def odd(state: str, node: str) -> PlacementFacts:
    text = (ODD / state / "view-resources.json").read_bytes()
    resources = msgspec.json.decode(text, type=tuple[wire.Resource, ...])
    name = "odd" if any(resource.name == "odd" for resource in resources) else resources[0].name
    placed = translate_linstor.placements(r for r in resources if r.name == name)
    assert [placement.node for placement in placed] == sorted(
        placement.node for placement in placed
    )
    return next(placement for placement in placed if placement.node == node)


def test_placement_with_drbd() -> None:
    placed = odd("01-both-uptodate-secondary", "n1")
    assert placed.layers == ("DRBD", "STORAGE")
    assert placed.volumes == (
        PlacedVolume(
            number=0, device_path="/dev/drbd1001", minor=1001, backing_device="/dev/vg0/odd_00000"
        ),
    )
    assert (placed.promotion_score, placed.may_promote, placed.in_use) == (10102, True, False)
    assert placed.connections == (("n2", "Connected"),)
    assert (placed.storage_pool, placed.is_diskless, placed.skip_disk) == ("lvmthin", False, False)


@pytest.mark.parametrize(
    ("state", "score", "may_promote", "in_use", "message"),
    [
        ("03-n1-primary-diskless-by-detach", 1, False, True, "Connected"),
        ("06-n2-disconnected-standalone-outdated", 10101, False, True, "Connecting"),
        ("21-split-brain-standalone", 10101, True, False, "StandAlone"),
        ("31-n1-primary-quorum-lost-suspended", 0, False, True, "Connecting"),
        ("46-skipdisk-n1-diskless-client-n2-gone", 0, False, False, "Connecting"),
    ],
)
def test_odd_states(state: str, score: int, may_promote: bool, in_use: bool, message: str) -> None:
    placed = odd(state, "n1")
    assert (placed.promotion_score, placed.may_promote, placed.in_use) == (
        score,
        may_promote,
        in_use,
    )
    assert placed.connections == (("n2", message),)


def test_a_resource_that_is_down_is_not_reported_and_keeps_its_path() -> None:
    placed = odd("44-n1-down", "n1")
    assert not placed.state_reported
    assert placed.promotion_score is None
    assert placed.connections == ()
    assert placed.volumes[0].device_path == "/dev/drbd1001"


def test_skip_disk_is_seen_though_nothing_else_flags_it() -> None:
    placed = odd("46-skipdisk-n1-diskless-client-n2-gone", "n1")
    assert placed.skip_disk
    assert not placed.is_diskless
    assert placed.volumes[0].backing_device is None


def test_a_top_layer_of_unknown_form_gives_numbers_and_no_path() -> None:
    text = (
        b'{"name":"r","node_name":"n1","layer_object":{"type":"WRITECACHE","children":[{"type":"STORAGE",'
        b'"storage":{"storage_volumes":[{"volume_number":0,"device_path":"/dev/vg0/r"}]}}]}}'
    )
    (placed,) = translate_linstor.placements([msgspec.json.decode(text, type=wire.Resource)])
    assert placed.layers == ("WRITECACHE", "STORAGE")
    assert placed.volumes == (PlacedVolume(number=0, device_path=None),)


def test_luks_over_drbd_names_the_device_of_luks() -> None:
    text = (
        b'{"name":"r","node_name":"n1","layer_object":{"type":"LUKS","luks":{"luks_volumes":[{"volume_number":0,'
        b'"device_path":"/dev/mapper/Linstor-Crypt-r"}]},"children":[{"type":"DRBD","drbd":{"drbd_volumes":['
        b'{"drbd_volume_definition":{"volume_number":0,"minor_number":1003},"device_path":"/dev/drbd1003",'
        b'"backing_device":"/dev/vg0/r"}],"promotion_score":10101}}]}}'
    )
    (placed,) = translate_linstor.placements([msgspec.json.decode(text, type=wire.Resource)])
    assert placed.layers == ("LUKS", "DRBD")
    assert placed.promotion_score == 10101
    assert placed.volumes == (
        PlacedVolume(
            number=0,
            device_path="/dev/mapper/Linstor-Crypt-r",
            minor=1003,
            backing_device="/dev/vg0/r",
        ),
    )


def test_a_diskless_placement() -> None:
    text = (
        b'{"name":"r","node_name":"n3","flags":["DISKLESS","DRBD_DISKLESS","TIE_BREAKER"],'
        b'"props":{"StorPoolName":"DfltDisklessStorPool"},"layer_object":{"type":"DRBD"}}'
    )
    (placed,) = translate_linstor.placements([msgspec.json.decode(text, type=wire.Resource)])
    assert placed.is_diskless
    assert placed.storage_pool == "DfltDisklessStorPool"
    assert placed.volumes == ()
