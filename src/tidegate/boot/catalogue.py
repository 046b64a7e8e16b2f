# SPDX-License-Identifier: Apache-2.0
"""The catalogue of messages: which program a line is of, and what it means.

``classify`` is in the hot loop of a million lines: one dictionary look-up for most, and for the programs that matter a search for any
of the literals of their patterns before the patterns are tried one after another.
"""

import re
from collections.abc import Mapping
from typing import Final

from tidegate.boot import (
    linstor_line,
    logrus,
    pattern,
    patterns_ends,
    patterns_host,
    patterns_incus,
    patterns_kernel,
    patterns_linstor,
    patterns_noise,
    patterns_own,
    patterns_systemd,
)
from tidegate.boot.model import Entry
from tidegate.boot.pattern import Compiled, Match, Pattern, Program

ALL: Final[tuple[Pattern, ...]] = (
    *patterns_systemd.PATTERNS,
    *patterns_kernel.PATTERNS,
    *patterns_ends.PATTERNS,
    *patterns_linstor.PATTERNS,
    *patterns_incus.PATTERNS,
    *patterns_host.PATTERNS,
    *patterns_own.PATTERNS,
    *patterns_noise.PATTERNS,
    *patterns_host.ANY,
)

_IDENTIFIERS: Final = {
    "systemd": Program.SYSTEMD,
    "kernel": Program.KERNEL,
    "Satellite": Program.LINSTOR,
    "Controller": Program.LINSTOR,
    "linstor-satellite": Program.LINSTOR,
    "linstor-controller": Program.LINSTOR,
    "incusd": Program.INCUS,
    "incus": Program.INCUS,
    "tidegate": Program.TIDEGATE,
    "systemd-modules-load": Program.HOST,
    "modprobe": Program.HOST,
    "kmod": Program.HOST,
    "lvm": Program.HOST,
    "vgchange": Program.HOST,
    "pvscan": Program.HOST,
    "dmeventd": Program.HOST,
    "zpool": Program.HOST,
    "zfs": Program.HOST,
    "systemd-networkd": Program.HOST,
    "systemd-networkd-wait-online": Program.HOST,
    "NetworkManager": Program.HOST,
    "nm-online": Program.HOST,
    "chronyd": Program.HOST,
    "systemd-timesyncd": Program.HOST,
    "systemd-journald": Program.HOST,
    "systemd-oomd": Program.HOST,
    "systemd-logind": Program.HOST,
}
_UNITS: Final = {
    "incus.service": Program.INCUS,
    "incus-startup.service": Program.INCUS,
    "linstor-satellite.service": Program.LINSTOR,
    "linstor-controller.service": Program.LINSTOR,
    "tidegate-agent.service": Program.TIDEGATE,
    "tidegate-ready.service": Program.TIDEGATE,
    "tidegate-guard.service": Program.TIDEGATE,
}
"""``startup`` is what a Debian script of Incus calls itself: it is known by its unit."""
_ONLY_INCUS: Final = "startup"


def program_of(entry: Entry) -> Program | None:
    """Return which of the programs that matter says ``entry``; None for the others."""
    known = _IDENTIFIERS.get(entry.identifier)
    if known is not None:
        return known
    if entry.transport == "kernel":
        return Program.KERNEL
    unit = entry.unit
    if unit:
        return _UNITS.get(unit)
    if entry.identifier == _ONLY_INCUS:
        return Program.INCUS
    return None


class _Program:
    """The patterns of one program, with a regex that says fast whether any of them can match."""

    def __init__(self, program: Program) -> None:
        self.patterns = tuple(Compiled(one) for one in ALL if one.program is program)
        literals = sorted({re.escape(_gate(one)) for one in self.patterns if len(one.literal) > 1})
        self.may = re.compile("|".join(literals)).search

    def match(self, message: str) -> Match | None:
        for compiled in self.patterns:
            if compiled.literal in message:
                found = pattern.apply(compiled, message)
                if found is not None:
                    return found
        return None


def _gate(compiled: Compiled) -> str:
    """Return a text without which ``compiled`` cannot match: few different ones make the search over all of them fast."""
    about_drbd = compiled.pattern.regex.startswith("^drbd ") or "drbd" in compiled.literal
    return "drbd" if about_drbd else compiled.literal


_PROGRAMS: Final[Mapping[Program, _Program]] = {one: _Program(one) for one in Program}
_MAY_ANY: Final = _PROGRAMS[Program.ANY].may


def classify(program: Program, message: str) -> Match | None:
    """Return what ``message`` of ``program`` means; None for one that no pattern knows. A match without a kind means nothing."""
    known = _PROGRAMS[program]
    if program is Program.LINSTOR:
        return _linstor(known, message)
    if program is Program.INCUS:
        return _incus(known, message)
    if known.may(message) is None:
        return anywhere(message) if program is not Program.TIDEGATE else known.match(message)
    return known.match(message) or anywhere(message)


def anywhere(message: str) -> Match | None:
    """Return what a line of any program means: only the few troubles that every program reports alike."""
    return _PROGRAMS[Program.ANY].match(message) if _MAY_ANY(message) else None


def _linstor(known: _Program, message: str) -> Match | None:
    line = linstor_line.parse(message)
    if line is None:
        return known.match(message) or anywhere(message)
    bare = f"{line.level} {line.message}"
    found = known.match(bare) or anywhere(bare)
    if found is not None and line.component.endswith("Controller"):
        return Match(found.pattern, found.subject, {**found.data, "component": "Controller"})
    return found


def _incus(known: _Program, message: str) -> Match | None:
    keys = logrus.parse(message)
    if keys is None:
        return known.match(message) or anywhere(message)
    found = known.match(keys["msg"])
    full = anywhere(message)
    if found is None or (found.pattern.kind is None and full is not None):
        return full
    context = {
        key: text[: pattern.MAX_VALUE]
        for key, text in keys.items()
        if key not in {"time", "msg", "level"}
    }
    subject = found.pattern.subject
    for key, text in {"project": "default", "pool": "?", "instance": "?", **context}.items():
        subject = subject.replace("{" + key + "}", text)
    return Match(found.pattern, subject, {**found.data, **context})
