# SPDX-License-Identifier: Apache-2.0
"""Boots beside each other keep out of each other's busy moments."""

from tests.lab import turns


def absolute(begin: float, spans: list[turns.Span]) -> list[turns.Span]:
    return [(begin + one, begin + other) for one, other in spans]


def test_alone_a_boot_begins_at_once() -> None:
    assert turns.earliest(100.0, turns.busy(25, retries=False), []) == 100.0


def test_two_boots_with_the_same_fault_do_not_boot_together() -> None:
    spans = turns.busy(25, retries=True)
    begin = turns.earliest(100.0, spans, absolute(100.0, spans))
    assert begin >= 100.0 + turns.BOOT


def test_a_boot_does_not_begin_while_the_fault_of_another_ends() -> None:
    first = absolute(0.0, turns.busy(25, retries=False))
    begin = turns.earliest(22.0, turns.busy(40, retries=False), first)
    assert begin >= 25 + turns.AROUND[1]


def test_one_that_finds_no_gap_begins_all_the_same() -> None:
    assert turns.earliest(5.0, turns.busy(25, retries=False), [(0.0, 1000.0)]) == 5.0
