# SPDX-License-Identifier: Apache-2.0
"""When the guard's unit loads: not before the agent, unless somebody calls."""

import os
import socket
import time
from pathlib import Path

import pytest

from tidegate.cli import guard
from tidegate.clients.systemd import enabled

LONG = 60.0


@pytest.fixture(autouse=True)
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the agent will answer; nobody does so yet."""
    path = tmp_path / "guarding.sock"
    monkeypatch.setattr(guard, "AGENT", str(path))
    monkeypatch.setattr(guard, "HEAD_START", LONG)
    monkeypatch.setattr(enabled, "is_enabled", lambda unit: unit == "tidegate-agent.service")
    return path


def waited(environ: dict[str, str]) -> float:
    began = time.monotonic()
    guard._give_way(environ)
    return time.monotonic() - began


def test_a_call_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(guard, "_FIRST_DESCRIPTOR", server.fileno())
        with socket.create_connection(server.getsockname()):
            assert waited({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}) < LONG


def test_an_agent_that_is_up_is_a_reason(agent: Path) -> None:
    agent.touch()
    assert waited({}) < LONG


def test_where_no_agent_is_enabled_none_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enabled, "is_enabled", lambda _unit: False)
    assert waited({}) < LONG


@pytest.mark.parametrize("count", ["0", "many"])
def test_else_it_gives_way_for_a_moment(count: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "HEAD_START", 0.1)
    assert waited({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": count}) >= 0.1


def test_sockets_of_another_process_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "HEAD_START", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(guard, "_FIRST_DESCRIPTOR", server.fileno())
        with socket.create_connection(server.getsockname()):
            assert waited({"LISTEN_PID": "1", "LISTEN_FDS": "1"}) >= 0.1
