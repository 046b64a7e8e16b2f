# SPDX-License-Identifier: Apache-2.0
"""What each key may hold, taken from the model's own types, and how text becomes such a value. Pure."""

import enum
import ipaddress
import math
import typing
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Any, Final

import msgspec

from tidegate.config import controllers
from tidegate.config.model import Config

_TRUE: Final = frozenset({"true", "yes", "on", "1"})
_FALSE: Final = frozenset({"false", "no", "off", "0"})
_PATHS: Final = frozenset(
    {"agent.state_dir", "agent.run_dir", "devices.root", "host.root", "incus.socket"}
)
_UNITS: Final = ".service", ".socket", ".target"


def _walk(struct: type[msgspec.Struct], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, hint in typing.get_type_hints(struct, include_extras=True).items():
        if prefix or name != "origins":
            yield f"{prefix}{name}", hint
            if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
                yield from _walk(hint, f"{prefix}{name}.")


_TREE: Final[Mapping[str, Any]] = dict(_walk(Config, ""))
SECTIONS: Final = frozenset(
    key
    for key, hint in _TREE.items()
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct)
)
"""Every table: "linstor", "recovery.backoff"."""
SCHEMA: Final[Mapping[str, Any]] = {key: hint for key, hint in _TREE.items() if key not in SECTIONS}
"""Every key with its type."""


def names_in(section: str) -> tuple[str, ...]:
    """Return the names allowed in ``section``; of the whole file when it is ""."""
    prefix = f"{section}." if section else ""
    return tuple(
        key[len(prefix) :]
        for key in _TREE
        if key.startswith(prefix) and "." not in key[len(prefix) :]
    )


def convert(key: str, value: object) -> object:
    """Return ``value``, as TOML gives it, in the type of ``key``. Raises ValueError, saying what is wrong."""
    kind = _plain(SCHEMA[key])
    if isinstance(kind, type) and issubclass(kind, enum.Enum) and isinstance(value, str):
        value = value.lower()
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is no usable number")
    try:
        converted = msgspec.convert(value, SCHEMA[key])
    except msgspec.ValidationError:
        raise ValueError(f"{describe(value)} cannot be used here") from None
    # The shared policies carry no limits of their own: a time or a count below zero has no meaning anywhere.
    if isinstance(converted, int | float) and converted < 0:
        raise ValueError(f"{converted:g} is below zero")
    _check(key, converted)
    return converted


def from_text(key: str, text: str) -> object:
    """Return ``text`` from a variable or an option as TOML would have given it. Raises ValueError."""
    kind = _plain(SCHEMA[key])
    text = text if key == "linstor.password" else text.strip()
    if kind is bool:
        if text.lower() not in _TRUE | _FALSE:
            raise ValueError(f"{text!r} cannot be used here")
        return text.lower() in _TRUE
    if kind in {int, float}:
        try:
            return int(text) if kind is int else float(text)
        except ValueError:
            raise ValueError(f"{text!r} is no number") from None
    if typing.get_origin(kind) is tuple:
        return list(controllers.parse_list(text))
    return text


def allowed(key: str) -> str:
    """Return what ``key`` may hold, for people."""
    kind = _plain(SCHEMA[key])
    if key == "linstor.controllers":
        return f"a list, each {controllers.ALLOWED}"
    if key in _PATHS:
        return "an absolute path"
    if key == "web.listen":
        return "off, ADDRESS:PORT, [ADDRESS]:PORT"
    if key.endswith("_unit"):
        return f"the name of a unit, ending in {', '.join(_UNITS)}"
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return ", ".join(str(member.value) for member in kind)
    if kind is bool:
        return "true, false"
    if kind in {int, float}:
        return f"a {'whole number' if kind is int else 'number'} {_limits(SCHEMA[key])}"
    return "a list of texts" if typing.get_origin(kind) is tuple else "a text"


def describe(value: object) -> str:
    """Return a value as a person would name it: short, and never more of a text than needed to find it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return repr(value) if len(value) <= 60 else f"a text of {len(value)} characters"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, dict):
        return "a table"
    return "a list" if isinstance(value, list | tuple) else f"a {type(value).__name__}"


def _check(key: str, value: object) -> None:
    """Refuse what has the right type and makes no sense. Raises ValueError."""
    if key == "linstor.controllers":
        assert isinstance(value, tuple)
        for address in value:
            if controllers.is_own_guard(controllers.parse(address)):
                raise ValueError(f"{address!r} is Tidegate's own guard: name the real controllers")
    if key in _PATHS and isinstance(value, str) and value and not value.startswith("/"):
        raise ValueError(f"{value!r} is not an absolute path")
    if key == "web.listen" and isinstance(value, str):
        listen_address(value)
    if key.endswith("_unit") and isinstance(value, str) and not value.endswith(_UNITS):
        raise ValueError(f"{value!r} is not the name of a unit")


def listen_address(text: str) -> tuple[str, int] | None:
    """Return (address, port) of ``web.listen``; None when it is off. Raises ValueError when it is neither."""
    if text.strip().lower() == "off":
        return None
    host, colon, port = text.strip().rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        address = ipaddress.ip_address("127.0.0.1" if bare == "localhost" else bare)
    except ValueError:
        raise ValueError(f"{text!r} does not begin with an address of this host") from None
    if not colon or not port.isdecimal() or not 0 <= int(port) <= 65535:
        raise ValueError(f"{text!r} does not end in a port")
    if address.version == 6 and bare == host:
        raise ValueError(f"{text!r}: an IPv6 address is written in brackets")
    return str(address), int(port)


def _plain(hint: Any) -> Any:
    """Strip ``Annotated`` and ``| None`` from a type."""
    while typing.get_origin(hint) in {typing.Annotated, typing.Union, UnionType}:
        hint = typing.get_args(hint)[0]
    return hint


def _limits(hint: Any) -> str:
    for extra in typing.get_args(hint)[1:]:
        if isinstance(extra, msgspec.Meta):
            low = f"above {extra.gt:g}" if extra.gt is not None else f"from {extra.ge:g}"
            return f"{low} to {extra.le:g}" + (", in seconds" if extra.gt is not None else "")
    return "that is not below zero"
