# SPDX-License-Identifier: Apache-2.0
"""What is told, once when it comes and once when it goes, and that a slow disk holds nobody up."""

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.hand_made import finding, instance, report

from tidegate.agent import recorder as recording
from tidegate.agent.recorder import Recorder
from tidegate.core.action import Outcome, OutcomeKind, StartInstance
from tidegate.core.ids import InstanceId, InstanceName, ProjectName
from tidegate.history.store import open_history


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="tidegate")
    return caplog


def made(folder: Path) -> Recorder:
    history, troubles = open_history(folder / "history.db", "boot-a")
    assert troubles == ()
    return Recorder(history)


async def finished(recorder: Recorder) -> None:
    """As at the end of the agent: writing is cancelled, and what still waits is written."""
    writing = asyncio.ensure_future(recorder.run())
    await asyncio.sleep(0)
    writing.cancel()
    await asyncio.wait({writing})
    async with asyncio.timeout(2):
        await recorder.finish(5.0)


async def test_a_finding_is_told_once_when_it_comes_and_once_when_it_goes(
    tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    recorder = made(tmp_path)
    for _ in range(3):
        recorder.report(report(finding()), "waits")
    recorder.report(report(), "nothing to do")
    await finished(recorder)
    assert logged.messages == [
        "satellite: OFFLINE for 12 s",
        "waits",
        "satellite: over: OFFLINE for 12 s",
        "nothing to do",
    ]
    (first, *_) = logged.records
    assert first.levelno == logging.WARNING
    assert vars(first)["TIDEGATE_CODE"] == "satellite.offline"
    assert vars(first)["TIDEGATE_SUBJECT"] == "satellite"
    history, _ = open_history(tmp_path / "history.db", "boot-a")
    assert [(event.kind, event.code) for event in history.events()] == [
        ("finding", "satellite.offline"),
        ("sentence", "agent.sentence"),
        ("cleared", "satellite.offline"),
        ("sentence", "agent.sentence"),
    ]
    history.close()


async def test_a_hundred_volumes_make_one_line_and_a_hundred_events(
    tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    recorder = made(tmp_path)
    many = [finding(instance(f"c{number}"), waiting=True) for number in range(100)]
    recorder.report(report(*many), "")
    await finished(recorder)
    assert logged.messages == ["instance/default/c0 and 99 more: OFFLINE for 12 s"]
    assert logged.records[0].levelno == logging.INFO
    history, _ = open_history(tmp_path / "history.db", "boot-a")
    assert len(history.events()) == 100
    history.close()


async def test_that_nothing_was_looked_at_yet_is_no_news(
    tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    recorder = made(tmp_path)
    recorder.report(report(finding(code="source.new")), "")
    recorder.report(report(), "")
    await finished(recorder)
    assert logged.messages == []


async def test_an_outcome_names_its_cause(tmp_path: Path, logged: pytest.LogCaptureFixture) -> None:
    recorder = made(tmp_path)
    action = StartInstance(
        id="1",
        cause="instance.stopped",
        instance=InstanceId(ProjectName("default"), InstanceName("c1")),
    )
    outcome = Outcome(
        action=action,
        kind=OutcomeKind.DONE,
        code="instance.started",
        text="started",
        started_at=1.0,
        ended_at=1.25,
    )
    recorder.outcome(outcome)
    await finished(recorder)
    assert logged.messages == ["instance/default/c1: started (0.25 s)"]
    assert vars(logged.records[0])["TIDEGATE_CAUSE"] == "instance.stopped"
    assert vars(logged.records[0])["TIDEGATE_EVENT"] == "action-done"


async def test_a_disk_that_does_not_keep_up_costs_history_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "MOST_WAITING", 2)
    recorder = made(tmp_path)
    for number in range(5):
        recorder.report(report(), f"sentence {number}")
    assert recorder.dropped == 3
    await finished(recorder)


async def test_what_waits_for_a_thread_at_the_end_is_written(tmp_path: Path) -> None:
    """All threads are busy with probes when the agent is told to end: the entry just taken has no thread yet."""
    loop = asyncio.get_running_loop()
    only = ThreadPoolExecutor(max_workers=1)
    loop.set_default_executor(only)
    busy = threading.Event()
    probing = loop.run_in_executor(None, busy.wait)
    recorder = made(tmp_path)
    recorder.report(report(finding()), "")
    writing = asyncio.ensure_future(recorder.run())
    await asyncio.sleep(0)
    writing.cancel()
    await asyncio.wait({writing})
    busy.set()
    await probing
    await recorder.finish(5.0)
    history, _ = open_history(tmp_path / "history.db", "boot-a")
    assert [event.code for event in history.events()] == ["satellite.offline"]
    history.close()
