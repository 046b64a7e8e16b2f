# SPDX-License-Identifier: Apache-2.0
"""The map for the next boot: drawn at good moments only, remembering what was good."""

from typing import Any

import msgspec
import pytest
from tests import health_facts as facts
from tests.health_facts import BOOT_WALL, C1, N1, POOL, RD, VOL, edit, nodes, world

from tidegate.config.policy import HealthPolicy
from tidegate.core.facts import IncusFacts, IncusPhase, NeededVolume, OpenResult, PoolFacts
from tidegate.core.ids import InstanceId, InstanceName, PoolName, ProjectName
from tidegate.core.snapshot import Source
from tidegate.core.wanted import WantedMap
from tidegate.health.judge import judge
from tidegate.health.wanted import draw, is_same

WALL = BOOT_WALL + 1000.0


def drawn(previous: WantedMap | None = None, **more: Any) -> WantedMap | None:
    snapshot = world(wanted=previous, **more)
    return draw(snapshot, judge(snapshot, HealthPolicy()), previous, WALL)


def test_a_healthy_node() -> None:
    made = drawn()
    assert made is not None
    assert made == edit(
        facts.kept_map(),
        saved_at=WALL,
        boot_id="boot",
        controllers=("http://10.88.0.1:3370",),
    )
    assert made.node == N1
    assert made.resources == (RD,)


def incus(**more: Any) -> dict[str, Any]:
    base: dict[str, Any] = {"phase": IncusPhase.READY, "server_name": "n1"}
    return {"incus": IncusFacts(**(base | more))}


@pytest.mark.parametrize(
    "more",
    [
        incus(phase=IncusPhase.AUTOSTART),
        incus(phase=IncusPhase.STOPPING),
        incus(phase=IncusPhase.STOPPED),
        incus(member_status="Evacuating"),
        {"silent": (Source.INCUS,)},
        {"stale": (Source.INCUS,)},
        {"lost": {Source.INCUS: None}},
        {"lost": {Source.LINSTOR: None}},
        {"silent": (Source.LINSTOR,)},
        {"units": {"incus.service": facts.unit("incus.service", "deactivating")}},
    ],
)
def test_no_good_moment(more: dict[str, Any]) -> None:
    assert drawn(facts.kept_map(), **more) is None


@pytest.mark.parametrize(
    ("instance", "kept"),
    [
        ({}, True),
        # Stopped by a person in this boot, and started by Incus at the next.
        ({"status": "Stopped", "last_used_at": BOOT_WALL + 5.0}, True),
        ({"status": "Stopped", "autostart": None, "last_power": "STOPPED"}, False),
        # Runs now, and does not come back by itself.
        ({"autostart": "false"}, False),
    ],
)
def test_it_holds_what_incus_would_start(instance: dict[str, Any], kept: bool) -> None:
    made = drawn(instances={str(C1): facts.instance(**instance)})
    assert made is not None
    assert [one.id for one in made.instances] == ([C1] if kept else [])


@pytest.mark.parametrize(
    ("device", "content"),
    [
        ({"content": "xfs"}, "ext4"),
        ({"content": "zero"}, "ext4"),
        ({"content": None}, "ext4"),
        ({"content": "unknown"}, "ext4"),
        ({"opened": OpenResult.FAILED, "errno": "EIO", "content": None}, "ext4"),
    ],
)
def test_what_a_volume_holds_is_kept_while_it_is_not_well(
    device: dict[str, Any], content: str
) -> None:
    made = drawn(facts.kept_map(), devices={str(VOL): facts.device(**device)})
    assert made is not None
    assert made.volumes[0].content == content


def test_what_a_healthy_volume_holds_is_learnt() -> None:
    made = drawn(
        edit(facts.kept_map(), volumes=()), devices={str(VOL): facts.device(content="xfs")}
    )
    assert made is not None
    assert made.volumes[0].content == "xfs"


def test_an_empty_volume_teaches_nothing() -> None:
    made = drawn(devices={str(VOL): facts.device(content="zero")})
    assert made is not None
    assert made.volumes[0].content is None


def test_addresses_come_from_incus_without_secrets() -> None:
    listed = "10.1.1.1, https://joe:secret@10.1.1.2:3371/?x=1"
    made = drawn(**incus(config={"storage.linstor.controller_connection": listed}))
    assert made is not None
    assert made.controllers == ("10.1.1.1", "https://10.1.1.2:3371/")
    assert b"secret" not in msgspec.json.encode(made)


def test_a_volume_that_cannot_be_found_now_stays_wanted() -> None:
    made = drawn(facts.kept_map(), definitions={})
    assert made is not None
    assert made.instances[0].volumes == (VOL,)
    assert made.volumes == facts.kept_map().volumes


def test_pools_that_are_not_on_linstor_are_named_with_the_instance_only() -> None:
    local = PoolName("local")
    needs = (
        NeededVolume(pool=POOL, type="containers", name="c1"),
        NeededVolume(pool=local, type="custom", name="default_x"),
    )
    pools = facts.healthy_sections()[Source.INCUS]["pools"] | {
        local: PoolFacts(name=local, driver="dir", status="Created")
    }
    made = drawn(pools=pools, instances={str(C1): facts.instance(needs=needs)})
    assert made is not None
    assert made.instances[0].pools == (local, POOL)
    assert [pool.name for pool in made.pools] == [POOL]


def test_the_order_is_always_the_same() -> None:
    def one(name: str) -> dict[str, Any]:
        id_ = InstanceId(ProjectName("default"), InstanceName(name))
        return {str(id_): facts.instance(id=id_, needs=())}

    first, second = drawn(instances=one("a") | one("b")), drawn(instances=one("b") | one("a"))
    assert first == second


def test_two_maps_that_say_the_same_are_the_same() -> None:
    one = facts.kept_map()
    assert is_same(one, edit(one, saved_at=5.0, boot_id="other"))
    assert not is_same(one, edit(one, volumes=()))
    assert not is_same(one, None)
    assert is_same(None, None)


def test_a_node_that_is_not_well_is_no_reason_to_forget() -> None:
    made = drawn(facts.kept_map(), nodes=nodes(n1="OFFLINE"), devices={})
    assert made is not None
    assert made.volumes == facts.kept_map().volumes


def test_what_only_linstor_may_bring_up_is_kept_with_the_reason() -> None:
    """Devices first reads it at the next boot, when nobody can be asked."""
    place = facts.placement(N1)
    gone = edit(place, flags=("DELETE",))
    made = drawn(placements={RD: (gone,)})
    assert made is not None
    assert [(one.resource, one.why) for one in made.reserved] == [
        (RD, "LINSTOR was taking it from this node when it was last asked")
    ]
    layered = edit(place, layers=("DRBD", "LUKS", "STORAGE"))
    made = drawn(placements={RD: (layered,)})
    assert made is not None
    assert made.reserved[0].why == "it has layers that LINSTOR sets up: LUKS"
    known = facts.healthy_sections()[Source.LINSTOR]["definitions"][RD]
    definition = edit(known, flags=("DELETE",))
    made = drawn(definitions={RD: definition})
    assert made is not None
    assert made.reserved[0].why == "LINSTOR was deleting it when it was last asked"
