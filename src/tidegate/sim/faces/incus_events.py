# SPDX-License-Identifier: Apache-2.0
"""Incus's event stream: GET /1.0/events, a websocket (facts/incus.md 5.8)."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from tidegate.sim.faces.pacer import Pacer
from tidegate.sim.incus import events
from tidegate.sim.incus.daemon import Daemon
from tidegate.sim.incus.model import IncusModel

_QUEUE = 1000
"""Events that a reader may lag behind before it is cut off (R73)."""


async def stream(
    request: web.Request,
    opened: Callable[[], Awaitable[Daemon]],
    pacer: Pacer,
    model: IncusModel,
) -> web.StreamResponse:
    """Serve one listener: the upgrade completes when the API opens (R70).

    Raises:
        web.HTTPBadRequest: an unknown type of event was asked for.
    """
    daemon = await opened()
    types = frozenset(filter(None, request.query.get("type", "").split(","))) or events.TYPES
    if unknown := types - events.TYPES:
        raise web.HTTPBadRequest(reason=f"{min(unknown)} isn't a supported event type")
    is_all = request.query.get("all-projects") == "true"
    project = None if is_all else request.query.get("project") or "default"
    queue: asyncio.Queue[events.EventBody] = asyncio.Queue(_QUEUE)

    def push(body: events.EventBody) -> None:
        if project is not None and body.get("project", project) != project:
            return
        try:
            queue.put_nowait(body)
        except asyncio.QueueFull:
            if request.transport is not None:
                request.transport.abort()

    socket = web.WebSocketResponse(autoping=True)
    stop = daemon.events.subscribe(types, push)
    try:
        await socket.prepare(request)
        await _serve(socket, queue, model.world.timings.keepalive / pacer.speed)
    finally:
        stop()
    return socket


async def _serve(
    socket: web.WebSocketResponse, queue: asyncio.Queue[events.EventBody], keepalive: float
) -> None:
    async with asyncio.TaskGroup() as tasks:
        writer = tasks.create_task(_write(socket, queue))
        pinger = tasks.create_task(_ping(socket, keepalive))
        try:
            async for _ in socket:
                pass  # a listener has nothing to say; its close ends the loop
        finally:
            writer.cancel()
            pinger.cancel()


async def _write(socket: web.WebSocketResponse, queue: asyncio.Queue[events.EventBody]) -> None:
    while True:
        body = await queue.get()
        await socket.send_str(msgspec.json.encode(body).decode())


async def _ping(socket: web.WebSocketResponse, pause: float) -> None:
    while True:
        await asyncio.sleep(pause)
        await socket.ping(b"keepalive")
