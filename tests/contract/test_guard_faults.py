# SPDX-License-Identifier: Apache-2.0
"""Faults over real sockets (issue 6, "It must show" 4): no wrong answer, no hang, nothing repeated that is not idempotent."""

import asyncio
import contextlib
import resource
import socket
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.contract.test_guard_unit import Systemd
from tests.guard_wire import Asked, Got, Line, Wire, answer, ask, chunked, in_chunks, request
from tests.unit.guard.test_relay import guard

WITHIN = 60.0
"""Seconds for anything, on a busy machine."""


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def free_port() -> int:
    """A port of the loopback that nobody has at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def memory(pid: int) -> int:
    """MiB that a process has in memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) // 1024


@contextlib.asynccontextmanager
async def unit(directory: Path, *controllers: str) -> AsyncIterator[Systemd]:
    """The guard as a process, with its sockets held by somebody else."""
    systemd = Systemd(directory, controllers)
    try:
        yield systemd
    finally:
        systemd.close()


# --- the controller ---------------------------------------------------------------------------

BROKEN = {
    "length": answer(b"x" * 1000)[:-500],
    "chunk": chunked(b"x" * 1000)[:-500],
    "last chunk": chunked(b"x" * 1000)[:-5],
    "head": b"HTTP/1.1 200 OK\r\nContent-Le",
}


@pytest.mark.parametrize("reset", [True, False])
@pytest.mark.parametrize("form", BROKEN)
async def test_an_answer_that_breaks_off_is_never_taken_for_a_whole_one(
    form: str, reset: bool
) -> None:
    wire = Wire(BROKEN[form])
    wire.ends = "reset" if reset else "close"
    async with wire.serving(), guard((wire.url,)) as url:
        for method in ("POST", "GET"):
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                got = await ask(port_of(url), request(method, "/v1/nodes", b"{}"))
                assert not got.whole or got.status == 503
        assert Counter(one.method for one in wire.asked)["POST"] == 1
        wire.ends = ""
        wire.answers = lambda _: answer()
        assert (await ask(port_of(url), request("GET", "/v1/nodes"))).status == 200


async def test_an_answer_that_comes_byte_by_byte_is_whole_and_hinders_nobody() -> None:
    slow = asyncio.Event()

    async def answers(asked: Asked) -> bytes:
        if asked.target == "/slow":
            await slow.wait()
        return answer(asked.target.encode())

    async with Wire(answers).serving() as wire, guard((wire.url,)) as url:
        async with asyncio.TaskGroup() as group:
            waits = group.create_task(ask(port_of(url), request("GET", "/slow")))
            for _ in range(50):
                assert (await ask(port_of(url), request("GET", "/quick"))).body == b"/quick"
            assert not waits.done()
            slow.set()
        assert waits.result().body == b"/slow"


@pytest.mark.parametrize(
    ("method", "asked"), [("GET", ["GET"]), ("HEAD", ["HEAD"]), ("POST", []), ("DELETE", [])]
)
async def test_a_controller_that_goes_while_it_is_asked(method: str, asked: list[str]) -> None:
    """What changes nothing is asked of the next one; what may have been done already is not, and Incus is told."""
    first, second = Wire(lambda _: None), Wire(lambda _: answer(b"second"))
    second.port = free_port()
    async with contextlib.AsyncExitStack() as later, contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(first.serving())
        gone: list[Asked] = []

        async def dies(request: Asked) -> None:
            gone.append(request)
            await stack.aclose()

        async with guard((first.url, second.url)) as url:
            await ask(port_of(url), request("GET", "/v1/controller/version"))
            await later.enter_async_context(second.serving())
            first.answers = dies
            body = b"{}" if method == "POST" else None
            got = await ask(port_of(url), request(method, "/v1/x", body))
    assert [one.method for one in second.asked] == asked
    assert len(gone) == 1
    assert got.status == (200 if asked else 503)
    if not asked:
        assert b"Tidegate: " in got.body


@pytest.mark.parametrize("body", [None, b"{}"])
async def test_what_was_not_sent_goes_to_the_next_controller(body: bytes | None) -> None:
    """The active one is gone, which shows when it is connected to: nothing was asked of it, so a POST may be."""
    first, second = Wire(answer(b"first")), Wire(answer(b"second"))
    second.port = free_port()
    async with contextlib.AsyncExitStack() as later, contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(first.serving())
        async with guard((first.url, second.url)) as url:
            await ask(port_of(url), request("GET", "/v1/nodes"))
            await later.enter_async_context(second.serving())
            await stack.aclose()
            got = await ask(port_of(url), request("POST", "/v1/x", body))
    assert (got.status, got.body) == (200, b"second")
    assert [one.method for one in second.asked if one.target == "/v1/x"] == ["POST"]


# --- the client -------------------------------------------------------------------------------


async def test_a_client_that_half_closes_or_goes_frees_what_it_used() -> None:
    """Its own call ends, whatever becomes of it; the next client is served."""
    never = asyncio.Event()
    ended = asyncio.Event()

    async def answers(asked: Asked) -> bytes | None:
        if asked.target != "/never":
            return answer()
        try:
            await never.wait()
        finally:
            ended.set()
        return None

    async with Wire(answers).serving() as wire, guard((wire.url,)) as url:
        async with Line.to(port_of(url)) as line:
            line.writer.write(request("GET", "/never"))
            await asyncio.wait_for(wire.heard.wait(), WITHIN)
            line.writer.write_eof()
            async with asyncio.timeout(WITHIN):
                assert await line.reader.read() == b""
        wire.drop()
        assert (await ask(port_of(url), request("GET", "/v1/nodes"))).status == 200


