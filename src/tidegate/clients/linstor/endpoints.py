# SPDX-License-Identifier: Apache-2.0
"""Where the LINSTOR controllers are and how to log in there: plain values; lists are read in `config.controllers`."""

import ipaddress
import urllib.parse
from collections.abc import Collection
from typing import Any, Final

import msgspec

_DEFAULT_PORT: Final = 3370
_MASK: Final = "***"
_SECRETS: Final = frozenset({"password", "key_pem", "token"})


class Endpoints(msgspec.Struct, frozen=True, kw_only=True):
    """The controllers in order of preference and what is needed to talk to them.

    `urls` are of the form http(s)://host:port. For CA, certificate and key either a file or PEM text
    may be given; the text wins. With a CA given nothing else is trusted (as Incus and golinstor do).
    A bearer token (`token`, or `token_file`: raw or JSON {"token": …}) wins over user and password.
    Secrets do not show in repr() and str().
    """

    urls: tuple[str, ...] = ()
    ca_file: str | None = None
    ca_pem: str | None = None
    cert_file: str | None = None
    cert_pem: str | None = None
    key_file: str | None = None
    key_pem: str | None = None
    username: str | None = None
    password: str | None = None
    token: str | None = None
    token_file: str | None = None

    @property
    def has_client_certificate(self) -> bool:
        """True when we can show a certificate of our own."""
        return bool(self.cert_file or self.cert_pem)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"Endpoints({shown})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        given = {name: getattr(self, name) for name in self.__struct_fields__}
        return [
            (name, _MASK if name in _SECRETS else value)
            for name, value in given.items()
            if value is not None
        ]


def without(endpoints: Endpoints, own: Collection[tuple[str, int]]) -> Endpoints:
    """Drop the endpoints that are ourselves: the guard forwards, so asking it would be a loop.

    `own` holds (host, port) pairs on which something of ours listens. All names of this host's
    loopback count as one, and so does "any address", which is reached through it.
    """
    mine = {(_canonical(host), port) for host, port in own}
    kept = tuple(url for url in endpoints.urls if _place(url) not in mine)
    return msgspec.structs.replace(endpoints, urls=kept)


def _place(url: str) -> tuple[str, int]:
    parts = urllib.parse.urlsplit(url)
    return _canonical(parts.hostname or ""), parts.port or _DEFAULT_PORT


def _canonical(host: str) -> str:
    """One spelling per host, as far as that is possible without asking DNS."""
    name = host.strip("[]").rstrip(".").lower()
    if name in {"localhost", "ip6-localhost", "ip6-loopback"} or name.endswith(".localhost"):
        return "loopback"
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return "loopback" if address.is_loopback or address.is_unspecified else str(address)
