# SPDX-License-Identifier: Apache-2.0
"""Every finding, made of a scene of the simulator or of a real source that misbehaves, and read as a user reads it."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests import scenes
from tests.contract.findings import ground, storage, upstairs, volumes
from tests.unit.clients import faults

from tidegate.core import ids
from tidegate.health import catalogue

SCENES = [*ground.SCENES, *storage.SCENES, *volumes.SCENES, *upstairs.SCENES]


@pytest.mark.parametrize("scene", SCENES, ids=str)
async def test_a_user_is_told(
    scene: scenes.Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.patch(monkeypatch)
    report, text = await scenes.told(scene, tmp_path)
    subject = ids.Subject.parse(scene.about)
    told = {one.code: one for one in report.about(subject)}
    assert scene.code in told, {str(one.subject): one.code for one in report.findings}
    finding = told[scene.code]
    assert scene.seen in finding.observed
    assert finding.remedy
    assert scene.remedy in finding.remedy
    assert "…" not in finding.remedy + finding.expected, "a placeholder was not filled"
    assert finding.observed in text


ELSEWHERE = {
    "source.hung": "tests/unit/agent/test_observer.py",
    "source.bug": "tests/unit/agent/test_observer.py",
    "device.content-unknown": "tests/unit/health/test_device.py",
    "incus.permission": "tests/unit/clients/incus/test_client.py",
}
"""What is made by a fault of our own, or only for another user than root. The guard's findings are in tests/unit/health/test_guard.py."""


def test_there_is_a_scene_for_every_finding() -> None:
    made = {scene.code for scene in SCENES}
    known = {code for code in catalogue.CODES if not code.startswith("guard.")}
    assert made <= known
    assert known - made == set(ELSEWHERE)


@contextlib.asynccontextmanager
async def _two(stage: scenes.Stage) -> AsyncIterator[tuple[str, ...]]:
    with faults.refused() as port:
        yield (f"http://127.0.0.1:{port}", stage.node.linstor_face.url)


async def test_which_of_several_controllers_is_active(tmp_path: Path) -> None:
    scene = scenes.Scene(code="", about="controller", seen="", remedy="", urls=_two)
    stage = scenes.Stage(scene, tmp_path)
    async with stage.playing():
        report = await stage.look()
        text = await stage.text()
    state = report.state(ids.CONTROLLER)
    assert state is not None
    assert f"{stage.node.linstor_face.url} (the active one of 2)" in state.summary
    assert stage.node.linstor_face.url in text
