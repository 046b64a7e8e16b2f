# SPDX-License-Identifier: Apache-2.0
"""The lab's judgement of boots: what counts as a broken promise, and what the table says of a lost container."""

import pytest
from tests.lab import promises, run
from tests.lab.variants import Variant


def boot(scenario: str, variant: Variant, *starts: float | None, first: float = 2.0) -> run.Boot:
    names = ("c1", "c2", "c3", "d1")
    seen = dict(zip(names, starts, strict=True))
    return run.Boot(
        scenario=scenario,
        variant=variant,
        fault_end={"s0": 0.0, "s1": 25.0}[scenario],
        first_pass=first,
        starts={name: [] if at is None else [at] for name, at in seen.items()},
        lost=tuple(name for name, at in seen.items() if at is None),
        watched=100.0,
    )


def test_the_agent_keeps_its_promise_when_all_run_soon_after_the_fault() -> None:
    assert promises.broken([boot("s1", Variant.AGENT, 25.6, 26.0, 26.4, 1.7)]) == []


def test_a_container_that_is_late_is_named_with_its_delay() -> None:
    (sentence,) = promises.broken([boot("s1", Variant.AGENT, 25.6, 27.0, 26.4, 1.7)])
    assert "s1 with the agent: c2 ran 2.00 s after" in sentence


def test_one_late_boot_is_doubted_and_the_median_decides() -> None:
    late = boot("s1", Variant.AGENT, 25.6, 27.0, 26.4, 1.7)
    good = boot("s1", Variant.AGENT, 25.6, 25.9, 26.0, 1.7)
    assert promises.doubtful([late]) == ["s1"]
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
def test_healthy_boots_are_compared_by_their_medians(slower: float, sentences: int) -> None:
    boots = []
    for noise in (0.0, 0.1, 0.2, 0.3, 1.5):
        boots.append(boot("s0", Variant.STOCK, 2.0, 2.2, 2.4 + noise, 1.8, first=4))
        boots.append(boot("s0", Variant.AGENT, 2.0, 2.2, 2.4 + noise + slower, 1.8, first=4))
    assert len(promises.broken(boots)) == sentences


def test_one_pair_of_healthy_boots_proves_nothing() -> None:
    boots = [
        boot("s0", Variant.STOCK, 2.0, 2.2, 2.4, 1.8),
        boot("s0", Variant.AGENT, 2.0, 2.2, 3.9, 1.8),
    ]
    assert promises.broken(boots) == []
