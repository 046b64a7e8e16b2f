# SPDX-License-Identifier: Apache-2.0
import asyncio
import contextlib
import json
from pathlib import Path

import pytest
from aiohttp import WSMsgType, web
from tests.unit.clients.incus.conftest import FakeIncus, error

from tidegate.clients import errors
from tidegate.clients.incus import client, events, wire

URL = "/1.0/events?type=lifecycle,operation,logging&all-projects=true"
STARTED = {
    "type": "lifecycle",
    "timestamp": "2026-11-23T05:23:10.123456789Z",
    "metadata": {
        "action": "instance-started",
        "source": "/1.0/instances/c1",
        "name": "c1",
        "project": "default",
    },
    "location": "none",
    "project": "default",
}
FAILED = {
    "type": "operation",
    "timestamp": "2026-11-23T05:23:11Z",
    "metadata": {"id": "9b1d", "status": "Failure", "status_code": 400, "err": "no such device"},
}
LOGGED = {
    "type": "logging",
    "timestamp": "2026-11-23T05:23:12Z",
    "metadata": {
        "message": "Initialized storage pool",
        "level": "info",
        "context": {"pool": "remote"},
    },
}
ACL = {"type": "network-acl", "timestamp": "2026-11-23T05:23:12Z", "metadata": {}}


def speak(*messages: object, then: asyncio.Event | None = None) -> object:
    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoping=True)
        await socket.prepare(request)
        for message in messages:
            await socket.send_str(message if isinstance(message, str) else json.dumps(message))
        if then is not None:
            await then.wait()
        await socket.close()
        return socket

    return handle


async def test_events_come_typed_and_others_are_passed_over(
    fake: FakeIncus, incus: client.IncusClient
) -> None:
    fake.on("GET", URL, speak(ACL, STARTED, FAILED, LOGGED))  # type: ignore[arg-type]
    seen = []

    async def read() -> None:
        async for event in events.stream(incus, connect_deadline=10):
            seen.append(event)  # noqa: PERF401 - what came before the loss counts

    with pytest.raises(errors.ClientError) as caught:
        await read()
    assert caught.value.code == "incus.disconnected"
    started, failed, logged = (event.metadata for event in seen)
    assert isinstance(started, wire.Lifecycle)
    assert (started.action, started.name, started.requestor) == ("instance-started", "c1", None)
    assert isinstance(failed, wire.Operation)
    assert failed.is_over
    assert isinstance(logged, wire.Logging)
    assert logged.context == {"pool": "remote"}
    assert seen[0].at == pytest.approx(1795411390.123456)


async def test_leaving_early_closes_the_connection(
    fake: FakeIncus, incus: client.IncusClient
) -> None:
    closed = asyncio.Event()

    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str(json.dumps(STARTED))
        message = await socket.receive()
        assert message.type == WSMsgType.CLOSE
        closed.set()
        return socket

    fake.on("GET", URL, handle)
    async with asyncio.timeout(10):
        async with contextlib.aclosing(events.stream(incus, connect_deadline=10)) as stream:
            await anext(stream)
        await closed.wait()


async def test_a_daemon_that_starts_makes_the_connection_wait(
    fake: FakeIncus, incus: client.IncusClient
) -> None:
    never = asyncio.Event()

    async def hang(_request: web.Request) -> web.Response:
        await never.wait()
        return web.Response()

    fake.on("GET", URL, hang)
    with pytest.raises(errors.ClientError) as caught:
        await anext(events.stream(incus, connect_deadline=0.1))
    assert caught.value.code == "incus.timeout"
    never.set()


async def test_silence_without_a_ping_is_a_loss(
    fake: FakeIncus, incus: client.IncusClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_SILENCE", 0.1)
    done = asyncio.Event()
    fake.on("GET", URL, speak(then=done))  # type: ignore[arg-type]
    with pytest.raises(errors.ClientError) as caught:
        await anext(events.stream(incus, connect_deadline=5))
    assert caught.value.code == "incus.disconnected"
    assert "ping" in caught.value.trouble.text
    done.set()


async def test_no_websocket_and_no_socket(
    fake: FakeIncus, incus: client.IncusClient, tmp_path: Path
) -> None:
    fake.on("GET", URL, error(400, "no"))
    with pytest.raises(errors.ClientError) as caught:
        await anext(events.stream(incus, connect_deadline=5))
    assert caught.value.code == "incus.garbage"
    async with client.IncusClient(tmp_path / "none") as nowhere:
        with pytest.raises(errors.ClientError) as caught:
            await anext(events.stream(nowhere, connect_deadline=5))
    assert caught.value.code == "incus.no-socket"


async def test_a_message_that_is_none_is_garbage(
    fake: FakeIncus, incus: client.IncusClient
) -> None:
    fake.on("GET", URL, speak("{broken"))  # type: ignore[arg-type]
    with pytest.raises(errors.ClientError) as caught:
        await anext(events.stream(incus, connect_deadline=5))
    assert caught.value.code == "incus.garbage"
