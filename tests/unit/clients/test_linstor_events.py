# SPDX-License-Identifier: Apache-2.0
"""Event streams of a controller, and the ways in which they end."""

import asyncio
import contextlib

from tests.unit.clients import faults
from tests.unit.clients.controllers import client_of, trouble_of

from tidegate.clients.linstor import sse
from tidegate.clients.linstor.client import LinstorClient

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
PROMOTION = "/v1/events/drbd/promotion"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def collect(client: LinstorClient, count: int = 99) -> list[sse.Event]:
    found: list[sse.Event] = []
    async with contextlib.aclosing(client.events(PROMOTION, deadline=2.0)) as events:
        async for event in events:
            found.append(event)
            if len(found) == count:
                break
    return found


async def test_events_arrive_as_they_come_however_split() -> None:
    text = b'event: may-promote-change\ndata: {"resource_name":"r","may_promote":true}\n\n'
    parts = (HEAD, chunk(text[:20]), chunk(text[20:]), chunk(b"data: two\n\n"))
    async with (
        faults.serve(faults.answer(*parts, then="hang")) as port,
        client_of(f"http://127.0.0.1:{port}") as client,
    ):
        one, two = await collect(client, 2)
        assert client.active == f"http://127.0.0.1:{port}"
    assert one.name == "may-promote-change"
    assert one.data == '{"resource_name":"r","may_promote":true}'
    assert two == sse.Event(name="message", data="two")


async def test_what_is_asked_and_that_leaving_closes_the_connection() -> None:
    heard: list[bytes] = []
    left = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(HEAD + chunk(b"data: x\n\n"))
        await reader.read()  # returns when the client closes
        left.set()

    async with faults.serve(handler) as port, client_of(f"http://127.0.0.1:{port}") as client:
        events = client.events(PROMOTION, last_event_id="current")
        async with contextlib.aclosing(events):
            assert (await anext(events)).data == "x"
            assert not left.is_set()
        async with asyncio.timeout(5):
            await left.wait()
    assert heard[0].startswith(b"GET /v1/events/drbd/promotion HTTP/1.1\r\n")
    for header in (b"Accept: text/event-stream", b"Last-Event-ID: current", b"X-Tidegate-Loop: 1"):
        assert header in heard[0]
    assert b"application/json" not in heard[0]


async def test_a_stream_that_ends_or_breaks_says_so() -> None:
    for parts, then in (
        ((HEAD, chunk(b"data: x\n\n"), b"0\r\n\r\n"), "close"),  # ended in order
        ((HEAD, chunk(b"data: x\n\n")), "close"),
        ((HEAD, chunk(b"data: x\n\n")), "reset"),
    ):
        async with (
            faults.serve(faults.answer(*parts, then=then)) as port,
            client_of(f"http://127.0.0.1:{port}") as client,
        ):
            assert (await trouble_of(collect(client))).code == "controller.disconnected"


async def test_streams_that_do_not_start() -> None:
    missing = '[{"ret_code":-4611686018427386906,"message":"Path not found on server."}]'
    for answer, code in (
        (faults.answer(*faults.http(404, missing)), "controller.error"),
        (faults.answer(*faults.http(401, "[]")), "controller.unauthorized"),
        (faults.answer(*faults.http(200, "<html>", "text/html")), "controller.not-linstor"),
        (faults.answer(), "controller.disconnected"),
    ):
        async with (
            faults.serve(answer) as port,
            client_of(f"http://127.0.0.1:{port}") as client,
        ):
            assert (await trouble_of(collect(client))).code == code
    with faults.refused() as port:
        async with client_of(f"http://127.0.0.1:{port}") as client:
            assert (await trouble_of(collect(client))).code == "controller.refused"
    with faults.accepts_and_hangs() as port:
        async with client_of(f"http://127.0.0.1:{port}") as client:
            call = anext(client.events(deadline=0.3))
            assert (await trouble_of(call)).code == "controller.timeout"


async def test_an_endless_event_is_garbage() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD)
        while not writer.is_closing():
            writer.write(chunk(b"data: " + b"x" * 65536 + b"\n"))
            await writer.drain()

    async with faults.serve(endless) as port, client_of(f"http://127.0.0.1:{port}") as client:
        assert (await trouble_of(collect(client))).code == "controller.garbage"
