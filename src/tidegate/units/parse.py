# SPDX-License-Identifier: Apache-2.0
"""Reads the text of one unit file, and the words, times and truth values its settings are written in.

Rules: man systemd.syntax(7), systemd.time(7); what the manual leaves open was seen in systemd 252 (tests/contract/units).
"""

import math
import re
from typing import Final

import msgspec

_BLANK: Final = " \t\r\n"
_COMMENT: Final = ("#", ";")
_UNITS: Final = {
    "us": 1e-6,
    "usec": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "msec": 1e-3,
    "": 1.0,
    "s": 1.0,
    "sec": 1.0,
    "second": 1.0,
    "seconds": 1.0,
    "m": 60.0,
    "min": 60.0,
    "minute": 60.0,
    "minutes": 60.0,
    "h": 3600.0,
    "hr": 3600.0,
    "hour": 3600.0,
    "hours": 3600.0,
    "d": 86400.0,
    "day": 86400.0,
    "days": 86400.0,
    "w": 604800.0,
    "week": 604800.0,
    "weeks": 604800.0,
    "M": 2629800.0,
    "month": 2629800.0,
    "months": 2629800.0,
    "y": 31557600.0,
    "year": 31557600.0,
    "years": 31557600.0,
}
_SPAN: Final = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([A-Za-zµ]*)\s*")
_TRUE: Final = frozenset({"1", "yes", "y", "true", "t", "on"})
_FALSE: Final = frozenset({"0", "no", "n", "false", "f", "off"})


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One assignment: ``key=value`` in ``[section]``, and where it is written (``line`` counts from 1)."""

    section: str
    key: str
    value: str
    path: str
    line: int

    @property
    def place(self) -> str:
        """``PATH:LINE``, for people."""
        return f"{self.path}:{self.line}"


def settings(text: str, path: str) -> tuple[Setting, ...]:
    """Return every assignment of the unit file ``text`` in order, empty ones (resets) included.

    What systemd ignores is left out: comments (between continuation lines as well), lines without ``=``, assignments before
    the first section.
    """
    found: list[Setting] = []
    section = ""
    begun: list[str] = []
    number = 0
    for at, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        piece = line.lstrip(_BLANK)
        if piece.startswith(_COMMENT) or (not begun and not piece.strip(_BLANK)):
            continue
        number = number if begun else at
        if _continues(piece):
            begun.append(piece.rstrip("\r")[:-1])
            continue
        whole = " ".join([*begun, piece]).strip(_BLANK)
        begun = []
        section = _take(whole, section, path, number, found)
    if begun:
        _take(" ".join(begun).strip(_BLANK), section, path, number, found)
    return tuple(found)


def _continues(piece: str) -> bool:
    """True when the line ends in a backslash that is not itself escaped."""
    bare = piece.rstrip("\r")
    return (len(bare) - len(bare.rstrip("\\"))) % 2 == 1


def _take(whole: str, section: str, path: str, line: int, found: list[Setting]) -> str:
    """Add the assignment ``whole`` to ``found``; return the section that holds from here on."""
    if whole.startswith("["):
        return whole[1:-1] if whole.endswith("]") else section
    key, equals, value = whole.partition("=")
    if equals and section:
        key, value = key.strip(_BLANK), value.strip(_BLANK)
        found.append(Setting(section=section, key=key, value=value, path=path, line=line))
    return section


def words(value: str) -> tuple[str, ...]:
    r"""Split at blanks; quotes hold words together and vanish, backslashes stay (``dev-disk-by\x2dpath`` is a name).

    As systemd does for lists of units and of paths; after an unbalanced quote it ignores the rest, and so do we.
    """
    found: list[str] = []
    word: list[str] | None = None
    quote = ""
    for character in value:
        if quote:
            if character == quote:
                quote = ""
            elif word is not None:
                word.append(character)
        elif character in _BLANK:
            if word is not None:
                found.append("".join(word))
            word = None
        else:
            word = [] if word is None else word
            if character in "'\"":
                quote = character
            else:
                word.append(character)
    if word is not None and not quote:
        found.append("".join(word))
    return tuple(found)


def seconds(value: str) -> float | None:
    """Return a time span (``90``, ``5min 20s``, ``infinity``) in seconds; None when it is not one."""
    value = value.strip(_BLANK)
    if value == "infinity":
        return math.inf
    total, at = 0.0, 0
    while at < len(value):
        match = _SPAN.match(value, at)
        if match is None or match[2] not in _UNITS:
            return None
        total += float(match[1]) * _UNITS[match[2]]
        at = match.end()
    return total if value else None


def truth(value: str) -> bool | None:
    """Return a truth value as systemd reads it; None when it is not one."""
    lower = value.lower()
    if lower in _TRUE:
        return True
    return False if lower in _FALSE else None
