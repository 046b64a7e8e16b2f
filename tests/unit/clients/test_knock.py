# SPDX-License-Identifier: Apache-2.0
import asyncio
import socket
import time

import pytest
from tests.unit.clients import faults

from tidegate.clients import knock


async def heard(port: int, within: float, host: str = "127.0.0.1") -> tuple[bool, float]:
    began = time.monotonic()
    found = await knock.answers(host, port, within=within)
    return found, time.monotonic() - began


async def test_silence_that_ends_is_noticed_at_once() -> None:
    """A connection that is being made would be noticed by the kernel a second after it was begun, or two."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        where = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(where)
        waits = asyncio.ensure_future(heard(where[1], 30.0))
        done, _ = await asyncio.wait({waits}, timeout=1.3)
        assert not done
        for filler in fillers:
            filler.close()
        listener.close()
        ended = time.monotonic()
        found, _ = await waits
    assert found
    assert time.monotonic() - ended < 0.6


async def test_silence_that_lasts_takes_all_its_time() -> None:
    with faults.black_hole() as port:
        found, took = await heard(port, 0.7)
    assert not found
    assert 0.6 < took < 3.0


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-name.invalid"])
async def test_a_refusal_is_an_answer_and_a_name_that_does_not_resolve_is_nothing_to_wait_for(
    host: str,
) -> None:
    with faults.refused() as port:
        found, took = await heard(port, 20.0, host)
    assert found
    assert took < 15.0


async def test_whoever_listens_is_heard_through_many_connections_and_none_stays_open() -> None:
    open_now: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now.add(writer)
        await reader.read()
        open_now.discard(writer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        found, _ = await heard(server.sockets[0].getsockname()[1], 20.0)
        assert found
        async with asyncio.timeout(20):
            while open_now:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
