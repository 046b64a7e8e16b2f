# SPDX-License-Identifier: Apache-2.0
"""Orders that contradict themselves: which jobs stand in a circle, which of them systemd may sacrifice, what goes with it.

How systemd (252 to 257) breaks a circle: it walks the order from job to job; when it meets a job it came through, it goes back over
its path and drops the first job that does not matter to the anchor. Where the walk enters a circle depends on addresses in
memory: **any** job of the circle that does not matter can be the victim, another one at the next boot (systemd's maintainers: no
guarantee which; issue 39338: an innocent one). With the victim go the jobs that require it. When every job of a circle
matters, the whole transaction is refused; at boot systemd then falls back to the rescue shell.

So a circle of jobs that all matter is fatal, every other one can be broken: exactly what :func:`find` tells.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from tidegate.units.graph import Graph, Transaction
from tidegate.units.implied import Kind

_REQUIRING: Final = frozenset({Kind.REQUIRES, Kind.BINDS_TO, Kind.REQUISITE})


class Cycle(msgspec.Struct, frozen=True, kw_only=True):
    """Units that each wait for the one before them: ``units[0]`` before ``units[1]`` ... before ``units[0]`` again."""

    units: tuple[str, ...]
    why: tuple[str, ...]
    """``why[i]``: what orders ``units[i]`` before the next one."""
    victims: tuple[str, ...]
    """The jobs systemd may delete to break this circle; which, differs from boot to boot. Empty: it cannot, and starts nothing."""
    lost: Mapping[str, tuple[str, ...]] = {}
    """For each victim the jobs that go with it, because they require it."""
    knot: tuple[str, ...] = ()
    """All units that stand in circles connected with this one; when there are more than ``units``, more circles may appear."""

    @property
    def is_fatal(self) -> bool:
        """True when systemd refuses the whole transaction."""
        return not self.victims


def find(graph: Graph, transaction: Transaction) -> tuple[Cycle, ...]:
    """Return one circle, the shortest, of every knot in the order of the transaction's jobs; fatal ones first."""
    edges = ordering(graph, transaction)
    solid = {name for name in edges if _matters(transaction, name)}
    firm = {
        name: [to for to in later if to in solid] for name, later in edges.items() if name in solid
    }
    fatal = [_cycle(graph, transaction, knot, firm) for knot in components(firm)]
    # Where a fatal circle lies within a knot, it is told; the others of that knot wait until it is gone.
    told = {name for cycle in fatal for name in cycle.knot}
    knots = [knot for knot in components(edges) if told.isdisjoint(knot)]
    return (*fatal, *(_cycle(graph, transaction, knot, edges) for knot in knots))


def ordering(graph: Graph, transaction: Transaction) -> dict[str, list[str]]:
    """Return, for every unit with a job, the units with a job that start only after it."""
    members = sorted(transaction.jobs.keys() | transaction.installed)
    inside = frozenset(members)
    return {name: sorted(to for to in graph.befores(name) if to in inside) for name in members}


def _matters(transaction: Transaction, name: str) -> bool:
    job = transaction.jobs.get(name)
    return job is None or job.matters  # without a job here it is installed already, and stays


def _cycle(
    graph: Graph, transaction: Transaction, knot: Sequence[str], edges: Mapping[str, Sequence[str]]
) -> Cycle:
    units = shortest(knot, edges)
    following = (*units[1:], units[0])
    why = tuple(graph.befores(unit)[then] for unit, then in zip(units, following, strict=True))
    victims = tuple(unit for unit in units if not _matters(transaction, unit))
    lost = {victim: losses(transaction, victim) for victim in victims}
    return Cycle(units=units, why=why, victims=victims, lost=lost, knot=tuple(sorted(knot)))


def losses(transaction: Transaction, victim: str) -> tuple[str, ...]:
    """Return the units whose jobs go when the job of ``victim`` is deleted: those that require it, and so on."""
    gone = {victim}
    queue = [victim]
    while queue:
        for by, kind in transaction.jobs[queue.pop()].pulled_by:
            if kind in _REQUIRING and by not in gone:
                gone.add(by)
                queue.append(by)
    return tuple(sorted(gone - {victim}))


def components(edges: Mapping[str, Iterable[str]]) -> tuple[tuple[str, ...], ...]:
    """Return the sets of two or more nodes that reach each other (Tarjan's algorithm, without recursion)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    path: list[str] = []
    on_path: set[str] = set()
    found: list[tuple[str, ...]] = []
    stack: list[tuple[str, Iterator[str]]] = []

    def enter(node: str) -> None:
        order[node] = low[node] = len(order)
        path.append(node)
        on_path.add(node)
        stack.append((node, iter(edges.get(node, ()))))

    def leave(node: str) -> None:
        stack.pop()
        if stack:
            above = stack[-1][0]
            low[above] = min(low[above], low[node])
        if low[node] == order[node]:
            members = path[path.index(node) :]
            del path[-len(members) :]
            on_path.difference_update(members)
            if len(members) > 1:
                found.append(tuple(members))

    for root in edges:
        if root not in order:
            enter(root)
        while stack:
            node, rest = stack[-1]
            step = next(rest, None)
            if step is None:
                leave(node)
            elif step not in order:
                enter(step)
            elif step in on_path:
                low[node] = min(low[node], order[step])
    return tuple(found)


def shortest(knot: Sequence[str], edges: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """Return the shortest circle among the nodes of ``knot``, which reach each other; of equals the first by name."""
    inside = frozenset(knot)
    return min((through(start, inside, edges) for start in sorted(knot)), key=len)


def through(
    start: str, inside: frozenset[str], edges: Mapping[str, Iterable[str]]
) -> tuple[str, ...]:
    """Return the shortest circle through ``start``, a node of the knot ``inside`` (breadth first)."""
    came: dict[str, str] = {}
    queue = [start]
    for node in queue:  # grows while it is walked
        for step in edges.get(node, ()):
            if step == start:
                return _back(start, node, came)
            if step in inside and step not in came:
                came[step] = node
                queue.append(step)
    raise AssertionError(f"{start} is in no circle: not a knot")


def _back(start: str, node: str, came: Mapping[str, str]) -> tuple[str, ...]:
    path = [node]
    while path[-1] != start:
        path.append(came[path[-1]])
    return tuple(reversed(path))
