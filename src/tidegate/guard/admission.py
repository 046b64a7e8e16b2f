# SPDX-License-Identifier: Apache-2.0
"""Who may ask the guard: it holds the controllers' credentials, and they are not everybody's (contract.md, safety 6)."""

import asyncio
import base64
import hmac
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from aiohttp import hdrs, web

from tidegate.guard import interface, limits, peers
from tidegate.guard.interface import Peer

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
HEAD_LIMIT: Final = 64 * 1024
"""Bytes of a request line or header field."""
_LOCAL: Final = frozenset({"127.0.0.1", "localhost", "[::1]", "::1"})


class Refused(Exception):  # noqa: N818  a state of a request
    """This request is not taken; the answer says why."""

    def __init__(self, reason: str, status: int, text: str) -> None:
        super().__init__(text)
        self.reason = reason
        self.answer = interface.plain_error(
            status, interface.FAIL_UNKNOWN_ERROR, f"Tidegate: {text}"
        )


class Admission(msgspec.Struct, frozen=True, kw_only=True):
    """Who may ask (contract.md, safety 6)."""

    uids: frozenset[int] = frozenset({0})
    """Owners of sockets that may."""
    username: str = ""
    password: str = ""
    """What others have to bring; "" for nobody."""

    def knows(self, authorization: str) -> bool:
        """Return True when the header ``Authorization`` is the secret that Incus was given."""
        if not self.password:
            return False
        wanted = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        return hmac.compare_digest(f"Basic {wanted}".encode(), authorization.encode())

    def check(self, request: web.BaseRequest, peer: Peer) -> None:
        """Let a request over TCP pass, or raise Refused."""
        host = request.headers.get(hdrs.HOST, "")
        name = host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
        if len(request.headers.getall(hdrs.HOST, [])) > 1 or name.lower() not in _LOCAL:
            raise Refused("host", 421, "the guard answers for this host's loopback address only")
        known = self.knows(request.headers.get(hdrs.AUTHORIZATION, ""))
        if peer.uid not in self.uids and not known:
            raise Refused(
                "peer",
                403,
                "this user may not ask the guard, which holds the controllers' credentials",
            )


def listening(place: str) -> socket.socket:
    """Return a socket that listens at ``HOST:PORT`` of the loopback. Raises OSError, ValueError for another address."""
    host, _, port = place.rpartition(":")
    name = host.strip("[]")
    if name not in {"127.0.0.1", "::1", "localhost"} or not port.isdecimal():
        raise ValueError(f"{place!r} is no address of the loopback: write 127.0.0.1:PORT")
    family = socket.AF_INET6 if ":" in name else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((name, int(port)))
    made.listen(512)
    made.setblocking(False)
    return made


class Door(web.Server):
    """aiohttp's server with a doorkeeper: whose socket it is he asks once, and makes room when it becomes too full.

    Who has not shown that he may ask gets few connections, and no time: so no other user of this host can use up what Incus needs
    (contract.md, safety 6). Of those who may, the connection longest without a request gives way to a new one.
    """

    def __init__(
        self, handler: Handler, uids: frozenset[int], bounds: limits.Limits, refused: Counter[str]
    ) -> None:
        super().__init__(
            self._attended,
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=limits.IDLE,
            max_line_size=HEAD_LIMIT,
            max_field_size=HEAD_LIMIT,
        )
        self._handler = handler
        self._uids = uids
        self._bounds = bounds
        self._refused = refused
        self._owners: dict[web.RequestHandler, int] = {}
        self._unproven: set[web.RequestHandler] = set()
        self._idle: dict[web.RequestHandler, asyncio.Transport] = {}
        """Without a request, the longest first."""

    @property
    def open(self) -> int:
        """How many connections there are."""
        return len(self._connections)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Look who it is; a stranger has to prove himself soon."""
        super().connection_made(handler, transport)
        owner = peers.of_connection(transport.get_extra_info("socket"))
        if owner in self._uids:
            assert owner is not None
            self._owners[handler] = owner
        elif len(self._unproven) < self._bounds.unproven:
            self._unproven.add(handler)
            loop = asyncio.get_running_loop()
            loop.call_later(limits.PROVEN_WITHIN, self._expire, handler, transport)
        else:
            self._turn_away("strangers", transport)
            return
        self._idle[handler] = transport
        if self.open > self._bounds.connections:
            longest = next(iter(self._idle))
            self._turn_away("too-many", self._idle.pop(longest))

    def connection_lost(
        self, handler: web.RequestHandler, exc: BaseException | None = None
    ) -> None:
        """Forget him."""
        self._unproven.discard(handler)
        self._owners.pop(handler, None)
        self._idle.pop(handler, None)
        super().connection_lost(handler, exc)

    def peer(self, request: web.BaseRequest) -> Peer:
        """Return who asks. Raises Refused."""
        transport = request.transport
        connection = transport.get_extra_info("socket") if transport is not None else None
        if transport is None or connection is None:
            raise Refused("gone", 400, "the connection is gone")
        uid = self._owners.get(request.protocol)
        if uid is None:
            uid = peers.of_connection(connection)
        if connection.family == socket.AF_UNIX:
            return Peer(where="unix", uid=uid)
        place = transport.get_extra_info("peername")
        return Peer(where=f"{place[0]}:{place[1]}" if place else "?", uid=uid)

    def proven(self, handler: web.RequestHandler) -> None:
        """Take in that a stranger brought the secret."""
        self._unproven.discard(handler)

    async def _attended(self, request: web.BaseRequest) -> web.StreamResponse:
        transport = self._idle.pop(request.protocol, None)
        try:
            return await self._handler(request)
        finally:
            if transport is not None and request.transport is transport:
                self._idle[request.protocol] = transport

    def _expire(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        if handler in self._unproven:
            self._turn_away("strangers", transport)

    def _turn_away(self, reason: str, transport: asyncio.Transport) -> None:
        self._refused[reason] += 1
        transport.abort()
