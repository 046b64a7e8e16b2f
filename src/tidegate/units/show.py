# SPDX-License-Identifier: Apache-2.0
"""Circles and graphs for people: as text, and in the language of Graphviz."""

from collections.abc import Iterable, Iterator

from tidegate.units import cycles
from tidegate.units.cycles import Cycle
from tidegate.units.graph import Graph, Transaction


def circle(cycle: Cycle) -> str:
    """Return a circle as lines: who waits for whom and why, then what systemd would do about it."""
    lines = ["These units wait for each other:"]
    for unit, then, why in zip(
        cycle.units, (*cycle.units[1:], cycle.units[0]), cycle.why, strict=True
    ):
        lines.append(f"  {unit}  comes before  {then}   [{why}]")
    lines.extend(_outcome(cycle))
    return "\n".join(lines)


def _outcome(cycle: Cycle) -> Iterator[str]:
    if cycle.is_fatal:
        yield "systemd can drop none of them: it refuses to start any of it (at boot: rescue shell)."
        return
    if len(cycle.victims) == 1:
        yield f"systemd would not start {cycle.victims[0]}."
    else:
        yield f"systemd would not start one of these, another at every boot: {', '.join(cycle.victims)}."
    for victim in cycle.victims:
        if cycle.lost.get(victim):
            yield f"  Without {victim} these go as well: {', '.join(cycle.lost[victim])}."
    rest = [unit for unit in cycle.knot if unit not in cycle.units]
    if rest:
        yield f"  More circles run through {', '.join(rest)}."


def dot(graph: Graph, transaction: Transaction, found: Iterable[Cycle] = ()) -> str:
    """Return the order of the transaction's jobs in the language of Graphviz; circles in red, what matters in bold."""
    bad = {
        (unit, then)
        for cycle in found
        for unit, then in zip(cycle.units, (*cycle.units[1:], cycle.units[0]), strict=True)
    }
    lines = ["digraph boot {", "  rankdir=LR;"]
    edges = cycles.ordering(graph, transaction)
    for unit in edges:
        job = transaction.jobs.get(unit)
        style = " [style=bold]" if job is not None and job.matters else ""
        lines.append(f"  {_quoted(unit)}{style};")
    for unit, later in edges.items():
        for then in later:
            color = " [color=red]" if (unit, then) in bad else ""
            lines.append(f"  {_quoted(unit)} -> {_quoted(then)}{color};")
    return "\n".join([*lines, "}"]) + "\n"


def _quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
