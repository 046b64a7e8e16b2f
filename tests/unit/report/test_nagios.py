# SPDX-License-Identifier: Apache-2.0
"""A monitoring system reads one line, an exit code of its own kind, and figures."""

import re
from typing import Any

import pytest
from tests.hand_made import instance, offline, report, snapshot, state

from tidegate.core import ids
from tidegate.core.finding import Grade, Report
from tidegate.report import document, nagios


def status(shown: Report) -> dict[str, Any]:
    return document.status(shown, snapshot())


def one(grade: Grade, *, ready: bool = False) -> dict[str, Any]:
    return status(report(states=(state(ids.SATELLITE, grade, ready=ready, summary="so"),)))


@pytest.mark.parametrize(
    ("grade", "ready", "code", "word"),
    [
        (Grade.OK, True, 0, "OK"),
        (Grade.DEGRADED, True, 1, "WARNING"),
        (Grade.FAILING, False, 2, "CRITICAL"),
        (Grade.UNKNOWN, False, 3, "UNKNOWN"),
    ],
)
def test_each_grade_has_its_code_and_word(grade: Grade, ready: bool, code: int, word: str) -> None:
    told, text = nagios.answer(one(grade, ready=ready))
    assert told == code
    assert text.startswith(f"TIDEGATE {word} - ")


def test_the_line_counts_names_the_worst_and_has_figures() -> None:
    code, text = nagios.answer(status(offline()))
    assert code == 2
    first, *rest = text.splitlines()
    sentence, figures = first.split(" | ")
    assert sentence == (
        "TIDEGATE CRITICAL - n1: 1 of 2 wanted instances run; satellite: OFFLINE for 12 s"
    )
    assert "instances_down=1;;;0;2" in figures.split()
    assert "findings_failing=2;;;0" in figures.split()
    assert all(re.fullmatch(r"[a-z_]+=\d+s?;;;0(;\d+)?", one) for one in figures.split())
    assert any(line.startswith("failing: instance/default/c1: ") for line in rest)


def test_subjects_can_be_chosen() -> None:
    assert nagios.answer(status(offline()), subjects=("instance/default/d1",))[0] == 0
    assert nagios.answer(status(offline()), subjects=(str(instance("c1")),))[0] == 2
    code, text = nagios.answer(status(offline()), subjects=("pool/nowhere",))
    assert (code, "nothing is known of pool/nowhere" in text) == (3, True)


@pytest.mark.parametrize(("warn", "critical", "code"), [(20, 60, 0), (5, 60, 1), (5, 10, 2)])
def test_a_host_that_comes_up_is_no_alarm(warn: float, critical: float, code: int) -> None:
    """Its oldest finding is 12 s old."""
    told, _ = nagios.answer(status(offline()), warn_down=warn, critical_down=critical)
    assert told == code


def test_text_from_outside_ends_neither_the_line_nor_its_text() -> None:
    hostile = state(ids.SATELLITE, Grade.FAILING, summary="a|b=1\nfoo\x1b[2J")
    _, text = nagios.answer(status(report(states=(hostile,))))
    assert text.splitlines()[0].count("|") == 1
    assert "\x1b" not in text


def test_no_status_is_unknown_and_says_why() -> None:
    assert nagios.trouble("tidegate: /etc/x:3: wrong\nmore\n") == (
        3,
        "TIDEGATE UNKNOWN - tidegate: /etc/x:3: wrong more\n",
    )
