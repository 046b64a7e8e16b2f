# SPDX-License-Identifier: Apache-2.0
"""The order in which units really started against the one they should have, each inversion with its times, cause and remedy."""

import enum
from collections.abc import Iterator
from typing import Final

import msgspec

from tidegate.core import ids
from tidegate.core.finding import Finding, Grade
from tidegate.units import codes, expected
from tidegate.units.expected import Rule
from tidegate.units.lastboot import BootTimes, UnitTimes
from tidegate.units.packaging import INCUS_STARTUP, INCUS_UNIT, SATELLITE_UNIT
from tidegate.units.traps import Scene
from tidegate.units.tree import Load

_WAITED_FOR: Final = frozenset({"oneshot", "notify", "notify-reload", "dbus", "forking"})
"""Types whose services are up when they say so, or are done; of others at the fork (man systemd.service(5), ``Type=``)."""


_SUBJECTS: Final = {
    INCUS_UNIT: ids.INCUS,
    INCUS_STARTUP: ids.INCUS,
    SATELLITE_UNIT: ids.SATELLITE,
}


class Cause(enum.StrEnum):
    """Why a unit began too early."""

    NO_ORDER = "no-order"
    COUNTS_AS_STARTED = "counts-as-started"
    STARTED_BY_SOCKET = "started-by-socket"
    NOT_ENABLED = "not-enabled"
    NEVER_STARTED = "never-started"
    DROPPED = "dropped"
    FAILED = "failed"
    NOT_IN_FORCE = "not-in-force"
    UNPROVEN = "unproven"


class Inversion(msgspec.Struct, frozen=True, kw_only=True):
    """``then`` began before ``first`` was over; times in seconds since the kernel started."""

    first: str
    then: str
    began: float
    over: float | None
    """When ``first`` was what ``then`` needed; None: never in that boot, or nobody knows."""
    cause: Cause
    why: str
    """Why the order should have been kept."""
    finding: Finding


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the comparison."""

    starts: tuple[tuple[str, UnitTimes], ...]
    """Every unit of the chain that started, in the order in which they began."""
    inversions: tuple[Inversion, ...]
    kept: int
    """How many orders were looked at and kept."""
    absent: tuple[str, ...] = ()
    """Units of the chain of which no start is known."""
    by_chance: tuple[tuple[str, str], ...] = ()
    """Of those kept: (first, then) of each that no unit file asks for. The next boot may go otherwise."""

    @property
    def grade(self) -> Grade:
        """The worst there is; at least UNKNOWN when Incus did not start, because then little can be said."""
        grades = [one.finding.grade for one in self.inversions]
        if INCUS_UNIT in self.absent:
            grades.append(Grade.UNKNOWN)
        return max(grades, key=lambda grade: grade.badness, default=Grade.OK)


def check(scene: Scene, times: BootTimes) -> Check:
    """Compare the starts of one boot with the host's rules; pure, and never raises for what a boot may have been like."""
    found: list[Inversion] = []
    kept: list[Rule] = []
    for rule in expected.rules(scene):
        then = times.units.get(rule.then)
        if then is None or then.begun is None:
            continue
        first = times.units.get(rule.first, UnitTimes())
        if first.begun is None and not rule.needed:
            continue
        cause = _cause(scene, times, rule, first, then.begun)
        if cause is None:
            kept += [] if first.skipped else [rule]
        else:
            found.append(_inversion(scene, rule, first, then.begun, cause))
    started = [(name, one) for name, one in times.units.items() if one.begun is not None]
    chain = (SATELLITE_UNIT, INCUS_UNIT)
    return Check(
        starts=tuple(sorted(started, key=lambda pair: (pair[1].begun or 0.0, pair[0]))),
        inversions=tuple(sorted(found, key=lambda one: -one.finding.grade.badness)),
        kept=len(kept),
        by_chance=tuple(
            (rule.first, rule.then)
            for rule in kept
            if scene.graph.name(rule.first) not in scene.graph.waits_for(rule.then)
        ),
        absent=tuple(name for name in chain if name not in dict(started)),
    )


def _cause(
    scene: Scene, times: BootTimes, rule: Rule, first: UnitTimes, began: float
) -> Cause | None:
    """Return why the rule was not kept; None when it was."""
    if first.skipped:
        return None
    ordered = rule.first in scene.graph.waits_for(rule.then)
    if first.begun is None or (first.over is None and first.ready is None):
        if rule.first in times.dropped:
            return Cause.DROPPED
        if not expected.has_job(scene, rule.first):
            return Cause.NOT_ENABLED
        return Cause.NEVER_STARTED if first.begun is None else _unordered(scene, rule, ordered)
    if first.up is None and first.failed is not None and first.failed <= began:
        return Cause.FAILED if rule.needed else None
    over = _needed_at(scene, rule, first)
    if over is not None and over <= began:
        return None
    if over is None:
        return Cause.UNPROVEN if ordered else Cause.NO_ORDER
    if ordered and rule.ready and first.over is not None and first.over <= began:
        return Cause.COUNTS_AS_STARTED
    if rule.first in times.dropped:
        return Cause.DROPPED
    if not expected.has_job(scene, rule.first):
        return Cause.NOT_ENABLED
    return _unordered(scene, rule, ordered)


