# SPDX-License-Identifier: Apache-2.0
"""The words and exit codes of ``tidegate guard enable|disable|status``."""

import json
from pathlib import Path

import pytest

from tidegate.agent.guardsetup import Outcome, Status
from tidegate.cli import guardsetup
from tidegate.core.ids import NodeName
from tidegate.core.trouble import Trouble
from tidegate.guard import record
from tidegate.guard.record import Form, Record

KEPT = Record(
    node=NodeName("n1"),
    form=Form.CLUSTER,
    controllers=("http://10.0.0.1:3370",),
    secret="s3cret",
    password="hunter2",
)
DOWN = Trouble(code="guard.refused", text="connection refused", hint="journalctl")


def words(tmp_path: Path, *more: str) -> list[str]:
    return [
        *more,
        *("--state-dir", str(tmp_path / "state"), "--incus-socket", str(tmp_path / "none")),
    ]


def test_on_a_host_where_it_is_not_enabled_status_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guardsetup.run(words(tmp_path, "status")) == 0
    assert "not enabled" in capsys.readouterr().out
    assert guardsetup.run(words(tmp_path, "status", "--format", "json")) == 0
    assert json.loads(capsys.readouterr().out)["enabled"] is False
    assert guardsetup.run(words(tmp_path, "disable")) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_without_incus_enable_says_what_is_missing_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guardsetup.run(words(tmp_path, "enable")) == 1
    assert "incus.no-socket" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_record_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / record.FILE).write_text("{")
    assert guardsetup.run(words(tmp_path, "status")) == 1
    assert "guard.json" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["status", "--form", "node"], ["dance"], []])
def test_wrong_use_is_told(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        guardsetup.run(argv)
    assert ended.value.code == 2


@pytest.mark.parametrize("verb", ["enable", "disable", "status"])
def test_help_has_examples(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        guardsetup.run([verb, "--help"])
    assert ended.value.code == 0
    assert "tidegate guard enable" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("found", "code", "text"),
    [
        (Status(enabled=True, record=KEPT, key="x", in_use=True), 0, "Incus asks it first"),
        (Status(enabled=True, record=KEPT, key="x", in_use=False), 4, "Incus does not ask it"),
        (
            Status(enabled=True, record=KEPT, key="x", in_use=True, answers=DOWN),
            1,
            "does not answer",
        ),
        (Status(enabled=True, record=KEPT, trouble=DOWN), 4, "is not known"),
    ],
)
@pytest.mark.parametrize("shape", ["text", "json"])
def test_status_is_told_without_a_secret(
    found: Status, code: int, text: str, shape: str, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = guardsetup.build_parser().parse_args(["status", "--format", shape])
    assert guardsetup.show_status(chosen, found) == code
    told = capsys.readouterr().out
    assert "http://10.0.0.1:3370" in told
    assert "s3cret" not in told
    assert "hunter2" not in told
    assert shape == "json" or text in told


@pytest.mark.parametrize("shape", ["text", "json"])
def test_what_was_done_and_what_went_wrong_are_told(
    shape: str, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = guardsetup.build_parser().parse_args(["enable", "--format", shape])
    assert guardsetup.show(chosen, Outcome(done=("written: x",), notes=("restart",))) == 0
    assert "restart" in capsys.readouterr().out
    assert guardsetup.show(chosen, Outcome(done=("written: x",), trouble=DOWN)) == 1
    told = capsys.readouterr()
    assert "connection refused" in told.out + told.err
