# SPDX-License-Identifier: Apache-2.0
"""One HTTP call with a deadline: a thin shell over aiohttp that knows no product.

It never follows a redirect (LINSTOR's drops the query, facts/linstor.md 4.1), never uses a proxy
from the environment, bounds the body, and turns every error of aiohttp, the OS and OpenSSL into a
`ClientError` whose code starts with the caller's name for the peer ("controller", "incus").
HTTP status codes are no errors here: what a 404 means is the caller's knowledge.
"""

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Final, NoReturn

import aiohttp
import msgspec
import yarl

from tidegate.clients import errors

CONNECT_LIMIT: Final = 3.0  # seconds for name look-up, TCP and TLS together
BODY_LIMIT: Final = 64 * 1024 * 1024  # bytes; 5,000 LINSTOR resources are 14 MB
_CHUNK: Final = 256 * 1024

_UNREACHABLE: Final = frozenset(
    {
        errno.ENETUNREACH,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.EHOSTDOWN,
        errno.EADDRNOTAVAIL,
        errno.EACCES,
        errno.EPERM,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EAFNOSUPPORT,
    }
)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the peer answered; any status. `headers` may be asked in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def tcp_session(*, agent: str, connect_limit: float = CONNECT_LIMIT) -> aiohttp.ClientSession:
    """A session for TCP peers; `agent` is its User-Agent. Close it when done.

    A peer that vanishes without a word is noticed after `connect_limit` seconds without a TCP
    acknowledgement, even on a connection that was kept open, and on an idle stream after about 15 s.
    A peer that hangs but lives still acknowledges: that is what deadlines are for.
    """

    def make_socket(info: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, proto, _, _ = info
        made = socket.socket(family, kind, proto)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(connect_limit * 1000))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 2)
        return made

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=32, socket_factory=make_socket),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": agent, "Accept-Encoding": "identity"},
        trust_env=False,
    )


async def request(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    *,
    deadline: float,
    system: str,
    json: object = None,
    headers: Mapping[str, str] | None = None,
    connect_limit: float = CONNECT_LIMIT,
    body_limit: int = BODY_LIMIT,
    where: str = "",
    tls: ssl.SSLContext | None = None,
    once: bool = False,
) -> Answer:
    """Make one call and return the whole answer, or raise `ClientError`.

    `url` is used as it is: quote it before. `deadline` is the limit of the whole call in seconds
    from now, the body included; `connect_limit` that of the connection alone. `system` starts the
    code of an error; `where` replaces the URL in its text (for a unix socket); `tls` is for https.
    Codes (slugs): refused, unreachable, timeout-connect, timeout, tls, disconnected, garbage.
    A GET whose connection is lost before its answer is made once more; anything else only if the
    kept connection turned out to be closed before the request was sent. `once`: nothing is.
    """
    place = where or url
    _no_hidden_retry(session)

    async def exchange() -> Answer:
        async with session.request(
            method,
            yarl.URL(url, encoded=True),
            json=json,
            headers=headers,
            allow_redirects=False,
            timeout=timeouts(deadline, connect_limit),
            ssl=tls or True,
        ) as response:
            body = await _read(response, body_limit)
            return Answer(status=response.status, headers=response.headers, body=body)

    try:
        async with asyncio.timeout(deadline):
            try:
                return await exchange()
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                stale = method == "GET" and _may_be_stale(error)
                if once or not (_was_not_sent(error) or stale):
                    raise
            return await exchange()
    except aiohttp.InvalidURL:
        raise  # our own mistake, not the peer's
    except (aiohttp.ClientError, OSError, _TooLongError) as error:
        _fail(error, system=system, where=place, deadline=deadline, connect_limit=connect_limit)


def _no_hidden_retry(session: aiohttp.ClientSession) -> None:
    """Keep aiohttp from repeating a PUT or DELETE by itself: an instance would be started twice.

    It repeats "idempotent" methods after any lost connection and has no public switch for that.
    """
    session._retry_connection = False  # noqa: SLF001


def _was_not_sent(error: aiohttp.ClientError) -> bool:
    """The connection was seen closed before the request was wholly written: nobody can have acted on it."""
    return any(isinstance(cause, aiohttp.ClientConnectionResetError) for cause in _chain(error))


