# SPDX-License-Identifier: Apache-2.0
"""A server on a unix socket that answers as Incus does (bodies as in the notes on Incus, section 5)."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tidegate.clients.incus import client

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def sync(metadata: object, status: int = 200) -> web.Response:
    body = {
        "type": "sync",
        "status": "Success",
        "status_code": 200,
        "operation": "",
        "error_code": 0,
        "error": "",
        "metadata": metadata,
    }
    return web.json_response(body, status=status)


def started(operation: str) -> web.Response:
    body = {
        "type": "async",
        "status": "Operation created",
        "status_code": 100,
        "operation": f"/1.0/operations/{operation}",
        "error_code": 0,
        "error": "",
        "metadata": {"id": operation, "class": "task", "status": "Running", "status_code": 103},
    }
    return web.json_response(body, status=202)


def error(code: int, text: str, status: int | None = None) -> web.Response:
    body = {"type": "error", "error": text, "error_code": code, "metadata": None}
    return web.json_response(body, status=code if status is None else status)


class FakeIncus:
    """What it answers to which call, and what it was asked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked: list[tuple[str, str, Any]] = []
        self.answers: dict[tuple[str, str], web.Response | Handler] = {}

    def on(self, method: str, path: str, answer: web.Response | Handler) -> None:
        self.answers[method, path] = answer

    async def handle(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        path = str(request.rel_url)
        self.asked.append((request.method, path, json.loads(text) if text else None))
        answer = self.answers.get((request.method, path))
        if answer is None:
            return error(404, "not found")
        return await answer(request) if callable(answer) else _copy(answer)


def _copy(response: web.Response) -> web.Response:
    """A response can be sent once only."""
    return web.Response(
        body=response.body, status=response.status, content_type=response.content_type
    )


@pytest.fixture
async def fake(tmp_path: Path) -> AsyncIterator[FakeIncus]:
    incus = FakeIncus(tmp_path / "unix.socket")
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", incus.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, str(incus.path)).start()
    yield incus
    await runner.cleanup()


@pytest.fixture
async def incus(fake: FakeIncus) -> AsyncIterator[client.IncusClient]:
    async with client.IncusClient(fake.path, deadline=10) as found:
        yield found
