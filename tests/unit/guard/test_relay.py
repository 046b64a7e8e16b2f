# SPDX-License-Identifier: Apache-2.0
"""The transport over real sockets: bytes as they are, who may ask, limits, streams, and what the rules are asked."""

import asyncio
import base64
import contextlib
import io
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import msgspec
import pytest
from aiohttp import web
from tests.guard_calls import answer

from tidegate.clients.linstor.endpoints import Endpoints
from tidegate.guard import limits
from tidegate.guard.admission import Admission, listening
from tidegate.guard.interface import (
    Answer,
    Ask,
    Call,
    CallClass,
    ForwardThen,
    PassAll,
    Reply,
    Rules,
    Verdict,
    plain_error,
)
from tidegate.guard.relay import Guard
from tidegate.guard.stats import Stats

ME = Admission(uids=frozenset({os.geteuid()}))
NOBODY = Admission(uids=frozenset(), username="tidegate", password="secret")
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Controller:
    """A controller that answers its version, and everything else as a test wants; keeps what it was asked."""

    def __init__(self, handler: Handler | None = None) -> None:
        self.handler = handler
        self.asked: list[tuple[str, str, bytes]] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""
        self.body = b""

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/v1/controller/version":
            return web.json_response({"version": "1.33.2", "rest_api_version": "1.27.0"})
        body = await request.content.read()
        self.body = body
        self.asked.append((request.method, request.raw_path, body))
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        if self.handler is not None:
            return await self.handler(request)
        return web.Response(body=b'[ {"odd" :  1} ]', content_type="application/json")

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        server = web.Server(self._handle)
        runner = web.ServerRunner(server)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self.url
        finally:
            await runner.cleanup()


class Named(PassAll):
    """Rules with one verdict for ``/named``."""

    def __init__(self, verdict: Verdict, reviewed: Answer | None = None, slow: float = 0.0) -> None:
        self.verdict = verdict
        self.reviewed = reviewed
        self.slow = slow
        self.saw: list[Answer] = []
        self.again: Answer | None = None

    def concerns(self, call: Call, /) -> CallClass | None:
        return CallClass.VOLUMES if call.segments == ("named",) else None

    async def judge(self, _call: Call, /) -> Verdict:
        return self.verdict

    async def review(self, _call: Call, seen: Answer, ask: Ask, /) -> Answer | None:
        self.saw.append(seen)
        if self.slow:
            await asyncio.sleep(self.slow)
        self.again = await ask(limit=1.0)
        return self.reviewed


@contextlib.asynccontextmanager
async def guard(
    urls: tuple[str, ...],
    rules: Rules | None = None,
    admission: Admission = ME,
    unix: Path | None = None,
) -> AsyncIterator[str]:
    sockets = [listening("127.0.0.1:0")]
    if unix is not None:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.bind(str(unix))
        made.listen()
        made.setblocking(False)
        sockets.append(made)
    place = sockets[0].getsockname()
    serves = Guard(
        rules or PassAll(), Endpoints(urls=urls), admission, node="n1", clock=time.monotonic
    )
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(serves.serve(sockets, ready))
        await ready.wait()
        try:
            yield f"http://127.0.0.1:{place[1]}"
        finally:
            task.cancel()


async def call(
    url: str, method: str = "GET", *, data: bytes | io.BytesIO | None = None, **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    timeout = aiohttp.ClientTimeout(total=10)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.request(method, url, data=data, headers=headers, allow_redirects=False) as got,
    ):
        return got.status, await got.read(), dict(got.headers)


