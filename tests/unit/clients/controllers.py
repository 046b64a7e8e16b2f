# SPDX-License-Identifier: Apache-2.0
"""LINSTOR controllers on loopback that answer what they are told to."""

import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from tidegate.clients.errors import ClientError, Trouble
from tidegate.clients.linstor.client import LinstorClient
from tidegate.clients.linstor.endpoints import Endpoints

VERSION = {"version": "1.34.0", "rest_api_version": "1.28.0", "git_hash": "x", "build_time": "y"}


class Controller:
    """A LINSTOR controller that answers what it is told to and remembers what it was asked."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.tls = tls
        self.answers: dict[str, Any] = {"/v1/controller/version": VERSION}
        self.status = 200
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.port = 0
        self.hook: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None

    @property
    def url(self) -> str:
        """Where it is; with TLS under the name that its certificate has."""
        return f"https://localhost:{self.port}" if self.tls else f"http://127.0.0.1:{self.port}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer with what `answers` holds for the path: JSON, a whole response, or 404."""
        self.asked.append(f"{request.method} {request.raw_path}")
        self.headers.append(dict(request.headers))
        if self.hook is not None:
            return await self.hook(request)
        answer = self.answers.get(request.path)
        if answer is None:
            body = [{"ret_code": -4611686018427387604, "message": "Thing 'x' not found."}]
            return web.json_response(body, status=404)
        if isinstance(answer, web.Response):
            return answer
        return web.json_response(answer, status=self.status)

    @contextlib.asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator["Controller"]:
        """Listen, on the given port or a free one."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=self.tls, reuse_address=True)
        await site.start()
        self.port = runner.addresses[0][1]
        try:
            yield self
        finally:
            await runner.cleanup()


@contextlib.asynccontextmanager
async def client_of(*urls: str, **more: Any) -> AsyncIterator[LinstorClient]:
    """A client of these controllers; `own` and `connect_limit` (0.3 s) are its own, the rest Endpoints'."""
    own = more.pop("own", ())
    limit = more.pop("connect_limit", 0.3)
    made = LinstorClient(Endpoints(urls=urls, **more), own=own, connect_limit=limit)
    try:
        yield made
    finally:
        await made.aclose()


async def trouble_of(call: Awaitable[object]) -> Trouble:
    """What a call that must fail says."""
    with pytest.raises(ClientError) as caught:
        await call
    return caught.value.trouble
