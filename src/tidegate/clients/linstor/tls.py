# SPDX-License-Identifier: Apache-2.0
"""The TLS context for LINSTOR controllers, and the bearer token file. Both read files: call in a thread.

A CA that is given is the only one trusted, as in Incus and golinstor (facts/incus.md §4.4);
the peer's name is always checked. Files are read when used, so renewed ones need no restart.
"""

import asyncio
import base64
import contextlib
import os
import pathlib
import ssl
from collections.abc import Iterator
from typing import Final

import msgspec

from tidegate.clients.errors import ClientError, Trouble
from tidegate.clients.linstor.endpoints import Endpoints

MAX_TOKEN_FILE: Final = 64 * 1024


class _TokenFile(msgspec.Struct):
    """What LINSTOR writes to /var/lib/linstor.d/auth.json (facts/linstor.md 10)."""

    token: str


def context(endpoints: Endpoints) -> ssl.SSLContext:
    """Build the context; raises `ClientError` (controller.tls) naming the file that cannot be used."""
    ca = endpoints.ca_pem or endpoints.ca_file
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    if not ca:
        made.load_default_certs()
    elif endpoints.ca_pem:
        with _explained("the CA certificate (text)"):
            made.load_verify_locations(cadata=endpoints.ca_pem)
    else:
        with _explained(f"the CA certificate {ca}"):
            made.load_verify_locations(cafile=ca)
    if endpoints.has_client_certificate:
        _load_own(made, endpoints)
    elif endpoints.key_file or endpoints.key_pem:
        raise _error("a client key is given without its certificate", "give both, or neither")
    return made


def read_token(path: str) -> str | None:
    """The token in the file (raw, or JSON {"token": …}); None when there is no file, or nothing in it.

    The satellite writes its file only after the controller has first reached it, so a missing file is
    ordinary. Raises `ClientError` (controller.unauthorized) for a file that cannot be read or used.
    """
    try:
        with pathlib.Path(path).open("rb") as file:
            text = file.read(MAX_TOKEN_FILE).decode("utf-8").strip()
        if text.startswith("{"):
            text = msgspec.json.decode(text, type=_TokenFile).token.strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        reason = (
            error.strerror if isinstance(error, OSError) else "neither text nor JSON with a token"
        )
        raise ClientError(
            Trouble(
                code="controller.unauthorized",
                text=f"the token file {path} cannot be used: {reason}",
                hint='it holds the bearer token, or {"token": "…"}, and must be readable for Tidegate',
            )
        ) from error
    if not (text.isascii() and text.isprintable()):
        raise ClientError(
            Trouble(
                code="controller.unauthorized",
                text=f"the token file {path} cannot be used: more than one line, or odd characters",
                hint='it holds the bearer token, or {"token": "…"}',
            )
        )
    return text or None


def _load_own(made: ssl.SSLContext, endpoints: Endpoints) -> None:
    """Load our certificate and key; OpenSSL wants files, so text goes through one in memory."""
    cert_name = endpoints.cert_file or "(text)"
    with contextlib.ExitStack() as stack:
        cert = endpoints.cert_file
        if endpoints.cert_pem:
            cert = stack.enter_context(_in_memory(endpoints.cert_pem))
        key = endpoints.key_file
        if endpoints.key_pem:
            key = stack.enter_context(_in_memory(endpoints.key_pem))
        assert cert is not None
        with _explained(f"the client certificate {cert_name} and its key"):
            # A key with a passphrase must not make OpenSSL ask on the terminal.
            made.load_cert_chain(cert, key, password=lambda: "")


@contextlib.contextmanager
def _in_memory(pem: str) -> Iterator[str]:
    """A path for the text that never touches a disk."""
    descriptor = os.memfd_create("tidegate-pem", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, pem.encode())
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    """Turn what OpenSSL and the OS say about a file into a sentence."""
    try:
        yield
    except (OSError, ValueError) as error:  # SSLError is an OSError
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        raise _error(
            f"{what} cannot be used: {str(reason).lower().replace('_', ' ')}",
            "check that it is PEM, readable for Tidegate, and that key and certificate belong together",
        ) from error


def _error(text: str, hint: str) -> ClientError:
    return ClientError(Trouble(code="controller.tls", text=text, hint=hint))


async def login(to: Endpoints) -> str | None:
    """Return the header ``Authorization``; None where none is wanted. A token's file is read anew each time: LINSTOR replaces it."""
    token = to.token
    if token is None and to.token_file is not None:
        token = await asyncio.to_thread(read_token, to.token_file)
    if token is not None:
        return f"Bearer {token}"
    if to.username is None:
        return None
    plain = f"{to.username}:{to.password or ''}"
    return f"Basic {base64.b64encode(plain.encode()).decode('ascii')}"
