# SPDX-License-Identifier: Apache-2.0
"""HTTP on the wire for tests of the guard: a controller that answers in given bytes, and a client that sends given bytes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Self

import msgspec

VERSION = b'{"version":"1.34.0","rest_api_version":"1.28.0"}'
_WITHIN = 60.0
"""Seconds for anything, on a busy machine."""


def answer(
    body: bytes = b'[{"odd" :  1}]', status: str = "200 OK", *more: str, length: bool = True
) -> bytes:
    """The bytes of an answer with a known length, or, without one, that ends with the connection."""
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", *more]
    lines += [f"Content-Length: {len(body)}"] if length else ["Connection: close"]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def chunked(*pieces: bytes, more: str = "", trailer: str = "") -> bytes:
    """The bytes of an answer in chunks."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{more}Transfer-Encoding: chunked\r\n\r\n"
    return head.encode() + in_chunks(*pieces, trailer=trailer)


def in_chunks(*pieces: bytes, trailer: str = "") -> bytes:
    """A body in chunks."""
    found = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return found + b"0\r\n" + trailer.encode() + b"\r\n"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request as the controller got it."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> list[str]:
        return [value for found, value in self.headers if found.lower() == name.lower()]


class Got(msgspec.Struct, frozen=True, kw_only=True):
    """An answer as the client got it."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    whole: bool = True

    def header(self, name: str) -> list[str]:
        return [value for found, value in self.headers if found.lower() == name.lower()]

    def kept(self) -> list[tuple[str, str]]:
        """The header lines that are not about one connection."""
        hop = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "trailer"}
        return sorted(
            (name.lower(), value) for name, value in self.headers if name.lower() not in hop
        )


Answers = Callable[[Asked], bytes | None] | Callable[[Asked], Awaitable[bytes | None]]


class Wire:
    """A controller that says its version, and answers everything else with what ``answers`` gives: None closes the connection.

    What ``answers`` gives is sent as it is; the connection stays open unless the answer says ``Connection: close``.
    """

    def __init__(self, answers: Answers | bytes = b"") -> None:
        fixed = answers if isinstance(answers, bytes) else b""
        self.answers: Answers = (lambda _: fixed) if isinstance(answers, bytes) else answers
        self.asked: list[Asked] = []
        self.heard = asyncio.Event()
        self.continues = False
        self.hangs = False
        """It accepts connections and says nothing, not even its version."""
        self.ends = ""
        """How a connection ends after an answer: "reset", "close"; "" not."""
        self.huge = 0
        """MiB that ``/huge`` answers; ``swallowed`` counts what it was sent."""
        self.swallowed = 0
        self.version = answer(VERSION)
        self.port = 0
        self._open: set[asyncio.StreamWriter] = set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until ``condition`` holds."""
        async with asyncio.timeout(_WITHIN):
            while not condition():  # noqa: ASYNC110  it may be about anything
                await asyncio.sleep(0.01)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Self]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=1 << 20)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.drop()
            await server.wait_closed()

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._open)

    def says(self, fixed: bytes) -> None:
        """Answer everything with these bytes from now on, the version too."""
        self.version = fixed if b" 200 " in fixed[:16] and b'"version"' in fixed else self.version
        self.answers = lambda _: fixed

    def drop(self) -> None:
        """Reset all connections."""
        for writer in self._open:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while await self._one(reader, writer):
                pass
        self._open.discard(writer)
        writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, headers = _head(head)
        method, target, _ = first.split(" ", 2)
        names = {name.lower(): value for name, value in headers}
        if self.continues and "expect" in names:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if target == "/huge":
            return await self._pour(reader, writer, int(names["content-length"]))
        asked = Asked(
            method=method, target=target, headers=headers, body=await _body(reader, names)
        )
        if self.hangs:
            await asyncio.Event().wait()
        if target == "/v1/controller/version":
            writer.write(self.version)
            return True
        self.asked.append(asked)
        self.heard.set()
        found = self.answers(asked)
        said = await found if isinstance(found, Awaitable) else found
        if said is None:
            writer.transport.abort()
            return False
        kept = said.index(b"\r\n\r\n") + 4 if method == "HEAD" else len(said)
        writer.write(said[:kept])
        await writer.drain()
        if self.ends == "reset":
            writer.transport.abort()
        return not self.ends and b"connection: close" not in said.partition(b"\r\n\r\n")[0].lower()

    async def _pour(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, length: int
    ) -> bool:
        while self.swallowed < length:
            self.swallowed += len(await reader.read(1 << 20))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (self.huge << 20))
        for _ in range(self.huge):
            writer.write(b"\x5a" * (1 << 20))
            await writer.drain()
        return True


class Line:
    """A client's connection. ``ask`` sends bytes and reads one answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    @contextlib.asynccontextmanager
    async def to(cls, port: int) -> AsyncIterator[Self]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        try:
            yield cls(reader, writer)
        finally:
            writer.transport.abort()

    async def ask(self, sent: bytes) -> Got:
        self.writer.write(sent)
        return await self.read(head_only=sent.startswith(b"HEAD "))

    async def read(self, *, head_only: bool = False) -> Got:
        """Read one answer; interim ones are left out."""
        async with asyncio.timeout(_WITHIN):
            while True:
                first, headers = _head((await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1"))
                status = int(first.split(" ", 2)[1])
                if status >= 200:
                    break
            names = {name.lower(): value for name, value in headers}
            if head_only or status in {204, 304}:
                return Got(status=status, headers=headers, body=b"")
            try:
                if "content-length" in names or "transfer-encoding" in names:
                    body = await _body(self.reader, names)
                else:
                    body = await self.reader.read()
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                partial = getattr(error, "partial", b"")
                return Got(status=status, headers=headers, body=partial, whole=False)
            return Got(status=status, headers=headers, body=body)


async def ask(port: int, sent: bytes) -> Got:
    """Send bytes on a connection of their own, and read one answer."""
    async with Line.to(port) as line:
        return await line.ask(sent)


def request(method: str, target: str, body: bytes | None = None, *more: str) -> bytes:
    """The bytes of a request as Incus's client makes it."""
    lines = [
        f"{method} {target} HTTP/1.1",
        "Host: 127.0.0.1",
        "User-Agent: Go-http-client/1.1",
        "Accept: application/json",
        *more,
    ]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


def _head(text: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    first, *lines = text.removesuffix("\r\n\r\n").split("\r\n")
    pairs = (line.split(":", 1) for line in lines)
    return first, tuple((name, value.strip()) for name, value in pairs)


async def _body(reader: asyncio.StreamReader, names: dict[str, str]) -> bytes:
    if "chunked" in names.get("transfer-encoding", ""):
        found = b""
        while size := int((await reader.readuntil(b"\n")).split(b";")[0], 16):
            found += await reader.readexactly(size)
            await reader.readexactly(2)
        while (await reader.readuntil(b"\n")).strip():
            pass
        return found
    return await reader.readexactly(int(names.get("content-length", "0")))
