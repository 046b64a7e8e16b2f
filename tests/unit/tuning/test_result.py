# SPDX-License-Identifier: Apache-2.0
import pytest

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
        ([9.0, 8.5, 9.5], [4.0, 4.5], Verdict.FASTER),
        ([4.0, 4.5], [9.0, 8.5, 9.5], Verdict.SLOWER),
        ([9.0, 4.0, 9.5], [8.0, 5.0], Verdict.NO_DIFFERENCE),
        ([4.0, 4.1], [3.9, 3.95], Verdict.NO_DIFFERENCE),
        ([9.0], [], Verdict.TOO_EARLY),
        ([], [4.0], Verdict.TOO_EARLY),
    ],
    ids=["faster", "slower", "spread", "less-than-chance", "not-booted-since", "nothing-before"],
)
def test_boots_before_against_boots_after(
    before: list[float], after: list[float], verdict: Verdict
) -> None:
    assert compare(APPLIED, boots(before, after)).verdict is verdict


def test_boots_after_it_was_taken_back_do_not_count() -> None:
    reverted = Applied(id="jvm-flags", measure="jvm", at=AT, expected=4.0, reverted=AT + 2.5)
    found = compare(reverted, boots([9.0, 9.5], [4.0, 4.2, 9.2, 9.3]))
    assert found.verdict is Verdict.FASTER
    assert found.after is not None
    assert found.after.count == 2
    assert found.gain == pytest.approx(5.15)
