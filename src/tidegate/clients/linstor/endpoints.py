# SPDX-License-Identifier: Apache-2.0
"""Where the LINSTOR controllers are and how to log in there (pure: text in, values out).

Two dialects are in use for the same list of controllers. Incus's (`storage.linstor.
controller_connection`, facts/incus.md L4) knows http and https, and port 3370 for both. That of
LINSTOR's own clients (`LS_CONTROLLERS`, linstor-client.conf; facts/linstor.md 10) also knows
linstor:// and linstor+ssl://, and port 3371 for TLS. Paths are dropped by both.
"""

import configparser
import enum
import ipaddress
import re
import urllib.parse
from collections.abc import Collection, Mapping
from typing import Any, Final

import msgspec

from tidegate.clients.errors import Trouble

DEFAULT_URL: Final = "http://localhost:3370"
"""What Incus uses when nothing is configured (facts/incus.md L40); the choice is the caller's."""

PLAIN_PORT: Final = 3370
TLS_PORT: Final = 3371

_HOST_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\.?")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_MASK: Final = "***"
_SECRETS: Final = frozenset({"password", "key_pem", "token"})


class Dialect(enum.StrEnum):
    """Who wrote the list of controllers."""

    INCUS = "incus"
    LINSTOR = "linstor"


_SCHEMES: Final[Mapping[Dialect, Mapping[str, str]]] = {
    Dialect.INCUS: {"http": "http", "https": "https"},
    Dialect.LINSTOR: {
        "linstor": "http",
        "linstor+ssl": "https",
        "http": "http",
        "https": "https",
    },
}


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


def parse(text: str, dialect: Dialect, *, tls: bool = False) -> Endpoints | Trouble:
    """Read a comma separated list of controllers; empty text gives no urls.

    `tls` is for LINSTOR's dialect: entries without scheme, and linstor://, mean https then
    (golinstor: when any TLS variable is set). User and password in an entry are taken out of it.
    A bad entry gives a `controller.bad-address` that names it and says what is allowed.
    """
    urls: list[str] = []
    username = password = None
    for entry in filter(None, (part.strip() for part in text.split(","))):
        scheme, authority = _split(entry, dialect, tls=tls)
        if scheme not in {"http", "https"}:
            return _bad(entry, f"scheme {scheme!r} is not known", dialect)
        login, _, place = authority.rpartition("@")
        found = _host_port(place, _default_port(scheme, dialect))
        if isinstance(found, str):
            return _bad(entry, found, dialect)
        if login and username is None:
            name, _, secret = login.partition(":")
            username, password = urllib.parse.unquote(name), urllib.parse.unquote(secret)
        urls.append(f"{scheme}://{found[0]}:{found[1]}")
    return Endpoints(urls=tuple(dict.fromkeys(urls)), username=username, password=password)


def from_environment(env: Mapping[str, str]) -> Endpoints | Trouble:
    """What LINSTOR's clients read from the environment (facts/linstor.md 10, facts/incus.md L40-L42).

    Without LS_CONTROLLERS the result has no urls; user, token and TLS variables are read all the same.
    """
    tls_names = ("LS_USER_CERTIFICATE", "LS_USER_KEY", "LS_ROOT_CA")
    tls = any(env.get(name) or env.get(f"{name}_FILE") for name in tls_names)
    found = parse(env.get("LS_CONTROLLERS", ""), Dialect.LINSTOR, tls=tls)
    if isinstance(found, Trouble):
        return found
    return msgspec.structs.replace(
        found,
        cert_pem=env.get("LS_USER_CERTIFICATE") or None,
        cert_file=env.get("LS_USER_CERTIFICATE_FILE") or None,
        key_pem=env.get("LS_USER_KEY") or None,
        key_file=env.get("LS_USER_KEY_FILE") or None,
        ca_pem=env.get("LS_ROOT_CA") or None,
        ca_file=env.get("LS_ROOT_CA_FILE") or None,
        username=env.get("LS_USERNAME") or found.username,
        password=env.get("LS_PASSWORD") or found.password,
        token_file=env.get("LS_BEARER_TOKEN_FILE") or None,
    )


def from_client_conf(text: str, where: str) -> Endpoints | Trouble:
    """Read `[global] controllers=` of /etc/linstor/linstor-client.conf; `where` names the file in errors."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        return Trouble(
            code="controller.bad-address",
            text=f"{where}: not a configuration file ({str(error).splitlines()[0]})",
            hint="it holds sections like [global] and lines like controllers=host1,host2",
        )
    return parse(parser.get("global", "controllers", fallback=""), Dialect.LINSTOR)


def without(endpoints: Endpoints, own: Collection[tuple[str, int]]) -> Endpoints:
    """Drop the endpoints that are ourselves: the guard forwards, so asking it would be a loop.

    `own` holds (host, port) pairs on which something of ours listens. All names of this host's
    loopback count as one, and so does "any address", which is reached through it.
    """
    mine = {(_canonical(host), port) for host, port in own}
    kept = tuple(url for url in endpoints.urls if _place(url) not in mine)
    return msgspec.structs.replace(endpoints, urls=kept)


def _split(entry: str, dialect: Dialect, *, tls: bool) -> tuple[str, str]:
    """Scheme as http or https (or as it stands, if unknown) and authority, without the path."""
    match = _SCHEME.fullmatch(entry)
    if match is None:
        scheme, rest = ("https" if tls and dialect is Dialect.LINSTOR else "http"), entry
    else:
        given, rest = match[1].lower(), match[2]
        scheme = _SCHEMES[dialect].get(given, given)
        if given == "linstor" and tls and dialect is Dialect.LINSTOR:
            scheme = "https"
        if given not in _SCHEMES[dialect]:
            scheme = given
    return scheme, re.split(r"[/?#]", rest, maxsplit=1)[0]


def _default_port(scheme: str, dialect: Dialect) -> int:
    return TLS_PORT if scheme == "https" and dialect is Dialect.LINSTOR else PLAIN_PORT


def _host_port(place: str, default: int) -> tuple[str, int] | str:
    """The host (an IPv6 address in its brackets) and the port, or what is wrong with them."""
    if place.startswith("["):
        inside, bracket, after = place[1:].partition("]")
        try:
            host = f"[{ipaddress.IPv6Address(inside)}]"
        except ValueError:
            return f"{inside!r} is not an IPv6 address"
        if not bracket or (after and not after.startswith(":")):
            return "the bracket of the IPv6 address is not closed before the port"
        port = after[1:]
    elif place.count(":") > 1:
        return "an IPv6 address must stand in brackets"
    else:
        host, _, port = place.partition(":")
        if not _HOST_NAME.fullmatch(host):
            return f"{host!r} is not a host name or address" if host else "the host is missing"
    if not port:
        return host, default
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        return f"{port!r} is not a port number"
    return host, int(port)


def _bad(entry: str, what: str, dialect: Dialect) -> Trouble:
    allowed = ", ".join(f"{scheme}://" for scheme in _SCHEMES[dialect])
    shown = re.sub(r"(^|//)[^/@]*@", rf"\1{_MASK}@", entry)
    return Trouble(
        code="controller.bad-address",
        text=f"controller address {shown!r}: {what}",
        hint=f"write host, host:port or scheme://host:port, several with commas; schemes: {allowed}",
    )


def _place(url: str) -> tuple[str, int]:
    parts = urllib.parse.urlsplit(url)
    return _canonical(parts.hostname or ""), parts.port or PLAIN_PORT


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
