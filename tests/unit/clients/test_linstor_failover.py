# SPDX-License-Identifier: Apache-2.0
"""Several controllers, of which one is active: it is found fast, kept, left when gone, and nothing is done twice."""

import asyncio
import contextlib
import time
from collections.abc import Iterator

import pytest
from aiohttp import web
from tests.unit.clients import faults
from tests.unit.clients.controllers import Controller, client_of, trouble_of

from tidegate.clients.errors import ClientError
from tidegate.clients.linstor.client import LinstorClient

SEARCH = "GET /v1/controller/version"


def at(port: int) -> str:
    return f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def faster_than(seconds: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds


async def test_found_behind_a_refused_and_a_black_holed_one() -> None:
    with faults.refused() as one, faults.black_hole() as two:
        async with (
            Controller().running() as three,
            client_of(at(one), at(two), three.url, connect_limit=3.0) as client,
        ):
            with faster_than(1.5):  # nobody waits for the black hole
                await client.version()
            assert client.active == three.url
            three.asked.clear()
            await client.version()
            assert three.asked == [SEARCH]  # known now, no search


async def test_found_behind_one_that_hangs() -> None:
    with faults.accepts_and_hangs() as hung:
        async with (
            Controller().running() as good,
            client_of(at(hung), good.url, connect_limit=3.0) as client,
        ):
            with faster_than(1.5):
                await client.version()


@pytest.mark.parametrize(
    "standby",
    [
        faults.http(302, "", "text/html", "Location: https://127.0.0.1:3371/v1"),
        faults.http(200, "<html>", "text/html"),
        faults.http(503, "<html>", "text/html"),
        faults.http(200, "{}"),
        faults.http(404, ""),
        faults.http(500, '[{"ret_code":-4611686018427386906,"message":"no"}]'),
    ],
    ids=["redirects", "web server", "proxy without backend", "other json", "no linstor", "failing"],
)
async def test_what_answers_badly_is_not_the_active_one(standby: tuple[bytes]) -> None:
    async with (
        faults.serve(faults.answer(*standby)) as bad,
        Controller().running() as good,
        client_of(at(bad), good.url) as client,
    ):
        await client.version()
        assert client.active == good.url


async def test_when_the_active_one_stops_the_same_call_finds_the_other() -> None:
    first, second = Controller(), Controller()
    second.answers["/v1/nodes/n/reconnect"] = []
    async with second.running(), contextlib.AsyncExitStack() as stack:
        async with first.running():
            client = await stack.enter_async_context(client_of(first.url, second.url))
            second.status = 500  # a standby
            await client.version()
            assert client.active == first.url
            second.status = 200
        await _has_noticed(client)
        await client.reconnect("n")  # refused by the first: certainly not carried out there
        assert client.active == second.url
        assert second.asked.count("PUT /v1/nodes/n/reconnect") == 1


async def _has_noticed(client: LinstorClient) -> None:
    """Return once the connections that were kept are known to be closed; a call on one that is not might have been carried out."""
    session = client._controllers._session
    assert session is not None
    assert session.connector is not None
    kept = session.connector._conns
    async with asyncio.timeout(10):
        while any(one.is_connected() for pool in kept.values() for one, _ in pool):  # noqa: ASYNC110  nobody tells
            await asyncio.sleep(0)


async def test_what_may_have_been_carried_out_is_not_repeated_elsewhere() -> None:
    version = faults.http(200, '{"version":"1","rest_api_version":"1"}')[0]

    async def dies_in_a_put(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (await reader.readuntil(b"\r\n\r\n")).startswith(b"GET"):
            writer.write(version)

    second = Controller()
    second.status = 500
    async with (
        second.running(),
        faults.serve(dies_in_a_put) as first,
        client_of(at(first), second.url) as client,
    ):
        await client.version()
        assert client.active == at(first)
        second.status = 200
        second.answers["/v1/nodes/n/reconnect"] = []
        assert (await trouble_of(client.reconnect("n"))).code == "controller.disconnected"
        assert all(asked == SEARCH for asked in second.asked)


async def test_the_last_good_one_black_holed_costs_the_connect_limit_once() -> None:
    first, second = Controller(), Controller()
    second.answers["/v1/nodes"] = []
    async with second.running(), contextlib.AsyncExitStack() as stack:
        async with first.running():
            client = await stack.enter_async_context(client_of(first.url, second.url))
            second.status = 500
            await client.version()
            second.status = 200
        stack.enter_context(faults.black_hole(first.port))
        with faster_than(1.5):
            await client.nodes(deadline=5.0)
        assert client.active == second.url


async def test_all_fail_and_each_is_named() -> None:
    denied = faults.http(401, '[{"ret_code":-4611686018427386900,"message":"Token expired."}]')
    with faults.refused() as one, faults.black_hole() as two:
        async with (
            faults.serve(faults.answer(*denied)) as three,
            client_of(at(one), at(two), at(three)) as client,
        ):
            trouble = await trouble_of(client.nodes())
    assert trouble.code == "controller.unauthorized"  # the closest to a working one
    for part in (at(one), at(two), at(three), "refused", "no connection within", "Token expired."):
        assert part in trouble.text
    assert client.active is None


async def test_the_deadline_bounds_search_and_call_together() -> None:
    with faults.accepts_and_hangs() as one, faults.accepts_and_hangs() as two:
        async with client_of(at(one), at(two)) as client:
            with faster_than(1.5):
                trouble = await trouble_of(client.nodes(deadline=0.4))
    assert trouble.code == "controller.timeout"
    assert at(one) in trouble.text
    assert at(two) in trouble.text


async def test_calls_at_the_same_time_share_one_search() -> None:
    good = Controller()
    good.answers["/v1/nodes"] = []
    with faults.refused() as bad:
        async with good.running(), client_of(at(bad), good.url) as client:
            async with asyncio.TaskGroup() as group:
                for _ in range(20):
                    group.create_task(client.nodes())
            assert good.asked.count(SEARCH) == 1
            assert good.asked.count("GET /v1/nodes") == 20


async def test_a_failed_search_is_shared_too_and_the_next_call_tries_anew() -> None:
    with faults.refused() as one, contextlib.ExitStack() as revived:
        two = revived.enter_context(faults.refused())
        async with client_of(at(one), at(two)) as client:
            results = await asyncio.gather(
                *(client.nodes() for _ in range(20)), return_exceptions=True
            )
            assert {found.code for found in results if isinstance(found, ClientError)} == {
                "controller.refused"
            }
            late = Controller()
            late.answers["/v1/nodes"] = []
            revived.close()
            async with late.running(two):
                assert await client.nodes() == ()


async def test_who_waits_for_a_search_that_was_cancelled_searches_himself() -> None:
    good = Controller()
    good.answers["/v1/nodes"] = []
    arrived = asyncio.Event()

    async def hang(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await asyncio.Event().wait()

    with faults.accepts_and_hangs() as one:
        async with faults.serve(hang) as two, client_of(at(one), at(two)) as client:
            async with asyncio.TaskGroup() as group:
                leader = group.create_task(client.nodes())
                await arrived.wait()
                follower = group.create_task(trouble_of(client.nodes(deadline=0.5)))
                await asyncio.sleep(0)
                leader.cancel()
            assert leader.cancelled()
            assert follower.result().code == "controller.timeout"


async def test_a_call_that_times_out_makes_the_next_one_look_around() -> None:
    first, second = Controller(), Controller()
    second.answers["/v1/nodes"] = []
    release = asyncio.Event()

    async def hang(_request: web.Request) -> web.StreamResponse:
        await release.wait()
        return web.Response()

    async with second.running(), first.running(), client_of(first.url, second.url) as client:
        second.status = 500
        await client.version()
        assert client.active == first.url
        second.status = 200
        first.hook = hang
        assert (await trouble_of(client.nodes(deadline=0.3))).code == "controller.timeout"
        await client.nodes(deadline=3.0)
        assert client.active == second.url
        release.set()
