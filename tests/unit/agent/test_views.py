# SPDX-License-Identifier: Apache-2.0
"""Answers to commands: each ends with an exit code, whatever was asked."""

import asyncio
import json
from typing import Any

import pytest
from tests.hand_made import instance, offline, report, snapshot, state

from tidegate.agent import views
from tidegate.agent.views import Views
from tidegate.core import ids
from tidegate.core.finding import Grade, Report
from tidegate.core.snapshot import Snapshot
from tidegate.history.store import HistoryEvent
from tidegate.recovery.step import Event, Step


class Scene:
    """A scene whose reports a test sets."""

    def __init__(self, first: Report) -> None:
        self.report = first
        self.sentence = "waits for satellite"
        self._news = asyncio.Event()

    @property
    def snapshot(self) -> Snapshot:
        return snapshot()

    def show(self, fresh: Report) -> None:
        self.report = fresh
        self._news.set()
        self._news = asyncio.Event()

    acts = True

    def tell(self, event: Event) -> None:
        raise AssertionError("nobody asked for anything to be done")

    def preview(self, event: Event) -> Step:
        raise AssertionError("nobody asked for the plan")

    async def next_report(self) -> Report:
        await self._news.wait()
        return self.report

    def note(self, event: HistoryEvent) -> None:
        raise AssertionError("nothing here is worth remembering")

    def mutes(self, request: dict[str, Any]) -> dict[str, Any]:
        raise AssertionError("nobody asked about mutes")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def answers(scene: Scene, request: dict[str, Any]) -> list[dict[str, Any]]:
    async with asyncio.timeout(5):
        return [item async for item in Views(scene, Clock()).answer(request)]


async def last(scene: Scene, **request: Any) -> tuple[int, str]:
    answer = (await answers(scene, request))[-1]
    return answer["exit"], answer["text"]


async def test_the_exit_code_of_status_is_the_worst_grade() -> None:
    for grade, code in views.EXIT_OF_GRADE.items():
        found = report(states=(state(ids.HOST, grade),))
        assert (await last(Scene(found), op="status"))[0] == code


async def test_status_as_json_carries_the_sentence() -> None:
    code, text = await last(Scene(offline()), op="status", format="json")
    assert code == 1
    assert json.loads(text)["sentence"] == "waits for satellite"


async def test_why() -> None:
    code, text = await last(Scene(offline()), op="why", subject="instance/c1")
    assert code == 1
    assert "First cause: satellite" in text
    code, text = await last(
        Scene(offline()), op="why", subject="instance/default/c1", format="json"
    )
    assert json.loads(text)["first_cause"]["code"] == "satellite.offline"


@pytest.mark.parametrize(
    ("subject", "told"),
    [
        ("instance/none", "nothing is known of instance/default/none on n1; known: instance/"),
        ("none", "'none' is not a subject"),
        (None, "is not a subject"),
        (["x"], "is not a subject"),
    ],
)
async def test_why_about_something_unknown(subject: object, told: str) -> None:
    code, text = await last(Scene(offline()), op="why", subject=subject)
    assert code == views.EXIT_USAGE
    assert told in text


@pytest.mark.parametrize("op", [None, "dance", 7, ["status"]])
async def test_what_is_not_understood_is_said_with_our_version(op: object) -> None:
    code, text = await last(Scene(offline()), op=op)
    assert code == views.EXIT_USAGE
    assert "0.1" in text


@pytest.mark.parametrize("width", [None, "wide", -1, 10**9, True])
async def test_a_screen_of_any_width_is_answered(width: object) -> None:
    assert (await last(Scene(offline()), op="status", width=width))[0] == 1


async def test_wait_tells_progress_until_it_is_over() -> None:
    scene = Scene(offline())
    waiting = Views(scene, Clock()).answer({"op": "wait", "subjects": ["instance/c1"]})
    async with asyncio.timeout(5):
        first = await anext(waiting)
        assert "satellite: OFFLINE" in first["progress"]
        after = asyncio.ensure_future(anext(waiting))
        await asyncio.sleep(0)
        scene.show(report(states=(state(instance("c1")),)))
        assert await after == {"exit": 0, "text": "instance/default/c1 is ready\n"}


async def test_time_that_a_command_has_spent_already_counts() -> None:
    """Without an agent it looks first, for seconds where a source hangs: its time-out is that of the whole command."""
    request = {"op": "wait", "subjects": ["instance/c1"], "timeout": 3.0, "waited": 3.5}
    waiting = Views(Scene(offline()), Clock()).answer(request)
    async with asyncio.timeout(5):
        first = await anext(waiting)
    assert first["exit"] == 3
    assert "gave up after 4 s" in first["text"]


@pytest.mark.parametrize("timeout", [0, -1, 0.0])
async def test_wait_without_patience_looks_once(timeout: float) -> None:
    code, text = await last(Scene(offline()), op="wait", subjects=["instance/c1"], timeout=timeout)
    assert code == 3
    assert "satellite: OFFLINE" in text


async def test_wait_tells_that_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command takes an agent that says nothing for stuck."""
    monkeypatch.setattr(views, "HEARTBEAT", 0.01)
    waiting = Views(Scene(offline()), Clock()).answer({"op": "wait", "subjects": ["satellite"]})
    async with asyncio.timeout(5):
        for _ in range(3):
            assert "progress" in await anext(waiting)
    await waiting.aclose()


async def test_wait_as_json() -> None:
    code, text = await last(
        Scene(offline()), op="wait", subjects=["instance/c1"], timeout=0, format="json"
    )
    shown = json.loads(text)
    assert (code, shown["verdict"], shown["ready"], shown["total"]) == (3, "give-up", 0, 1)
    assert shown["waiting_for"][0]["subject"] == "satellite"


async def test_wait_for_something_that_is_no_subject() -> None:
    code, text = await last(Scene(offline()), op="wait", subjects=["nonsense"])
    assert code == views.EXIT_USAGE
    assert "'nonsense' is not a subject" in text


async def test_degraded_is_ready_enough_to_wait_for() -> None:
    usable = state(ids.SATELLITE, Grade.DEGRADED, ready=True, summary="slow")
    code, text = await last(Scene(report(states=(usable,))), op="wait", subjects=["satellite"])
    assert code == 0
    assert "slow" in text
