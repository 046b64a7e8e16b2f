# SPDX-License-Identifier: Apache-2.0
import itertools

import msgspec
import pytest
from tests.unit.recovery.world import (
    BOOT_WALL,
    REMOTE,
    World,
    instance_id,
    running,
    stopped,
    unit,
    volume_id,
    warning,
)

from tidegate.core import ids
from tidegate.core.action import (
    AcknowledgeWarning,
    Action,
    OutcomeKind,
    StartInstance,
    StartUnit,
    ValidatePool,
)
from tidegate.core.facts import IncusPhase
from tidegate.core.snapshot import Liveness
from tidegate.recovery.choose import Turn
from tidegate.recovery.state import RecoveryState, resumed
from tidegate.recovery.step import Step

MISSING = "open /dev/drbd1000: no such file or directory"


def started(step: Step) -> list[str]:
    return [action.instance.name for action in step.actions if isinstance(action, StartInstance)]


def only(step: Step) -> Action:
    (action,) = step.actions
    return action


def test_an_instance_whose_storage_is_ready_is_started() -> None:
    world = World(stopped("c1"))
    action = only(world.step())
    assert isinstance(action, StartInstance)
    assert action.instance == instance_id("c1")
    assert action.last_used_at == BOOT_WALL - 5_000
    assert world.last is not None
    assert world.last.sentence == "starts default/c1"


def test_nothing_happens_when_all_runs() -> None:
    step = World(running("c1"), running("c2")).step()
    assert step.actions == ()
    assert step.wake_at is None
    assert step.sentence == "nothing to do: all 2 wanted instances run"


def test_each_waits_for_its_own_volume_only_and_the_sentence_says_so() -> None:
    world = World(stopped("c1"), stopped("c2"), stopped("c3"))
    world.unready = {ids.volume(volume_id("c1"))}
    step = world.step()
    assert started(step) == ["c2", "c3"]
    assert "default/c1 waits for volume/rd-c1/0: device node missing" in step.sentence


def test_many_that_wait_for_the_same_reason_are_told_in_one_breath() -> None:
    world = World(*[stopped(f"c{number}") for number in range(5)])
    world.unready = {ids.volume(volume_id(f"c{number}")) for number in range(5)}
    sentence = world.step().sentence
    assert sentence == "5 instances wait for volume/rd-c0/0 and 4 more: device node missing"


def test_with_the_controller_gone_an_instance_waits_although_its_volume_is_ready() -> None:
    world = World(stopped("c1"))
    world.unready = {ids.CONTROLLER}
    assert world.step().actions == ()


@pytest.mark.parametrize(
    "phase",
    [IncusPhase.STOPPED, IncusPhase.STARTING, IncusPhase.AUTOSTART, IncusPhase.STOPPING],
)
def test_incus_is_asked_for_nothing_before_its_first_pass_is_over(phase: IncusPhase) -> None:
    world = World(stopped("c1"))
    world.pool_status = "Unavailable"
    world.phase = phase
    step = world.step()
    assert step.actions == ()
    assert step.sentence.startswith("waits: incusd")


def test_incus_that_does_not_answer_is_asked_for_nothing() -> None:
    world = World(stopped("c1"))
    world.liveness = Liveness.LOST
    assert world.step().actions == ()


def test_what_was_seen_before_the_first_pass_ended_counts_for_nothing() -> None:
    world = World(stopped("c1"))
    world.seen_at, world.phase_since = 99.0, 99.5
    assert world.step().actions == ()
    assert started(world.look()) == ["c1"]


def test_an_unavailable_pool_is_mounted_first_then_its_instances_start() -> None:
    world = World(stopped("c1"), stopped("c2"))
    world.pool_status = "Unavailable"
    action = only(world.step())
    assert isinstance(action, ValidatePool)
    assert action.pool == REMOTE
    assert world.step(after=1).actions == ()
    assert world.finish(action, OutcomeKind.DONE).actions == ()
    world.pool_status = "Created"
    assert started(world.look()) == ["c1", "c2"]


@pytest.mark.parametrize("missing", [ids.SATELLITE, ids.CONTROLLER, ids.HOST])
def test_a_pool_waits_for_all_it_rests_on(missing: ids.Subject) -> None:
    world = World(stopped("c1"))
    world.pool_status = "Unavailable"
    world.unready = {missing}
    assert world.step().actions == ()


