# SPDX-License-Identifier: Apache-2.0
"""``packaging/install.sh`` where it must refuse; that it installs and uninstalls is shown by ``python -m tests.lab.installed``."""

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "packaging" / "install.sh"


def run(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        ["sh", str(SCRIPT), *arguments], capture_output=True, text=True, timeout=30, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    "words", [(), ("upgrade",), ("install", "--prefx", "/x"), ("install", "--prefix")]
)
def test_a_wrong_call_shows_how_it_is_called(words: tuple[str, ...]) -> None:
    code, said = run(*words)
    assert code == 2
    assert "usage: packaging/install.sh install|uninstall|purge" in said


def test_a_relative_path_is_refused() -> None:
    assert run("install", "--prefix", "opt") == (
        1,
        "install.sh: --prefix needs an absolute path, not opt\n",
    )


@pytest.mark.parametrize("verb", ["uninstall", "purge"])
def test_it_removes_nothing_that_is_not_its_own(verb: str, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("data")
    places = ("--units", str(tmp_path), "--bin", str(tmp_path))
    code, said = run(verb, "--prefix", str(tmp_path), *places)
    assert code == 1
    assert "is no virtual environment" in said
    assert precious.read_text() == "data"


def test_a_python_that_is_too_old_or_missing_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", str(SCRIPT), "install", "--prefix", str(tmp_path / "new")],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={"PATH": "/usr/bin:/bin", "PYTHON": "/nonexistent/python"},
    )
    assert done.returncode == 1
    assert "/nonexistent/python is not there or older than 3.11" in done.stderr
    assert not (tmp_path / "new").exists()
