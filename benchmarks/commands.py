# SPDX-License-Identifier: Apache-2.0
"""Whole commands as a unit or a hook would run them: process start included."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tidegate.cli import link

SCRIPT = Path(sys.executable).with_name("tidegate")
_WITHIN = 60.0
_ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}


def _run(*command: str, env: dict[str, str] | None = None) -> None:
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, env=_ENVIRONMENT | (env or {})
    ) as process:
        # Not wait(timeout=…): that polls, in steps of up to 50 ms.
        watch = threading.Timer(_WITHIN, process.kill)
        watch.start()
        code = process.wait()
        watch.cancel()
    assert code in {0, 4}, f"{command} ended with {code}"


def bare() -> None:
    """Start Python and nothing else."""
    _run(sys.executable, "-c", "pass")


def version() -> None:
    """Run ``tidegate --version``."""
    _run(str(SCRIPT), "--version")


def import_agent() -> None:
    """Start Python and import what the agent runs with."""
    _run(sys.executable, "-c", "import tidegate.agent.service")


@contextlib.contextmanager
def agent() -> Iterator[Callable[[], None]]:
    """Run a simulated node and an agent, each a process of its own; yields what asks the agent for its status."""
    with (
        tempfile.TemporaryDirectory(prefix="tidegate-bench-") as name,
        contextlib.ExitStack() as stack,
    ):
        folder = Path(name)
        node = stack.enter_context(_process("-m", "benchmarks.node", name))
        config = folder / "tidegate.toml"
        _until(config.exists, node)
        running = stack.enter_context(_process("-m", "tidegate", "agent", "--config", str(config)))
        socket = folder / "run" / "agent.sock"
        _until(lambda: _grade(socket) == "ok", running)
        env = {"TIDEGATE_AGENT_RUN_DIR": str(folder / "run")}
        yield lambda: _run(str(SCRIPT), "status", env=env)


@contextlib.contextmanager
def _process(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, *arguments], stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.terminate()


def _until(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _WITHIN
    while not condition():
        assert process.poll() is None, f"{process.args!r} has ended"
        assert time.monotonic() < end, f"{process.args!r} is not ready after {_WITHIN:.0f} s"
        time.sleep(0.05)


def _grade(socket: Path) -> str:
    try:
        answers = list(link.ask(socket, {"op": "status", "format": "json"}))
    except link.NoAgent:
        return ""
    return str(json.loads(answers[-1]["text"])["grade"])
