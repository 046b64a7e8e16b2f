# SPDX-License-Identifier: Apache-2.0
"""The way from the guard to the controllers: the active one is asked, nothing is repeated that is not harmless, and every wait ends."""

import asyncio
import asyncio.sslproto
import contextlib
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Final

import aiohttp
import msgspec
import yarl

from tidegate.clients import errors, http
from tidegate.clients.linstor import tls
from tidegate.clients.linstor.endpoints import Endpoints
from tidegate.core.trouble import Trouble
from tidegate.guard import interface, limits
from tidegate.guard.directory import Directory
from tidegate.guard.interface import Answer, Patience

LOOK_EVERY: Final = 0.25
"""Seconds between two looks at the calls that wait."""
TLS_BUFFER: Final = 16 * 1024
"""Bytes that each connection with TLS keeps for reading: one record. asyncio's 256 KiB would be 250 MiB for a thousand idle streams."""
_TARGET: Final = ":target"
"""Hands a request's target to `_AsGiven`; never sent."""


class _Target:
    """An address whose path and query are written as they came: `yarl.URL` drops a ``?`` with nothing behind it."""

    def __init__(self, url: yarl.URL, target: str) -> None:
        self._url = url
        self.raw_path_qs = target

    def __getattr__(self, name: str) -> Any:
        return getattr(self._url, name)


class _AsGiven(aiohttp.ClientRequest):
    """A request for a target exactly as it was received."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        target = _Target(self.url, self.headers.pop(_TARGET))
        self.url = target  # type: ignore[assignment]


class _Waiting:
    """The calls whose answers have not begun. One timer looks after all of them: two for each would cost a tenth of what it does."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._calls: dict[asyncio.Timeout, tuple[Patience, float]] = {}
        self._timer: asyncio.TimerHandle | None = None

    @contextlib.contextmanager
    def one(self, patience: Patience, began: float, limit: asyncio.Timeout) -> Iterator[None]:
        """Have ``limit`` end a call when its ``patience`` is over."""
        self._calls[limit] = patience, began
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_EVERY, self._look)
        try:
            yield
        finally:
            self._calls.pop(limit, None)

    def _look(self) -> None:
        """End what has waited too long; a call that waits has the controller asked whether it lives at all."""
        loop = asyncio.get_running_loop()
        now, silent, waits = loop.time(), self._directory.silent_for(), False
        for limit, (patience, began) in tuple(self._calls.items()):
            old = now - began >= limits.CHECK_AFTER
            waits = waits or old
            if now - began >= patience.answer or (old and silent > patience.hung):
                del self._calls[limit]
                limit.reschedule(now)
        if waits:
            self._directory.suspect()
        self._timer = loop.call_later(LOOK_EVERY, self._look) if self._calls else None


class Upstream:
    """The way to the controllers: the active one, and what is needed to talk to it."""

    def __init__(self, to: Endpoints, directory: Directory) -> None:
        self.directory = directory
        self._to = to
        self._tls: ssl.SSLContext | None = None
        self._session: aiohttp.ClientSession | None = None
        self._waiting = _Waiting(directory)
        asyncio.sslproto.SSLProtocol.max_size = TLS_BUFFER

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    def session(self) -> aiohttp.ClientSession:
        """Return the session, made when first needed."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=limits.POOL_IDLE),
                cookie_jar=aiohttp.DummyCookieJar(),
                request_class=_AsGiven,
                auto_decompress=False,
                trust_env=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
                timeout=aiohttp.ClientTimeout(total=None, connect=http.CONNECT_LIMIT),
            )
            # aiohttp repeats "idempotent" methods by itself after a lost connection, PUT and DELETE among them.
            self._session._retry_connection = False  # noqa: SLF001  no public switch
        return self._session

    async def login(self) -> str | None:
        """Return our own ``Authorization``; None when the controllers want none."""
        return await tls.login(self._to)

    def tls_for(self, url: str) -> ssl.SSLContext | bool:
        """Return what is needed for ``url``. Raises ClientError ``controller.tls``."""
        if not url.startswith("https:"):
            return True
        if self._tls is None:
            self._tls = tls.context(self._to)
        return self._tls

    async def begin(
        self,
        patience: Patience,
        method: str,
        target: str,
        headers: Sequence[tuple[str, str]],
        body: bytes | AsyncIterator[bytes] | None,
    ) -> aiohttp.ClientResponse:
        """Make a call and return when its answer begins. Raises ClientError within the limits of ``patience``.

        Asked again: what was certainly not sent, of each controller that may be the active one by then; and once a GET that was, whose
        connection broke off.
        """
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(None) as limit:
                with self._waiting.one(patience, began, limit):
                    return await self._attempts(patience, method, target, headers, body)
        except TimeoutError:
            waited = asyncio.get_running_loop().time() - began
            raise errors.ClientError(late(target, waited)) from None

    async def _attempts(
        self,
        patience: Patience,
        method: str,
        target: str,
        headers: Sequence[tuple[str, str]],
        body: bytes | AsyncIterator[bytes] | None,
    ) -> aiohttp.ClientResponse:
        asked = refused = 0
        while True:
            url = await self.directory.find(patience)
            try:
                return await self.session().request(
                    method,
                    url,
                    headers=[*headers, (_TARGET, target)],
                    data=body,
                    allow_redirects=False,
                    ssl=self.tls_for(url),
                )
            except (aiohttp.ClientError, OSError) as error:
                found = http.trouble(
                    error,
                    system="controller",
                    where=url,
                    deadline=patience.answer,
                    connect_limit=http.CONNECT_LIMIT,
                )
                if is_unsent(error):
                    refused += 1
                    self.directory.lost(url, found)
                    again = not isinstance(body, AsyncIterator)
                else:
                    asked += 1
                    self.directory.suspect()
                    again = asked == 1 and method in {"GET", "HEAD"} and body is None
                if not again or refused > len(self.directory.urls):
                    raise errors.ClientError(found) from error


def is_unsent(error: Exception) -> bool:
    """Return True when nothing of the call can have reached a controller: no connection, or one that was closed before."""
    return isinstance(error, aiohttp.ClientConnectorError | aiohttp.ClientConnectionResetError)


def failed(trouble: Trouble) -> Answer:
    """Return the guard's own error, in LINSTOR's form."""
    late = "timeout" in trouble.code
    made = interface.plain_error(
        504 if late else 503,
        interface.FAIL_NOT_CONNECTED,
        f"Tidegate: {trouble.text}",
        hint=trouble.hint,
    )
    return msgspec.structs.replace(
        made, trouble=trouble, why=trouble.code.replace(".", "-"), text=trouble.text
    )


def late(target: str, waited: float) -> Trouble:
    """Return the trouble of a call that was not answered in time."""
    return Trouble(
        code="controller.timeout",
        text=f"no answer to {target.partition('?')[0]} within {waited:.1f} s",
        hint="the controller hangs, or is very busy: tidegate why controller",
    )
