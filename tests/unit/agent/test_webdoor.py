# SPDX-License-Identifier: Apache-2.0
"""What the agent's start does not pay for, and what it does without."""

import asyncio
import contextlib
import gc
import logging
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from tests.hand_made import offline, snapshot

from tidegate.agent import webdoor
from tidegate.agent.meter import Meter
from tidegate.config import values
from tidegate.core.finding import Report
from tidegate.core.snapshot import Snapshot
from tidegate.metrics.tally import Tally

DEAR = {"prometheus_client", "aiohttp.web", "tidegate.agent.web"}


class Scene:
    sentence = "waits"
    last_turn = 75.0

    @property
    def snapshot(self) -> Snapshot:
        return snapshot()

    @property
    def report(self) -> Report:
        return offline()


def meter() -> Meter:
    return Meter(Tally(satellite_unit="s", born=0.0), lambda _measures: None)


def test_the_agents_start_imports_neither_server_nor_exporter() -> None:
    code = "import sys, tidegate.agent.service; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert not DEAR & set(done.stdout.split())


async def test_a_door_that_is_closed_while_it_opens_leaves_no_socket(tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    serving = asyncio.ensure_future(
        webdoor.serve(path, ("127.0.0.1", 0), Scene(), meter(), lambda: 75.0)
    )
    await asyncio.sleep(0)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    gc.collect()  # a socket that was dropped unclosed warns, and a warning is an error
    assert not path.exists()


@contextlib.asynccontextmanager
async def asking(path: Path, now: float) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of a door that is open at ``path`` when it is ``now``."""
    serving = asyncio.ensure_future(webdoor.serve(path, None, Scene(), meter(), lambda: now))
    connector = aiohttp.UnixConnector(str(path))
    try:
        async with (
            asyncio.timeout(10),
            aiohttp.ClientSession("http://a", connector=connector) as client,
        ):
            while not is_listening(path):  # noqa: ASYNC110  a file
                await asyncio.sleep(0.01)
            yield client
    finally:
        serving.cancel()
        await asyncio.wait({serving})


def is_listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


async def test_the_first_caller_is_answered_though_nothing_was_loaded(tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    path.touch()  # left behind by an agent that died
    async with asking(path, 76.0) as client:
        async with client.get("/livez") as answer:
            assert (answer.status, await answer.text()) == (200, "alive\n")
        async with client.head("/metrics") as answer:
            assert answer.status == 200
    assert not path.exists()


async def test_a_loop_that_is_stuck_is_not_alive(tmp_path: Path) -> None:
    async with asking(tmp_path / "web.sock", 95.0) as client, client.get("/livez") as answer:
        assert (answer.status, await answer.text()) == (503, "the loop has not judged for 20 s\n")


async def test_a_place_that_cannot_be_had_is_told_and_done_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        async with asyncio.timeout(10):
            await webdoor.serve(tmp_path / "no" / "web.sock", None, Scene(), meter(), lambda: 1.0)
    assert "No such file or directory" in caplog.text
    assert "web.listen" in caplog.text


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("off", None),
        ("127.0.0.1:13371", ("127.0.0.1", 13371)),
        ("localhost:0", ("127.0.0.1", 0)),
        ("[::1]:13371", ("::1", 13371)),
        ("192.0.2.7:80", ("192.0.2.7", 80)),
    ],
)
def test_where_to_listen(text: str, address: tuple[str, int] | None) -> None:
    assert values.listen_address(text) == address


@pytest.mark.parametrize(
    "text", ["", "13371", "host:80", "::1:80", "127.0.0.1:", "127.0.0.1:99999", "[::1]"]
)
def test_what_is_no_place_to_listen(text: str) -> None:
    with pytest.raises(ValueError, match=r"address|port"):
        values.convert("web.listen", text)
