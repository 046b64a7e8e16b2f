# SPDX-License-Identifier: Apache-2.0
"""Levers are pulled when they help, only so often, and never on a satellite that is fine (contract.md safety 8)."""

import itertools
from typing import Any

import msgspec
import pytest
from tests.unit.recovery.world import POLICY, World, finding, satellite_unit, stopped

from tidegate.core import ids
from tidegate.core.action import (
    Action,
    OutcomeKind,
    Reconnect,
    ReconnectSatellite,
    RestartUnit,
    StartUnit,
    ValidatePool,
)
from tidegate.core.facts import IncusPhase
from tidegate.recovery.choose import Turn
from tidegate.recovery.state import resumed

DONE, FAILED, VOID = OutcomeKind.DONE, OutcomeKind.FAILED, OutcomeKind.VOID


def offline() -> World:
    world = World(stopped("c1"), at=30.0)
    world.node_status = "OFFLINE"
    return world


def levers(world: World) -> list[Action]:
    """The levers of the next step."""
    step = world.step()
    kinds = ReconnectSatellite | RestartUnit | StartUnit
    return [action for action in step.actions if isinstance(action, kinds)]


def pull(world: World, kind: OutcomeKind = FAILED, *, after: float = 0.5) -> Action:
    (action,) = levers(world)
    world.finish(action, kind, "no", after=after)
    world.seen_at = None
    return action


class TestTheControllerIsWoken:
    def test_at_once_when_the_satellite_listens_and_is_offline(self) -> None:
        (action,) = levers(offline())
        assert isinstance(action, ReconnectSatellite)
        assert (action.reason, action.node) == (Reconnect.WAKE, "n1")

    def test_while_incus_has_not_even_started(self) -> None:
        world = offline()
        world.phase = IncusPhase.STARTING
        assert len(levers(world)) == 1

    @pytest.mark.parametrize(
        "status", ["CONNECTED", "ONLINE", "VERSION_MISMATCH", "FULL_SYNC_FAILED"]
    )
    def test_never_a_satellite_that_is_connected(self, status: str) -> None:
        world = offline()
        world.node_status = status
        assert levers(world) == []

    @pytest.mark.parametrize("listens", [False, None])
    def test_never_while_its_port_is_closed_or_unknown(self, listens: bool | None) -> None:
        world = offline()
        world.host = msgspec.structs.replace(world.host, satellite_listens=listens)
        assert levers(world) == []

    def test_never_an_evicted_node(self) -> None:
        world = offline()
        world.node_flags = ("EVICTED",)
        assert levers(world) == []

    def test_never_on_what_was_seen_long_ago(self) -> None:
        world = offline()
        world.seen_at = world.at - 10
        assert levers(world) == []

    def test_not_when_nothing_wanted_needs_it(self) -> None:
        world = offline()
        world.unwanted.add(ids.SATELLITE)
        assert levers(world) == []

    def test_not_when_configuration_forbids_it(self) -> None:
        world = offline()
        world.policy = msgspec.structs.replace(POLICY, wake_controller=False)
        assert levers(world) == []

    def test_three_times_per_boot_ten_seconds_apart(self) -> None:
        world = offline()
        moments = []
        for _ in range(400):
            world.at += 0.5
            for action in levers(world):
                moments.append(world.at)
                world.finish(action, FAILED, "not connected", after=1.3)
                world.seen_at = None
        assert len(moments) == 3
        assert all(late - early >= 10 for early, late in itertools.pairwise(moments))
        verdict = next(v for v in world.step().verdicts if v.subject == ids.SATELLITE)
        assert verdict.turn is Turn.GIVEN_UP
        assert "3 times" in verdict.text

    def test_what_was_void_does_not_count(self) -> None:
        world = offline()
        for _ in range(6):
            pull(world, VOID)
            world.at += 40
        assert len(levers(world)) == 1

    def test_a_crash_of_ours_pulls_nothing_twice(self) -> None:
        world = offline()
        assert len(levers(world)) == 1
        world.state = resumed(world.state, boot_id=world.snapshot().boot_id, now=world.at)
        world.at += 1
        assert levers(world) == []
        world.at += 10
        assert len(levers(world)) == 1


class TestFalseOnlineIsCured:
    def world(self) -> World:
        world = World(stopped("c1"), at=200.0)
        world.node_status = "ONLINE"
        world.findings = [finding("satellite.false-online", ids.SATELLITE)]
        return world

    def test_by_one_reconnect_per_boot(self) -> None:
        world = self.world()
        action = pull(world, DONE)
        assert isinstance(action, ReconnectSatellite)
        assert action.reason is Reconnect.FALSE_ONLINE
        world.at += 5000
        assert levers(world) == []

    def test_a_log_that_says_otherwise_is_read_again_later(self) -> None:
        world = self.world()
        pull(world, VOID)
        assert levers(world) == []
        world.at += 80
        assert len(levers(world)) == 1


