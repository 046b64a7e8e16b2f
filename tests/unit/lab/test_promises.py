# SPDX-License-Identifier: Apache-2.0
"""The lab's judgement of boots: what counts as a broken promise, and what the table says of a lost container."""

import pytest
from tests.lab import promises, run
from tests.lab.variants import Variant


def boot(
    scenario: str,
    variant: Variant,
    *starts: float | None,
    first: float = 2.0,
    attempts: int = 0,
    api: float | None = None,
) -> run.Boot:
    names = ("c1", "c2", "c3", "d1")
    seen = dict(zip(names, starts, strict=True))
    return run.Boot(
        scenario=scenario,
        variant=variant,
        fault_end={"s0": 0.0, "s1": 25.0, "s10": 90.0}[scenario],
        first_pass=first,
        starts={name: [] if at is None else [at] for name, at in seen.items()},
        lost=tuple(name for name, at in seen.items() if at is None),
        watched=100.0,
        api=api,
        attempts=attempts,
    )


def healthy(variant: Variant, *slower: float) -> list[run.Boot]:
    """Pairs of healthy boots, the second of each later by ``slower`` seconds."""
    boots = []
    for number, more in enumerate(slower):
        noise = 0.07 * number
        boots.append(boot("s0", Variant.STOCK, 2.0, 2.2, 2.4 + noise, 1.8, first=4))
        boots.append(boot("s0", variant, 2.0, 2.2, 2.4 + noise + more, 1.8, first=4))
    return boots


def test_the_agent_keeps_its_promise_when_all_run_soon_after_the_fault() -> None:
    assert promises.broken([boot("s1", Variant.AGENT, 25.6, 26.0, 26.4, 1.7)]) == []


def test_a_container_that_is_late_is_named_with_its_delay() -> None:
    (sentence,) = promises.broken([boot("s1", Variant.AGENT, 25.6, 27.0, 26.4, 1.7)])
    assert "s1 with the agent: c2 ran 2.00 s after" in sentence


def test_one_late_boot_is_doubted_and_the_median_decides() -> None:
    late = boot("s1", Variant.AGENT, 25.6, 27.0, 26.4, 1.7)
    good = boot("s1", Variant.AGENT, 25.6, 25.9, 26.0, 1.7)
    assert promises.doubtful([late]) == [("s1", Variant.AGENT)]
    assert promises.doubtful([good]) == []
    assert promises.broken([late, good, good]) == []
    (sentence,) = promises.broken([late, late, good])
    assert "c2 ran 2.00 s after" in sentence
    assert "median of 3" in sentence


def test_the_end_of_incus_first_pass_counts_when_it_is_later() -> None:
    assert promises.broken([boot("s1", Variant.AGENT, 31, 31.2, 31.4, 1.7, first=30.5)]) == []


def test_a_lost_container_breaks_the_promise_and_shows_in_the_table() -> None:
    lost = boot("s1", Variant.AGENT, 25.6, None, 26.4, 1.7)
    assert promises.broken([lost]) == ["s1 with the agent: c2 is lost for ever"]
    assert "never" in promises.table([lost])


def test_a_container_started_twice_breaks_the_promise() -> None:
    twice = boot("s1", Variant.AGENT, 25.6, 25.8, 26.4, 1.7)
    twice.starts["c1"].append(26.9)
    assert promises.broken([twice]) == ["s1 with the agent: c1 was started 2 times"]


def test_nothing_is_promised_for_incus_alone() -> None:
    assert promises.broken([boot("s1", Variant.STOCK, 62.0, None, 62.8, 1.7)]) == []


@pytest.mark.parametrize(("slower", "sentences"), [(0.25, 0), (0.4, 1)])
def test_healthy_boots_are_compared_pair_by_pair(slower: float, sentences: int) -> None:
    boots = healthy(Variant.AGENT, *(slower + noise for noise in (0.0, 0.01, -0.01, 1.5, 0.02)))
    assert len(promises.broken(boots)) == sentences


def test_one_pair_of_healthy_boots_proves_nothing() -> None:
    boots = healthy(Variant.AGENT, 1.5)
    assert promises.broken(boots) == []
    assert promises.doubtful(boots) == []


@pytest.mark.parametrize("differences", [(0.1, 0.1, 0.1, 0.2, 0.4), (0.2, 0.4, 0.4, 0.4, 0.5)])
def test_a_close_judgement_is_looked_at_again_whichever_way_it_leans(
    differences: tuple[float, ...],
) -> None:
    assert promises.doubtful(healthy(Variant.AGENT, *differences)) == [("s0", Variant.AGENT)]


@pytest.mark.parametrize("differences", [(0.1, 0.1, 0.1, 0.2, 0.25), (0.31, 0.4, 0.4, 0.4, 0.5)])
def test_a_clear_judgement_is_not(differences: tuple[float, ...]) -> None:
    assert promises.doubtful(healthy(Variant.AGENT, *differences)) == []


