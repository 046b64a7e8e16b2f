"""Loops of what must be ready, in words."""

import math

import pytest

from tidegate.units import deadlock
from tidegate.units.deadlock import BroughtUpBy, Controller, Hold, Part, Place

IN_CTL = Controller(place=Place.INSTANCE_HERE, instance="default/ctl")


def test_a_controller_elsewhere_makes_no_loop_whatever_holds() -> None:
    for hold in Hold:
        assert deadlock.loops(Controller(place=Place.OTHER_HOST), hold) == ()
        assert deadlock.loops(Controller(place=Place.THIS_HOST), hold) == ()


def test_the_recipe_with_the_controller_in_an_instance_is_a_deadlock_and_says_each_step() -> None:
    (loop,) = deadlock.loops(IN_CTL, Hold.SATELLITE)
    assert loop.is_deadlock
    assert [need.part for need in loop.needs] == [
        Part.INCUS,
        Part.SATELLITE,
        Part.CONTROLLER,
        Part.CONTROLLER_INSTANCE,
    ]
    assert str(loop) == (
        "Incus waits for the satellite (it is ordered after it, and the unit is Type=notify), "
        "the satellite waits for the LINSTOR controller (a controller must have synced it), "
        "the LINSTOR controller waits for the instance that the controller lives in (it lives in the instance default/ctl), "
        "the instance that the controller lives in waits for Incus (Incus starts it): none of them ever becomes ready"
    )


def test_a_gate_with_a_limit_costs_the_limit() -> None:
    (loop,) = deadlock.loops(IN_CTL, Hold.GATE, limit=300)
    assert not loop.is_deadlock
    assert loop.limit == 300
    assert "costs 300 s at every boot" in str(loop)


def test_an_instance_of_another_member_needs_our_vote_when_all_start_together() -> None:
    there = Controller(place=Place.INSTANCE_ELSEWHERE, instance="default/ctl")
    (loop,) = deadlock.loops(there, Hold.GATE, limit=300)
    assert "that costs 300 s when the members of the cluster start together" in str(loop)
    assert "the instance default/ctl of another member" in str(loop)
    assert deadlock.loops(there, Hold.NOTHING) == ()


def test_nothing_held_nothing_lost() -> None:
    assert deadlock.loops(IN_CTL, Hold.NOTHING) == ()
    assert deadlock.held_by_itself(IN_CTL, Hold.NOTHING) is None


def test_an_instance_on_the_storage_that_it_controls_is_a_deadlock_without_us() -> None:
    on_linstor = Controller(
        place=Place.INSTANCE_HERE, instance="default/ctl", instance_on_linstor=True
    )
    (loop,) = deadlock.loops(on_linstor, Hold.NOTHING)
    assert loop.is_deadlock
    assert "move default/ctl to a pool that is not LINSTOR's" in deadlock.way_out(on_linstor, loop)
    # Held, both are told: the endless one as such, and the hold's own loop on asking for it.
    held = deadlock.held_by_itself(on_linstor, Hold.GATE, limit=300)
    assert held is not None
    assert held.limit == 300


@pytest.mark.parametrize(
    ("by", "count"), [(BroughtUpBy.SATELLITE, 1), (BroughtUpBy.UNKNOWN, 1), (BroughtUpBy.SYSTEM, 0)]
)
def test_a_database_on_drbd_of_this_host(by: BroughtUpBy, count: int) -> None:
    controller = Controller(place=Place.THIS_HOST, database_on_drbd=True, brought_up_by=by)
    assert len(deadlock.loops(controller, Hold.NOTHING)) == count


def test_another_controller_that_can_take_over_opens_every_loop() -> None:
    assert deadlock.loops(Controller(place=Place.INSTANCE_HERE, others=True), Hold.SATELLITE) == ()


def test_limits_without_end_are_deadlocks() -> None:
    (loop,) = deadlock.loops(IN_CTL, Hold.GATE, limit=math.inf)
    assert loop.is_deadlock
