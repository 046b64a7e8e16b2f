# SPDX-License-Identifier: Apache-2.0
"""What people ask of recovery: a pause holds everything back, "now" ends waits, and neither leaves out a condition."""

from tests.unit.recovery.world import World, instance_id, stopped, volume_id

from tidegate.core import ids
from tidegate.core.action import OutcomeKind, StartInstance
from tidegate.recovery.choose import Turn
from tidegate.recovery.step import Asked, Paused, Resumed

C1 = ids.instance(instance_id("c1"))
OWN = "Failed to run: incusd forklxc start: exit status 1"


def turn(world: World) -> Turn:
    assert world.last is not None
    return next(verdict.turn for verdict in world.last.verdicts if verdict.subject == C1)


def test_while_paused_nothing_is_done_and_the_plan_says_what_would_be() -> None:
    world = World(stopped("c1"))
    step = world.step(Paused(until=160.0))
    assert step.actions == ()
    assert step.sentence == "does nothing: paused until 160 s after boot"
    assert step.wake_at == 160.0
    assert turn(world) is Turn.HELD
    assert world.step(after=30).actions == ()
    assert len(world.step(after=30.5).actions) == 1, "the pause ends by itself"


def test_a_pause_without_an_end_ends_when_it_is_taken_back() -> None:
    world = World(stopped("c1"))
    assert "until `tidegate resume`" in world.step(Paused()).sentence
    assert world.step(after=10_000).actions == ()
    assert len(world.step(Resumed()).actions) == 1


def test_what_was_on_its_way_when_the_pause_began_is_still_heard_of() -> None:
    world = World(stopped("c1"))
    (action,) = world.step().actions
    assert "still busy with default/c1" in world.step(Paused()).sentence
    world.finish(action, OutcomeKind.DONE)
    assert world.state.in_flight == {}


def test_a_pause_outlives_our_own_death() -> None:
    from tidegate.recovery.state import resumed

    world = World(stopped("c1"))
    world.step(Paused())
    world.state = resumed(world.state, boot_id=world.snapshot().boot_id, now=world.at)
    assert world.step(after=1).actions == ()


def given_up() -> World:
    world = World(stopped("c1"))
    for _ in range(20):
        step = world.look(after=40)
        for action in step.actions:
            world.finish(action, OutcomeKind.FAILED, OWN)
    world.look()
    assert turn(world) is Turn.GIVEN_UP
    return world


def test_now_gives_what_was_given_up_another_chance() -> None:
    world = given_up()
    (action,) = world.step(Asked(subject=C1), after=100).actions
    assert isinstance(action, StartInstance)


def test_now_ends_a_wait() -> None:
    world = World(stopped("c1"))
    for _ in range(4):
        (action,) = world.look(after=40).actions
        world.finish(action, OutcomeKind.FAILED, "Node n1 is offline")
    world.look()
    assert turn(world) is Turn.PAUSES
    assert len(world.step(Asked(subject=C1)).actions) == 1


def test_now_does_not_start_what_is_not_ready() -> None:
    world = World(stopped("c1"))
    world.unready.add(ids.volume(volume_id("c1")))
    assert world.step(Asked(subject=C1)).actions == ()
    assert turn(world) is Turn.WAITS


def test_now_does_not_start_what_somebody_stopped() -> None:
    world = World(stopped("c1", last_power="STOPPED"))
    assert world.step(Asked(subject=C1)).actions == ()


def test_with_recovery_switched_off_the_plan_is_made_and_nothing_done() -> None:
    import msgspec

    world = World(stopped("c1"))
    world.policy = msgspec.structs.replace(world.policy, enabled=False)
    assert world.step().actions == ()
    assert turn(world) is Turn.HELD


def test_a_pool_of_another_driver_is_explained_and_left_to_incus() -> None:
    from tidegate.core.facts import PoolFacts
    from tidegate.core.ids import PoolName
    from tidegate.recovery import standing

    facts = PoolFacts(name=PoolName("ceph"), driver="ceph", status="Unavailable")
    assert "every minute" in standing._left(facts)
