# SPDX-License-Identifier: Apache-2.0
"""``tidegate guard run`` as its unit runs it: sockets and guard.json from systemd, READY and WATCHDOG to it, restarts that lose nothing."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import pytest
from tests.unit.guard.test_relay import Controller, call

from tidegate.core.ids import NodeName
from tidegate.guard import record
from tidegate.guard.admission import listening
from tidegate.guard.record import Form, Record

WITHIN = 20.0
START = """
import os, sys
spare = [os.dup(int(number)) for number in sys.argv[1:3]]
for place, one in enumerate(spare):
    os.dup2(one, 10 + place)
for place in range(len(spare)):
    os.dup2(10 + place, 3 + place)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2"}
os.execv(sys.argv[3], sys.argv[3:])
"""
"""What systemd does between fork and exec."""


class Systemd:
    """What systemd gives to the guard: two listening sockets, a credential, and an ear."""

    def __init__(self, directory: Path, controllers: tuple[str, ...]) -> None:
        self.tcp = listening("127.0.0.1:0")
        self.url = f"http://127.0.0.1:{self.tcp.getsockname()[1]}"
        self.control = directory / "guard.sock"
        self.unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.unix.bind(str(self.control))
        self.unix.listen()
        self._ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ear.bind(str(directory / "notify"))
        self._ear.setblocking(False)
        self._directory = directory
        kept = Record(
            node=NodeName("n1"),
            form=Form.CLUSTER,
            controllers=controllers,
            password="p",
            secret="s",
        )
        (directory / record.FILE).write_bytes(record.written(kept))

    def close(self) -> None:
        for one in (self.tcp, self.unix, self._ear):
            one.close()

    async def hears(self, word: str) -> None:
        """Wait until the guard has told ``word``."""
        async with asyncio.timeout(WITHIN):
            while word.encode() not in await asyncio.get_running_loop().sock_recv(self._ear, 4096):
                pass

    async def start(self, *, sockets: bool = True) -> asyncio.subprocess.Process:
        tcp, unix = self.tcp.fileno(), self.unix.fileno()
        words = (sys.executable, "-m", "tidegate", "guard", "run")
        first = (sys.executable, "-c", START, str(tcp), str(unix)) if sockets else ()
        return await asyncio.create_subprocess_exec(
            *first,
            *words,
            pass_fds=(tcp, unix),
            env={
                **os.environ,
                "CREDENTIALS_DIRECTORY": str(self._directory),
                "NOTIFY_SOCKET": str(self._directory / "notify"),
                "WATCHDOG_USEC": "600000",
                "TIDEGATE_AGENT_RUN_DIR": str(self._directory / "run"),
            },
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.subprocess.Process]:
        process = await self.start()
        try:
            await self.hears("READY=1")
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


@contextlib.asynccontextmanager
async def host(directory: Path) -> AsyncIterator[tuple[Systemd, Controller]]:
    controller = Controller()
    async with controller.serving() as real:
        systemd = Systemd(directory, (real,))
        try:
            yield systemd, controller
        finally:
            systemd.close()


async def test_it_serves_what_systemd_hands_over_and_feeds_its_watchdog(tmp_path: Path) -> None:
    async with host(tmp_path) as (systemd, controller), systemd.running() as process:
        assert (await call(f"{systemd.url}/v1/nodes"))[0] == 200
        connector = aiohttp.UnixConnector(path=str(systemd.control))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get("http://t/tidegate/v1/stats") as got,
        ):
            told = msgspec.json.decode(await got.read())
        assert told["node"] == "n1"
        assert told["controllers"] == [controller.url]
        await systemd.hears("WATCHDOG=1")
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(WITHIN):
            assert await process.wait() == 0


async def test_incus_which_is_ordered_after_it_need_not_wait_until_it_is_loaded(
    tmp_path: Path,
) -> None:
    async with host(tmp_path) as (systemd, _), systemd.running():
        await systemd.hears("STATUS=serves")  # READY was heard before
        assert (await call(f"{systemd.url}/v1/nodes"))[0] == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_restart_loses_no_new_request(tmp_path: Path, number: signal.Signals) -> None:
    """The sockets are systemd's: what is asked while no guard is there waits for the next one."""
    async with host(tmp_path) as (systemd, _), asyncio.TaskGroup() as group:
        async with systemd.running() as process:
            assert (await call(f"{systemd.url}/v1/nodes"))[0] == 200
            process.send_signal(number)
            await process.wait()
        asked = group.create_task(call(f"{systemd.url}/v1/nodes"))
        await asyncio.sleep(0)
        async with systemd.running():
            assert (await asked)[0] == 200


STRANGER = """
import base64, encodings.idna, os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
port, login, leaves = int(sys.argv[1]), sys.argv[2], sys.argv[3]
line = socket.create_connection(("127.0.0.1", port))
more = f"Authorization: Basic {base64.b64encode(login.encode()).decode()}\\r\\n" if login else ""
line.sendall(f"DELETE /v1/nodes/n1 HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\n{more}\\r\\n".encode())
if leaves:
    sys.exit()
print(line.recv(65536).decode())
"""
"""Another user of this host, who asks, and may leave before he is answered: then the kernel calls his socket root's."""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
@pytest.mark.parametrize(
    ("login", "leaves", "status"),
    [("", "", 403), ("tidegate:guess", "", 403), ("tidegate:p", "", 200), ("", "leaves", None)],
    ids=["nothing", "a guess", "the secret", "nothing, and leaves"],
)
async def test_another_user_of_this_host_gets_nothing(
    tmp_path: Path, login: str, leaves: str, status: int | None
) -> None:
    """The guard has what opens the controllers; it lends that to root and to who was given the secret (safety 6)."""
    async with host(tmp_path) as (systemd, controller), systemd.running():
        for _ in range(20 if leaves else 1):
            asks = await asyncio.create_subprocess_exec(
                *(sys.executable, "-IS", "-c", STRANGER, systemd.url.rpartition(":")[2]),
                *(login, leaves),
                stdout=asyncio.subprocess.PIPE,
            )
            said, _ = await asks.communicate()
        assert (await call(f"{systemd.url}/v1/x"))[0] == 200, "root is served"
    assert status is None or said.startswith(f"HTTP/1.1 {status} ".encode())
    asked = [method for method, _, _ in controller.asked]
    assert asked == (["DELETE", "GET"] if status == 200 else ["GET"])


async def test_without_a_socket_or_a_record_it_says_so(tmp_path: Path) -> None:
    async with host(tmp_path) as (systemd, _):
        process = await systemd.start(sockets=False)
        async with asyncio.timeout(WITHIN):
            assert await process.wait() == 2
        (tmp_path / record.FILE).write_text("{")
        process = await systemd.start()
        async with asyncio.timeout(WITHIN):
            assert await process.wait() == 2
