# SPDX-License-Identifier: Apache-2.0
"""Whose start is wanted, and in which order (facts/incus.md A1-A5, A20-A35; contract.md safety 7)."""

import msgspec
import pytest
from tests.unit.recovery.world import BOOT_WALL, World, instance_id, running, stopped, warning

from tidegate.core.facts import InstanceFacts
from tidegate.health import intent
from tidegate.health.intent import Will
from tidegate.recovery import desire
from tidegate.recovery.state import RecoveryState


def will(
    facts: InstanceFacts, *, world: World | None = None, state: RecoveryState | None = None
) -> Will:
    world = world or World(facts)
    return desire.will(facts, world.snapshot(), state or RecoveryState())


@pytest.mark.parametrize(
    ("autostart", "last_power", "expected"),
    [
        ("true", "RUNNING", Will.START),
        ("true", "STOPPED", Will.START),
        ("true", None, Will.START),
        ("false", "RUNNING", Will.OFF),
        (None, "RUNNING", Will.START),
        (None, "STOPPED", Will.OFF),
        (None, None, Will.OFF),
        ("last-state", "RUNNING", Will.START),
        ("last-state", "STOPPED", Will.OFF),
    ],
)
def test_the_rule_by_which_incus_starts_at_boot(
    autostart: str | None, last_power: str | None, expected: Will
) -> None:
    assert will(stopped("c1", autostart=autostart, last_power=last_power)) is expected


@pytest.mark.parametrize("status", ["Running", "Frozen", "Ready"])
def test_what_runs_runs(status: str) -> None:
    assert will(stopped("c1", status=status)) is Will.RUNS


def test_an_error_is_reported_and_not_acted_on() -> None:
    assert will(stopped("c1", status="Error")) is Will.ODD


def test_what_was_created_in_this_boot_is_its_makers() -> None:
    assert will(stopped("c1", autostart="true", created_at=BOOT_WALL + 10)) is Will.NEW


def test_started_in_this_boot_and_stopped_is_somebodys_will() -> None:
    facts = stopped("c1", autostart="true", last_used_at=BOOT_WALL + 10)
    assert will(facts) is Will.STOPPED


def test_what_we_saw_running_is_stopped_by_somebodys_will_even_when_the_clock_jumped() -> None:
    state = RecoveryState(ran=frozenset({"default/c1"}))
    assert will(stopped("c1"), state=state) is Will.STOPPED


class TestAFailedStartIsNobodysWill:
    """facts/incus.md A21: a start that fails late leaves STOPPED, and a time of last use in this boot."""

    facts = stopped("c1", last_power="STOPPED", last_used_at=BOOT_WALL + 15)

    def test_incus_warned_of_it(self) -> None:
        world = World(self.facts)
        world.warnings = [warning("c1", last_seen_at=BOOT_WALL + 20)]
        assert will(self.facts, world=world) is Will.START

    def test_an_acknowledged_warning_tells_as_much(self) -> None:
        world = World(self.facts)
        world.warnings = [warning("c1", status="acknowledged")]
        assert will(self.facts, world=world) is Will.START

    def test_unless_it_was_started_after_the_warning(self) -> None:
        world = World(self.facts)
        world.warnings = [warning("c1", last_seen_at=BOOT_WALL + 12)]
        assert will(self.facts, world=world) is Will.OFF

    def test_or_the_warning_is_about_another_project_or_member(self) -> None:
        world = World(self.facts)
        url = "/1.0/instances/c1?project=web"
        world.warnings = [warning("c1", entity_url=url), warning("c1", location="n2")]
        assert will(self.facts, world=world) is Will.OFF

    def test_our_own_start_failed(self) -> None:
        assert will(self.facts, state=RecoveryState(failed={"default/c1": 15.4})) is Will.START

    def test_unless_it_was_started_since(self) -> None:
        assert will(self.facts, state=RecoveryState(failed={"default/c1": 10.0})) is Will.OFF

    def test_and_never_where_it_shall_not_start_by_itself(self) -> None:
        facts = msgspec.structs.replace(self.facts, autostart="false")
        assert will(facts, state=RecoveryState(failed={"default/c1": 15.4})) is Will.OFF