async def raw(url: str, request: bytes) -> bytes:
    host, _, port = url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    async with asyncio.timeout(10):
        found = await reader.read()
    writer.close()
    await writer.wait_closed()
    return found


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    "target",
    [
        "/v1/nodes?x=%2F&y=a+b",
        "/v1//odd/%7Epath/",
        "/v1/resource-definitions?props=a%3Db&props=c",
        "/",
    ],
)
async def test_a_call_passes_as_it_is(method: str, target: str) -> None:
    controller = Controller()
    async with controller.serving() as real, guard((real,)) as url:
        place = url.removeprefix("http://")
        body = b'{"a": 1}' if method in {"POST", "PUT", "PATCH"} else b""
        head = f"{method} {target} HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\nX-Mine: 1\r\n"
        got = await raw(url, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    assert got.startswith(b"HTTP/1.1 200 ")
    assert got.endswith(b'\r\n\r\n[ {"odd" :  1} ]')
    assert controller.asked == [(method, target, body)]
    assert controller.headers[0]["x-mine"] == "1"
    assert "user-agent" not in controller.headers[0]


@pytest.mark.parametrize("status", [200, 201, 302, 404, 500])
async def test_status_and_redirects_are_the_controllers_own(status: int) -> None:
    async def handler(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status, body=b"x", headers={"Location": "https://elsewhere/"})

    async with Controller(handler).serving() as real, guard((real,)) as url:
        found, body, headers = await call(f"{url}/v1/x")
    assert (found, body, headers["Location"]) == (status, b"x", "https://elsewhere/")


async def test_a_long_body_passes_both_ways() -> None:
    sent = os.urandom(3_000_000)

    async def handler(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=controller.body)

    controller = Controller(handler)
    async with controller.serving() as real, guard((real,)) as url:
        status, body, _ = await call(f"{url}/v1/x", "POST", data=io.BytesIO(sent))
    assert status == 200
    assert body == sent


async def test_events_are_passed_on_one_by_one() -> None:
    more = asyncio.Event()

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"event: one\n\n")
        await more.wait()
        await response.write(b"event: two\n\n")
        return response

    async with (
        Controller(handler).serving() as real,
        guard((real,)) as url,
        aiohttp.ClientSession() as session,
        session.get(f"{url}/v1/events/nodes", headers={"Accept": "text/event-stream"}) as got,
        asyncio.timeout(10),
    ):
        assert await got.content.readany() == b"event: one\n\n"
        more.set()
        assert await got.content.readany() == b"event: two\n\n"


async def test_an_answer_that_breaks_off_is_not_passed_for_a_whole_one() -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"x" * 10)
        assert request.transport is not None
        request.transport.abort()
        return response

    async with Controller(handler).serving() as real, guard((real,)) as url:
        with pytest.raises(aiohttp.ClientError):
            await call(f"{url}/v1/x")


@pytest.mark.parametrize(
    ("request_line", "host", "status"),
    [
        ("GET /v1/nodes HTTP/1.1", "evil.example", 421),
        ("GET /v1/nodes HTTP/1.1", "127.0.0.1.evil.example:13370", 421),
        ("GET http://evil.example/v1/nodes HTTP/1.1", "127.0.0.1:1", 400),
        ("GET /v1/nodes HTTP/1.1", "127.0.0.1\r\nX-Tidegate-Loop: 1", 508),
    ],
)
async def test_what_is_not_for_the_guard_is_refused(
    request_line: str, host: str, status: int
) -> None:
    controller = Controller()
    async with controller.serving() as real, guard((real,)) as url:
        got = await raw(url, f"{request_line}\r\nHost: {host}\r\n\r\n".encode())
    assert got.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"Tidegate: " in got
    assert controller.asked == []


async def test_another_user_brings_the_secret_or_gets_nothing_and_the_controller_never_sees_it() -> (
    None
):
    controller = Controller()
    login = base64.b64encode(b"tidegate:secret").decode()
    wrong = base64.b64encode(b"tidegate:guess").decode()
    async with controller.serving() as real, guard((real,), admission=NOBODY) as url:
        assert (await call(f"{url}/v1/x"))[0] == 403
        assert (await call(f"{url}/v1/x", Authorization=f"Basic {wrong}"))[0] == 403
        assert (await call(f"{url}/v1/x", Authorization=f"Basic {login}"))[0] == 200
    assert [one.get("authorization") for one in controller.headers] == [None]


async def test_strangers_get_few_connections_and_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROVEN_WITHIN", 0.3)
    controller = Controller()
    login = base64.b64encode(b"tidegate:secret").decode()
    async with controller.serving() as real, guard((real,), admission=NOBODY) as url:
        host, _, port = url.removeprefix("http://").rpartition(":")
        idle = [await asyncio.open_connection(host, int(port)) for _ in range(100)]
        async with asyncio.timeout(10):
            assert [await reader.read() for reader, _ in idle] == [b""] * 100
        for _, writer in idle:
            writer.close()
        assert (await call(f"{url}/v1/x", Authorization=f"Basic {login}"))[0] == 200