def test_a_pool_waits_for_its_first_wanted_volume_not_for_the_last() -> None:
    world = World(stopped("c1"), stopped("c2"))
    world.pool_status = "Unavailable"
    world.unready = {ids.volume(volume_id("c1")), ids.volume(volume_id("c2"))}
    assert world.step().actions == ()
    world.unready = {ids.volume(volume_id("c2"))}
    assert isinstance(only(world.step(after=1)), ValidatePool)


def test_a_pool_that_is_mounted_or_could_not_be_loaded_is_never_validated() -> None:
    for status in ("Created", None, "Errored"):
        world = World(running("c1"))
        world.pool_status = status
        assert world.step().actions == ()


def test_a_pool_that_nothing_needs_is_left_to_incus() -> None:
    world = World(running("c1"))
    world.pool_status = "Unavailable"
    world.unwanted = {ids.volume(volume_id("c1")), ids.pool(REMOTE)}
    step = world.step()
    assert step.actions == ()
    assert "pool/remote" not in step.sentence


def test_a_failed_validate_waits_longer_each_time_and_never_hurries_below_the_first_step() -> None:
    world = World(stopped("c1"))
    world.pool_status = "Unavailable"
    begun: list[float] = []
    action = only(world.step())
    for _ in range(6):
        begun.append(world.at)
        world.finish(action, OutcomeKind.FAILED, "Node n1 is offline", after=0.1)
        while not (step := world.look(after=0.1)).actions:
            pass
        action = only(step)
    gaps = [later - earlier for earlier, later in itertools.pairwise(begun)]
    assert gaps == sorted(gaps)
    assert gaps[0] >= 0.8
    assert gaps[-1] > 10


def test_a_pool_whose_storage_came_back_is_tried_at_once() -> None:
    world = World(stopped("c1"))
    world.pool_status = "Unavailable"
    action = only(world.step())
    for _ in range(6):
        world.finish(action, OutcomeKind.FAILED, "Node n1 is offline")
        world.unready = {ids.SATELLITE}
        world.look(after=40)
        world.unready = set()
        action = only(world.look())
    world.finish(action, OutcomeKind.FAILED, "Node n1 is offline")
    assert world.look(after=2).actions == ()
    world.unready = {ids.SATELLITE}
    world.look()
    world.unready = set()
    assert isinstance(only(world.look()), ValidatePool)


def test_at_most_so_many_start_at_once_and_the_next_follows_at_the_end_of_one() -> None:
    world = World(*[stopped(f"c{number}") for number in range(6)])
    world.policy = msgspec.structs.replace(world.policy, parallel_starts=2)
    step = world.step()
    assert started(step) == ["c0", "c1"]
    world.runs("c0")
    assert started(world.finish(step.actions[0], OutcomeKind.DONE)) == ["c2"]


def test_incuss_order_first_the_plain_ones_then_priority_falling_then_name_one_by_one() -> None:
    world = World(
        stopped("low", priority=1), stopped("b-high", priority=9), stopped("a-high", priority=9),
        stopped("z-plain"), stopped("waits", delay=0),
    )  # fmt: skip
    order = []
    step = world.step()
    while step.actions:
        for action in step.actions:
            assert isinstance(action, StartInstance)
            order.append(action.instance.name)
        for action in step.actions:
            world.runs(action.subject.name.split("/")[1])
            world.finish(action, OutcomeKind.DONE)
        assert world.last is not None
        step = world.last if world.last.actions else world.look()
    assert order == ["z-plain", "a-high", "b-high", "low", "waits"]


def test_a_delay_holds_the_next_in_turn_and_nobody_else() -> None:
    world = World(
        stopped("first", priority=5, delay=10), stopped("second", priority=1), stopped("plain")
    )
    world.unready = {ids.volume(volume_id("plain"))}
    action = only(world.step())
    world.runs("first")
    step = world.finish(action, OutcomeKind.DONE)
    assert step.actions == ()
    assert step.wake_at == pytest.approx(world.at + 10)
    world.unready = set()
    assert started(world.look(after=5)) == ["plain"]
    assert started(world.look(after=5.1)) == ["second"]


def test_an_unready_one_of_high_priority_holds_nobody() -> None:
    world = World(stopped("high", priority=9), stopped("low", priority=1))
    world.unready = {ids.volume(volume_id("high"))}
    assert started(world.step()) == ["low"]


