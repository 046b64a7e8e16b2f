# SPDX-License-Identifier: Apache-2.0
"""Who may ask the guard: it holds the controllers' credentials, and they are not everybody's (contract.md, safety 6)."""

import asyncio
import base64
import hmac
import socket
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from aiohttp import hdrs, web

from tidegate.guard import interface, limits, peers
from tidegate.guard.interface import Peer

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

    def peer(self, request: web.BaseRequest) -> Peer:
        """Return who asks. Raises Refused."""
        transport = request.transport
        connection = transport.get_extra_info("socket") if transport is not None else None
        if connection is None:
            raise Refused("gone", 400, "the connection is gone")
        uid = peers.of_connection(connection)
        if connection.family == socket.AF_UNIX:
            return Peer(where="unix", uid=uid)
        place = transport.get_extra_info("peername") if transport is not None else None
        return Peer(where=f"{place[0]}:{place[1]}" if place else "?", uid=uid)


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
    """aiohttp's server with a narrow place before it: who has not shown that it may ask gets few connections, and no time.

    So no other user of this host can use up what Incus needs (contract.md, safety 6).
    """

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        uids: frozenset[int],
        most: int,
    ) -> None:
        super().__init__(
            handler,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=limits.IDLE,
            max_line_size=HEAD_LIMIT,
            max_field_size=HEAD_LIMIT,
        )
        self._uids = uids
        self._most = most
        self._unproven: set[web.RequestHandler] = set()

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Look who it is; a stranger has to prove himself soon."""
        super().connection_made(handler, transport)
        connection = transport.get_extra_info("socket")
        if connection is not None and peers.of_connection(connection) in self._uids:
            return
        if len(self._unproven) >= self._most:
            transport.abort()
            return
        self._unproven.add(handler)
        loop = asyncio.get_running_loop()
        loop.call_later(limits.HEAD_WITHIN, self._expire, handler, transport)

    def connection_lost(
        self, handler: web.RequestHandler, exc: BaseException | None = None
    ) -> None:
        """Forget him."""
        self._unproven.discard(handler)
        super().connection_lost(handler, exc)

    def proven(self, handler: web.RequestHandler) -> None:
        """Take in that a stranger brought the secret."""
        self._unproven.discard(handler)

    def _expire(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        if handler in self._unproven:
            transport.abort()
