# SPDX-License-Identifier: Apache-2.0
"""Units ordered and required, and the jobs of a start transaction, as systemd's manager would build it.

Which jobs there are and which of them *matter* decides what can be lost when orders contradict each other (``cycles``). Rules:
man systemd.unit(5) and how ``Wants=`` and ``Requires=`` act in systemd's transactions (252 to 257; seen in 252):

- ``Requires=`` and ``BindsTo=`` pull a job in that matters to the one that requires it, ``Wants=`` and ``Upholds=`` one that does not;
- a unit that cannot be loaded is passed over where it is wanted; where it is required the failure goes up to the next ``Wants=``. The
  jobs pulled in on the way stay in systemd 252 (at boot a unit then starts although what it requires has no file: issue 11338) and
  are dropped in 257 (both seen);
- a job matters to the anchor when it is required by it, directly or through others that are.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from tidegate.units import implied, names
from tidegate.units.implied import Dependency, Kind
from tidegate.units.tree import Index, Load, Unit

_STRONG: Final = frozenset({Kind.REQUIRES, Kind.BINDS_TO})
_WEAK: Final = frozenset({Kind.WANTS, Kind.UPHOLDS})
_DROPS_WHAT_FAILS: Final = 257
_COMPLETED_BY_TARGETS: Final = frozenset(
    {Kind.REQUIRES, Kind.REQUISITE, Kind.BINDS_TO, Kind.WANTS, Kind.UPHOLDS}
)


class Graph:
    """Every unit that can be reached from some names, with orders and requirements between them.

    ``before[a][b]`` is why ``a`` comes before ``b``; ``needs[a]`` are the dependencies of ``a`` that pull jobs in.
    """

    def __init__(self, index: Index, roots: tuple[str, ...]) -> None:
        self._index = index
        self.units: dict[str, Unit] = {}
        self.before: dict[str, dict[str, str]] = {}
        self.needs: dict[str, list[Dependency]] = {}
        self.triggers: dict[str, list[str]] = {}
        self._own: dict[str, str] = {}
        self._load(roots)
        self._complete_targets()

    def name(self, name: str) -> str:
        """Return the unit's own name for any of its names."""
        own = self._own.get(name)
        if own is None:
            own = self._own[name] = self._index.canonical(name)
        return own

    def is_before(self, first: str, second: str) -> bool:
        """Return whether ``first`` is ordered before ``second``, directly."""
        return self.name(second) in self.before.get(self.name(first), {})

    def befores(self, name: str) -> Mapping[str, str]:
        """Return what ``name`` is directly ordered before, with why."""
        return self.before.get(self.name(name), {})

    def afters(self, name: str) -> Mapping[str, str]:
        """Return what ``name`` is directly ordered after, with why."""
        own = self.name(name)
        return {other: later[own] for other, later in self.before.items() if own in later}

    def needed(self, name: str) -> tuple[Dependency, ...]:
        """Return the dependencies of ``name`` that pull something in."""
        return tuple(self.needs.get(self.name(name), ()))

    def waits_for(self, name: str) -> frozenset[str]:
        """Return all that ``name`` is ordered after, directly or through others."""
        earlier: dict[str, list[str]] = {}
        for other, later in self.before.items():
            for own in later:
                earlier.setdefault(own, []).append(other)
        found: set[str] = set()
        queue = [self.name(name)]
        while queue:
            for other in earlier.get(queue.pop(), ()):
                if other not in found:
                    found.add(other)
                    queue.append(other)
        return frozenset(found)

    def _load(self, roots: tuple[str, ...]) -> None:
        queue = [self.name(root) for root in roots]
        while queue:
            own = queue.pop()
            if own in self.units:
                continue
            unit = self.units[own] = self._index.unit(own)
            for dependency in self._placed(unit):
                queue.append(dependency.other)
                self._add(dependency)

    def _placed(self, unit: Unit) -> Iterator[Dependency]:
        """Yield the unit's dependencies with own names of others; mounts as the units that stand for them."""
        if unit.load in {Load.MASKED, Load.NOT_FOUND, Load.BAD}:
            return
        for dependency in implied.dependencies(unit):
            if dependency.kind in {Kind.MOUNTS, Kind.WISHED_MOUNTS}:
                yield from self._mounts(unit, dependency)
                continue
            other = self.name(dependency.other)
            if other != unit.name:
                yield msgspec.structs.replace(dependency, other=other)

    def _mounts(self, unit: Unit, wanted: Dependency) -> Iterator[Dependency]:
        for path in names.above(wanted.other):
            mount = self.name(names.from_path(path, "mount"))
            found = self._index.unit(mount)
            if found.load is not Load.LOADED or mount == unit.name:
                continue
            why = f"{wanted.why} (needs {wanted.other})"
            yield Dependency(unit=unit.name, kind=Kind.AFTER, other=mount, why=why)
            if found.path is not None:
                kind = Kind.REQUIRES if wanted.kind is Kind.MOUNTS else Kind.WANTS
                yield Dependency(unit=unit.name, kind=kind, other=mount, why=why)

    def _add(self, dependency: Dependency) -> None:
        unit, other = dependency.unit, dependency.other
        match dependency.kind:
            case Kind.AFTER:
                self.before.setdefault(other, {}).setdefault(unit, dependency.why)
            case Kind.BEFORE:
                self.before.setdefault(unit, {}).setdefault(other, dependency.why)
            case Kind.TRIGGERS:
                self.triggers.setdefault(unit, []).append(other)
            case _:
                self.needs.setdefault(unit, []).append(dependency)

    def _complete_targets(self) -> None:
        """Order targets after what they pull in, unless that is ordered after them (man systemd.target(5))."""
        for own, dependencies in self.needs.items():
            unit = self.units[own]
            if unit.kind != "target" or not implied.has_defaults(unit):
                continue
            for dependency in dependencies:
                other = self.units[dependency.other]
                if dependency.kind not in _COMPLETED_BY_TARGETS or other.load is not Load.LOADED:
                    continue
                if implied.has_defaults(other) and not self.is_before(own, other.name):
                    why = f"default, for {dependency.kind}= ({dependency.why})"
                    self.before.setdefault(other.name, {}).setdefault(own, why)


