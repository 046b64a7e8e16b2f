# SPDX-License-Identifier: Apache-2.0
"""A controller's answer on its way to the client: status, header lines and body as they come, piece by piece, nothing added.

What is there whole already goes out in one piece with its head. An answer that breaks off at the controller is broken off at the
client, so that nobody takes it for a finished one.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import Final

import aiohttp
from aiohttp import HttpVersion11, hdrs, web

from tidegate.guard import interface, limits, messages

HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "proxy-authenticate",
    }
)
"""Header fields that belong to one connection (RFC 9110, 7.6.1)."""
_log = logging.getLogger("tidegate.guard")


class _Passed(messages.NothingAdded):
    """The controller's status and header lines."""

    def __init__(self, response: aiohttp.ClientResponse, *, at_once: bool) -> None:
        super().__init__(status=response.status, reason=response.reason)
        for name, value in messages.texts(response.raw_headers):
            if name.lower() not in HOP:
                self.headers.add(name, value)
        self._send_headers_immediately = not at_once


async def relay(request: web.BaseRequest, response: aiohttp.ClientResponse) -> web.StreamResponse:
    """Pass ``response`` on; returns what was sent, or was begun when either side broke off."""
    whole = response.content.is_eof()
    answer = _Passed(response, at_once=whole)
    if request.version < HttpVersion11 and hdrs.CONTENT_LENGTH not in answer.headers:
        answer.force_close()  # it knows no chunks: the end of the connection is the end of the answer
    try:
        await answer.prepare(request)
        if whole:
            await answer.write_eof(response.content.read_nowait())
        else:
            async for piece in _pieces(response):
                # A client that takes nothing for long is let go, whatever it asked for.
                async with asyncio.timeout(limits.PROGRESS):
                    await answer.write(piece)
            await answer.write_eof()
    except (aiohttp.ClientError, OSError) as error:
        transport = request.transport
        if transport is not None and not transport.is_closing():
            # The client is still there: an unfinished answer must not be taken for a finished one.
            _log.info("%s broke off: %s", request.raw_path, str(error) or type(error).__name__)
            transport.abort()
    return answer


async def _pieces(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
    limit = None if messages.is_endless(response) else limits.PROGRESS
    while True:
        async with asyncio.timeout(limit):
            piece = await response.content.readany()
        if not piece:
            return
        yield piece


def kept(headers: interface.Headers) -> interface.Headers:
    """Return the header lines of an answer that was taken whole: without those that frame it."""
    dropped = HOP | {"content-length"}
    return tuple(
        (name, value) for name, value in headers if name.decode("latin-1").lower() not in dropped
    )
