# SPDX-License-Identifier: Apache-2.0
"""Small servers on real sockets whose answers a test sets, path by path."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web


class Fake:
    """Answers GET requests from ``answers``; a path can be refused or left hanging until it is released."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.status: dict[str, int] = {}
        self.missing: Any = None
        """Body of the 404 for a path without an answer."""
        self.hanging: set[str] = set()
        self.asked: list[str] = []
        self.release = asyncio.Event()
        self.runner: web.AppRunner | None = None

    async def handle(self, request: web.Request) -> web.Response:
        path = request.path
        self.asked.append(path)
        if path in self.hanging or "*" in self.hanging:
            await self.release.wait()
        body = self.answers.get(path, self.missing)
        status = self.status.get(path, 200 if path in self.answers else 404)
        return web.Response(
            status=status, body=json.dumps(body).encode(), content_type="application/json"
        )

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self.runner.setup()

    async def on_port(self, port: int = 0) -> int:
        if self.runner is None:
            await self.start()
        assert self.runner is not None
        site = web.TCPSite(self.runner, "127.0.0.1", port)
        await site.start()
        assert site._server is not None
        sockets: Any = getattr(site._server, "sockets")  # noqa: B009 - the base class has none
        return int(sockets[0].getsockname()[1])

    async def on_socket(self, path: Path) -> None:
        if self.runner is None:
            await self.start()
        assert self.runner is not None
        await web.UnixSite(self.runner, str(path)).start()

    async def stop(self) -> None:
        self.release.set()
        if self.runner is not None:
            await self.runner.cleanup()
            self.runner = None


@pytest.fixture
async def fake() -> AsyncIterator[Fake]:
    server = Fake()
    yield server
    await server.stop()
