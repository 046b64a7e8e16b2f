# SPDX-License-Identifier: Apache-2.0
"""Requests and answers of aiohttp as the guard's transport needs them."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from typing import Final

from aiohttp import hdrs, web

from tidegate.guard import interface, limits
from tidegate.guard.interface import Answer, CallClass

REASON: Final = "X-Tidegate-Reason"
TEXT: Final = "X-Tidegate-Text"


def plain(request: web.BaseRequest) -> CallClass:
    """Return the class of a call that the rules do not name."""
    if request.method in {"GET", "HEAD"}:
        return CallClass.STREAM if is_stream(request) else CallClass.READ
    return CallClass.CHANGE


def is_stream(request: web.BaseRequest) -> bool:
    """Return True for a call whose answer has no end."""
    return request.method == "GET" and "text/event-stream" in request.headers.get(hdrs.ACCEPT, "")


async def small_body(request: web.BaseRequest) -> bytes | None:
    """Return the body of a named call; None when it is too long to be one."""
    length = request.content_length
    if not request.body_exists:
        return b""
    if length is None or length > interface.REQUEST_LIMIT:
        return None
    async with asyncio.timeout(limits.PROGRESS):
        return await request.content.readexactly(length)


async def pieces(request: web.BaseRequest) -> AsyncGenerator[bytes, None]:
    """Yield the request's body as it comes."""
    while True:
        async with asyncio.timeout(limits.PROGRESS):
            piece = await request.content.readany()
        if not piece:
            return
        yield piece


def texts(headers: interface.Headers) -> Iterable[tuple[str, str]]:
    """Return header lines as texts."""
    return ((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)


def whole(answer: Answer) -> web.Response:
    """Return an answer that is sent at once, with the reason beside it."""
    response = web.Response(status=answer.status, reason=answer.reason or None, body=answer.body)
    for name, value in texts(answer.headers):
        if name.lower() == "content-type":
            response.headers[name] = value
        else:
            response.headers.add(name, value)
    if answer.why:
        response.headers[REASON] = answer.why
        response.headers[TEXT] = "".join(c if " " <= c <= "~" else "?" for c in answer.text)[:1000]
    return response