def _unordered(scene: Scene, rule: Rule, ordered: bool) -> Cause:
    if ordered:
        return Cause.NOT_IN_FORCE
    if rule.then == INCUS_UNIT and rule.first in scene.graph.waits_for(INCUS_STARTUP):
        return Cause.STARTED_BY_SOCKET
    return Cause.NO_ORDER


def _needed_at(scene: Scene, rule: Rule, first: UnitTimes) -> float | None:
    """Return when ``first`` was what the rule asks for; None when nobody knows."""
    return first.ready if rule.ready and _at_fork(scene, rule.first, first) else first.over


def _at_fork(scene: Scene, name: str, times: UnitTimes) -> bool:
    """Return whether being up said nothing of being ready."""
    unit = scene.index.unit(name)
    before = bool(unit.assignments("Service", "ExecStartPre")) or times.is_up_at_fork
    kind = unit.value("Service", "Type", "simple")
    return times.is_up_at_fork if kind in _WAITED_FOR else before or kind != "simple"


def _inversion(scene: Scene, rule: Rule, first: UnitTimes, began: float, cause: Cause) -> Inversion:
    over = _needed_at(scene, rule, first)
    texts = "; ".join(_observed(scene, rule, first, began, cause))
    grade = Grade.UNKNOWN if cause is Cause.UNPROVEN else rule.grade
    subject = _SUBJECTS.get(rule.then, ids.HOST)
    finding = codes.finding(
        CODES[cause], subject, texts, grade=grade, first=rule.first, then=rule.then
    )
    return Inversion(
        first=rule.first,
        then=rule.then,
        began=began,
        over=over,
        cause=cause,
        why=rule.why,
        finding=finding,
    )


def _observed(
    scene: Scene, rule: Rule, first: UnitTimes, began: float, cause: Cause
) -> Iterator[str]:
    yield f"{rule.then} began at {began:.3f} s, {_state(scene, rule, first)}"
    place = scene.graph.afters(rule.then).get(scene.graph.name(rule.first))
    if place is not None and cause in {Cause.COUNTS_AS_STARTED, Cause.NOT_IN_FORCE}:
        yield f"the order: {place}"
    if cause is Cause.STARTED_BY_SOCKET:
        place = scene.graph.afters(INCUS_STARTUP).get(
            scene.graph.name(rule.first), "through others"
        )
        yield f"the order is one of {INCUS_STARTUP} ({place}); the first client in its socket starts {INCUS_UNIT}"
    if cause is Cause.NO_ORDER and rule.first == SATELLITE_UNIT:
        for word, setting in scene.satellite.listed("Unit", "Before"):
            absent = scene.index.unit(word).load is Load.NOT_FOUND
            if absent and word.startswith(("incus", "lxcfs")):
                yield f"Before={word} in {setting.place} does nothing: there is no {word}"


def _state(scene: Scene, rule: Rule, first: UnitTimes) -> str:
    """Tell when ``first`` was what was needed, in words."""
    name = rule.first
    if first.begun is None:
        return f"{name} not at all"
    if first.up is None and first.failed is not None:
        return f"{name} had failed at {first.failed:.3f} s ({first.result or 'no result'})"
    if first.up is None:
        return f"{name} began at {first.begun:.3f} s and was not up"
    if not rule.ready or not _at_fork(scene, name, first):
        return f"{name} was up at {first.up:.3f} s"
    at_fork = f"{name} counted as started at {first.up:.3f} s, at its fork,"
    if first.ready is None:
        return f"{at_fork} and when it was ready nobody wrote down"
    return f"{at_fork} and was ready at {first.ready:.3f} s"


CODES: Final = {
    Cause.NO_ORDER: "units.started-unordered",
    Cause.COUNTS_AS_STARTED: "units.started-at-fork",
    Cause.STARTED_BY_SOCKET: "units.started-by-socket",
    Cause.NOT_ENABLED: "units.started-without",
    Cause.NEVER_STARTED: "units.started-alone",
    Cause.DROPPED: "units.started-after-cycle",
    Cause.FAILED: "units.started-after-failure",
    Cause.NOT_IN_FORCE: "units.started-before-order",
    Cause.UNPROVEN: "units.started-unproven",
}
"""The finding of each cause."""
