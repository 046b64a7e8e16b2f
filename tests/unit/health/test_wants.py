# SPDX-License-Identifier: Apache-2.0
"""Who should run here, as Incus would decide, and what follows for volumes and pools."""

from typing import Any

import pytest
from tests import health_facts as facts
from tests.health_facts import BOOT_WALL, C1, POOL, RD, VOL, world

from tidegate.config.policy import HealthPolicy
from tidegate.core.facts import IncusFacts, IncusPhase, NeededVolume, WarningFacts
from tidegate.core.ids import PoolName
from tidegate.core.snapshot import Source
from tidegate.health.view import View
from tidegate.health.wants import Origin, Want, Wants


def wants(**more: Any) -> Wants:
    return Wants(View(world(**more), HealthPolicy()))


def want(**instance: Any) -> Want:
    (only,) = wants(instances={str(C1): facts.instance(**instance)}).all
    return only


def incus(**more: Any) -> IncusFacts:
    base: dict[str, Any] = {
        "phase": IncusPhase.READY,
        "version": "7.0.2",
        "server_name": "n1",
        "clustered": True,
        "member_status": "Online",
    }
    return IncusFacts(**(base | more))


@pytest.mark.parametrize(
    ("instance", "wanted"),
    [
        ({"status": "Running", "autostart": "false"}, True),
        ({"status": "Stopped", "autostart": "true", "last_power": "STOPPED"}, True),
        ({"status": "Stopped", "autostart": None, "last_power": "RUNNING"}, True),
        ({"status": "Stopped", "autostart": "last-state", "last_power": "RUNNING"}, True),
        ({"status": "Stopped", "autostart": None, "last_power": "STOPPED"}, False),
        ({"status": "Stopped", "autostart": "false", "last_power": "RUNNING"}, False),
        # Started in this boot and stopped since: a person's or the guest's will (contract.md safety 7).
        ({"status": "Stopped", "last_used_at": BOOT_WALL + 10.0}, False),
        ({"status": "Stopped", "last_used_at": BOOT_WALL - 10.0}, True),
        # Made in this boot: whoever made it decides when it runs.
        ({"status": "Stopped", "created_at": BOOT_WALL + 10.0}, False),
        ({"status": "Stopped", "created_at": BOOT_WALL - 10.0}, True),
        ({"status": "Running", "created_at": BOOT_WALL + 10.0}, True),
        ({"status": "Error"}, True),
    ],
)
def test_who_is_wanted(instance: dict[str, Any], wanted: bool) -> None:
    assert want(**instance).wanted is wanted


def test_what_is_just_being_started_is_wanted_though_incus_calls_it_stopped() -> None:
    """Stamped as used before its init runs, stopped until the start is over (facts/incus.md A30, R42): for a moment as if somebody had stopped it."""
    now = BOOT_WALL + world().at
    for stamped, wanted in ((now - 0.3, True), (now - 10.0, False)):
        one = want(status="Stopped", last_power="RUNNING", last_used_at=stamped)
        assert (one.wanted, one.left) == (wanted, not wanted)
        assert bool(one.volumes)


def test_an_instance_that_incus_gave_up_on_in_this_boot_is_wanted_still() -> None:
    """Its failed start counts as used and may have left last_state.power=STOPPED (facts/incus.md A21)."""
    given_up = WarningFacts(
        uuid="1",
        type="Failed to autostart instance",
        status="New",
        location="none",
        entity_url="/1.0/instances/c1",
        message="open : no such file or directory",
        last_seen_at=BOOT_WALL + 30.0,
    )
    failed = facts.instance(
        status="Stopped", autostart=None, last_power="STOPPED", last_used_at=BOOT_WALL + 29.0
    )
    (one,) = wants(instances={str(C1): failed}, warnings=(given_up,)).all
    assert one.wanted
    later = facts.edit(failed, last_used_at=BOOT_WALL + 90.0)
    (one,) = wants(instances={str(C1): later}, warnings=(given_up,)).all
    assert not one.wanted


@pytest.mark.parametrize(
    ("location", "server", "here"),
    [("none", "n1", True), ("", "n1", True), ("n1", "n1", True), ("n2", "n1", False)],
)
def test_only_instances_of_this_server(location: str, server: str, here: bool) -> None:
    found = wants(
        incus=incus(server_name=server), instances={str(C1): facts.instance(location=location)}
    )
    assert bool(found.all) is here


@pytest.mark.parametrize("member", ["Evacuated", "Evacuating", "Restoring", None])
def test_an_evacuated_member_wants_only_what_runs(member: str | None) -> None:
    for status, wanted in (("Running", True), ("Stopped", False)):
        found = wants(
            incus=incus(member_status=member),
            instances={str(C1): facts.instance(status=status)},
        )
        assert [one.wanted for one in found.all] == [wanted]


def test_before_incus_can_be_asked_the_kept_map_says_it() -> None:
    found = wants(silent=(Source.INCUS,), wanted=facts.kept_map())
    assert found.origin is Origin.MAP
    assert dict(found.volumes) == {VOL: True}
    assert found.wanted_pools == {POOL}


def test_what_a_stopped_daemon_said_does_not_count() -> None:
    found = wants(incus=incus(phase=IncusPhase.STARTING), wanted=facts.kept_map())
    assert found.origin is Origin.MAP


def test_with_neither_nothing_is_wanted() -> None:
    found = wants(silent=(Source.INCUS,))
    assert (found.origin, found.all) == (Origin.NOWHERE, ())


def test_optional_volumes_and_other_pools_do_not_hold() -> None:
    needs = (
        NeededVolume(pool=POOL, type="containers", name="c1"),
        NeededVolume(pool=POOL, type="custom", name="default_x", required=False),
        NeededVolume(pool=PoolName("local"), type="custom", name="default_y"),
    )
    one = want(needs=needs)
    assert one.volumes == (VOL,)
    assert one.missing == ()
    assert one.pools == ("local", POOL)


def test_without_linstor_the_map_says_which_resource_it_is() -> None:
    needs = (NeededVolume(pool=POOL, type="containers", name="c1"),)
    found = wants(
        silent=(Source.LINSTOR,),
        wanted=facts.kept_map(),
        instances={str(C1): facts.instance(needs=needs)},
    )
    assert dict(found.volumes) == {VOL: True}
    assert found.wanted_resources == {RD}