def test_nothing_is_started_twice_while_a_start_goes_on_or_its_end_was_not_yet_looked_at() -> None:
    world = World(stopped("c1"))
    action = only(world.step())
    for _ in range(5):
        assert world.step(after=1).actions == ()
    assert world.finish(action, OutcomeKind.UNCERTAIN).actions == ()
    assert world.tick(after=100).actions == ()
    world.runs("c1")
    assert world.look().actions == ()


def test_an_uncertain_start_is_tried_again_only_when_the_world_says_that_it_did_not_work() -> None:
    world = World(stopped("c1"))
    action = only(world.step())
    world.finish(action, OutcomeKind.UNCERTAIN)
    assert started(world.look(after=3)) == ["c1"]


def test_a_fault_of_the_storage_is_never_charged_to_the_instance() -> None:
    world = World(stopped("c1"))
    for _ in range(20):
        step = world.look(after=60)
        world.finish(only(step), OutcomeKind.FAILED, MISSING)
    assert world.state.given_up == {}
    assert world.state.attempts == {}
    assert "volume/rd-c1/0" in world.state.budgets


def test_a_fault_of_its_own_is_given_up_after_its_attempts_and_told() -> None:
    world = World(stopped("c1"))
    text = "Failed to run: /usr/libexec/incus/incusd forklxc start c1: exit status 1"
    for _ in range(world.policy.instance_attempts):
        step = world.look(after=60)
        # It failed after the hook: Incus notes a start and a stop (facts/incus.md A21, A30).
        world.set("c1", last_used_at=BOOT_WALL + world.at + 0.2, last_power="STOPPED")
        world.finish(only(step), OutcomeKind.FAILED, text)
    step = world.look(after=600)
    assert step.actions == ()
    assert "gave up on default/c1" in step.sentence
    assert "forklxc" in step.sentence
    assert [verdict.turn for verdict in step.verdicts] == [Turn.NOTHING, Turn.GIVEN_UP]


def test_what_was_given_up_gets_a_new_chance_when_its_storage_has_come_back() -> None:
    world = World(stopped("c1"))
    for _ in range(world.policy.instance_attempts):
        world.finish(only(world.look(after=60)), OutcomeKind.FAILED, "exit status 1")
    assert world.look(after=60).actions == ()
    world.unready = {ids.volume(volume_id("c1"))}
    world.look(after=60)
    world.unready = set()
    assert started(world.look()) == ["c1"]


def test_several_starts_that_fail_by_one_cause_count_once() -> None:
    world = World(*[stopped(f"c{number}") for number in range(4)])
    step = world.step()
    assert len(step.actions) == 4
    for action in step.actions:
        world.finish(action, OutcomeKind.FAILED, "Node n1 is offline", after=0.0)
    assert world.state.budgets["satellite"].failures == 1


def test_a_start_that_worked_ends_the_waits_of_the_causes_it_rests_on() -> None:
    world = World(stopped("c1"), stopped("c2"))
    first, second = world.step().actions
    world.finish(first, OutcomeKind.FAILED, "Node n1 is offline", after=5)
    world.runs("c2")
    world.finish(second, OutcomeKind.DONE, after=2)
    assert started(world.look(after=0.1)) == ["c1"]


def test_a_void_start_costs_nothing_but_a_moment() -> None:
    world = World(stopped("c1"))
    world.finish(only(world.step()), OutcomeKind.VOID, "it runs already")
    assert world.state.attempts == {}
    world.runs("c1")
    assert world.look(after=5).actions == ()


def test_a_start_that_incus_refuses_for_good_is_given_up_at_once() -> None:
    world = World(stopped("c1"))
    text = "Instance has startup protection enabled"
    world.finish(only(world.step()), OutcomeKind.FAILED, text)
    assert world.look(after=100).actions == ()


def test_a_warning_about_an_instance_that_runs_is_acknowledged_once() -> None:
    world = World(running("c1"))
    world.warnings = [warning("c1")]
    action = only(world.step())
    assert isinstance(action, AcknowledgeWarning)
    assert action.uuid == "w-c1"
    world.finish(action, OutcomeKind.DONE)
    assert world.state.in_flight == {}
    world.warnings = [warning("c1", status="acknowledged")]
    assert world.look().actions == ()


