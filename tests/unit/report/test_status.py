# SPDX-License-Identifier: Apache-2.0
"""The status screen: what a person sees first is what is worst, and nothing on it can command their terminal."""

import re

import pytest
from tests import hand_made
from tests.hand_made import VOLUME, finding, instance, offline, report, snapshot, state

from tidegate.core import ids
from tidegate.core.finding import Grade, Report
from tidegate.core.ids import ResourceName, VolumeId
from tidegate.core.snapshot import Liveness, Snapshot, SourceState
from tidegate.report import status
from tidegate.report.terminal import Terminal

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def screen(
    found: Report, seen: Snapshot | None = None, *, sentence: str = "", **terminal: bool | int
) -> str:
    return status.render(
        found,
        seen or snapshot(),
        Terminal(**terminal),  # type: ignore[arg-type]
        sentence=sentence,
    )


def test_a_screen_as_a_whole() -> None:
    sentence = "default/c1 waits for satellite: OFFLINE"
    assert screen(offline(), sentence=sentence) == (
        "n1  failing  1 of 2 wanted instances run, 1 min 15 s after boot\n"
        "\n"
        "  host        ok       DRBD 9.2.16\n"
        "  controller  ok       LINSTOR 1.34.0 at http://c:3370 answers in 2 ms\n"
        "  satellite   failing  OFFLINE for 12 s\n"
        "  volumes     failing  0 of 1 ready; incus-volume-c1/0 waits for satellite\n"
        "  incus       ok       Incus 7.0.2 is ready\n"
        "  instances   failing  1 of 2 run; default/c1 waits for satellite\n"
        "\n"
        "  default/c1 waits for satellite: OFFLINE\n"
        "\n"
        "Findings, worst first\n"
        "  failing   satellite.offline  satellite for 12 s\n"
        "            seen: OFFLINE for 12 s (by linstor, 0.2 s ago)\n"
        "            expected: the controller shows this node's satellite as ONLINE\n"
        "            → systemctl status linstor-satellite\n"
        "  failing   volume.not-reported  volume/incus-volume-c1/0 for 12 s\n"
        "            seen: the satellite has not reported it since it connected (by linstor, 0.2 s ago)\n"
        "            expected: the controller shows this node's satellite as ONLINE\n"
        "\n"
        "  sources: host up 0.2 s ago, systemd up 0.2 s ago, linstor up 0.2 s ago, drbd up 0.2 s ago, devices\n"
        "           up 0.2 s ago, incus up 0.2 s ago\n"
    )


def test_colour_adds_nothing_but_colour() -> None:
    plain, painted = screen(offline()), screen(offline(), color=True)
    assert "\x1b" not in plain
    assert ESCAPE.sub("", painted) == plain
    assert "\x1b[31mfailing" in painted


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_no_text_is_wider_than_the_screen(width: int) -> None:
    long = finding(observed="word " * 80, expected="and so on " * 30, remedy="do this, " * 40)
    lines = screen(report(long), width=width).splitlines()
    assert max(map(len, lines)) <= max(width, 64)


HOSTILE = "c1\x1b[2J\x1b]0;owned\x07\r\n\u202eevil"


def test_hostile_text_is_shown_and_not_obeyed() -> None:
    """Names of instances and messages of a peer are not ours; a terminal must not run them."""
    where = instance(HOSTILE)
    bad = finding(where, observed=HOSTILE, expected=HOSTILE, remedy=HOSTILE)
    found = report(bad, states=(state(where, Grade.FAILING, summary=HOSTILE),), node=HOSTILE)
    text = screen(found, sentence=HOSTILE)
    assert not set("\x1b\x07\r\u202e") & set(text)
    assert "\\x1b[2J" in text
    assert "\\x202e" in text


def test_what_is_not_wanted_is_not_on_the_screen() -> None:
    assert "old" not in screen(offline())


def test_a_source_that_is_lost_says_since_when() -> None:
    seen = snapshot(
        linstor=SourceState(liveness=Liveness.LOST, since=33.0, answered_at=33.0),
        systemd=SourceState(liveness=Liveness.OFF),
    )
    text = " ".join(screen(offline(), seen).split())
    assert "linstor lost for 42 s" in text
    assert "systemd off" in text


def test_what_many_share_is_told_once() -> None:
    found = [finding(instance(f"c{number}"), "instance.stopped") for number in range(9)]
    text = screen(report(*found))
    assert text.count("instance.stopped") == 1
    assert "the same: instance/default/c1, instance/default/c2" in text
    assert "and 4 more" in text


def test_more_kinds_than_fit_are_counted() -> None:
    found = [finding(VOLUME, f"volume.kind-{number}") for number in range(20)]
    text = screen(report(*found))
    assert "volume.kind-11" in text
    assert "volume.kind-12" not in text
    assert "… and 8 more: tidegate status --format json shows all" in text


def test_a_healthy_node_has_no_findings() -> None:
    found = report(states=(state(ids.HOST), state(instance("c1"), summary="runs")))
    text = screen(found)
    assert "Findings" not in text
    assert text.startswith("n1  ok  1 of 1 wanted instances run")


def test_a_host_with_nothing_on_it_is_told_apart() -> None:
    off = SourceState(liveness=Liveness.OFF)
    text = screen(report(states=(state(ids.HOST),)), snapshot(linstor=off, incus=off))
    assert text.startswith("n1  ok  neither LINSTOR nor Incus is here")
    assert hand_made.NOW == 75.0


@pytest.mark.parametrize("width", [80, 100, 200])
def test_no_line_is_longer_than_the_screen_is_wide(width: int) -> None:
    """With names as Incus makes them, and what a client says of a long address."""
    volume = ids.volume(VolumeId(resource=ResourceName("incus-volume-" + "3" * 32), number=0))
    seen = (
        "http://10.99.0.1:3370/v1/controller/version: no connection (Connection refused), for 3 s"
    )
    found = (
        finding(ids.CONTROLLER, "controller.refused", observed=seen, since=1.0),
        finding(volume, "volume.not-reported", observed=seen, since=1.0),
        finding(volume, "volume.down", observed=seen, muted=True),
    )
    states = (
        state(ids.CONTROLLER, Grade.FAILING, wanted=True, summary=seen),
        state(volume, Grade.FAILING, wanted=True, summary="waits for controller"),
    )
    text = screen(report(*found, states=states), width=width, color=True)
    lines = ESCAPE.sub("", text).splitlines()
    assert [line for line in lines if len(line) > width] == []
    assert "Connection" in text
