# SPDX-License-Identifier: Apache-2.0
"""The LINSTOR model over REST: what Incus, our clients and a browser see of a controller.

As a library: :class:`LinstorFace`. As a program for the boot lab: ``python -m tidegate.sim.faces.linstor_http --help``; its control
socket is described in :mod:`tidegate.sim.faces.linstor_control`.

Time is the event loop's, times a scale; refusing is a closed listening socket, hanging is accepting without an answer.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterable
from typing import Any

from aiohttp import hdrs, web

from tidegate.sim import drbd, faults
from tidegate.sim.faces.pacer import Pacer
from tidegate.sim.linstor import answer, view
from tidegate.sim.linstor.api import Api
from tidegate.sim.linstor.world import Event, LinstorWorld

_KIND = faults.FaultKind
_SSE_QUEUE = 10_000
"""Events kept for a slow reader of a stream; more, and the stream is closed."""
_GZIP_ABOVE = 1000
_LONGEST_NAP = 3600.0


class LinstorFace:
    """One controller on TCP, driven by the event loop's clock.

    Use :meth:`start` and :meth:`stop` in the same event loop. ``scale`` is virtual seconds per real one; where models share a
    clock, their :class:`Pacer` drives it and ``scale`` is the pacer's. ``before_answer`` is awaited after each mutating call,
    before its answer goes out: the program saves its state there.
    """

    def __init__(
        self, world: LinstorWorld, scale: float = 1.0, *, pacer: Pacer | None = None
    ) -> None:
        self.world = world
        self.scale = scale if pacer is None else pacer.speed
        self._pacer = pacer
        self._soon = False
        self.api = Api(world)
        self.before_answer: Callable[[], Any] | None = None
        self.requests: list[str] = []
        self.asked = 0
        """Requests ever: ``requests`` keeps the last of them."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._zero = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._server: asyncio.Server | None = None
        self._web: web.Server | None = None
        self._address = ("", 0)
        self._moving: asyncio.Future[None] | None = None
        self._hanging: list[asyncio.Future[None]] = []
        self._streams: set[asyncio.Queue[str | None]] = set()
        self._stopped = False
        world.listeners.append(self._heard)

    # --- life ------------------------------------------------------------------------------------
    async def start(self, host: str = "127.0.0.1", port: int = 0) -> tuple[str, int]:
        """Open the port (0: any free one) and let time run from the world's present. Returns the address.

        A controller that refuses from the start has its port fixed, but closed.
        """
        self._loop = asyncio.get_running_loop()
        self._zero = self._loop.time() - self.world.now / self.scale
        self._address = (host, port)
        await self._open()
        await self.settled()
        return self._address

    async def stop(self) -> None:
        """Close the port and every connection; nothing is answered any more."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        if self._moving is not None:
            await asyncio.wait([self._moving])
        self.world.calls.cancel_all()
        if self._heard in self.world.listeners:
            self.world.listeners.remove(self._heard)
        await self._close()

    @property
    def url(self) -> str:
        """Base URL of the controller."""
        return f"http://{self._address[0]}:{self._address[1]}"

    async def _open(self) -> None:
        assert self._loop is not None
        self._web = web.Server(self._handle)
        host, port = self._address
        self._server = await self._loop.create_server(
            self._web, host, port, reuse_address=True, backlog=128, start_serving=False
        )
        await self._server.start_serving()
        self._address = (host, self._server.sockets[0].getsockname()[1])

    async def _close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        closing, self._web = self._web, None
        for queue in tuple(self._streams):
            queue.put_nowait(None)
        for future in self._hanging:
            if not future.done():
                future.cancel()
        self._hanging.clear()
        if closing is not None:
            for connection in closing.connections:
                if connection.transport is not None:
                    connection.transport.abort()
            with contextlib.suppress(asyncio.TimeoutError):
                await closing.shutdown(0.1)

    # --- time ------------------------------------------------------------------------------------
    def tick(self) -> None:
        """Bring the world to the present, go on with what waited for it, and sleep until something is due."""
        if self._loop is None or self._stopped:
            return
        self._soon = True  # what happens now needs no further tick
        if self._pacer is None:
            self.world.clock.advance((self._loop.time() - self._zero) * self.scale)
        else:
            self._pacer.catch_up()
        self.world.calls.poke()
        self._soon = False
        self._look_at_port()
        if self.world.fault(_KIND.CONTROLLER_HANGS) is None:
            for future in self._hanging:
                if not future.done():
                    future.set_result(None)
            self._hanging.clear()
        if self._timer is not None:
            self._timer.cancel()
        due = self.world.clock.next_due()
        nap = _LONGEST_NAP if due is None else max(0.0, due - self.world.now) / self.scale
        self._timer = self._loop.call_later(min(nap, _LONGEST_NAP), self.tick)
        if self._pacer is not None:
            self._pacer.wake()

    def boot(self, found: Iterable[faults.Fault] = ()) -> None:
        """Power-cycle the local node with these faults; the present becomes the virtual zero."""
        assert self._loop is not None
        self.tick()
        self.world.new_boot(found)
        self._zero = self._loop.time()
        self.tick()

    def _look_at_port(self) -> None:
        """Open or close the port as the faults say."""
        refuses = self.world.fault(_KIND.CONTROLLER_REFUSES) is not None
        if self._moving is not None or refuses == (self._server is None):
            return
        # a step that belongs to no caller: kept here, looked at when it is over, awaited by settled() and stop()
        self._moving = asyncio.ensure_future(self._close() if refuses else self._open())
        self._moving.add_done_callback(self._moved)

    def _moved(self, step: "asyncio.Future[None]") -> None:
        self._moving = None
        if not step.cancelled():
            step.result()
        self.tick()

    async def settled(self) -> None:
        """Wait until the port is as the faults want it now."""
        self.tick()
        while self._moving is not None:
            await asyncio.wait([self._moving])

    # --- requests --------------------------------------------------------------------------------
    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        self.asked += 1
        self.requests.append(f"{request.method} {request.rel_url.raw_path_qs}")
        del self.requests[:-10_000]
        self.tick()
        while self.world.fault(_KIND.CONTROLLER_HANGS) is not None:
            await self._until_hang_is_over()
        if request.path in ("/v1/events/drbd/promotion", "/v1/events/nodes"):
            return await self._stream(request)
        if request.method == hdrs.METH_OPTIONS:
            return web.Response(content_type="application/json")
        got = await self._call(request, body)
        if request.method not in (hdrs.METH_GET, hdrs.METH_HEAD) and self.before_answer is not None:
            await self.before_answer()
        return self._response(request, got)

    async def _until_hang_is_over(self) -> None:
        assert self._loop is not None
        future: asyncio.Future[None] = self._loop.create_future()
        self._hanging.append(future)
        await future

    async def _call(self, request: web.BaseRequest, body: bytes) -> answer.Answer:
        assert self._loop is not None
        future: asyncio.Future[answer.Answer] = self._loop.create_future()

        def done(got: answer.Answer) -> None:
            if not future.done():
                future.set_result(got)

        get = request.method == hdrs.METH_HEAD
        query = {key: request.query.getall(key) for key in request.query}
        wanted = answer.Request(
            method=hdrs.METH_GET if get else request.method,
            path=request.path,
            query=query,
            body=body,
        )
        self.world.calls.start(self.api.call(wanted), done)
        self.tick()
        return await future

    def _response(self, request: web.BaseRequest, got: answer.Answer) -> web.Response:
        if got.body is None:
            return web.Response(status=got.status)
        text = (
            got.body if isinstance(got.body, str) else json.dumps(got.body, separators=(",", ":"))
        )
        response = web.Response(status=got.status, text=text, content_type=got.content_type)
        if len(text) > _GZIP_ABOVE and "gzip" in request.headers.get("Accept-Encoding", ""):
            response.enable_compression(web.ContentCoding.gzip)
        return response

    # --- event streams ---------------------------------------------------------------------------
    def _heard(self, event: Event) -> None:
        if self._loop is not None and not self._soon:
            self._soon = True
            self._loop.call_soon(self.tick)
        for queue in self._streams:
            with contextlib.suppress(asyncio.QueueFull):
                queue.put_nowait(json.dumps(event))

    async def _stream(self, request: web.BaseRequest) -> web.StreamResponse:
        """Server-sent events without keepalive or ids (facts/linstor.md 4.7)."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        render = self._promotion if request.path.endswith("promotion") else self._node_event
        queue: asyncio.Queue[str | None] = asyncio.Queue(_SSE_QUEUE)
        if render == self._promotion and request.headers.get("Last-Event-ID") == "current":
            for text in self._promotions_now():
                await response.write(text.encode())
        self._streams.add(queue)
        try:
            while (raw := await queue.get()) is not None:
                for text in render(json.loads(raw)):
                    await response.write(text.encode())
        except ConnectionError:
            pass
        finally:
            self._streams.discard(queue)
        return response

    @staticmethod
    def _sse(name: str, data: object) -> str:
        return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"

    def _promotion(self, event: Event) -> Iterable[str]:
        name = "may-promote-change"
        node = event["node"]
        if event["event"] == "may-promote" and event["resource"] in self.world.lives[node].reported:
            data = {"resource_name": event["resource"], "node_name": node}
            yield self._sse(name, data | {"may_promote": event["may_promote"]})
        elif event["event"] == "state-gone":
            for resource in event["resources"]:
                yield self._sse(name, {"resource_name": resource, "node_name": node})

    def _promotions_now(self) -> Iterable[str]:
        for placement in self.world.store.placements():
            side = view.reported(self.world, placement)
            if not isinstance(side, bool):
                may = drbd.promotion(side).may
                data = {"resource_name": placement.definition, "node_name": placement.node}
                yield self._sse("may-promote-change", data | {"may_promote": may})

    def _node_event(self, event: Event) -> Iterable[str]:
        if event["event"] == "node-modified":
            node = view.node(self.world, event["node"])
            yield self._sse("node-modified", {"old_node": node, "new_node": node})


def main() -> None:
    """Run the program for the boot lab."""
    from tidegate.sim.faces import linstor_control  # noqa: PLC0415 - only the program needs it

    linstor_control.main()


if __name__ == "__main__":
    main()