def test_a_warning_about_what_is_down_still_stays() -> None:
    world = World(stopped("c1"))
    world.unready = {ids.volume(volume_id("c1"))}
    world.warnings = [warning("c1")]
    assert world.step().actions == ()


def test_a_warning_that_cannot_be_acknowledged_is_not_asked_for_all_the_time() -> None:
    world = World(running("c1"))
    world.warnings = [warning("c1")]
    tries = 0
    for _ in range(600):
        for action in world.look(after=0.1).actions:
            tries += 1
            world.finish(action, OutcomeKind.DONE, after=0.01)
    assert tries <= 8


class TestStartingIncus:
    def world(self, **changes: object) -> World:
        world = World(stopped("c1"), at=10.0)
        world.phase = IncusPhase.STOPPED
        world.units = dict(unit("inactive", **changes))
        return world

    def test_a_unit_that_nothing_started_is_started_when_its_time_has_come(self) -> None:
        world = self.world()
        step = world.step()
        assert step.actions == ()
        assert step.wake_at == 60.0
        assert "starts it at 60.0 s after boot" in step.sentence
        action = only(world.tick(after=50))
        assert isinstance(action, StartUnit)
        assert action.unit == "incus.service"

    def test_an_agent_that_is_itself_late_gives_the_boot_a_moment(self) -> None:
        world = self.world()
        world.at = 5000.0
        assert world.step().wake_at == 5010.0

    def test_a_unit_that_somebody_stopped_stays_stopped(self) -> None:
        world = self.world(inactive_since=30.0)
        assert world.step(after=600).wake_at is None
        assert world.tick(after=600).actions == ()

    def test_a_unit_seen_running_and_then_stopped_stays_stopped(self) -> None:
        world = self.world()
        world.units = dict(unit("activating"))
        world.step()
        world.units = dict(unit("inactive"))
        for _ in range(5):
            assert world.step(after=100).actions == ()

    def test_a_failed_unit_is_left_to_a_person(self) -> None:
        world = self.world()
        world.units = dict(unit("failed"))
        for _ in range(5):
            assert world.step(after=100).actions == ()

    def test_nothing_is_started_where_nothing_is_wanted(self) -> None:
        world = self.world()
        world.wanted = False
        for _ in range(5):
            assert world.step(after=100).actions == ()

    def test_a_start_that_failed_is_tried_again_by_its_budget(self) -> None:
        world = self.world()
        world.step()
        action = only(world.tick(after=60))
        world.finish(action, OutcomeKind.FAILED, "dependency")
        assert world.look(after=0.1).actions == ()
        assert isinstance(only(world.look(after=2)), StartUnit)

    def test_a_start_that_worked_is_never_repeated(self) -> None:
        world = self.world()
        world.step()
        world.finish(only(world.tick(after=60)), OutcomeKind.DONE)
        assert world.look(after=1000).actions == ()


def test_what_our_own_guard_refuses_is_tried_again_soon_for_as_long_as_it_lasts() -> None:
    """It refuses at once and at no cost, and no event tells when it would not: the list of volumes is between it and LINSTOR."""
    refusal = "Could not mount volume: Message: 'Tidegate: rd-c1 cannot be used on n1 yet: the controller gives an empty list of volumes'"
    world = World(stopped("c1"))
    world.finish(only(world.step()), OutcomeKind.FAILED, refusal)
    for _ in range(12):
        world.finish(only(world.look(after=3)), OutcomeKind.FAILED, refusal)
    assert isinstance(only(world.look(after=3)), StartInstance)


def test_a_start_that_our_guard_lets_pass_has_the_others_that_it_refused_tried_at_once() -> None:
    refusal = "Could not mount volume: Message: 'Tidegate: rd-{} cannot be used on n1 yet: the controller gives an empty list of volumes'"
    world = World(stopped("c1"), stopped("c2"))
    for _ in range(6):
        for action in world.look(after=3).actions:
            assert isinstance(action, StartInstance)
            world.finish(
                action, OutcomeKind.FAILED, refusal.format(action.instance.name), after=0.5
            )
    world.look(after=1.0)
    while not world.state.in_flight:
        world.look(after=0.05)
    (first,) = world.state.in_flight.values()
    assert world.look(after=0.05).actions == ()
    world.finish(first, OutcomeKind.DONE, after=0.05)
    world.look(after=0.01)
    (second,) = world.state.in_flight.values()
    assert second.subject != first.subject, "it does not wait out its own two seconds"