def _may_be_stale(error: aiohttp.ClientError) -> bool:
    """A connection kept open that the peer had closed meanwhile: a GET is asked once more, on a new one."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return False
    return getattr(error, "errno", None) != errno.ETIMEDOUT


async def open_stream(
    session: aiohttp.ClientSession,
    url: str,
    *,
    deadline: float,
    system: str,
    headers: Mapping[str, str] | None = None,
    connect_limit: float = CONNECT_LIMIT,
    tls: ssl.SSLContext | None = None,
) -> aiohttp.ClientResponse:
    """Start a GET whose body goes on for ever; returns when its headers are there (within `deadline`).

    The caller closes the response. Raises `ClientError` as `request` does.
    """
    _no_hidden_retry(session)
    try:
        async with asyncio.timeout(deadline):
            return await session.get(
                yarl.URL(url, encoded=True),
                headers=headers,
                allow_redirects=False,
                timeout=timeouts(deadline, connect_limit),
                ssl=tls or True,
            )
    except aiohttp.InvalidURL:
        raise
    except (aiohttp.ClientError, OSError) as error:
        _fail(error, system=system, where=url, deadline=deadline, connect_limit=connect_limit)


async def chunks(
    response: aiohttp.ClientResponse, *, system: str, where: str
) -> AsyncGenerator[bytes, None]:
    """The body of a stream as it arrives; ends when the peer ends it, raises `ClientError` if it breaks."""
    try:
        async for chunk in response.content.iter_any():
            yield chunk
    except (aiohttp.ClientError, OSError) as error:
        _fail(error, system=system, where=where, deadline=0, connect_limit=0)


async def read(
    response: aiohttp.ClientResponse, *, deadline: float, system: str, where: str
) -> Answer:
    """The rest of an opened stream that turned out to be an ordinary answer (an error, say)."""
    try:
        async with asyncio.timeout(deadline):
            body = await _read(response, BODY_LIMIT)
    except (aiohttp.ClientError, OSError, _TooLongError) as error:
        _fail(error, system=system, where=where, deadline=deadline, connect_limit=deadline)
    return Answer(status=response.status, headers=response.headers, body=body)


def timeouts(deadline: float | None, connect_limit: float = CONNECT_LIMIT) -> aiohttp.ClientTimeout:
    """The time-outs for aiohttp; the total is kept by `asyncio.timeout` around the call.

    The connect limit stays below the deadline, so that the two can be told apart afterwards.
    """
    connect = connect_limit if deadline is None else min(connect_limit, deadline * 0.9)
    return aiohttp.ClientTimeout(total=None, connect=connect)


def trouble(
    error: BaseException, *, system: str, where: str, deadline: float, connect_limit: float
) -> errors.Trouble:
    """Say what an exception of aiohttp, the OS or OpenSSL means (pure; also for streams)."""
    for cause in _chain(error):
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, aiohttp.ClientError):
            return _tls_trouble(cause, system, where)
    if isinstance(error, TimeoutError):
        return _timeout_trouble(error, system, where, deadline, connect_limit)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return errors.Trouble(
            code=f"{system}.{errors.UNREACHABLE}",
            text=f"{where}: the name does not resolve ({error.os_error.strerror})",
            hint="check the host name, /etc/resolv.conf and /etc/hosts; an address works without DNS",
        )
    if isinstance(error, aiohttp.ClientConnectorError):
        return _connect_trouble(error.os_error, system, where)
    return _broken_trouble(error, system, where)


class _TooLongError(Exception):
    """The body is longer than the caller allows."""


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Read the body, at most `limit` bytes (after decompression)."""
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > limit:
            raise _TooLongError(f"the answer is longer than {limit} bytes")
    return bytes(body)


def _fail(
    error: BaseException, *, system: str, where: str, deadline: float, connect_limit: float
) -> NoReturn:
    found = trouble(
        error, system=system, where=where, deadline=deadline, connect_limit=connect_limit
    )
    raise errors.ClientError(found) from error


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception and what it was made from: aiohttp wraps what OpenSSL and the OS say.

    Not its `__context__`: that may be the trouble of another peer that was asked before this one.
    """
    seen: BaseException | None = error
    for _ in range(8):
        if seen is None:
            return
        yield seen
        if isinstance(seen, aiohttp.ClientConnectorError):
            yield seen.os_error
        seen = seen.__cause__


def _timeout_trouble(
    error: TimeoutError, system: str, where: str, deadline: float, connect_limit: float
) -> errors.Trouble:
    limit = min(connect_limit, deadline * 0.9)
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        is_tls = where.startswith("https:")
        return errors.Trouble(
            code=f"{system}.{errors.TIMEOUT_CONNECT}",
            text=f"{where}: no connection{' with TLS' if is_tls else ''} within {_rounded(limit)} s",
            hint="the host is down, or a firewall drops the packets: check address and route"
            + (", and that the port speaks TLS" if is_tls else ""),
        )
    if error.errno == errno.ETIMEDOUT:
        return _broken_trouble(error, system, where)
    return errors.Trouble(
        code=f"{system}.{errors.TIMEOUT}",
        text=f"{where}: connected, but no complete answer within {_rounded(deadline)} s",
        hint="the service hangs or is very busy: look at its log",
    )


def _rounded(seconds: float) -> str:
    """A limit as it was meant: what is left of it at the call is some microseconds less."""
    return f"{max(round(seconds, 1), 0.1):g}"


def _connect_trouble(error: OSError, system: str, where: str) -> errors.Trouble:
    """A connection that was not made: refused, no way there, not allowed, or black-holed."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    if error.errno == errno.ETIMEDOUT:
        return errors.Trouble(
            code=f"{system}.{errors.TIMEOUT_CONNECT}",
            text=f"{where}: the network gave up connecting ({reason})",
            hint="the host is down, or a firewall drops the packets: check address and route",
        )
    if error.errno in _UNREACHABLE:
        return errors.Trouble(
            code=f"{system}.{errors.UNREACHABLE}",
            text=f"{where}: cannot be reached ({reason})",
            hint="check the address, the route to it and who may use it",
        )
    if error.errno in {errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE}:
        return _broken_trouble(error, system, where)
    return errors.Trouble(
        code=f"{system}.{errors.REFUSED}",
        text=f"{where}: no connection ({reason})",
        hint="the host is up but nothing listens there: is the service running, is the port right?",
    )


