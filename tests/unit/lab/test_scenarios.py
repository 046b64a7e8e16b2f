# SPDX-License-Identifier: Apache-2.0
"""The lab's scenarios are complete and end."""

from tests.lab import scenarios


def test_every_scenario_of_the_baseline_is_there() -> None:
    assert list(scenarios.SCENARIOS) == [f"s{number}" for number in range(11)]


def test_every_fault_ends_so_that_a_boot_can_be_judged() -> None:
    for name, scenario in scenarios.SCENARIOS.items():
        assert all(fault.end for fault in scenario.faults), name
        assert (scenario.fault_end > 0) == bool(scenario.faults), name


def test_the_quick_set_is_the_one_that_a_promise_is_made_for() -> None:
    assert scenarios.QUICK == ("s0", "s1", "s2", "s4", "s5", "s6", "s9")
