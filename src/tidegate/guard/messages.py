# SPDX-License-Identifier: Apache-2.0
"""Requests and answers of aiohttp as the guard's transport needs them."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from typing import Final

import aiohttp
from aiohttp import HttpVersion11, hdrs, web

from tidegate.guard import interface, limits
from tidegate.guard.interface import Answer, CallClass

REASON: Final = "X-Tidegate-Reason"
TEXT: Final = "X-Tidegate-Text"
_ADDED: Final = (hdrs.SERVER, hdrs.CONTENT_TYPE, hdrs.DATE)
_EVENTS: Final = "text/event-stream"


class NothingAdded(web.StreamResponse):
    """An answer with the header lines that it was given, and what frames it. aiohttp would add its name, a date, a type."""

    async def _prepare_headers(self) -> None:
        added = [name for name in _ADDED if name not in self.headers]
        await super()._prepare_headers()
        for name in added:
            self.headers.popall(name, None)


class _Whole(NothingAdded, web.Response):
    """The same, with a body that is sent at once."""


def plain(request: web.BaseRequest) -> CallClass:
    """Return the class of a call that the rules do not name."""
    if request.method in {"GET", "HEAD"}:
        return CallClass.STREAM if is_stream(request) else CallClass.READ
    return CallClass.CHANGE


def is_stream(request: web.BaseRequest) -> bool:
    """Return True for a call that wants an answer without an end."""
    accepted = request.headers.getall(hdrs.ACCEPT, ())
    return request.method == "GET" and any(_EVENTS in one.lower() for one in accepted)


def is_endless(response: aiohttp.ClientResponse) -> bool:
    """Return True for an answer without an end."""
    return response.headers.get(hdrs.CONTENT_TYPE, "").lower().startswith(_EVENTS)


async def go_on(request: web.BaseRequest) -> None:
    """Tell a client that waits with its body until it is told to send it. The controller gets the body without being asked."""
    waits = request.headers.get(hdrs.EXPECT, "").lower() == "100-continue"
    if waits and request.version >= HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")


async def small_body(request: web.BaseRequest) -> bytes | None:
    """Return a body that is worth no stream; None for one that is long, or of unknown length."""
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
    """Return header lines as texts, which aiohttp sends in UTF-8: values in it stay as they are."""
    for name, value in headers:
        try:
            yield name.decode("latin-1"), value.decode()
        except UnicodeDecodeError:
            yield name.decode("latin-1"), value.decode("latin-1")


def whole(answer: Answer) -> web.Response:
    """Return an answer that is sent at once, with the reason beside it."""
    response = _Whole(status=answer.status, reason=answer.reason or None, body=answer.body)
    for name, value in texts(answer.headers):
        if name.lower() == "content-type":
            response.headers[name] = value
        else:
            response.headers.add(name, value)
    if answer.why:
        response.headers[REASON] = answer.why
        response.headers[TEXT] = "".join(c if " " <= c <= "~" else "?" for c in answer.text)[:1000]
    return response