def _broken_trouble(error: BaseException, system: str, where: str) -> errors.Trouble:
    """Connected, and then the connection or what came over it was no good."""
    if isinstance(error, _TooLongError):
        return errors.Trouble(
            code=f"{system}.{errors.GARBAGE}",
            text=f"{where}: {error}",
            hint="this is not what Tidegate asks for: check the address",
        )
    if isinstance(error, aiohttp.ClientResponseError):
        return errors.Trouble(
            code=f"{system}.{errors.GARBAGE}",
            text=f"{where}: what answers does not speak HTTP ({_one_line(error)})",
            hint="another service listens there, or the port wants https: check address and port",
        )
    if isinstance(error, OSError) and error.errno == errno.ETIMEDOUT:
        return errors.Trouble(
            code=f"{system}.{errors.DISCONNECTED}",
            text=f"{where}: the host stopped answering in the middle (no TCP acknowledgement)",
            hint="the host went down or its network is cut",
        )
    return errors.Trouble(
        code=f"{system}.{errors.DISCONNECTED}",
        text=f"{where}: the connection was closed before the answer was complete",
        hint="the service stopped or restarted just now; it is asked again",
    )


def _one_line(error: BaseException) -> str:
    text = error.message if isinstance(error, aiohttp.ClientResponseError) else str(error)
    return text.strip().splitlines()[0][:120] if text.strip() else type(error).__name__


# What OpenSSL says about the peer's certificate (X509_V_ERR_*), in words; else its own text.
_VERIFY: Final[Mapping[int, tuple[str, str]]] = {
    9: ("the certificate is not yet valid", "check the clock of both hosts"),
    10: ("the certificate has expired", "renew it, or check the clock of this host"),
    18: ("unknown CA: the certificate is signed by itself", "give its CA certificate"),
    19: ("unknown CA: the chain ends in a CA that is not trusted", "give the right CA certificate"),
    20: ("unknown CA: the issuer is not known here", "give the CA certificate of the peer"),
    21: ("unknown CA: the issuer is not known here", "give the CA certificate of the peer"),
    23: ("the certificate was revoked", "renew it"),
    62: ("wrong host: the certificate is for another name", "use a name that the certificate has"),
    64: ("wrong host: the certificate is for another address", "use a name that it has"),
}


def _tls_trouble(error: ssl.SSLError, system: str, where: str) -> errors.Trouble:
    """Which of the many ways TLS can fail this was."""
    reason = (error.reason or "").upper()
    what = f"TLS handshake failed ({reason.lower().replace('_', ' ') or error.strerror or error})"
    hint = "check that the port speaks TLS and that both sides accept a common version"
    if isinstance(error, ssl.SSLCertVerificationError):
        known = _VERIFY.get(error.verify_code, (f"certificate refused: {error.verify_message}", ""))
        what, hint = known[0], known[1] or "look at the certificate with: openssl s_client -connect"
    elif "CERTIFICATE_REQUIRED" in reason:
        what, hint = "client certificate needed", "give a client certificate and its key"
    elif "UNKNOWN_CA" in reason or "CERTIFICATE_UNKNOWN" in reason or "BAD_CERTIFICATE" in reason:
        what = f"our client certificate was refused ({reason.lower().replace('_', ' ')})"
        hint = "give a client certificate whose CA the peer trusts"
    elif "HANDSHAKE_FAILURE" in reason:
        hint = (
            "either there is no common version and cipher, or the peer wants a client certificate"
        )
    elif "WRONG_VERSION_NUMBER" in reason or "RECORD_LAYER_FAILURE" in reason:
        what, hint = "what answers does not speak TLS", "use http:// or the port that speaks https"
    return errors.Trouble(code=f"{system}.{errors.TLS}", text=f"{where}: {what}", hint=hint)
