# SPDX-License-Identifier: Apache-2.0
"""Addresses of LINSTOR controllers as people and programs write them -> plain URLs. Pure."""

import ipaddress
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

HTTP_PORT: Final = 3370
HTTPS_PORT: Final = 3371
GUARD_PORT: Final = 13370
"""Of our own proxy on this host (contract.md, files): never asked by us."""

SCHEMES: Final = {"http": "http", "https": "https", "linstor": "http", "linstor+ssl": "https"}
"""Schemes golinstor knows, and what they are on the wire (facts/linstor.md 10)."""

ALLOWED: Final = (
    "http://HOST[:3370], https://HOST[:3371], linstor://HOST, linstor+ssl://HOST or HOST"
)
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\.?")
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def parse(text: str, *, tls: bool = False, https_port: int = HTTPS_PORT) -> str:
    """Return ``text`` as ``http://host:port`` or ``https://host:port``.

    Without a scheme, and for ``linstor:``, it is http, or https when ``tls`` says that certificates are configured (golinstor's
    rule: facts/linstor.md 10). Raises ValueError, saying what is wrong.
    """
    address = text.strip()
    scheme, separator, rest = address.rpartition("://")
    known = SCHEMES.get(scheme.lower() if separator else "linstor")
    if known is None:
        raise ValueError(f"{text!r} has the unknown scheme {scheme!r}")
    if "@" in rest:
        raise ValueError("an address holds no user or password: they have their own keys")
    place, _, path = rest.partition("/")
    if path or not set(place).isdisjoint("?#"):
        raise ValueError(f"{text!r} has a path: LINSTOR's own paths begin right after the port")
    secure = known == "https" or (tls and scheme.lower() in {"", "linstor"})
    host, port = _host_port(place)
    return (
        f"{'https' if secure else 'http'}://{host}:{port or (https_port if secure else HTTP_PORT)}"
    )


def parse_list(text: str) -> tuple[str, ...]:
    """Split a comma list, as ``LS_CONTROLLERS`` and Incus have it."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def as_incus_reads(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the URLs that Incus makes of ``storage.linstor.controller_connection``.

    No scheme: http; no port: 3370, also for https; a path is dropped (facts/incus.md L4). What it could not use is left out.
    """
    urls = []
    for text in texts:
        scheme, separator, rest = text.strip().rpartition("://")
        place = rest.partition("/")[0].rpartition("@")[2]
        try:
            urls.append(parse(f"{scheme if separator else 'http'}://{place}", https_port=HTTP_PORT))
        except ValueError:
            continue
    return tuple(urls)


def is_own_guard(url: str) -> bool:
    """Return True for the guard's address on this host, which agent and gate must never ask (contract.md)."""
    parts = urlsplit(url)
    return parts.hostname in _LOOPBACK and parts.port == GUARD_PORT


def without_guard(urls: Iterable[str]) -> tuple[str, ...]:
    """Return ``urls`` without the guard's own address, each once, in order."""
    return tuple(dict.fromkeys(url for url in urls if not is_own_guard(url)))


def _host_port(place: str) -> tuple[str, int | None]:
    """Split ``host[:port]``; an IPv6 address stands in brackets. Raises ValueError."""
    if place.startswith("["):
        inside, bracket, after = place[1:].partition("]")
        try:
            host = f"[{ipaddress.IPv6Address(inside)}]"
        except ValueError:
            raise ValueError(f"{inside!r} is not an IPv6 address") from None
        if not bracket or (after and not after.startswith(":")):
            raise ValueError(f"{place!r}: a port stands behind the bracket and a colon")
        port = after[1:]
    elif place.count(":") > 1:
        raise ValueError(f"{place!r}: an IPv6 address stands in brackets, like [::1]:{HTTP_PORT}")
    else:
        host, _, port = place.partition(":")
        if not _HOST.fullmatch(host):
            raise ValueError(
                f"{host!r} is not a host name or address" if host else "the host is missing"
            )
    if not port:
        return host, None
    if not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        raise ValueError(f"{port!r} is not a port from 1 to 65535")
    return host, int(port)
