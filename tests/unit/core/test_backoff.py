# SPDX-License-Identifier: Apache-2.0
"""Budgets: fast at first, slower each time, bounded, repeatable, never in step."""

import hypothesis
from hypothesis import strategies as st

from tidegate.core.backoff import Backoff, BackoffPolicy

POLICY = BackoffPolicy()
policies = st.builds(
    BackoffPolicy,
    first=st.floats(0.01, 10.0),
    factor=st.floats(1.0, 4.0),
    limit=st.floats(10.0, 600.0),
    jitter=st.floats(0.0, 0.9),
    good_after=st.floats(1.0, 3600.0),
)
waits = st.lists(st.floats(0.0, 5000.0), min_size=1, max_size=200)


@hypothesis.given(policies, waits, st.text(), st.integers(0, 2**32))
def test_every_wait_is_within_its_limits(
    policy: BackoffPolicy, gaps: list[float], key: str, seed: int
) -> None:
    budget, now = Backoff(key=key, seed=seed), 0.0
    for gap in gaps:
        now += gap
        after = budget.failed(now, policy)
        wait = after.not_before - now
        least = policy.first * (1 - policy.jitter)
        assert least * 0.999 <= wait <= policy.limit * (1 + policy.jitter) * 1.001
        assert not after.allows(now) or wait == 0.0
        assert after.allows(after.not_before)
        assert after == budget.failed(now, policy), "a run can be repeated"
        budget = after


def failing(budget: Backoff, times: int, *, gap: float = 0.0) -> list[float]:
    waits = []
    for number in range(times):
        now = number * gap
        budget = budget.failed(now, POLICY)
        waits.append(budget.not_before - now)
    return waits


def test_waits_grow_to_the_limit() -> None:
    policy = BackoffPolicy(jitter=0.0)
    budget, seen = Backoff(key="k"), []
    for _ in range(8):
        budget = budget.failed(0.0, policy)
        seen.append(budget.not_before)
    assert seen == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_a_cause_that_lasts_for_days_does_not_overflow() -> None:
    assert failing(Backoff(key="k"), 5000)[-1] <= POLICY.limit * (1 + POLICY.jitter)


def test_two_causes_are_not_in_step() -> None:
    assert failing(Backoff(key="a"), 6) != failing(Backoff(key="b"), 6)
    assert failing(Backoff(key="a", seed=1), 6) != failing(Backoff(key="a", seed=2), 6)


def test_after_good_time_the_next_failure_is_the_first_again() -> None:
    budget = Backoff(key="k")
    for _ in range(5):
        budget = budget.failed(0.0, POLICY)
    assert budget.failed(POLICY.good_after, POLICY).failures == 6
    assert budget.failed(POLICY.good_after + 1.0, POLICY).failures == 1


def test_an_event_ends_the_wait_and_forgets_nothing() -> None:
    budget = Backoff(key="k").failed(0.0, POLICY).failed(0.0, POLICY)
    assert not budget.allows(0.1)
    hurried = budget.hurried(0.1)
    assert hurried.allows(0.1)
    assert hurried.failures == 2
    assert hurried.failed(0.2, POLICY).failures == 3


def test_hurrying_never_makes_a_wait_longer() -> None:
    budget = Backoff(key="k").failed(0.0, POLICY)
    assert budget.hurried(1000.0).not_before == budget.not_before
