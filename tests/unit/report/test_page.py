# SPDX-License-Identifier: Apache-2.0
"""The agent's status page and health document."""

import json

import pytest
from tests.hand_made import finding, offline, report, snapshot, state

from tidegate.core import ids
from tidegate.core.finding import Grade
from tidegate.report import health_json, page


def test_the_page_shows_what_is_wrong_what_to_do_and_who_waits() -> None:
    shown = page.render(offline(), snapshot(), sentence="waits for satellite")
    for part in (
        "1 of 2 wanted instances run",
        "satellite.offline",
        "systemctl status linstor-satellite",
        "waits for satellite",
        "instance/default/c1",
    ):
        assert part in shown, part
    assert "old" not in page.fragment(offline(), snapshot(), sentence=""), "what nobody wants"


def test_markup_from_outside_is_text() -> None:
    hostile = "<img src=x onerror=alert(1)>\x1b[2J"
    told = report(
        finding(observed=hostile, remedy=hostile),
        states=(state(ids.SATELLITE, Grade.FAILING, summary=hostile),),
        node=hostile,
    )
    shown = page.render(told, snapshot(), sentence=hostile)
    assert "<img" not in shown
    assert "&lt;img src=x onerror=alert(1)&gt;\\x1b[2J" in shown


@pytest.mark.parametrize(
    ("grade", "word", "good"),
    [
        (Grade.OK, "pass", True),
        (Grade.DEGRADED, "warn", True),
        (Grade.FAILING, "fail", False),
        (Grade.UNKNOWN, "fail", False),
    ],
)
def test_health_says_pass_warn_or_fail(grade: Grade, word: str, good: bool) -> None:
    told = report(states=(state(ids.SATELLITE, grade, ready=good),))
    shown = health_json.document(told, snapshot(), version="1", sentence="")
    assert json.loads(json.dumps(shown))["status"] == word
    assert health_json.is_good(told) is good
    assert bool(health_json.unready(told)) is not good


def test_what_is_muted_stays_in_sight() -> None:
    told = report(finding(muted=True), states=(state(ids.SATELLITE),))
    shown = page.fragment(told, snapshot(), sentence="")
    assert "Nothing is wrong." in shown
    assert "Muted: 1" in shown
    assert "OFFLINE for 12 s" in shown
