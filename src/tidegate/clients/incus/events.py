# SPDX-License-Identifier: Apache-2.0
"""Incus's event stream: a websocket over the same unix socket (facts/incus.md R70-R76).

Events are hints that wake: nothing tells that a pool became available or that an autostart failed
(R75), and a slow reader is cut off. After every loss the reader looks at everything again. Every call of
ours shows as a logging event of its own (seen on 7.0.2): who is woken by all of those wakes itself.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Final, TypeAlias

import aiohttp
import msgspec

from tidegate.clients import errors, http
from tidegate.clients.incus import answers, client, wire

TYPES: Final = ("lifecycle", "operation", "logging")
_SILENCE: Final = 30.0  # seconds; the server pings every 10
_GOODBYE: Final = 0.3  # seconds that a server has to answer our leaving; one that hangs does not
_MESSAGE_LIMIT: Final = 16 * 1024 * 1024

Metadata: TypeAlias = wire.Lifecycle | wire.Operation | wire.Logging

_envelope: Final = msgspec.json.Decoder(wire.EventEnvelope)
_decoders: Final[dict[str, msgspec.json.Decoder[Metadata]]] = {
    "lifecycle": msgspec.json.Decoder(wire.Lifecycle),
    "operation": msgspec.json.Decoder(wire.Operation),
    "logging": msgspec.json.Decoder(wire.Logging),
}


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One event; its ``metadata`` is Lifecycle, Operation or Logging."""

    metadata: Metadata
    at: float | None
    """Seconds since the epoch, by Incus's clock."""
    location: str = ""
    """The cluster member it comes from; empty on a standalone server."""
    project: str = ""


def parse(data: str | bytes) -> Event | None:
    """The event in one message; None for a type we do not read. Raises one of ``errors.UNREADABLE``."""
    found = _envelope.decode(data)
    decoder = _decoders.get(found.type)
    if decoder is None:
        return None
    return Event(
        metadata=decoder.decode(found.metadata),
        at=found.timestamp.timestamp() if found.timestamp else None,
        location=found.location,
        project=found.project,
    )


async def stream(
    incus: client.IncusClient,
    *,
    connect_deadline: float,
    types: Iterable[str] = TYPES,
    opened: Callable[[], None] = lambda: None,
) -> AsyncGenerator[Event, None]:
    """Events of all projects as they come; ends only by raising ClientError.

    ``opened`` is called once nothing that happens from now on is missed: that is when Incus's API opens.

    ``connect_deadline`` in seconds: while Incus starts, the connection is made only when its API opens,
    early enough to see the autostart (R70); ``incus.timeout`` until then. ``incus.disconnected`` when the
    daemon went away or said nothing for 30 s. Use ``contextlib.aclosing`` around it.
    """
    url = f"http://incus/1.0/events?type={','.join(types)}&all-projects=true"
    socket = await _connect(incus, url, connect_deadline)
    try:
        opened()
        while True:
            yield await _next(socket, str(incus.socket))
    finally:
        await socket.close()


async def _connect(
    incus: client.IncusClient, url: str, deadline: float
) -> aiohttp.ClientWebSocketResponse:
    what, place = "GET /1.0/events", str(incus.socket)
    try:
        async with asyncio.timeout(deadline):
            return await incus.session().ws_connect(
                url,
                max_msg_size=_MESSAGE_LIMIT,
                timeout=aiohttp.ClientWSTimeout(ws_receive=_SILENCE, ws_close=_GOODBYE),
            )
    except aiohttp.WSServerHandshakeError as error:
        raise answers.garbage(what, f"HTTP {error.status} instead of a websocket") from error
    except (aiohttp.ClientError, OSError) as error:
        trouble = http.trouble(
            error, system="incus", where=place, deadline=deadline, connect_limit=deadline
        )
        found = errors.ClientError(trouble)
        found.__cause__ = error
        raise answers.no_answer(found, what=what, socket=place) from error


async def _next(socket: aiohttp.ClientWebSocketResponse, place: str) -> Event:
    """The next event that we can read; raises ClientError when there will be none."""
    while True:
        try:
            message = await socket.receive()
        except TimeoutError as error:
            raise _lost(place, f"not even a ping for {_SILENCE:g} s") from error
        if message.type not in {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY}:
            raise _lost(place, "the connection was closed")
        try:
            event = parse(message.data)
        except errors.UNREADABLE as error:
            raise answers.garbage("an event", str(error)) from error
        if event is not None:
            return event


def _lost(place: str, problem: str) -> errors.ClientError:
    return errors.ClientError(
        errors.Trouble(
            code="incus.disconnected",
            text=f"{place}: the event stream ended ({problem})",
            hint="Incus restarts or was busy; everything is read again",
        )
    )
