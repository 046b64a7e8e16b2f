# SPDX-License-Identifier: Apache-2.0
"""The door: every command is there, says what it is for, and nothing else is taken for one."""

import importlib
import re

import pytest

from tidegate.cli import completion, link, main, wait

USAGE = 2


@pytest.mark.parametrize("command", main.COMMANDS)
def test_every_command_has_help_with_examples(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main.main([command, "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: tidegate {command}")
    assert f"  tidegate {command}" in text.partition("examples:")[2]
    assert max(map(len, text.partition("examples:")[0].splitlines())) <= 100


def test_help_names_every_command_and_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main([]) == USAGE
    text = capsys.readouterr().out
    for command, purpose in main.COMMANDS.items():
        assert re.search(rf"(?m)^  {command} +{re.escape(purpose)}$", text)
    assert "0 ok, 1 failing, 2 usage or configuration, 3 time-out, 4 degraded, 5 unknown" in text


@pytest.mark.parametrize("words", [["bogus"], ["--bogus"], ["--bogus", "status"]])
def test_anything_else_is_a_mistake(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main.main(words)
    assert end.value.code == USAGE
    assert "tidegate: error:" in capsys.readouterr().err


def test_ctrl_c_and_a_closed_pipe_are_no_faults(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = importlib.import_module("tidegate.cli.status")

    def interrupted(_words: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "run", interrupted)
    assert main.main(["status"]) == main.EXIT_INTERRUPTED
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_offer_every_command_and_option(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert completion.run([shell]) == 0
    text = capsys.readouterr().out
    for command in main.COMMANDS:
        assert command in text
    assert "timeout" in text
    assert "None" not in text


def test_a_pipe_is_told_changes_and_not_durations(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    moment = 100.0
    monkeypatch.setattr("time.monotonic", lambda: moment)
    progress = wait._Progress(quiet=False)
    for number in range(5):
        progress.show({"progress": f"waits for {number} s: OFFLINE for {number} min {number} s"})
    progress.show({"progress": "waits for 5 s: CONNECTED"})
    moment += 31
    progress.show({"progress": "waits for 36 s: CONNECTED"})
    progress.end()
    assert capsys.readouterr().err.splitlines() == [
        "waits for 0 s: OFFLINE for 0 min 0 s",
        "waits for 5 s: CONNECTED",
        "waits for 36 s: CONNECTED",
    ]


def test_nobody_at_the_socket_is_a_reason_and_no_error(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("x")
    (folder / "file").touch()
    for path, reason in (
        (folder / "none.sock", "no agent runs"),
        (folder / "file", "could not be asked"),
        (folder / ("x" * 150), "could not be asked"),
    ):
        with pytest.raises(link.NoAgent, match=reason):
            list(link.ask(path, {"op": "ping"}))
