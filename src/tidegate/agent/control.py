# SPDX-License-Identifier: Apache-2.0
"""The socket that commands talk to: a line of JSON in, lines of JSON out, for root and the agent's own user only."""

import asyncio
import json
import logging
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Protocol

LONGEST_REQUEST = 64 * 1024
REQUEST_WITHIN = 5.0
SEND_WITHIN = 10.0
MOST_CLIENTS = 64
_REFUSED = {"exit": 2, "text": "only root and the agent's own user may ask the agent\n"}
_log = logging.getLogger("tidegate.control")


class Answerer(Protocol):
    """Who answers requests."""

    def answer(self, request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Yield the answers to ``request``; the last one carries ``exit``."""


class SocketUnusable(Exception):  # noqa: N818  a state of the host, told as such
    """No socket can be had at this path."""


class SocketTaken(SocketUnusable):
    """Another agent serves at this path."""


class ControlSocket:
    """Serves requests at ``path``. Its clients are told apart by the kernel (SO_PEERCRED), not by what they say."""

    def __init__(
        self,
        path: Path,
        answerer: Answerer,
        *,
        may_ask: Callable[[int], bool] | None = None,
        mode: int = 0o660,
    ) -> None:
        self._path = path
        self._answerer = answerer
        self._mode = mode
        self._may_ask = may_ask or (lambda uid: uid in {0, os.geteuid()})
        self._clients: set[asyncio.Task[None]] = set()

    def may(self, uid: int, request: dict[str, Any]) -> bool:  # noqa: ARG002  for those who look at both
        """Return whether the user ``uid``, who may ask at all, may ask this."""
        return True

    async def serve(self, ready: asyncio.Event) -> None:
        """Serve until cancelled; sets ``ready`` once commands can connect.

        Raises:
            SocketTaken: An agent answers there already.
            SocketUnusable: The directory cannot be made or written, the path is too long, ….
        """
        try:
            self._make_way()
            server = await self._listen()
        except OSError as error:
            raise SocketUnusable(
                f"commands could not ask at {self._path}: {error.strerror or error}; choose another agent.run_dir"
            ) from error
        async with server:
            await server.start_serving()
            ready.set()
            try:
                # Not serve_forever(): cancelled, it waits for its clients (Python 3.12 and later), and those wait for minutes.
                await asyncio.Event().wait()
            finally:
                self._path.unlink(missing_ok=True)
                for client in tuple(self._clients):
                    client.cancel()

    async def _listen(self) -> asyncio.Server:
        old_mask = os.umask(0o777 & ~self._mode)
        try:
            # Not started yet: that takes a turn of the loop, and who is cancelled in it would leave an open socket behind.
            return await asyncio.start_unix_server(
                self._serve_client,
                path=str(self._path),
                limit=LONGEST_REQUEST,
                start_serving=False,
            )
        finally:
            os.umask(old_mask)

    def _make_way(self) -> None:
        self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(str(self._path))
            except (FileNotFoundError, ConnectionRefusedError):
                self._path.unlink(missing_ok=True)  # left behind by an agent that died
                return
        raise SocketTaken(f"another agent serves at {self._path}; two at once would act twice")

    async def _serve_client(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            await self._converse(reader, writer)
        except (OSError, TimeoutError, ValueError) as error:
            _log.debug("a client of the control socket was dropped: %s", error)
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
        finally:
            self._clients.discard(task)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(REQUEST_WITHIN):
            # Read even if it will be refused: closing on unread words would reset the connection and lose the answer.
            line = await reader.readline()
        if len(self._clients) > MOST_CLIENTS:
            await _send(
                writer,
                {"exit": 5, "text": "the agent has too many clients at the moment; try again\n"},
            )
            return
        uid = _peer_uid(writer)
        if not self._may_ask(uid):
            await _send(writer, _REFUSED)
            return
        request = json.loads(line)
        if not isinstance(request, dict):
            raise ValueError("a request is a JSON object")  # noqa: TRY004  told to the client as a value, not a type error
        if not self.may(uid, request):
            await _send(writer, _REFUSED)
            return
        async for answer in self._answerer.answer(request):
            await _send(writer, answer)


async def _send(writer: asyncio.StreamWriter, answer: dict[str, Any]) -> None:
    writer.write(json.dumps(answer).encode() + b"\n")
    async with asyncio.timeout(SEND_WITHIN):
        await writer.drain()


def _peer_uid(writer: asyncio.StreamWriter) -> int:
    connection = writer.get_extra_info("socket")
    credentials = connection.getsockopt(
        socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")
    )
    uid: int = struct.unpack("3i", credentials)[1]
    return uid
