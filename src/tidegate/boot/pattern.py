# SPDX-License-Identifier: Apache-2.0
"""One entry of the catalogue of messages: which line of which program means which event. Entries are data; see ``catalogue``."""

import enum
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from tidegate.boot.model import Kind


class Program(enum.StrEnum):
    """Who speaks, as far as the catalogue tells programs apart."""

    SYSTEMD = "systemd"
    KERNEL = "kernel"
    LINSTOR = "linstor"
    INCUS = "incus"
    HOST = "host"
    """Everything of the host that matters for storage and network: modules-load, lvm, zpool, networkd, journald, timesyncd …"""
    TIDEGATE = "tidegate"
    ANY = "any"
    """Lines of any program, looked for only in warnings and worse."""


class Pattern(msgspec.Struct, frozen=True, kw_only=True):
    """A message that is known.

    ``literal`` must be in the message (a cheap test that comes first); ``regex`` is searched then, and its named groups fill
    ``subject`` and become the event's data. ``kind`` None marks a message that is known and means nothing: it is neither an event
    nor an unknown shape. ``sample`` is a line as it was seen (or as the source forms it), which a test runs through the catalogue.
    """

    program: Program
    literal: str
    sample: str
    kind: Kind | None = None
    regex: str = ""
    subject: str = "host"
    """May hold group names in braces: ``instance/{project}/{instance}``."""
    versions: str = "any"
    source: str = "seen"
    """Where the rule comes from: ``facts/…``, a source file, a manual; ``seen`` for recordings."""
    data: Mapping[str, str] = {}
    """Fixed data of the event, besides the groups."""


class Compiled:
    """A pattern ready to use."""

    __slots__ = ("literal", "pattern", "search")

    def __init__(self, pattern: Pattern) -> None:
        self.pattern = pattern
        self.literal = pattern.literal
        self.search = re.compile(pattern.regex, re.DOTALL).search if pattern.regex else None


class Match(msgspec.Struct, frozen=True):
    """What a pattern found in one message."""

    pattern: Pattern
    subject: str
    data: Mapping[str, str]


MAX_VALUE: Final = 300
"""Characters of one value taken out of a message."""


def apply(compiled: Compiled, message: str) -> Match | None:
    """Return what ``compiled`` finds in ``message``, which holds its literal; None when its regex does not match."""
    pattern = compiled.pattern
    if compiled.search is None:
        return Match(pattern, pattern.subject, pattern.data)
    found = compiled.search(message)
    if found is None:
        return None
    groups = {name: text[:MAX_VALUE] for name, text in found.groupdict().items() if text}
    data = {**pattern.data, **groups} if pattern.data else groups
    subject = pattern.subject
    if "{" in subject:
        subject = _fill(subject, groups)
    return Match(pattern, subject, data)


def _fill(template: str, groups: Mapping[str, str]) -> str:
    for name, text in groups.items():
        template = template.replace("{" + name + "}", text)
    return template
