# SPDX-License-Identifier: Apache-2.0
"""The bar in front of a pool's mount: when an ONLINE is changed, and, more important, when never (contract.md safety 3 and 4)."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.core.ids import BootId
from tidegate.guard import bar
from tidegate.guard.bar import Bar, Over, Standing, Why

BOOT = BootId("b1")
FRESH = Bar(boot_id=BOOT)
HELD = Standing(
    ready=False, acts=True, sentence="0 of 3 ready: volume/c1/0: /dev/drbd1001 is missing"
)

standings = st.builds(
    Standing,
    ready=st.booleans(),
    sentence=st.just("waits"),
    acts=st.booleans(),
    lease=st.booleans(),
    runs=st.sampled_from(["", "instance/default/c1"]),
    exempt=st.sampled_from(["", "incusd does not start without its pool"]),
)
bars = st.builds(
    Bar,
    boot_id=st.just(BOOT),
    since=st.none() | st.floats(0, 1000),
    over=st.none() | st.sampled_from(Over),
)
moments = st.floats(0, 2000)


def standing(**changes: Any) -> Standing:
    return msgspec.structs.replace(HELD, **changes)


def test_while_volumes_are_missing_incus_is_told_not_ready_and_why() -> None:
    after, ruling = bar.rule(FRESH, HELD, 30.0)
    assert ruling.changed
    assert ruling.why is Why.NOT_READY
    assert "/dev/drbd1001 is missing" in ruling.text
    assert after.since == 30.0


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"ready": True}, Why.READY),
        ({"lease": True}, Why.LEASE),
        ({"runs": "instance/default/c1"}, Why.RUNNING),
        ({"exempt": "a storage patch may be pending"}, Why.EXEMPT),
        ({"acts": False}, Why.NO_RECOVERY),
    ],
)
def test_it_passes_where_it_must(changes: dict[str, Any], why: Why) -> None:
    _, ruling = bar.rule(FRESH, standing(**changes), 30.0)
    assert not ruling.changed
    assert ruling.why is why


@pytest.mark.parametrize("changes", [{"ready": True}, {"lease": True}, {"runs": "c1"}])
def test_once_gone_it_does_not_come_back_in_this_boot(changes: dict[str, Any]) -> None:
    """A mount that is refused takes the pool away from what runs on it (facts/incus.md D64)."""
    after, _ = bar.rule(FRESH, standing(**changes), 30.0)
    assert after.over is not None
    assert not bar.rule(after, HELD, 31.0)[1].changed
    assert not bar.rule(bar.resumed(after, BOOT), HELD, 31.0)[1].changed


def test_another_boot_begins_anew() -> None:
    over = Bar(boot_id=BOOT, since=3.0, over=Over.TIME)
    assert bar.resumed(over, BootId("b2")) == Bar(boot_id=BootId("b2"))
    assert bar.resumed(None, BOOT) == FRESH
    assert bar.resumed(over, BOOT) is over


def test_its_time_counts_from_the_first_answer_it_changed() -> None:
    """On a slow node ONLINE comes minutes after Incus's first question (design.md, f1)."""
    first, ruling = bar.rule(FRESH, HELD, 300.0)
    assert ruling.changed
    assert bar.rule(first, HELD, 419.9)[1].changed
    after, late = bar.rule(first, HELD, 420.0)
    assert not late.changed
    assert after.over is Over.TIME


def test_what_runs_ends_it_without_a_question() -> None:
    assert bar.noticed(FRESH, runs="instance/default/c1").over is Over.RUNNING
    assert bar.noticed(FRESH, runs="") == FRESH
    done = Bar(boot_id=BOOT, over=Over.READY)
    assert bar.noticed(done, runs="instance/default/c1") == done


@given(bars, standings, moments, st.floats(0, 1000))
def test_safety_3_and_4_hold_for_whatever_is_known(
    before: Bar, known: Standing, now: float, limit: float
) -> None:
    after, ruling = bar.rule(before, known, now, limit)
    if ruling.changed:
        assert not known.exempt
        assert not known.runs
        assert not known.lease
        assert not known.ready
        assert known.acts
        assert before.over is None
        assert after.over is None
        assert after.since is not None
        assert after.since <= now
        assert now - after.since < bar.LONGEST
    assert before.over is None or after.over is before.over


@given(st.lists(st.tuples(standings, st.floats(0, 50)), max_size=40))
def test_in_one_boot_all_changed_answers_lie_within_two_minutes(
    steps: list[tuple[Standing, float]],
) -> None:
    now, state, changed = 0.0, FRESH, []
    over = False
    for known, pause in steps:
        now += pause
        state, ruling = bar.rule(state, known, now)
        if ruling.changed:
            assert not over, "it came back after it was gone"
            changed.append(now)
        over = over or state.over is not None
    assert not changed or changed[-1] - changed[0] < bar.LONGEST
