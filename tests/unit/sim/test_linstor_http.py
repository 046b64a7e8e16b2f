"""The LINSTOR face on real sockets: refusing, hanging, failing, streams, and its own clock."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from tests import linstor_worlds as worlds
from tests.linstor_worlds import Fault, FaultKind

from tidegate.sim import faults
from tidegate.sim.faces import linstor_http, pacer

SOON = 5.0
"""Real seconds that nothing here takes on an ordinary machine."""
ALMOST_AT_ONCE = 0.3
"""Real seconds after which we say that no answer comes."""


class Client:
    """One HTTP client of one face."""

    def __init__(self, face: linstor_http.LinstorFace, session: aiohttp.ClientSession) -> None:
        self.face = face
        self.session = session

    async def get(self, path: str, **headers: str) -> Any:
        async with self.session.get(path, headers=headers) as got:
            assert got.status == 200, await got.text()
            return await got.json(content_type=None)

    async def status(self, path: str, method: str = "GET") -> int:
        async with self.session.request(method, path) as got:
            await got.read()
            return got.status


@asynccontextmanager
async def serving(
    *found: Fault, scale: float = 1.0, timings: faults.Timings = faults.INSTANT
) -> AsyncIterator[Client]:
    face = linstor_http.LinstorFace(worlds.build(*found, timings=timings), scale)
    await face.start()
    try:
        limit = aiohttp.ClientTimeout(SOON)
        async with aiohttp.ClientSession(face.url, timeout=limit) as session:
            yield Client(face, session)
    finally:
        await face.stop()


async def test_it_answers_as_a_controller_does() -> None:
    async with serving() as client:
        assert (await client.get("/v1/controller/version"))["rest_api_version"] == "1.28.0"
        assert (await client.get("/v1/nodes/n1"))["connection_status"] == "ONLINE"
        assert len(await client.get("/v1/resource-definitions?")) == 3
        assert await client.status("/health") == 200
        assert await client.status("/v1/nope") == 404
        assert await client.status("/v1/nodes/", "HEAD") == 200
        assert await client.status("/v1/nodes", "OPTIONS") == 200


async def test_long_answers_are_compressed_if_asked_for() -> None:
    async with serving() as client, client.session.get("/v1/nodes") as got:
        assert got.headers["Content-Encoding"] == "gzip"
        assert len(await got.json()) == 2


async def is_refused(client: Client) -> bool:
    host, port = client.face.url.removeprefix("http://").split(":")
    try:
        _, writer = await asyncio.open_connection(host, port)
    except ConnectionRefusedError:
        return True
    writer.close()
    await writer.wait_closed()
    return False


async def ends(reader: asyncio.StreamReader) -> None:
    """Return when the other side has closed or reset the connection."""
    with contextlib.suppress(ConnectionResetError):
        async with asyncio.timeout(SOON):
            await reader.read()


async def test_refusing_closes_the_port_and_the_connections_that_are_open() -> None:
    async with serving() as client:
        host, port = client.face.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET /v1/nodes HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        client.face.world.add_fault(Fault(kind=FaultKind.CONTROLLER_REFUSES))
        await client.face.settled()
        await ends(reader)
        writer.close()
        assert await is_refused(client)
        client.face.world.clear_faults()
        await client.face.settled()
        assert await client.status("/v1/nodes") == 200, "on the same port again"


async def test_a_controller_may_refuse_from_the_start_and_come_by_itself() -> None:
    fault = Fault(kind=FaultKind.CONTROLLER_REFUSES, end=20)
    async with serving(fault, scale=100) as client:
        assert await is_refused(client)
        over = asyncio.Event()
        client.face.world.clock.at(20.0, over.set)
        client.face.tick()
        async with asyncio.timeout(SOON):
            await over.wait()
        await client.face.settled()
        assert await client.status("/v1/nodes") == 200


async def test_hanging_accepts_and_answers_only_when_it_is_over() -> None:
    async with serving() as client:
        world = client.face.world
        world.add_fault(Fault(kind=FaultKind.CONTROLLER_HANGS))
        asked = client.session.get("/v1/nodes/n1")
        async with asyncio.TaskGroup() as group:

            async def ask() -> int:
                async with asked as got:
                    return got.status

            task = group.create_task(ask())
            done, _ = await asyncio.wait([task], timeout=ALMOST_AT_ONCE)
            assert not done
            assert not await is_refused(client), "it accepts"
            world.clear_faults()
            client.face.tick()
            assert await task == 200


async def test_a_broken_controller_can_be_undecodable() -> None:
    fault = Fault(kind=FaultKind.CONTROLLER_500, body="truncated")
    async with serving(fault) as client, client.session.get("/v1/nodes/n1") as got:
        assert got.status == 500
        with pytest.raises(json.JSONDecodeError):
            await got.json()


async def test_a_slow_controller_is_slow_in_virtual_seconds() -> None:
    async with serving(Fault(kind=FaultKind.CONTROLLER_SLOW, delay=10), scale=100) as client:
        before = client.face.world.now
        assert await client.status("/v1/nodes/n1") == 200
        assert client.face.world.now - before >= 10


async def test_its_time_runs_by_itself_and_scaled() -> None:
    async with serving(timings=faults.TYPICAL, scale=200) as client:
        online = asyncio.Event()
        client.face.world.listeners.append(
            lambda event: online.set() if event.get("status") == "ONLINE" else None
        )
        async with asyncio.timeout(SOON):
            await online.wait()
        assert (await client.get("/v1/nodes/n1"))["connection_status"] == "ONLINE"


async def test_models_that_share_a_clock_share_its_pacer() -> None:
    one = worlds.build(timings=faults.TYPICAL)
    driver = pacer.Pacer(one.clock, speed=200)
    face = linstor_http.LinstorFace(one, pacer=driver)
    online = asyncio.Event()
    one.listeners.append(lambda e: online.set() if e.get("status") == "ONLINE" else None)
    async with driver.running():
        await face.start()
        async with asyncio.timeout(SOON):
            await online.wait()
        await face.stop()


@asynccontextmanager
async def stream(
    client: Client, path: str, **headers: str
) -> AsyncIterator[Callable[[], Awaitable[tuple[str, Any]]]]:
    """A stream of server-sent events; call it for the next one."""
    async with client.session.get(path, headers=headers) as got:
        assert got.headers["Content-Type"] == "text/event-stream"

        async def event() -> tuple[str, Any]:
            async with asyncio.timeout(SOON):
                name = (await got.content.readline()).decode().removeprefix("event: ").strip()
                data = (await got.content.readline()).decode().removeprefix("data: ")
                await got.content.readline()
            return name, json.loads(data)

        yield event


async def test_the_promotion_stream_begins_with_the_present_if_asked_and_tells_changes() -> None:
    async with (
        serving() as client,
        stream(client, "/v1/events/drbd/promotion", **{"Last-Event-ID": "current"}) as event,
    ):
        first = [await event() for _ in range(6)]
        assert {name for name, _ in first} == {"may-promote-change"}
        assert {"resource_name": "r0", "node_name": "n1", "may_promote": True} in [
            d for _, d in first
        ]
        client.face.world.add_fault(Fault(kind=FaultKind.DRBD_NO_QUORUM, subject="r1"))
        client.face.tick()
        assert (await event())[1] == {
            "resource_name": "r1",
            "node_name": "n1",
            "may_promote": False,
        }
        client.face.world.add_fault(Fault(kind=FaultKind.NODE_OFFLINE, subject="n1"))
        client.face.tick()
        gone = [(await event())[1] for _ in range(3)]
        assert gone == [{"resource_name": f"r{i}", "node_name": "n1"} for i in range(3)]


async def test_the_node_stream_tells_of_properties_and_never_of_the_connection() -> None:
    async with serving() as client, stream(client, "/v1/events/nodes") as event:
        client.face.world.add_fault(Fault(kind=FaultKind.NODE_OFFLINE, subject="n1"))
        client.face.tick()
        body = {"override_props": {"Aux/lab": "1"}}
        async with client.session.put("/v1/nodes/n2", json=body) as got:
            assert got.status == 200
        name, data = await event()
        assert (name, data["new_node"]["props"]["Aux/lab"]) == ("node-modified", "1")


async def test_stopping_ends_waiting_calls() -> None:
    async with serving(Fault(kind=FaultKind.FALSE_ONLINE, subject="n1")) as client:
        body = {"override_props": {"Aux/y": "1"}}
        asked = client.session.put("/v1/resource-definitions/r0", json=body)

        async def answer() -> str:
            try:
                async with asked as got:
                    return str(got.status)
            except aiohttp.ClientError as error:
                return type(error).__name__

        async with asyncio.TaskGroup() as group:
            task = group.create_task(answer())
            done, _ = await asyncio.wait([task], timeout=ALMOST_AT_ONCE)
            assert not done, "a satellite without a device manager does not answer"
            await client.face.stop()
            assert (await task).endswith("Error"), "the connection is closed"
