# SPDX-License-Identifier: Apache-2.0
"""What an answer of Incus, or the lack of one, means. Pure: bytes and exceptions in, values out."""

import errno
from typing import Any, Final, TypeVar, cast

import aiohttp
import msgspec

from tidegate.clients import errors
from tidegate.clients.incus import wire

T = TypeVar("T")

_envelope: Final = msgspec.json.Decoder(wire.Envelope)
_HINT_SOCKET: Final = "run as root, or as a member of the group that owns it (incus-admin)"


def envelope(body: bytes, *, status: int, what: str) -> wire.Envelope:
    """The envelope of an answer that is no error.

    ``status`` is that of HTTP, ``what`` the call as a person would write it ("GET /1.0"). An error may
    come with HTTP 200 and ``type`` error (facts/incus.md D62). Raises ClientError.
    """
    try:
        found = _envelope.decode(body)
    except errors.UNREADABLE as error:
        raise garbage(what, f"HTTP {status}, {error}") from error
    if found.type == "error" or status >= 400:
        raise errors.ClientError(_refusal(found.error, found.error_code or status, what))
    return found


def metadata(found: wire.Envelope, kind: type[T], what: str) -> T:
    """``metadata`` as ``kind``; raises ClientError ``incus.garbage`` when it is something else."""
    try:
        return msgspec.json.decode(found.metadata, type=kind)
    except errors.UNREADABLE as error:
        raise garbage(what, str(error)) from error


def listing(found: wire.Envelope, kind: type[T], what: str) -> tuple[T, ...]:
    """``metadata`` as a list of ``kind``, where null is the empty list (Go writes it so)."""
    items: Any = tuple[kind, ...] | None  # type: ignore[valid-type]
    return cast("tuple[T, ...]", metadata(found, items, what) or ())


def garbage(what: str, problem: str) -> errors.ClientError:
    """An answer that is not Incus's."""
    return errors.ClientError(
        errors.Trouble(
            code="incus.garbage",
            text=f"{what}: not an answer of Incus ({problem})",
            hint="is this Incus's socket? Tidegate knows Incus 6.13 and later",
        )
    )


def _refusal(message: str, code: int, what: str) -> errors.Trouble:
    """An error that Incus itself put into words."""
    text = f"{what}: {message or f'error {code}'}"
    if code == 404:
        return errors.Trouble(
            code="incus.not-found", text=text, hint="it is gone, or named otherwise"
        )
    if code == 503 and "shutting down" in message:
        hint = "Incus is stopping; it is asked again when it runs"
        return errors.Trouble(code="incus.stopping", text=text, hint=hint)
    if code == 503 and ("not ready" in message or "starting up" in message):
        return errors.Trouble(code="incus.starting", text=text, hint="wait: Incus is starting")
    if code == 503:
        hint = "a storage pool or network that it needs is unavailable: incus warning list"
        return errors.Trouble(code="incus.unavailable", text=text, hint=hint)
    return errors.Trouble(
        code="incus.error", text=text, hint="see Incus's log and incus warning list"
    )


def no_answer(error: errors.ClientError, *, what: str, socket: str) -> errors.ClientError:
    """The same trouble in Incus's words: what an error of the socket means here."""
    return errors.ClientError(_no_answer(error, what, socket))


def _no_answer(error: errors.ClientError, what: str, socket: str) -> errors.Trouble:
    number = _errno(error.__cause__)
    if number in {errno.ENOENT, errno.ENOTDIR}:
        return errors.Trouble(
            code="incus.no-socket",
            text=f"there is no socket {socket}",
            hint="is Incus installed here? INCUS_SOCKET and incus.socket say where its socket is",
        )
    if number in {errno.EACCES, errno.EPERM}:
        text = f"{socket} may not be used by this user"
        return errors.Trouble(code="incus.permission", text=text, hint=_HINT_SOCKET)
    if number == errno.ECONNREFUSED:
        return errors.Trouble(
            code="incus.refused",
            text=f"nobody listens on {socket}",
            hint="systemctl status incus.socket incus.service",
        )
    # A full queue of connections shows as EAGAIN, or (asyncio) as a socket that is not connected.
    queued = number in {errno.EAGAIN, errno.ENOTCONN}
    if queued or error.code in {"incus.timeout", "incus.timeout-connect"}:
        return errors.Trouble(
            code="incus.timeout",
            text=f"{what}: connected, but no answer in time ({socket})",
            hint="Incus answers nothing while it starts (pools, patches, networks): "
            "systemctl status incus.service",
        )
    return error.trouble


def _errno(error: BaseException | None) -> int | None:
    if isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
    return error.errno if isinstance(error, OSError) else None
