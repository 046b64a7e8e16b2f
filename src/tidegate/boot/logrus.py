# SPDX-License-Identifier: Apache-2.0
"""Lines of incusd taken apart: ``time="…" level=… msg="…" key=value …``, quoted as Go's %q does (facts/incus.md G1)."""

import re
from collections.abc import Mapping
from typing import Final

_PAIR: Final = re.compile(r'(?:^| )([\w.]+)=("(?:[^"\\]|\\.){0,4000}"|[^\s"]*)')
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_PLAIN: Final = {"n": "\n", "t": "\t", "r": "\r"}
MAX_PAIRS: Final = 40


def _unquote(text: str) -> str:
    if not text.startswith('"'):
        return text
    text = text[1:-1]
    if "\\" not in text:
        return text
    return _ESCAPE.sub(lambda found: _PLAIN.get(found[1], found[1]), text)


def parse(line: str) -> Mapping[str, str] | None:
    """Return the keys of a line, ``msg`` and ``level`` among them; None when it is no line of this form.

    Keys that collide with time, level or msg carry a prefix ``fields.`` (G2); they stay as they are.
    """
    if "level=" not in line or "msg=" not in line:
        return None
    pairs: dict[str, str] = {}
    for found in _PAIR.finditer(line):
        pairs.setdefault(found[1], _unquote(found[2]))
        if len(pairs) >= MAX_PAIRS:
            break
    return pairs if "msg" in pairs and "level" in pairs else None