class TestTheSatelliteIsStarted:
    def world(self, state: str = "failed") -> World:
        world = World(stopped("c1"), at=60.0)
        world.node_status = "OFFLINE"
        world.host = msgspec.structs.replace(world.host, satellite_listens=False)
        world.units = dict(satellite_unit(state))
        return world

    def test_when_its_unit_failed(self) -> None:
        (action,) = levers(self.world())
        assert isinstance(action, StartUnit)
        assert (action.unit, action.subject) == ("linstor-satellite.service", ids.SATELLITE)

    @pytest.mark.parametrize("state", ["active", "inactive", "activating", "deactivating"])
    def test_in_no_other_case(self, state: str) -> None:
        assert levers(self.world(state)) == []

    @pytest.mark.parametrize(
        ("changes", "pulls"),
        [
            ({"enabled": True}, 1),
            ({"enabled": True, "has_job": True}, 0),
            ({"enabled": True, "inactive_since": 50.0}, 0),
            ({"enabled": False}, 0),
        ],
    )
    def test_when_a_mount_that_failed_took_its_start_with_it(
        self, changes: dict[str, Any], pulls: int
    ) -> None:
        """`RequiresMountsFor=` does that, and systemd does not try again; one that was stopped, or nobody wants, stays down."""
        world = self.world("inactive")
        name, facts = next(iter(world.units.items()))
        world.units[name] = msgspec.structs.replace(facts, **changes)
        assert len(levers(world)) == pulls

    @pytest.mark.parametrize(
        "code", ["storage-pool.mount-missing", "storage-pool.directory-missing"]
    )
    def test_never_on_a_bare_mount_point(self, code: str) -> None:
        """There it would make all volumes anew, empty."""
        world = self.world()
        world.findings = [finding(code, ids.storage_pool(ids.StoragePoolName("p")))]
        assert levers(world) == []

    def test_five_times_in_an_hour(self) -> None:
        world = self.world()
        for _ in range(5):
            pull(world, DONE)
            world.at += 60
        assert levers(world) == []
        world.at += 3600
        assert len(levers(world)) == 1


class TestAFailedFullSync:
    def world(self, status: str = "FULL_SYNC_FAILED") -> World:
        world = World(stopped("c1"), at=60.0)
        world.node_status = status
        world.policy = msgspec.structs.replace(POLICY, cure_full_sync=True)
        return world

    @pytest.mark.parametrize("status", ["FULL_SYNC_FAILED", "MISSING_EXT_TOOLS"])
    def test_is_begun_again_where_that_is_allowed(self, status: str) -> None:
        world = self.world(status)
        action = pull(world)
        assert isinstance(action, ReconnectSatellite)
        assert action.reason is Reconnect.FULL_SYNC
        world.at += 200
        assert levers(world) == [], "a cool-down of five minutes"
        world.at += 200
        assert len(levers(world)) == 1

    def test_is_left_alone_by_default(self) -> None:
        world = self.world()
        world.policy = POLICY
        assert levers(world) == []

    def test_waits_for_the_missing_tool(self) -> None:
        world = self.world("MISSING_EXT_TOOLS")
        world.host = msgspec.structs.replace(world.host, drbd_module=None)
        assert levers(world) == []


class TestIncusIsRestarted:
    def world(self) -> World:
        """A pool that is Unavailable, and holds a volume that Incus does not know."""
        world = World(stopped("c1"))
        world.pool_status = "Unavailable"
        world.policy = msgspec.structs.replace(POLICY, restart_incus=True)
        (validate,) = world.step().actions
        assert isinstance(validate, ValidatePool)
        world.finish(validate, FAILED, "unknown", code="pool.unknown-volumes")
        world.seen_at = None
        world.at += 0.5
        return world

    def test_where_it_is_allowed_and_nothing_weaker_is_left(self) -> None:
        (action,) = levers(self.world())
        assert isinstance(action, RestartUnit)

    def test_never_by_default(self) -> None:
        world = self.world()
        world.policy = POLICY
        assert levers(world) == []

    @pytest.mark.parametrize("away", [ids.CONTROLLER, ids.SATELLITE])
    def test_never_with_the_controller_or_the_satellite_away(self, away: ids.Subject) -> None:
        world = self.world()
        world.unready.add(away)
        assert levers(world) == []

    def test_twice_per_boot_and_what_is_weaker_is_tried_again_before(self) -> None:
        world = self.world()
        done: list[str] = []
        going: list[Action] = []
        for _ in range(4000):
            going += world.look(after=1.0).actions
            if not going:
                continue
            action = going.pop()
            done.append(type(action).__name__)
            kind = FAILED if isinstance(action, ValidatePool) else DONE
            going += world.finish(action, kind, code="pool.unknown-volumes").actions
        assert done.count("RestartUnit") == 2
        assert done[1] == "ValidatePool"