async def test_a_client_that_goes_from_an_idle_stream_ends_it_at_the_controller() -> None:
    """Else each agent that was restarted would leave a stream behind, until there are no places any more."""
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    wire = Wire(head + in_chunks(b": hello\n\n")[:-5])
    async with wire.serving(), guard((wire.url,)) as url:
        for _ in range(3):
            async with Line.to(port_of(url)) as line:
                line.writer.write(request("GET", "/v1/events/drbd/promotion"))
                async with asyncio.timeout(WITHIN):
                    await line.reader.readuntil(b": hello\n\n")
        await wire.until(lambda: wire.connections <= 1)


async def test_heads_that_never_end_hinder_nobody() -> None:
    async with (
        Wire(answer()).serving() as wire,
        guard((wire.url,)) as url,
        contextlib.AsyncExitStack() as stack,
    ):
        for _ in range(200):
            line = await stack.enter_async_context(Line.to(port_of(url)))
            line.writer.write(b"GET /v1/nodes HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
        assert (await ask(port_of(url), request("GET", "/v1/nodes"))).status == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nHost : 127.0.0.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
    ids=[
        *("long line", "long header", "TLS", "version", "two framings", "two lengths"),
        *("length below zero", "no chunk", "space before a colon", "no host"),
    ],
)
async def test_what_is_no_request_is_refused_and_never_forwarded(sent: bytes) -> None:
    """Two ways to read one request are how a second one is smuggled in."""
    async with Wire(answer()).serving() as wire, guard((wire.url,)) as url:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            assert (await ask(port_of(url), sent)).status >= 400
        assert (await ask(port_of(url), request("GET", "/v1/nodes"))).status == 200
        assert [one.target for one in wire.asked if one.body or one.target != "/v1/nodes"] == []


# --- much of everything -----------------------------------------------------------------------


async def test_a_huge_body_passes_both_ways_and_is_never_held(tmp_path: Path) -> None:
    size, piece = 128, b"\xa5" * (1 << 20)
    wire = Wire(answer())
    wire.huge = size
    async with wire.serving(), unit(tmp_path, wire.url) as systemd, systemd.running() as process:
        port = port_of(systemd.url)
        await ask(port, request("GET", "/v1/nodes"))
        before = memory(process.pid)
        async with Line.to(port) as line, asyncio.timeout(WITHIN):
            line.writer.write(request("POST", "/huge", None, f"Content-Length: {size << 20}"))
            for _ in range(size):
                line.writer.write(piece)
                await line.writer.drain()
            got = 0
            await line.reader.readuntil(b"\r\n\r\n")
            while got < size << 20:
                got += len(await line.reader.read(1 << 20))
        assert wire.swallowed == size << 20
        assert memory(process.pid) - before < 32, "it holds no body whole"


async def test_ten_thousand_connections(tmp_path: Path) -> None:
    """Each is answered right, or closed for a newer one; who comes after them is served at once, and memory has an end."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 20_000:
        pytest.skip(f"this process may open {hard} files only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    told: Counter[bytes] = Counter()

    async def one(number: int) -> None:
        async with several:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                line = await stack.enter_async_context(Line.to(port_of(systemd.url)))
                got = await line.ask(request("GET", f"/v1/{number}"))
                assert (got.status, got.body) == (200, b"/v1/%d" % number)
                told[b"right"] += 1

    several = asyncio.Semaphore(200)
    async with (
        Wire(lambda asked: answer(asked.target.encode())).serving() as wire,
        unit(tmp_path, wire.url) as systemd,
        systemd.running() as process,
        contextlib.AsyncExitStack() as stack,
    ):
        async with asyncio.timeout(4 * WITHIN), asyncio.TaskGroup() as group:
            for number in range(10_000):
                group.create_task(one(number))
        assert told[b"right"] > 9_900
        last = await ask(port_of(systemd.url), request("GET", "/v1/last"))
        assert last.body == b"/v1/last"
        assert memory(process.pid) < 256, "its unit allows no more"


async def test_killed_under_load_it_answers_nothing_wrong_and_repeats_nothing(
    tmp_path: Path,
) -> None:
    """Its sockets outlive it, as systemd keeps them. A client whose connection breaks does not know; it never asks again by itself."""
    done = asyncio.Event()
    answered: Counter[str] = Counter()

    async def client(name: int, port: int) -> None:
        for number in range(1_000_000):
            if done.is_set():
                return
            target = f"/v1/{name}-{number}"
            body = target.encode()
            try:
                got: Got = await ask(port, request("POST", target, body))
            except (ConnectionError, asyncio.IncompleteReadError):
                answered["broken"] += 1
                continue
            assert (got.status, got.body) == (200, body) or not got.whole
            answered["right"] += 1

    async with (
        Wire(lambda asked: answer(asked.body)).serving() as wire,
        unit(tmp_path, wire.url) as systemd,
        asyncio.TaskGroup() as group,
    ):
        clients = [group.create_task(client(name, port_of(systemd.url))) for name in range(20)]
        for _ in range(3):
            async with systemd.running() as process:
                wanted = answered["right"] + 100
                await wire.until(lambda: answered["right"] >= wanted)  # noqa: B023
                process.kill()
                await process.wait()
        async with systemd.running():
            done.set()
            async with asyncio.timeout(WITHIN):
                await asyncio.gather(*clients)
    assert max(Counter(one.target for one in wire.asked).values()) == 1
    assert answered["right"] >= 300
