# SPDX-License-Identifier: Apache-2.0
"""``tidegate status --save``, ``--from`` and ``--mask``, and ``why --from``, as a person runs them."""

import json
from pathlib import Path

import pytest
from tests import health_facts as facts

from tidegate.cli import status, why
from tidegate.report import saved


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    path = tmp_path / "now.json"
    snapshot = facts.world(nodes=facts.nodes(n1="OFFLINE"), wanted=facts.kept_map())
    path.write_bytes(saved.encode(snapshot, version="1", masked=False))
    return path


def test_judged_on_another_machine(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status.run(["--from", str(kept), "--format", "json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert "satellite.offline" in {one["code"] for one in told["findings"]}
    assert why.run(["satellite", "--from", str(kept)]) == 1
    assert "OFFLINE" in capsys.readouterr().out


def test_saved_here_and_read_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEGATE_AGENT_RUN_DIR", str(tmp_path))
    monkeypatch.setenv("TIDEGATE_AGENT_STATE_DIR", str(tmp_path))
    path = tmp_path / "here.json"
    assert status.run(["--save", str(path), "--mask"]) == 0
    assert "masked" in capsys.readouterr().out
    assert path.stat().st_mode & 0o077 == 0, "it tells much of this host"
    status.run(["--from", str(path)])
    assert "sources:" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "{}", "[]"])
def test_what_is_no_snapshot(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    assert status.run(["--from", str(path)]) == 2
    assert "no snapshot of Tidegate" in capsys.readouterr().err


def test_options_that_do_not_go_together(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--mask"], ["--from", "x", "--save", "y"], ["--from", "x", "--watch"]):
        with pytest.raises(SystemExit):
            status.run(words)
    assert "--mask only with --save" in capsys.readouterr().err
