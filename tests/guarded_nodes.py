# SPDX-License-Identifier: Apache-2.0
"""A simulated node whose Incus speaks real HTTP to a list of controllers, as golinstor does: to the guard first.

Its LINSTOR calls go over sockets; opening and mounting stay in the model. No time-outs, as Incus has none (facts/incus.md L31), and
the next address of the list only after an error below HTTP (L35).
"""

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator, Generator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from tests import embedded_nodes as nodes

from tidegate.agent import guarding, guardprobe, guardview
from tidegate.guard import record
from tidegate.sim.embedded import EmbeddedNode
from tidegate.sim.faults import Fault
from tidegate.sim.linstor.answer import Answer, Wait
from tidegate.sim.linstor.front import LinstorFront, Steps
from tidegate.sim.storage import Failed, Hangs, Reply


class HttpFront(LinstorFront):
    """One LINSTOR pool as Incus meets it over HTTP. ``urls`` in the order of Incus's list; the one that answered goes first."""

    def __init__(self, node: EmbeddedNode, urls: Sequence[str]) -> None:
        super().__init__(node.world, pool="remote", url=urls[0])
        self._node = node
        self._urls = list(urls)
        self._calls: set[asyncio.Task[Answer]] = set()
        self.log: list[tuple[str, int, str]] = []
        """(call, status, text) in order of their answers; status 0: no controller could be reached."""

    def _transport(self, path: str) -> Reply | None:
        return None

    def _ask(self, key: str, steps: Steps) -> Reply:
        """Nobody knows when a socket answers: Incus's model looks again every ``IncusTimings.recheck``."""
        reply = super()._ask(key, steps)
        return Hangs() if isinstance(reply, Hangs) else reply

    def _call(self, method: str, path: str, **query: list[str]) -> Generator[Wait, None, Answer]:
        target = quote(path, safe="/") + (f"?{urlencode(query, doseq=True)}" if query else "")
        task = asyncio.get_running_loop().create_task(self._request(method, target))
        self._calls.add(task)
        yield Wait(ready=task.done)
        self._calls.discard(task)
        return task.result()

    async def _request(self, method: str, target: str) -> Answer:
        data = b"{}" if method == "POST" else None
        for url in tuple(self._urls):
            try:
                async with (
                    aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session,
                    session.request(method, url + target, data=data) as response,
                ):
                    body = await response.read()
                    text = body.decode()
                    self.log.append((f"{method} {target}", response.status, text))
                    self._urls.remove(url)
                    self._urls.insert(0, url)
                    return Answer(status=response.status, body=_decoded(body))
            except (aiohttp.ClientError, OSError) as error:
                self.log.append((f"{method} {target}", 0, f"{url}: {error}"))
        refused = f'Get "{self._urls[0]}{target}": dial tcp: connect: connection refused'
        return Answer(status=502, body=[{"message": refused}])

    async def end(self) -> None:
        """End the calls under way."""
        for task in self._calls:
            task.cancel()
        if self._calls:
            await asyncio.wait(self._calls)

    def mount_pool(self) -> Reply:
        """As the driver does it; the call has a ``?`` behind it, or not, as golinstor likes."""
        reply = super().mount_pool()
        if isinstance(reply, Failed):
            self.log.append(("mount", -1, reply.text))
        return reply

    def answered(self, part: str) -> list[tuple[str, int, str]]:
        """All answers to calls that have ``part`` in them."""
        return [one for one in self.log if part in one[0]]


def _decoded(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body.decode(errors="replace")


class Guard:
    """A running ``tidegate guard``."""

    def __init__(self, process: asyncio.subprocess.Process, url: str, log: Path) -> None:
        self.process = process
        self.url = url
        self._log = log

    @property
    def log(self) -> str:
        """What it has written so far."""
        return self._log.read_text(errors="replace")


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def guard(
    node: EmbeddedNode,
    *arguments: str,
    more: Mapping[str, object] | None = None,
    port: int | None = None,
    wait: bool = True,
) -> AsyncIterator[Guard]:
    """Run the guard by hand in front of the node's controller."""
    place = f"127.0.0.1:{port or free_port()}"
    log = node.directory / "guard.log"
    config = nodes.config_file(node, more)
    with log.open("ab") as stream:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tidegate", "guard", "--config", str(config)),
            *("--listen", place, "--controller", node.linstor_face.url, "--node", node.world.local),
            *arguments,
            stdout=stream,
            stderr=stream,
        )
    running = Guard(process, f"http://{place}", log)
    try:
        async with asyncio.timeout(nodes.WITHIN):
            while wait and not await _listens(place):
                assert process.returncode is None, running.log
                await asyncio.sleep(nodes.STEP)
        yield running
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _listens(place: str) -> bool:
    host, _, port = place.rpartition(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return False
    writer.close()
    return True


def enabled(node: EmbeddedNode) -> tuple[str, str]:
    """Have the agent take the guard for one that `tidegate guard enable` made; returns what the guard must be called with."""
    state = node.directory / "state"
    state.mkdir(parents=True, exist_ok=True)
    (state / record.FILE).touch()
    socket_path = node.root / guardprobe.SOCKET
    socket_path.parent.mkdir(parents=True, exist_ok=True)
    return "--socket", str(socket_path)


def seen_ready(node: EmbeddedNode) -> None:
    """Incus was ready once in an earlier boot, with the program that is there now."""
    program = node.root / "usr/libexec/incus/incusd"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.touch()
    state = node.directory / "state"
    state.mkdir(parents=True, exist_ok=True)
    kept = guardview.Kept(binary=guarding.binary(node.root))
    (state / guarding.KEPT).write_bytes(msgspec.json.encode(kept))


def node(directory: Path, *found: Fault) -> EmbeddedNode:
    """A node with these faults whose Incus may be sent over HTTP."""
    return nodes.node(directory, *found, timings=nodes.quick(recheck=nodes.STEP))


@contextlib.contextmanager
def asks(node: EmbeddedNode, *urls: str) -> Generator[HttpFront, None, None]:
    """Have the node's Incus ask these addresses; before it boots."""
    front = HttpFront(node, urls)
    node.incus.world.fronts["remote"] = front
    yield front
