# SPDX-License-Identifier: Apache-2.0
"""The kept mutes: ordered, listed, ended, and there again after a restart."""

import json
import logging
from pathlib import Path

import pytest
from tests.unit.health.test_mutes import CODE, report

from tidegate.agent.muting import Muting
from tidegate.core.finding import Grade


def muting(folder: Path, at: float = 100.0) -> Muting:
    return Muting(folder, lambda: at)


def test_ordered_listed_and_ended(tmp_path: Path) -> None:
    first = muting(tmp_path)
    done = first.answer({"op": "mute", "code": CODE, "for": 3600.0}, report())
    assert done == {
        "exit": 0,
        "text": f"muted: {CODE}, for 1 h; it covers: storage-pool/thin\n",
    }
    again = muting(tmp_path, 160.0)
    assert again.apply(report()).grade is Grade.OK
    listed = again.answer({"op": "mutes"}, report())["text"]
    assert listed.startswith(f"{CODE}  any subject  for 59 min")
    shown = json.loads(again.answer({"op": "mutes", "format": "json"}, report())["text"])
    assert shown["mutes"][0]["code"] == CODE
    assert again.answer({"op": "unmute", "code": CODE}, report())["exit"] == 0
    assert muting(tmp_path).apply(report()).grade is Grade.DEGRADED
    assert again.answer({"op": "mutes"}, report())["text"] == "nothing is muted\n"


def test_what_is_no_code_or_no_subject_is_refused_with_what_is(tmp_path: Path) -> None:
    here = muting(tmp_path)
    wrong = here.answer({"op": "mute", "code": "storage-pool.nearly"}, report())
    assert wrong["exit"] == 2
    assert CODE in wrong["text"]
    subject = here.answer({"op": "mute", "code": CODE, "subject": "thin"}, report())
    assert (subject["exit"], "storage-pool" in subject["text"]) == (2, True)
    none = here.answer({"op": "unmute", "code": CODE}, report())
    assert (none["exit"], "not muted" in none["text"]) == (2, True)


def test_its_end_is_told_and_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    muting(tmp_path).answer({"op": "mute", "code": CODE, "for": 10.0}, report())
    with caplog.at_level(logging.WARNING):
        assert muting(tmp_path, 111.0).apply(report()).grade is Grade.DEGRADED
    assert "its time is over" in caplog.text
    assert "nothing is muted" in muting(tmp_path).answer({"op": "mutes"}, report())["text"]


def test_a_file_that_cannot_be_read_mutes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "mutes.json").write_text("{")
    assert muting(tmp_path).apply(report()).grade is Grade.DEGRADED
    assert "nothing is muted" in caplog.text