def test_switched_off_it_does_nothing_and_says_so() -> None:
    world = World(stopped("c1"))
    world.policy = msgspec.structs.replace(world.policy, enabled=False)
    step = world.step()
    assert step.actions == ()
    assert step.sentence == "does nothing: recovery is switched off"


def test_the_state_of_another_boot_counts_for_nothing() -> None:
    world = World(stopped("c1"))
    world.state = RecoveryState(boot_id=ids.BootId("other"), ran=frozenset({"default/c1"}))
    assert started(world.step()) == ["c1"]


def test_the_state_can_be_written_and_read_back() -> None:
    world = World(stopped("c1"), stopped("c2"))
    world.finish(world.step().actions[0], OutcomeKind.FAILED, MISSING)
    written = msgspec.json.encode(world.state)
    assert msgspec.json.decode(written, type=RecoveryState) == world.state


def test_ids_are_unique_and_the_same_in_every_run() -> None:
    def run() -> list[str]:
        world = World(stopped("c1"))
        found = []
        for _ in range(3):
            action = only(world.look(after=60))
            found.append(action.id)
            world.finish(action, OutcomeKind.FAILED, MISSING)
        world.crash()
        return [*found, only(world.look(after=60)).id]

    assert run() == run()
    assert len(set(run())) == 4


class TestAfterALateFailure:
    """What failed late looks to everybody else as if a user had stopped it (facts/incus.md A21)."""

    def world(self) -> World:
        world = World(stopped("c1"))
        action = only(world.step())
        world.set("c1", last_used_at=BOOT_WALL + world.at + 0.2, last_power="STOPPED")
        world.finish(action, OutcomeKind.FAILED, "forklxc: exit status 1")
        return world

    def test_its_pool_is_mounted_for_it_though_nobody_else_wants_it(self) -> None:
        world = self.world()
        world.pool_status = "Unavailable"
        world.unwanted = {ids.volume(volume_id("c1")), ids.pool(REMOTE)}
        assert isinstance(only(world.look(after=5)), ValidatePool)

    def test_incus_that_restarts_and_forgets_its_warning_changes_nothing(self) -> None:
        failed = stopped("c1", last_power="STOPPED", last_used_at=BOOT_WALL + 15)
        world = World(failed)
        world.unready = {ids.volume(volume_id("c1"))}
        world.warnings = [warning("c1", last_seen_at=BOOT_WALL + 20)]
        world.step()
        world.warnings = []
        world.unready = set()
        assert started(world.look(after=30)) == ["c1"]


class TestKilledAndBack:
    """What was written before each act is found again, and resumed."""

    def back(self, world: World) -> None:
        written = msgspec.json.encode(world.state)
        kept = msgspec.json.decode(written, type=RecoveryState)
        boot_id = world.snapshot().boot_id
        world.state = resumed(kept, boot_id=boot_id, now=world.at)

    def test_a_start_on_its_way_is_looked_at_before_anything_else(self) -> None:
        world = World(stopped("c1"))
        world.step()
        world.seen_at = world.at
        self.back(world)
        assert world.step().actions == ()
        world.runs("c1")
        assert world.look().actions == ()

    def test_a_start_that_failed_late_meanwhile_is_nobodys_will(self) -> None:
        world = World(stopped("c1"))
        world.step()
        world.set("c1", last_used_at=BOOT_WALL + world.at + 0.3, last_power="STOPPED")
        world.at += 1.0
        self.back(world)
        assert started(world.look()) == ["c1"]

    def test_budgets_and_who_was_given_up_are_kept(self) -> None:
        world = World(stopped("c1"))
        for _ in range(world.policy.instance_attempts):
            world.finish(only(world.look(after=60)), OutcomeKind.FAILED, "exit status 1")
        world.look()
        self.back(world)
        assert "default/c1" in world.state.given_up

    def test_another_boots_memory_is_worth_nothing(self) -> None:
        kept = RecoveryState(boot_id=ids.BootId("other"), ran=frozenset({"default/c1"}))
        found = resumed(kept, boot_id=ids.BootId("this"), now=1.0)
        assert found == RecoveryState(boot_id=ids.BootId("this"))