def test_after_the_most_pairs_the_median_decides() -> None:
    half = promises.MOST_PAIRS // 2
    boots = healthy(Variant.AGENT, *[0.1] * half, *[0.8] * half)
    assert promises.doubtful(boots) == []
    (sentence,) = promises.broken(boots)
    assert "0.45 s slower than without (median of 20 pairs); the promise is 0.3 s" in sentence


@pytest.mark.parametrize(("count", "left_out"), [(5, 0), (10, 1), (20, 5)])
def test_the_true_median_is_where_the_sign_test_leaves_it(count: int, left_out: int) -> None:
    low, high = promises.possible(range(count))
    assert (low, high) == (left_out, count - 1 - left_out)


def test_few_differences_leave_everything_possible() -> None:
    assert promises.possible([0.1, 0.2]) == (float("-inf"), float("inf"))


def test_the_gate_promises_that_no_attempt_is_spent() -> None:
    spent = boot("s1", Variant.GATE, 26.0, 26.1, 26.2, 25.9, attempts=2)
    assert promises.broken([spent]) == ["s1 with the gate: Incus spent 2 attempts in vain"]


def test_what_the_gate_held_is_late_by_the_end_of_the_fault() -> None:
    late = boot("s1", Variant.GATE_AGENT, 26.0, 28.5, 26.2, 25.9, first=30.0)
    (sentence,) = promises.broken([late])
    assert "s1 with the gate and the agent: c2 ran 3.50 s after storage was ready" in sentence


def test_what_a_hold_costs_is_shown_and_not_held_against_it() -> None:
    stock = boot("s1", Variant.STOCK, 61.3, 61.5, 61.7, 1.3, api=1.1)
    gate = boot("s1", Variant.GATE, 26.0, 26.1, 26.2, 25.9, api=25.6)
    assert promises.worse([stock, gate]) == []
    assert promises.costs([stock, gate]) == "s1 gate: d1 +24.6 s, the API +24.5 s against stock"


def test_with_the_guard_what_needs_no_storage_is_as_early_as_on_a_healthy_machine() -> None:
    healthy_one = boot("s0", Variant.STOCK, 2.0, 2.2, 2.4, 1.8)
    good = boot("s1", Variant.GUARD_AGENT, 25.6, 26.0, 26.4, 2.7)
    late = boot("s1", Variant.GUARD_AGENT, 25.6, 26.0, 26.4, 2.9)
    assert promises.broken([healthy_one, good]) == []
    assert promises.doubtful([healthy_one, late]) == [("s1", Variant.GUARD_AGENT)]
    (sentence,) = promises.broken([healthy_one, late])
    assert "d1, on the local pool, ran 1.10 s later" in sentence


def test_ours_may_be_no_worse_than_stock() -> None:
    stock = boot("s1", Variant.STOCK, 61.3, 61.5, None, 1.3)
    ours = boot("s1", Variant.AGENT, 62.0, None, None, 1.2)
    assert promises.worse([stock, ours]) == [
        "s1 with the agent: c2 is lost, which stock keeps",
        "s1 with the agent: no. 1 of c1 c2 c3 ran 0.70 s later than with stock (medians)",
    ]
    assert promises.doubtful([stock, ours], against_stock=True) == [
        ("s1", Variant.AGENT),
        ("s1", Variant.STOCK),
    ]


def test_in_which_order_incus_starts_them_is_no_lateness() -> None:
    stock = boot("s1", Variant.STOCK, 40.6, 40.2, 40.3, 40.4)
    ours = boot("s1", Variant.GATE_AGENT, 40.6, 40.7, 40.9, 40.5)
    assert promises.worse([stock, ours]) == []
    late = boot("s1", Variant.GATE_AGENT, 40.6, 41.2, 40.9, 40.5)
    assert promises.worse([stock, late]) == [
        "s1 with the gate and the agent: no. 2 of c1 c2 c3 ran 0.60 s later than with stock (medians)",
        "s1 with the gate and the agent: no. 3 of c1 c2 c3 ran 0.60 s later than with stock (medians)",
    ]


def test_what_stock_kept_by_luck_is_no_measure() -> None:
    """In s10 incusd dies at the first of three containers, and in which order it starts all four is drawn."""
    lucky = boot("s10", Variant.STOCK, None, None, None, 1.3)
    ours = boot("s10", Variant.AGENT, None, None, None, None)
    assert promises.doubtful([lucky, ours], against_stock=True) == [("s10", Variant.STOCK)]
    unlucky = boot("s10", Variant.STOCK, None, None, None, None)
    more = [lucky, unlucky, unlucky, ours]
    assert promises.doubtful(more, against_stock=True) == []
    assert promises.worse(more) == []
    late = [boot("s10", Variant.GUARD, 21.0, 21.1, 21.2, 21.3)] * 3
    assert promises.doubtful([lucky, *late], against_stock=True) == [("s10", Variant.STOCK)]
    assert promises.worse([lucky, unlucky, unlucky, *late]) == []
