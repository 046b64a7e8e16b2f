# SPDX-License-Identifier: Apache-2.0
"""Hears at once when a peer that swallowed every packet answers again.

The kernel sends the first packet of a connection again after a second, later after two, four and more (tcp(7), ``tcp_syn_retries``): for so long
nobody would notice that the silence is over. Connections that are begun anew all the time notice.
"""

import asyncio
import contextlib
import errno
import socket
from typing import Any, Final, TypeAlias

EVERY: Final = 0.2
"""Seconds between two connections that are begun."""
_ADDRESSES: Final = 4
_Place: TypeAlias = tuple[int, int, int, Any]


async def answers(host: str, port: int, *, within: float) -> bool:
    """Return True as soon as anything comes back from ``port`` of ``host``, a refusal too; False after ``within`` seconds of silence.

    A name that does not resolve is nothing to wait for: True, as the next call says what is wrong.
    """
    heard = asyncio.Event()
    try:
        async with asyncio.timeout(within), asyncio.TaskGroup() as group:
            places, begun = await _places(host, port), []
            while places and not heard.is_set():
                begun += [group.create_task(_knock(place, heard)) for place in places]
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(EVERY):
                        await heard.wait()
            for task in begun:
                task.cancel()
    except TimeoutError:
        return False
    return True


async def _places(host: str, port: int) -> list[_Place]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return [(family, kind, proto, where) for family, kind, proto, _, where in found[:_ADDRESSES]]


async def _knock(place: _Place, heard: asyncio.Event) -> None:
    *kind, where = place
    with socket.socket(*kind) as line:
        line.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(line, where)
        except OSError as error:
            if error.errno == errno.ETIMEDOUT:
                return
    heard.set()
