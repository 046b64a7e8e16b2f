# SPDX-License-Identifier: Apache-2.0
import pytest

from tidegate.tuning import result
from tidegate.tuning.facts import Boot
from tidegate.tuning.result import Applied, Verdict, compare

AT = 1000.0
APPLIED = Applied(id="jvm-flags", measure="jvm", at=AT, expected=4.0)


def boots(before: list[float], after: list[float]) -> list[Boot]:
    old = [Boot(began=AT - 100 + n, phases={"jvm": s}) for n, s in enumerate(before)]
    return old + [Boot(began=AT + 1 + n, phases={"jvm": s}) for n, s in enumerate(after)]


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        ([9.0, 8.5, 9.5], [4.0, 4.5, 4.1], Verdict.FASTER),
        ([4.0, 4.5, 4.1], [9.0, 8.5, 9.5], Verdict.SLOWER),
        ([9.0, 4.0, 9.5], [8.0, 5.0, 9.2], Verdict.NO_DIFFERENCE),
        ([4.0, 4.1, 4.2], [3.9, 3.95, 3.8], Verdict.NO_DIFFERENCE),
        ([9.0, 9.1, 30.0, 9.2, 8.9], [4.0, 4.1, 25.0, 4.2, 4.1], Verdict.FASTER),
        ([9.0] * 10, [4.0, 4.1], Verdict.FASTER),
        ([9.0], [4.0], Verdict.TOO_EARLY),
        ([9.0, 9.1, 9.2], [4.0, 4.0], Verdict.TOO_EARLY),
        ([9.0], [], Verdict.TOO_EARLY),
        ([], [4.0], Verdict.TOO_EARLY),
    ],
    ids=[
        *("faster", "slower", "spread", "not-worth-it", "an-outlier-on-each-side", "many-before"),
        *("one-run-proves-nothing", "two-after-three", "not-booted-since", "nothing-before"),
    ],
)
def test_boots_before_against_boots_after(
    before: list[float], after: list[float], verdict: Verdict
) -> None:
    assert compare(APPLIED, boots(before, after)).verdict is verdict


@pytest.mark.parametrize(("before", "after"), [(1, 19), (3, 3), (4, 3), (10, 2), (30, 2)])
def test_how_many_boots_would_tell(before: int, after: int) -> None:
    assert result.needed(before) == after


def test_boots_after_it_was_taken_back_do_not_count() -> None:
    reverted = Applied(id="jvm-flags", measure="jvm", at=AT, expected=4.0, reverted=AT + 3.5)
    found = compare(reverted, boots([9.0, 9.5, 9.1], [4.0, 4.2, 4.1, 9.2, 9.3]))
    assert found.verdict is Verdict.FASTER
    assert found.after is not None
    assert found.after.count == 3
    assert found.gain == pytest.approx(5.0)


def test_boots_in_which_it_was_in_force_once_before_are_neither() -> None:
    first = Applied(id="jvm-flags", measure="jvm", at=AT - 98.5, expected=4.0, reverted=AT - 50)
    found = compare(APPLIED, boots([9.0, 9.1, 4.0, 4.1], [4.0]), notes=(first, APPLIED))
    assert found.before is not None
    assert (found.before.count, found.before.most) == (2, 9.1)


def test_what_changed_between_the_same_boots_is_named() -> None:
    other = Applied(id="boot-weight", measure="jvm", at=AT + 0.5, expected=1.0)
    elsewhere = Applied(id="devices-first", measure="devices", at=AT + 0.5, expected=1.0)
    later = Applied(id="class-archive", measure="jvm", at=AT + 50, expected=1.0)
    found = compare(APPLIED, boots([9.0], [4.0]), notes=(APPLIED, other, elsewhere, later))
    assert found.others == ("boot-weight",)


def test_the_chance_is_that_of_rank_sums() -> None:
    found = compare(APPLIED, boots([9.0, 8.0, 7.0], [4.0, 5.0, 6.0]))
    assert found.chance == pytest.approx(0.1)  # 2 of 20 ways
    many = compare(
        APPLIED, boots([9.0 + n / 10 for n in range(20)], [8.0 + n / 10 for n in range(20)])
    )
    assert many.chance is not None
    assert many.chance < 0.01