async def test_the_active_controller_among_several_is_asked_and_another_when_it_goes() -> None:
    one, other = Controller(), Controller()
    async with other.serving() as second, contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(one.serving())
        async with guard(("http://127.0.0.1:9", first)) as url:
            assert (await call(f"{url}/v1/x"))[0] == 200
        async with guard((first, second)) as url:
            assert (await call(f"{url}/v1/x"))[0] == 200
            await stack.aclose()
            assert (await call(f"{url}/v1/x"))[0] == 200
    assert other.asked


async def test_with_no_controller_the_error_is_quick_and_in_linstors_form() -> None:
    async with guard(("http://127.0.0.1:9",)) as url:
        began = time.monotonic()
        status, body, _ = await call(f"{url}/v1/nodes")
        assert time.monotonic() - began < 3.0
    assert status == 503
    (entry,) = msgspec.json.decode(body)
    assert entry["ret_code"] < 0
    assert "127.0.0.1:9" in entry["message"]


async def test_the_rules_own_answer_is_sent_with_its_reason() -> None:
    own = msgspec.structs.replace(
        plain_error(500, 998, "not yet"), why="not-ready", text="c1 is missing"
    )
    controller = Controller()
    async with controller.serving() as real, guard((real,), Named(Reply(answer=own))) as url:
        status, body, headers = await call(f"{url}/named")
        assert (await call(f"{url}/other"))[0] == 200
    assert (status, body) == (500, own.body)
    assert headers["X-Tidegate-Reason"] == "not-ready"
    assert headers["X-Tidegate-Text"] == "c1 is missing"
    assert [target for _, target, _ in controller.asked] == ["/other"]


async def test_the_rules_see_the_whole_answer_and_may_ask_again() -> None:
    rules = Named(ForwardThen(limit=5.0), reviewed=None)
    controller = Controller()
    async with controller.serving() as real, guard((real,), rules) as url:
        status, body, headers = await call(f"{url}/named", "POST", data=b"{}")
    assert (status, body) == (200, b'[ {"odd" :  1} ]')
    assert "X-Tidegate-Reason" not in headers
    assert rules.saw[0].body == body
    assert rules.again is not None
    assert controller.asked == [("POST", "/named", b"{}")] * 2


async def test_a_review_that_is_not_done_in_time_ends_with_what_was_said_beforehand() -> None:
    late = msgspec.structs.replace(answer([]), status=503)
    async with Controller().serving() as real:
        rules = Named(ForwardThen(limit=0.2, otherwise=late), slow=5.0)
        async with guard((real,), rules) as url:
            assert (await call(f"{url}/named"))[0] == 503
        rules = Named(ForwardThen(limit=0.2), slow=5.0)
        async with guard((real,), rules) as url:
            assert (await call(f"{url}/named"))[1] == b'[ {"odd" :  1} ]'


async def test_trouble_with_the_controllers_is_told_to_the_rules() -> None:
    rules = Named(ForwardThen(limit=5.0, otherwise=answer({"other": 1})))
    async with guard(("http://127.0.0.1:9",), rules) as url:
        _, body, _ = await call(f"{url}/named")
    assert rules.saw[0].trouble is not None
    assert msgspec.json.decode(body) == {"other": 1}


async def test_counts_are_told_on_the_unix_socket_and_nothing_is_forwarded_there(
    tmp_path: Path,
) -> None:
    controller = Controller()
    place = tmp_path / "s"
    async with controller.serving() as real, guard((real,), unix=place) as url:
        await call(f"{url}/v1/nodes")
        await call(f"{url}/v1/nodes", "PUT", data=b"{}")
        connector = aiohttp.UnixConnector(path=str(place))
        async with aiohttp.ClientSession(connector=connector) as session:
            async with session.get("http://t/tidegate/v1/stats") as got:
                told = msgspec.json.decode(await got.read(), type=Stats)
            async with session.get("http://t/v1/nodes") as got:
                assert got.status == 404
    assert told.classes[CallClass.READ].statuses == {"200": 1}
    assert told.classes[CallClass.CHANGE].calls == 1
    assert told.controller == controller.url
    assert len(controller.asked) == 2


@pytest.mark.parametrize("place", ["0.0.0.0:1", "10.0.0.1:13370", "13370", "127.0.0.1:x"])
def test_it_listens_on_the_loopback_only(place: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        listening(place)
