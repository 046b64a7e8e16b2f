# SPDX-License-Identifier: Apache-2.0
"""Random boots break no rule, planners that are broken on purpose are caught, and what fails is cut down to its story."""

import msgspec
import pytest
from tests.sim import mutants
from tests.sim.mutants import Mutant

from tidegate.sim import many, shrink
from tidegate.sim.chance import by_chance
from tidegate.sim.run import simulate
from tidegate.sim.schedule import Schedule

SEEDS = 500
CHUNK = 25
FOUND = (4735, 7270, 8957)
"""Boots of `make sim` in which the watching itself was wrong: on a path that LINSTOR does not tell, on a wish that the agent was killed
over, and on a peer that comes up and was not dialled yet."""


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_random_boots_break_no_rule(first: int) -> None:
    bad = many.broken(range(first, first + CHUNK))
    assert bad == [], many.story(many.minimal(bad[0]))


@pytest.mark.parametrize("seed", FOUND)
def test_what_was_found_once_stays_found(seed: int) -> None:
    assert simulate(by_chance(seed)).violations == ()


@pytest.mark.parametrize("mutant", sorted(set(Mutant) - set(mutants.SURVIVORS)))
def test_a_broken_planner_is_caught(mutant: Mutant) -> None:
    assert mutants.caught(mutant) is not None, f"nothing catches a planner that {mutant}"


def test_the_boots_that_catch_them_break_no_rule_by_themselves() -> None:
    for schedule in mutants.made():
        assert simulate(schedule).violations == ()


def test_what_breaks_a_rule_is_cut_down_to_what_it_takes() -> None:
    broken = mutants.planner(Mutant.FORGETS_FLIGHTS)
    seed = next(
        seed
        for seed in range(100)
        if simulate(by_chance(seed), planner=broken, until_broken=True).violations
    )

    def fails(schedule: Schedule) -> bool:
        return bool(simulate(schedule, planner=broken, until_broken=True).violations)

    whole = by_chance(seed)
    small = shrink.smallest(whole, fails)
    assert fails(small)
    assert len(msgspec.json.encode(small)) < len(msgspec.json.encode(whole))
    assert len(small.server.instances) <= 2
    assert len(small.faults) + len(small.happenings) <= 1
    again = msgspec.json.decode(msgspec.json.encode(small), type=Schedule)
    assert again == small, "it can be kept as a test"


def test_the_story_names_faults_deeds_and_the_schedule() -> None:
    text = many.story(simulate(by_chance(3)))
    assert text.startswith("seed 3\n")
    schedule = text.rpartition("as a test:\n")[2]
    assert msgspec.json.decode(schedule.encode(), type=Schedule) == by_chance(3)