class Job(msgspec.Struct, kw_only=True):
    """A start job: who pulled it in (unit and kind), and whether the anchor fails without it."""

    unit: str
    pulled_by: list[tuple[str, Kind]] = []
    matters: bool = False
    only_verifies: bool = False
    """Made by ``Requisite=``: checks that the unit runs, starts nothing."""


class Transaction(msgspec.Struct, frozen=True, kw_only=True):
    """The jobs that starting ``anchor`` makes. ``failure`` says why systemd would refuse it as a whole; "" when it would not."""

    anchor: str
    jobs: Mapping[str, Job]
    failure: str = ""
    installed: frozenset[str] = frozenset()
    """Units whose jobs are already waiting, from an earlier transaction: they order others, and cannot be dropped."""


def transaction(
    graph: Graph, anchor: str, installed: frozenset[str] = frozenset(), *, systemd: int = 252
) -> Transaction:
    """Return the jobs of starting ``anchor`` on a machine on which nothing runs yet; ``systemd`` is its version.

    Where it is not known, an old one is the careful choice: it has all jobs that a new one has. Raises KeyError when ``anchor`` was not among the roots of ``graph`` and nothing of it led there.
    """
    own = graph.name(anchor)
    jobs: dict[str, Job] = {}
    failures = _pull(graph, own, jobs)
    if systemd >= _DROPS_WHAT_FAILS and own not in failures:
        _drop(jobs, failures, own)
    if own in jobs:
        _mark(jobs, graph, own)
    failure = failures.get(own, "")
    return Transaction(anchor=own, jobs=jobs, failure=failure, installed=installed - jobs.keys())


def _drop(jobs: dict[str, Job], failures: Mapping[str, str], anchor: str) -> None:
    """Drop the jobs of units that fail, and those that nobody else pulled in."""
    for unit in failures:
        jobs.pop(unit, None)
    pulled: dict[str, list[str]] = {}
    for job in jobs.values():
        job.pulled_by = [pull for pull in job.pulled_by if pull[0] in jobs]
        for by, _ in job.pulled_by:
            pulled.setdefault(by, []).append(job.unit)
    kept = {anchor}
    queue = [anchor]
    while queue:
        for unit in pulled.get(queue.pop(), ()):
            if unit not in kept:
                kept.add(unit)
                queue.append(unit)
    for unit in jobs.keys() - kept:
        del jobs[unit]


def _pull(graph: Graph, anchor: str, jobs: dict[str, Job]) -> dict[str, str]:
    """Add the jobs of ``anchor``; return which units fail, and why. A stack instead of recursion: chains may be long."""
    trouble = _load_trouble(graph.units[anchor])
    if trouble:
        return {anchor: trouble}
    jobs[anchor] = Job(unit=anchor)
    stack = [(anchor, iter(graph.needed(anchor)))]
    failures: dict[str, str] = {}
    while stack:
        unit, rest = stack[-1]
        dependency = next(rest, None)
        if dependency is None:
            stack.pop()
            if unit in failures and stack:
                _pass_up(jobs, failures, unit, stack[-1][0])
            continue
        other = dependency.other
        if dependency.kind is Kind.CONFLICTS:
            continue
        trouble = _load_trouble(graph.units[other])
        if trouble:
            if dependency.kind in _STRONG or dependency.kind is Kind.REQUISITE:
                failures.setdefault(unit, trouble)
            continue
        is_new = other not in jobs or (
            jobs[other].only_verifies and dependency.kind is not Kind.REQUISITE
        )
        job = jobs.setdefault(
            other, Job(unit=other, only_verifies=dependency.kind is Kind.REQUISITE)
        )
        job.pulled_by.append((unit, dependency.kind))
        if is_new and dependency.kind is not Kind.REQUISITE:
            job.only_verifies = False
            stack.append((other, iter(graph.needed(other))))
    return failures


def _pass_up(jobs: dict[str, Job], failures: dict[str, str], unit: str, to: str) -> None:
    """The failure of ``unit`` is that of ``to`` when ``to`` pulled it in by a requirement."""
    if any(by == to and kind in _STRONG for by, kind in jobs[unit].pulled_by):
        failures.setdefault(to, failures[unit])


def _load_trouble(unit: Unit) -> str:
    match unit.load:
        case Load.LOADED:
            return ""
        case Load.NOT_FOUND:
            return f"{unit.name} has no unit file"
        case Load.MASKED:
            return f"{unit.name} is masked"
        case Load.BAD:
            return f"{unit.name} is refused: {unit.complaint}"


def _mark(jobs: Mapping[str, Job], graph: Graph, anchor: str) -> None:
    """Mark what matters to the anchor: reached over requirements alone."""
    strong = _STRONG | {Kind.REQUISITE}
    queue = [anchor]
    jobs[anchor].matters = True
    while queue:
        for dependency in graph.needed(queue.pop()):
            job = jobs.get(dependency.other)
            if dependency.kind in strong and job is not None and not job.matters:
                job.matters = True
                queue.append(dependency.other)
