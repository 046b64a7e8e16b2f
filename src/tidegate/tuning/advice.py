# SPDX-License-Identifier: Apache-2.0
"""One piece of advice, and the list of them: the most seconds first. What can gain nothing here is not advised."""

import enum
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from tidegate.tuning.facts import HostFacts
from tidegate.tuning.figure import Seen

WORTH_IT: Final = 1.0
"""Seconds below which a gain is not worth anybody's while, and not told from chance."""


class By(enum.StrEnum):
    """Who makes the change."""

    US = "tidegate tune apply"
    HAND = "by hand"


class When(enum.StrEnum):
    """Which boots are shorter by it, in the order of the list."""

    ALWAYS = "every boot"
    CRASH = "a boot after a crash"
    TROUBLE = "a boot in which it happens"


class Edit(msgspec.Struct, frozen=True, kw_only=True):
    """What ``tune apply`` writes: a drop-in for ``unit``, or with ``enable`` nothing but that the unit is enabled.

    ``words`` are options for the unit's JVM: they are joined with what others set and with those of other advice.
    """

    unit: str
    sections: Mapping[str, tuple[str, ...]] = {}
    words: tuple[str, ...] = ()
    enable: bool = False


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """One change.

    Attributes:
        id: its stable name.
        title: what to do, in a few words.
        gain: seconds that such a boot is expected to be shorter by.
        source: where ``gain`` comes from, see ``figure``.
        evidence: what was seen here, each with its source.
        change: the exact change, a line each.
        risk: what may become worse.
        undo: how to take it back.
        edit: what we write when asked to; None: it is a person's to change.
        measure: the phase of a boot in which the gain must show; "" where no phase of an ordinary boot shows it.
        when: which boots gain.
    """

    id: str
    title: str
    gain: float
    source: str
    evidence: tuple[Seen, ...]
    change: tuple[str, ...]
    risk: str
    undo: str
    edit: Edit | None = None
    measure: str = ""
    when: When = When.ALWAYS

    @property
    def by(self) -> By:
        """Who makes it."""
        return By.HAND if self.edit is None else By.US


Rule = Callable[[HostFacts], Advice | None]
_ORDER: Final = {when: place for place, when in enumerate(When)}


def choose(rules: Iterable[Rule], facts: HostFacts) -> tuple[Advice, ...]:
    """Return what ``rules`` find worth doing on this host, the most seconds first; what was applied already is left out."""
    found = [one for rule in rules if (one := rule(facts)) is not None]
    worth = [one for one in found if one.gain >= WORTH_IT and one.id not in facts.applied]
    return tuple(sorted(worth, key=lambda one: (_ORDER[one.when], -one.gain)))
