# SPDX-License-Identifier: Apache-2.0
"""What a command may cost when the agent answers it: units and hooks pay for its imports at every call (design.md, stack)."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

TOO_DEAR = {
    *(
        "aiohttp",
        "asyncio",
        "concurrent.futures",
        "http.client",
        "logging",
        "msgspec",
        "sqlite3",
        "ssl",
    ),
    *(
        "importlib.metadata",
        "pathlib",
        "shutil",
        "subprocess",
        "tempfile",
        "typing",
        "urllib.request",
    ),
}
_REPORT = """
import sys
from tidegate.cli import main
try:
    code = main.main(sys.argv[1:])
except SystemExit as end:
    code = end.code
print(*sorted(sys.modules), sep="\\n", file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[Path]:
    """A directory in which something answers as an agent would."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "agent.sock"))
        listening.listen()

        def serve() -> None:
            connection, _ = listening.accept()
            with connection, connection.makefile("rb") as stream:
                stream.readline()
                connection.sendall(json.dumps({"exit": 4, "text": "answered\n"}).encode() + b"\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield tmp_path
        thread.join(5)


def modules(*arguments: str, run_dir: Path) -> tuple[int, str, set[str]]:
    done = subprocess.run(
        [sys.executable, "-c", _REPORT, *arguments],
        env={"PATH": os.environ["PATH"], "TIDEGATE_AGENT_RUN_DIR": str(run_dir)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout, set(done.stderr.splitlines())


@pytest.mark.parametrize(
    "arguments",
    [["status"], ["status", "--format", "json"], ["why", "satellite"], ["wait", "--timeout", "5"]],
    ids=" ".join,
)
def test_a_command_that_the_agent_answers_imports_little(
    answering: Path, arguments: list[str]
) -> None:
    code, text, imported = modules(*arguments, run_dir=answering)
    assert (code, text) == (4, "answered\n")
    assert "tidegate.cli.link" in imported
    assert not imported & TOO_DEAR
    assert not {name for name in imported if name.startswith("tidegate.")} - {
        *("tidegate.cli", "tidegate.cli.link", "tidegate.cli.main", "tidegate.cli.options"),
        f"tidegate.cli.{arguments[0]}",
    }


def test_the_version_needs_next_to_nothing(tmp_path: Path) -> None:
    _code, _text, imported = modules("--version", run_dir=tmp_path)
    assert not imported & (TOO_DEAR | {"argparse", "json", "re", "socket"})
