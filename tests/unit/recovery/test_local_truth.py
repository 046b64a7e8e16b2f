# SPDX-License-Identifier: Apache-2.0
"""With no controller to be asked and a guard that answers on local truth: what is waited for, and what no more."""

import pytest
from tests.unit.recovery.test_step import only, started
from tests.unit.recovery.world import World, stopped, volume_id

from tidegate.core import ids
from tidegate.core.action import OutcomeKind, StartInstance, ValidatePool
from tidegate.core.facts import GuardFacts
from tidegate.core.snapshot import Liveness

ANSWERS = GuardFacts(answers=True, local_truth=True)
LINSTORS = {ids.CONTROLLER, ids.SATELLITE}


def alone(*names: str) -> World:
    """A node whose volumes are usable on local truth, and nothing of LINSTOR is there."""
    world = World(*(stopped(name) for name in names))
    world.linstor, world.guard = Liveness.LOST, ANSWERS
    world.unready = set(LINSTORS)
    return world


def test_an_instance_starts_with_neither_controller_nor_satellite() -> None:
    assert started(alone("c1", "c2").step()) == ["c1", "c2"]


def test_a_pool_that_came_too_early_is_mounted_on_local_truth_and_the_action_says_so() -> None:
    world = alone("c1")
    world.pool_status = "Unavailable"
    action = only(world.step())
    assert isinstance(action, ValidatePool)
    assert action.local
    world.finish(action, OutcomeKind.DONE)
    world.pool_status = "Created"
    assert started(world.look()) == ["c1"]


@pytest.mark.parametrize(
    ("linstor", "guard"),
    [
        (Liveness.LOST, None),
        (Liveness.LOST, GuardFacts(answers=True)),
        (Liveness.LOST, GuardFacts(answers=False, local_truth=True)),
        (Liveness.NEW, ANSWERS),
        (Liveness.UP, ANSWERS),
    ],
    ids=["no-guard", "not-wanted", "guard-dead", "not-asked-yet", "controller-answers"],
)
@pytest.mark.parametrize("status", ["Created", "Unavailable"])
def test_controller_and_satellite_are_waited_for_in_every_other_case(
    linstor: Liveness, guard: GuardFacts | None, status: str
) -> None:
    world = alone("c1")
    world.linstor, world.guard, world.pool_status = linstor, guard, status
    assert world.step().actions == ()


@pytest.mark.parametrize("missing", [ids.HOST, ids.volume(volume_id("c1"))])
@pytest.mark.parametrize("status", ["Created", "Unavailable"])
def test_host_and_volumes_are_waited_for_all_the_same(missing: ids.Subject, status: str) -> None:
    world = alone("c1")
    world.pool_status = status
    world.unready |= {missing}
    assert world.step().actions == ()


def test_each_instance_starts_when_its_own_volumes_are_usable() -> None:
    world = alone("c1", "c2")
    world.unready |= {ids.volume(volume_id("c2"))}
    assert started(world.step()) == ["c1"]
    world.runs("c1")
    world.unready -= {ids.volume(volume_id("c2"))}
    assert started(world.look()) == ["c2"]


def test_a_fault_of_one_instance_holds_no_other_back() -> None:
    """With the controller gone it must not be charged to the controller, which all of them rest on."""
    world = alone("c1", "c2")
    world.unready |= {ids.volume(volume_id("c2"))}
    action = only(world.step())
    assert isinstance(action, StartInstance)
    world.finish(action, OutcomeKind.FAILED, "forklxc: exit status 1")
    world.unready -= {ids.volume(volume_id("c2"))}
    assert started(world.look()) == ["c2"]
    assert world.state.attempts == {"default/c1": 1}


def test_when_the_controller_answers_again_all_is_as_ever() -> None:
    world = alone("c1")
    world.pool_status = "Unavailable"
    world.linstor = Liveness.UP
    assert world.step().actions == ()
    world.unready = set()
    action = only(world.step(after=1))
    assert isinstance(action, ValidatePool)
    assert not action.local
