# SPDX-License-Identifier: Apache-2.0
"""The answer to "why": from what was asked about down to the first cause, ending with what to do."""

from tests.hand_made import finding, instance, offline, report, state

from tidegate.core import ids
from tidegate.core.finding import Grade
from tidegate.core.ids import PoolName, ResourceName, VolumeId
from tidegate.health import why
from tidegate.report import chain
from tidegate.report.terminal import Terminal


def test_the_way_down_and_what_to_do() -> None:
    found, subject = offline(), instance("c1")
    asked = found.state(subject)
    assert asked is not None
    text = chain.render(found, asked, why.why(found, subject), Terminal())
    lines = text.splitlines()
    assert lines[0] == "instance/default/c1 is not ready: waits for satellite: OFFLINE for 12 s"
    assert text.index("volume.not-reported") < text.index("satellite.offline")
    assert lines[-2:] == [
        "First cause: satellite: OFFLINE for 12 s.",
        "What to do: systemctl status linstor-satellite",
    ]


def test_what_ends_by_itself_is_said_to() -> None:
    cause = finding(waiting=True)
    found = report(cause, states=(state(ids.SATELLITE, Grade.FAILING, summary="OFFLINE"),))
    asked = found.state(ids.SATELLITE)
    assert asked is not None
    assert "it ends by itself" in chain.render(found, asked, (cause,), Terminal())


def test_what_is_ready_names_what_it_rests_on() -> None:
    ready = state(ids.SATELLITE, rests_on=(ids.HOST, ids.CONTROLLER), summary="ONLINE")
    below = (state(ids.HOST), state(ids.CONTROLLER))
    text = chain.render(report(states=(ready, *below)), ready, (), Terminal())
    assert text == "satellite is ready: ONLINE; it rests on host, controller, all ready\n"


def test_what_runs_on_something_unknown_says_so() -> None:
    """An instance that runs is ready although nobody can say how its volume is; "all ready" would be a lie."""
    volume = ids.volume(VolumeId(resource=ResourceName("pvc-1"), number=0))
    runs = state(instance("c1"), rests_on=(volume, ids.pool(PoolName("remote"))), summary="runs")
    unknown = state(volume, Grade.UNKNOWN, ready=False, summary="waits for controller")
    well = state(ids.pool(PoolName("remote")))
    text = chain.render(report(states=(runs, unknown, well)), runs, (), Terminal())
    assert text.splitlines() == [
        "instance/default/c1 is ready: runs",
        "  although volume/pvc-1/0 is not ready: waits for controller",
        "  `tidegate why volume/pvc-1/0` says more",
    ]


def test_ready_with_remarks() -> None:
    remark = finding(grade=Grade.DEGRADED, code="volume.diskless", observed="it has no disk here")
    usable = state(ids.SATELLITE, Grade.DEGRADED, ready=True, summary="it has no disk here")
    text = chain.render(report(remark, states=(usable,)), usable, (remark,), Terminal())
    assert text.startswith("satellite is ready, with remarks: it has no disk here")


def test_hostile_text_is_shown_and_not_obeyed() -> None:
    bad = finding(instance("x\x1b[2J"), observed="\x1b]0;owned\x07", remedy="\r")
    asked = state(instance("x\x1b[2J"), Grade.FAILING, summary="\x1b[31m")
    text = chain.render(report(bad, states=(asked,)), asked, (bad,), Terminal())
    assert not set("\x1b\x07\r") & set(text)
