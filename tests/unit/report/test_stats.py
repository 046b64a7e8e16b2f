# SPDX-License-Identifier: Apache-2.0
"""Figures of many boots."""

import json

from hypothesis import given
from hypothesis import strategies as st

from tidegate.report import stats
from tidegate.report.terminal import Terminal


def boots(*last: float, name: str = "last-instance") -> list[stats.Boot]:
    return [
        stats.Boot(boot_id=f"boot{n}", began=1000.0 * n, figures={name: (value,)})
        for n, value in enumerate(last)
    ]


def test_median_p95_worst_and_trend() -> None:
    (row,) = stats.rows(boots(10, 12, 11, 30, 28, 29))
    assert (row.median, row.p95, row.worst, row.last) == (20, 30, 30, 29)
    assert row.worst_boot == "boot3"
    assert stats.trend(row) == "slower by 164%"


def test_few_boots_have_no_trend_and_noise_is_none() -> None:
    assert stats.trend(stats.rows(boots(10, 30))[0]) == "–"
    assert stats.trend(stats.rows(boots(10, 11, 10.5, 11.5))[0]) == "steady"


def test_the_table_lines_up_and_json_says_the_same() -> None:
    known = boots(10, 12, 14)
    rows = stats.rows(known)
    lines = stats.render(known, rows, Terminal()).splitlines()
    assert lines[2].split() == "last instance runs 3 14 s 12 s 14 s 14 s –".split()  # noqa: SIM905
    (row,) = json.loads(json.dumps(stats.document(known, rows)))["figures"]
    assert (row["name"], row["median"]) == ("last-instance", 12)


def test_boots_that_nobody_measured_are_said() -> None:
    assert "none was measured" in stats.render([], (), Terminal())


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=40))
def test_figures_are_among_the_measured(values: list[float]) -> None:
    (row,) = stats.rows(boots(*values))
    assert min(values) <= row.median <= row.p95 <= row.worst == max(values) or len(values) < 3
