# SPDX-License-Identifier: Apache-2.0
"""The demo as a newcomer runs it: nothing is lost with Tidegate, something is without, and it is over soon."""

import asyncio
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidegate.cli import main

LIMIT = 40.0


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory with a short name: pytest's are too long for the sockets in it."""
    with tempfile.TemporaryDirectory(prefix="tidegate-test-") as name:
        yield Path(name)


async def test_the_demo_shows_what_it_promises(short: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tidegate", "demo", "--keep", str(short)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "PYTHONWARNINGS": "error"},
        cwd="/",
    )
    async with asyncio.timeout(LIMIT):
        out, err = await process.communicate()
    text = out.decode()
    assert (process.returncode, err.decode()) == (0, ""), text
    assert "\x1b" not in text, "no colours in a pipe"
    table = text.partition("Last container on LINSTOR running")[2]
    results = dict(re.findall(r"(?m)^  (satellite-late|devices-late)\s+(.*?)\s*$", table))
    assert set(results) == {"satellite-late", "devices-late"}
    stock, ours = re.split(r"\s{2,}", results["devices-late"])
    assert "down for ever" in stock
    assert re.fullmatch(r"\d+\.\d s \(\d+\.\d s after\)", ours)
    logs = _logs(short)
    assert len(logs) == 2
    assert not [log for log in logs if "Traceback" in log or "report this as a bug" in log]


def _logs(folder: Path) -> list[str]:
    return [path.read_text() for path in folder.glob("*/with/agent.log")]


def test_a_directory_that_cannot_be_made_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["demo", "--keep", "/proc/none"]) == 2
    err = capsys.readouterr().err
    assert "no directory can be made at /proc/none" in err
    assert "Traceback" not in err


def test_a_directory_too_long_for_sockets_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["demo", "--keep", "/tmp/" + "x" * 100]) == 2
    assert "give a shorter one" in capsys.readouterr().err
