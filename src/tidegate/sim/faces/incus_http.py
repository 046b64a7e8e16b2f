# SPDX-License-Identifier: Apache-2.0
"""Incus's REST API on a unix socket, in front of the model (facts/incus.md section 5).

Here is the socket: a connection to an open incus.socket starts incusd (R7), one to a closed socket is refused, and when the process
ends its connections break. What is answered and when: :mod:`tidegate.sim.faces.incus_api`.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from tidegate.sim.faces import incus_api
from tidegate.sim.faces.pacer import Pacer
from tidegate.sim.incus.model import IncusModel

_IDLE = 30.0
"""Seconds after which Incus closes an idle connection (R3)."""

# Since 3.13 asyncio removes the file when it stops listening; systemd's stays.
_KEEP_FILE: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}


class _Broken(asyncio.Protocol):
    """A connection that ends as it begins."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """End it."""
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


class IncusFace:
    """The API of one model; several faces share one pacer.

    ``activates`` False: a connection does not start incusd but breaks at once while none runs. For those who are pointed at the
    socket alone and have no systemd to ask first: they must not pull incusd up before its time.
    """

    def __init__(self, model: IncusModel, pacer: Pacer, *, activates: bool = True) -> None:
        self._model = model
        self._activates = activates
        self._pacer = pacer
        self._api = incus_api.IncusApi(model, pacer)
        self._changed = asyncio.Event()
        self._is_settled = asyncio.Event()
        self._runner = web.AppRunner(
            self._api.application(),
            access_log=None,
            handle_signals=False,
            handler_cancellation=True,
            keepalive_timeout=_IDLE,
            shutdown_timeout=0.1,
        )
        model.listen(self._on_change)

    @asynccontextmanager
    async def serving(self, path: Path) -> AsyncIterator["IncusFace"]:
        """Serve on the unix socket ``path`` for as long as the block lasts, whenever the model's incus.socket is open.

        The socket's file stays while nobody listens, so that a connection is refused. The pacer must run meanwhile.
        """
        await self._runner.setup()
        async with asyncio.TaskGroup() as tasks:
            keeper = tasks.create_task(self._keep_socket(path), name=f"incus socket {path}")
            try:
                await self.settled()
                yield self
            finally:
                keeper.cancel()
        self._break_connections()
        await self._runner.cleanup()

    async def settled(self) -> None:
        """Wait until the socket listens or refuses, as the model says it should at this moment."""
        await self._is_settled.wait()

    # --- the socket -----------------------------------------------------------------------------

    async def _keep_socket(self, path: Path) -> None:
        """Listen while incus.socket does."""
        loop, listener = asyncio.get_running_loop(), None
        try:
            while True:
                self._changed.clear()
                is_open = self._model.units.is_socket_open
                if is_open and listener is None:
                    listener = await loop.create_unix_server(
                        self._accept, path=str(path), start_serving=False, **_KEEP_FILE
                    )
                    await listener.start_serving()
                elif not is_open and listener is not None:
                    listener.close()
                    listener = None
                if not self._changed.is_set():
                    self._is_settled.set()
                await self._changed.wait()
        finally:
            if listener is not None:
                listener.close()

    def _accept(self) -> asyncio.BaseProtocol:
        """Somebody has connected: systemd starts the service (U6)."""
        self._pacer.catch_up()
        if not self._activates and self._model.daemon is None:
            return _Broken()
        self._model.units.connect()
        self._pacer.wake()
        assert self._runner.server is not None
        return self._runner.server()

    def _on_change(self) -> None:
        """The socket has opened or closed, or a process has ended and its connections with it."""
        has_died = self._api.answering is not None and self._api.answering.gone.is_set
        if has_died or not self._model.units.is_socket_open:
            self._api.answering = None
            self._break_connections()
        self._is_settled.clear()
        self._changed.set()

    def _break_connections(self) -> None:
        if self._runner.server is None:
            return
        for connection in tuple(self._runner.server.connections):
            transport = connection.transport
            if transport is not None:
                transport.abort()
