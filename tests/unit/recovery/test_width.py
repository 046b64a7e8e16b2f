# SPDX-License-Identifier: Apache-2.0
"""How many start at once follows what storage and host take; order of priority is kept all the same."""

import msgspec
from tests.unit.recovery.world import POLICY, World, stopped, volume_id

from tidegate.core import ids
from tidegate.core.action import Action, OutcomeKind, StartInstance
from tidegate.core.drbd import DrbdConnection, DrbdPeerDevice, DrbdResource
from tidegate.core.ids import NodeName, ResourceName

DONE = OutcomeKind.DONE


def many(count: int = 60) -> World:
    return World(*(stopped(f"c{number:03}") for number in range(count)))


def drive(world: World, took: float, rounds: int) -> list[int]:
    """Let all starts in flight end after ``took`` seconds, again and again; returns how many there were each time."""
    flights = list(world.step().actions) or list(world.state.in_flight.values())
    widths = []
    for _ in range(rounds):
        widths.append(len(flights))
        began = world.at
        world.at = began + took
        following: list[Action] = []
        for action in flights:
            assert isinstance(action, StartInstance)
            world.runs(action.instance.name)
            world.at = began
            following += world.finish(action, DONE, after=took).actions
            world.at = began + took
            world.seen_at = None
        flights = [*following, *world.step().actions]
    return widths


def test_quick_starts_widen_it_up_to_the_limit() -> None:
    widths = drive(many(400), 0.3, 20)
    assert widths[0] == POLICY.parallel_starts
    assert max(widths) == POLICY.most_parallel_starts


def test_slow_ones_narrow_it_down_to_one() -> None:
    world = many(400)
    drive(world, 0.3, 6)
    widths = drive(world, 8.0, 8)
    assert widths[-1] < widths[0] / 2


def test_a_most_of_the_first_number_keeps_it_as_it_is() -> None:
    world = many()
    world.policy = msgspec.structs.replace(POLICY, parallel_starts=3, most_parallel_starts=1)
    assert set(drive(world, 0.3, 5)) == {3}


def test_a_host_that_stalls_gets_one_at_a_time() -> None:
    for stalled, expected in ((0, 4), (20, 4), (40, 2), (60, 1), (100, 1)):
        world = many()
        world.host = msgspec.structs.replace(world.host, stalled=stalled)
        assert len(world.step().actions) == expected, stalled


def test_a_resync_halves_it() -> None:
    world = many()
    peer = DrbdPeerDevice(number=0, disk="UpToDate", replication="SyncTarget")
    link = DrbdConnection(
        peer=NodeName("n2"), state="Connected", role="Secondary", since=0.0, devices=(peer,)
    )
    resource = DrbdResource(
        name=ResourceName("rd-c1"),
        role="Secondary",
        suspended="no",
        may_promote=True,
        promotion_score=10102,
        connections=(link,),
    )
    world.drbd = {"rd-c1": resource}
    assert len(world.step().actions) == 2


def test_an_unready_one_of_high_priority_holds_no_other() -> None:
    world = World(stopped("first", priority=9), stopped("second", priority=1))
    world.unready.add(ids.volume(volume_id("first")))
    (action,) = world.step().actions
    assert isinstance(action, StartInstance)
    assert action.instance.name == "second"


def test_a_start_that_goes_on_for_minutes_is_charged_to_nobody() -> None:
    world = World(stopped("c1"), stopped("c2"))
    (first, _) = world.step().actions
    world.finish(first, OutcomeKind.UNCERTAIN, "not over after 300 s", code="instance.slow")
    assert not any(key.startswith(("volume/", "instance/")) for key in world.state.budgets)
    assert world.state.attempts == {}
