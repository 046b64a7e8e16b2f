# SPDX-License-Identifier: Apache-2.0
"""The control socket over a real unix socket, with the command's own way of asking."""

import asyncio
import contextlib
import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tidegate.agent.control import ControlSocket, SocketTaken
from tidegate.cli import link


class Echo:
    async def answer(self, request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        yield {"progress": "heard"}
        yield {"exit": 0, "text": json.dumps(request)}


@contextlib.asynccontextmanager
async def served(path: Path, **options: Any) -> AsyncIterator[None]:
    ready = asyncio.Event()
    task = asyncio.ensure_future(ControlSocket(path, Echo(), **options).serve(ready))
    try:
        async with asyncio.timeout(5):
            await ready.wait()
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


def ask(path: Path, request: dict[str, Any]) -> list[dict[str, Any]]:
    return list(link.ask(path, request))


async def test_a_command_gets_every_answer(tmp_path: Path) -> None:
    path = tmp_path / "run" / "agent.sock"
    async with served(path):
        answers = await asyncio.to_thread(ask, path, {"op": "ping"})
    assert answers == [{"progress": "heard"}, {"exit": 0, "text": '{"op": "ping"}'}]
    assert not path.exists()


async def test_other_users_are_refused_by_the_kernels_word(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    async with served(path, may_ask=lambda _uid: False):
        (answer,) = await asyncio.to_thread(ask, path, {"op": "ping"})
        assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0
    assert answer["exit"] == 2
    assert "only root" in answer["text"]


async def test_a_second_agent_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    async with served(path):
        with pytest.raises(SocketTaken, match="another agent"):
            await ControlSocket(path, Echo()).serve(asyncio.Event())


async def test_what_a_dead_agent_left_behind_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    server = await asyncio.start_unix_server(lambda _r, _w: None, path=str(path))
    server.close()
    await server.wait_closed()
    path.touch()
    async with served(path):
        answers = await asyncio.to_thread(ask, path, {"op": "ping"})
    assert answers[-1]["exit"] == 0


async def test_garbage_harms_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    async with served(path):
        for garbage in (b"\n", b"[]\n", b"\xff\xfe\n", b"x" * 100_000):
            reader, writer = await asyncio.open_unix_connection(str(path))
            writer.write(garbage)
            writer.write_eof()
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()
        answers = await asyncio.to_thread(ask, path, {"op": "ping"})
    assert answers[-1]["exit"] == 0


def test_no_agent_is_said_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(link.NoAgent, match="no agent runs"):
        ask(tmp_path / "agent.sock", {"op": "ping"})