class TestCluster:
    def world(self, status: str | None = "Online") -> World:
        world = World(stopped("c1", location="n1"))
        world.clustered, world.member_status = True, status
        return world

    def test_what_is_here_is_wanted(self) -> None:
        assert will(stopped("c1", location="n1"), world=self.world()) is Will.START

    def test_what_lives_elsewhere_is_not(self) -> None:
        assert will(stopped("c1", location="n2"), world=self.world()) is Will.ELSEWHERE

    @pytest.mark.parametrize("status", ["Evacuated", "Evacuating", "Restoring", None])
    def test_nothing_is_wanted_of_a_member_that_takes_none_or_does_not_say(
        self, status: str | None
    ) -> None:
        assert will(stopped("c1", location="n1"), world=self.world(status)) is Will.EVACUATED


def test_incuss_order() -> None:
    found = [
        stopped("zero", priority=0), stopped("b"), stopped("high", priority=10),
        stopped("minus", priority=-1), stopped("delayed", delay=5), stopped("a"),
    ]  # fmt: skip
    names = [facts.id.name for facts in sorted(found, key=desire.order)]
    assert names == ["a", "b", "high", "delayed", "zero", "minus"]


def test_a_warning_names_its_instance() -> None:
    assert intent.warning_about(warning("c1")) == instance_id("c1")
    assert intent.warning_about(warning("c1", entity_url="/1.0/instances/c1")) == instance_id("c1")
    found = intent.warning_about(warning("c1", entity_url="/1.0/instances/c%201?project=web"))
    assert str(found) == "web/c 1"
    assert intent.warning_about(warning("c1", entity_url="")) is None
    assert intent.warning_about(warning("c1", entity_url="/1.0/networks/c1")) is None


def test_running_facts_stay_running_whatever_the_member_does() -> None:
    world = World(running("c1"))
    world.clustered, world.member_status = True, "Evacuating"
    assert will(running("c1"), world=world) is Will.RUNS


class TestAnAcknowledgedWarning:
    """We acknowledge it once the instance runs; started a moment after the warning and stopped later, it was stopped by somebody."""

    def test_is_no_failure_of_what_was_started_since(self) -> None:
        facts = stopped("c1", last_used_at=BOOT_WALL + 20.4)
        world = World(facts)
        world.warnings = [warning("c1", status="acknowledged")]
        assert desire.will(facts, world.snapshot(), RecoveryState()) is Will.STOPPED

    def test_a_new_one_is_judged_by_clocks_that_are_cut_to_seconds(self) -> None:
        facts = stopped("c1", last_used_at=BOOT_WALL + 20.4)
        world = World(facts)
        world.warnings = [warning("c1")]
        assert desire.will(facts, world.snapshot(), RecoveryState()) is Will.START


def test_a_warning_of_another_member_says_nothing_about_this_one() -> None:
    facts = stopped("c1", last_power="STOPPED", location="n1")
    world = World(facts)
    world.warnings = [warning("c1", location="n2")]
    assert desire.will(facts, world.snapshot(), RecoveryState()) is Will.OFF


class TestAClockThatWasWrong:
    """An empty battery, or a clock in local time: stamps of a time to come say nothing about this boot."""

    YEARS = 26 * 365 * 86400.0

    def test_what_was_used_in_a_time_to_come_did_not_run_in_this_boot(self) -> None:
        facts = stopped("c1", autostart="true", last_used_at=BOOT_WALL + self.YEARS)
        assert will(facts) is Will.START

    def test_what_was_created_in_a_time_to_come_is_not_new(self) -> None:
        facts = stopped("c1", autostart="true", created_at=BOOT_WALL + self.YEARS)
        assert will(facts) is Will.START

    def test_a_start_of_ours_that_failed_before_the_clock_was_set_back_is_still_no_stop(
        self,
    ) -> None:
        facts = stopped("c1", last_power="STOPPED", last_used_at=BOOT_WALL + 3600.0)
        state = RecoveryState(failed={"default/c1": 20.0})
        assert will(facts, state=state) is Will.START

    def test_what_we_saw_running_and_somebody_stopped_stays_down(self) -> None:
        facts = stopped("c1", autostart="true", last_used_at=BOOT_WALL + 3600.0)
        state = RecoveryState(ran=frozenset({"default/c1"}))
        assert will(facts, state=state) is Will.STOPPED
