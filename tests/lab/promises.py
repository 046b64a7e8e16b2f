# SPDX-License-Identifier: Apache-2.0
"""The table of results and the promises that it is held to: issue 3, "It must show" 2 (agent), issue 5, 1 (gate, order), and
contract.md, safety 11 (:func:`worse`). Pure: boots in, text and failures out.

Losses and attempts count at once. Times do not: one run proves nothing (contract.md, words), so what is late is booted again
(:func:`doubtful`) and judged by the median of all.
"""

from collections.abc import Iterable, Iterator, Sequence
from statistics import median

from tests.lab import run, scenarios, seed
from tests.lab.variants import Variant

AFTER = 1.5
"""Seconds that a container may start after the later of the fault's end and the end of Incus's first pass, with the agent."""
HELD = 3.0
"""Seconds that a container may start after the fault's end where Incus was held: incusd itself starts then, and all one after another."""
SLOWER = {Variant.AGENT: 0.3, Variant.GUARD: 0.2, Variant.GUARD_AGENT: 0.2}
"""Seconds by which the last container of a healthy boot may be later than on the stock machine booted beside it, by the median."""
SLOWER_ELSE = 0.5
"""The same with anything else of ours, and for every container in :func:`worse` (contract.md, safety 11)."""
LOCAL_LATE = 1.0
"""Seconds that a container on the local pool may be later than on a healthy stock machine, with guard and agent: s3 excepted, which is
Incus's own check of the driver (issue 6, "It must show" 1)."""
PAIRS = 5
"""Pairs of healthy boots that a judgement needs, and so many more while it is in doubt: one boot varies by more than a second."""
MOST_PAIRS = 20
"""Pairs after which the median decides, however sure it is."""
AGAIN = 2
"""Boots more of what was late once, before it is held against it."""
DOUBT = 0.07
"""The median of all the boots there could be lies outside of what is still possible with this chance at most (0.0625 with five)."""
BY_STRATEGY = {
    "": tuple(scenarios.SCENARIOS)[:10],
    "gate": scenarios.QUICK,
    "order": ("s0", "s1", "s2"),
    "guard": tuple(name for name in scenarios.SCENARIOS if name != "s3"),
}
"""Where each strategy promises that nothing is lost; the one without a name is the agent alone, which s10 leaves no incusd to talk to."""

Cell = tuple[str, Variant]

_HEAD = (
    "",
    "variant",
    "fault end",
    "API",
    "first pass",
    *seed.INSTANCES,
    "last − from",
    "attempts",
    "lost for ever",
    "",
)


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _starts(boot: run.Boot, name: str) -> str:
    starts = boot.starts[name]
    if name in boot.lost:
        return "never" if not starts else f"{starts[0]:.1f} †"
    more = f" ×{len(starts)}" if len(starts) > 1 else ""
    return f"{starts[0]:.1f}{more}"


def _row(boot: run.Boot) -> tuple[str, ...]:
    after = "–" if boot.after is None else f"{boot.after:+.2f}"
    return (
        boot.scenario,
        boot.variant,
        _seconds(boot.fault_end),
        _seconds(boot.api),
        _seconds(boot.first_pass),
        *(_starts(boot, name) for name in seed.INSTANCES),
        after,
        str(boot.attempts) if boot.attempts else "none",
        " ".join(boot.lost) or "none",
        scenarios.SCENARIOS[boot.scenario].says,
    )


def table(boots: Iterable[run.Boot]) -> str:
    """One line per boot; seconds after PID 1."""
    rows = [_HEAD, *(_row(boot) for boot in boots)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _of(boots: Sequence[run.Boot], scenario: str, variant: Variant) -> list[run.Boot]:
    return [b for b in boots if b.scenario == scenario and b.variant is variant]


def spread(boots: Sequence[run.Boot]) -> str:
    """For scenarios run more than once: median and range of the last container's start."""
    lines = []
    for scenario in scenarios.SCENARIOS:
        for variant in Variant:
            lasts = [b.last for b in _of(boots, scenario, variant) if b.last is not None]
            if len(lasts) > 1:
                middle = median(lasts)
                lines.append(
                    f"{scenario} {variant}: last container at {middle:.2f} "
                    f"(median of {len(lasts)}, {min(lasts):.2f} to {max(lasts):.2f})"
                )
    return "\n".join(lines)


def _cells(boots: Iterable[run.Boot]) -> list[Cell]:
    """What was booted, each once, in the order of the scenarios; stock machines left out, for nothing is promised for them."""
    names = list(scenarios.SCENARIOS)
    order = list(Variant)
    found = {(boot.scenario, boot.variant) for boot in boots} - {(n, Variant.STOCK) for n in names}
    return sorted(found, key=lambda cell: (names.index(cell[0]), order.index(cell[1])))


def _called(cell: Cell) -> str:
    scenario, variant = cell
    return f"{scenario} with the {' and the '.join(variant.split('-'))}"


# -- what is lost, and spent --------------------------------------------------------------------


def _is_promised(cell: Cell) -> bool:
    """The guard alone passes the controller's own answers on: it promises nothing but to be no worse than stock."""
    return cell[0] in BY_STRATEGY[cell[1].strategy] and (cell[1].agent or cell[1].holds)


def _lost(boot: run.Boot) -> Iterator[str]:
    where = _called((boot.scenario, boot.variant))
    for name in boot.lost:
        yield f"{where}: {name} is lost for ever"
    for name, starts in boot.starts.items():
        if len(starts) > 1:
            yield f"{where}: {name} was started {len(starts)} times"
    if boot.variant.holds and boot.attempts:
        yield f"{where}: Incus spent {boot.attempts} attempts in vain"


# -- what is late -------------------------------------------------------------------------------


def _from_when(boot: run.Boot) -> float:
    return boot.fault_end if boot.variant.holds else boot.from_when


def _late(boots: Sequence[run.Boot], cell: Cell) -> Iterator[str]:
    """What started too late, by the median over all boots of the cell."""
    scenario, variant = cell
    if not (_is_promised(cell) and (variant.agent or variant.holds)):
        return
    seen = [boot for boot in _of(boots, scenario, variant) if boot.fault_end]
    allowed = HELD if variant.holds else AFTER
    since = "storage was" if variant.holds else "storage and Incus's first pass were"
    for name in seed.INSTANCES:
        delays = [boot.starts[name][0] - _from_when(boot) for boot in seen if boot.starts[name]]
        if delays and median(delays) > allowed:
            yield (
                f"{_called(cell)}: {name} ran {median(delays):.2f} s after {since} ready "
                f"(median of {len(delays)}); the promise is {allowed} s"
            )


def _local_late(boots: Sequence[run.Boot], cell: Cell) -> Iterator[str]:
    """What needs no storage at all, and waited for it nevertheless."""
    if not (cell[1].strategy == "guard" and _is_promised(cell)):
        return
    for name in seed.LOCAL:
        healthy = [boot.starts[name][0] for boot in _of(boots, "s0", Variant.STOCK)]
        starts = [boot.starts[name][0] for boot in _of(boots, *cell) if boot.starts[name]]
        if healthy and starts and (later := median(starts) - median(healthy)) > LOCAL_LATE:
            yield (
                f"{_called(cell)}: {name}, on the local pool, ran {later:.2f} s later than on a healthy stock machine "
                f"(medians); the promise is {LOCAL_LATE} s"
            )


# -- healthy boots ------------------------------------------------------------------------------


def _differences(boots: Sequence[run.Boot], variant: Variant) -> list[float]:
    """Seconds by which the last container was later than in the stock boot beside it, ascending."""
    stock = [boot.last for boot in _of(boots, "s0", Variant.STOCK)]
    ours = [boot.last for boot in _of(boots, "s0", variant)]
    pairs = zip(stock, ours, strict=False)
    return sorted(our - its for its, our in pairs if its is not None and our is not None)


def possible(differences: Sequence[float]) -> tuple[float, float]:
    """Where the true median may lie, from the sign test: outside of it with a chance of :data:`DOUBT` at most. ``differences``: ascending."""
    count = len(differences)
    left_out, chance, term = 0, 0.0, 2.0 * 0.5**count
    while chance + term <= DOUBT:
        chance += term
        left_out += 1
        term *= (count - left_out + 1) / left_out
    if not left_out:
        return float("-inf"), float("inf")
    return differences[left_out - 1], differences[-left_out]


def _slower(boots: Sequence[run.Boot], variant: Variant) -> Iterator[str]:
    seen = _differences(boots, variant)
    allowed = SLOWER.get(variant, SLOWER_ELSE)
    if len(seen) >= PAIRS and median(seen) > allowed:
        yield (
            f"{_called(('s0', variant))}: {median(seen):.2f} s slower than without (median of {len(seen)} pairs); "
            f"the promise is {allowed} s"
        )


def _is_close(boots: Sequence[run.Boot], variant: Variant) -> bool:
    """Whether more pairs may still turn the judgement, whichever it is now: looking again only at what failed would be no test."""
    seen = _differences(boots, variant)
    if not PAIRS <= len(seen) < MOST_PAIRS:
        return False
    low, high = possible(seen)
    return low <= SLOWER.get(variant, SLOWER_ELSE) < high


# -- never worse than stock ---------------------------------------------------------------------


def _are_cost(variant: Variant, names: Sequence[str]) -> bool:
    """Whether holding all of Incus is what makes ``names`` wait: shown by :func:`costs`, and what ``units plan`` says of gate and order."""
    return variant.holds and names == seed.LOCAL


def _kept(stock: Sequence[run.Boot], name: str) -> bool:
    """Whether none of the stock machines lost ``name``."""
    return bool(stock) and not any(name in boot.lost for boot in stock)


def _lost_more(boots: Sequence[run.Boot], cell: Cell) -> Iterator[str]:
    stock, ours = _of(boots, cell[0], Variant.STOCK), _of(boots, *cell)
    for name in seed.INSTANCES:
        if _kept(stock, name) and any(name in boot.lost for boot in ours):
            yield f"{_called(cell)}: {name} is lost, which stock keeps"


def _ranks(boots: Sequence[run.Boot], names: Sequence[str]) -> list[float]:
    """When the first, the second… of ``names`` began to run, by the median over ``boots``; as many as ran in each of them."""
    each = [sorted(b.starts[n][0] for n in names if n not in b.lost and b.starts[n]) for b in boots]
    return [median(moments) for moments in zip(*each, strict=False)]


def _later(boots: Sequence[run.Boot], cell: Cell) -> Iterator[str]:
    """What is late by its place in the row: in which order Incus starts containers is drawn anew in each boot (facts/incus.md A4)."""
    stock, ours = _of(boots, cell[0], Variant.STOCK), _of(boots, *cell)
    for names in (seed.REMOTE, seed.LOCAL):
        if _are_cost(cell[1], names):
            continue
        pairs = zip(_ranks(stock, names), _ranks(ours, names), strict=False)
        for place, (its, our) in enumerate(pairs, 1):
            if (later := our - its) > SLOWER_ELSE:
                yield f"{_called(cell)}: no. {place} of {' '.join(names)} ran {later:.2f} s later than with stock (medians)"


def worse(boots: Sequence[run.Boot]) -> list[str]:
    """Where ours is worse than stock (contract.md, safety 11), each as a sentence."""
    found: list[str] = []
    for cell in _cells(boots):
        found += [*_lost_more(boots, cell), *_later(boots, cell)]
    return found


def costs(boots: Sequence[run.Boot]) -> str:
    """What holding Incus costs what does not need the storage, and the API: one line per cell that has a stock boot beside it."""
    lines = []
    for scenario, variant in _cells(boots):
        stock, ours = _of(boots, scenario, Variant.STOCK), _of(boots, scenario, variant)
        if not variant.holds or not stock:
            continue
        parts = [
            f"{name} {_difference([b.starts[name][:1] for b in stock], [b.starts[name][:1] for b in ours])}"
            for name in seed.LOCAL
        ]
        apis = [[[] if b.api is None else [b.api] for b in some] for some in (stock, ours)]
        lines.append(
            f"{scenario} {variant}: {', '.join(parts)}, the API {_difference(*apis)} against stock"
        )
    return "\n".join(lines)


def _difference(before: Sequence[list[float]], after: Sequence[list[float]]) -> str:
    one, other = [v for some in before for v in some], [v for some in after for v in some]
    if not other:
        return "never"
    return "from never" if not one else f"{median(other) - median(one):+.1f} s"


# -- judgement ----------------------------------------------------------------------------------


def doubtful(boots: Sequence[run.Boot], *, against_stock: bool = False) -> list[Cell]:
    """The cells whose times must be looked at again before they count; ``against_stock``: for :func:`worse` as well."""
    found = []
    for cell in _cells(boots):
        scenario, variant = cell
        few = len(_of(boots, scenario, variant)) <= AGAIN
        if scenario == "s0":
            doubt = _is_close(boots, variant)
        else:
            doubt = few and any(True for late in (_late, _local_late) for _ in late(boots, cell))
        if few and against_stock:
            doubt = doubt or any(True for _ in _later(boots, cell))
        if doubt:
            found.append(cell)
    return found + (_lucky(boots) if against_stock else [])


def _lucky(boots: Sequence[run.Boot]) -> list[Cell]:
    """The stock cells that may have kept by luck what ours lost, or started late: Incus's order of starts is drawn, and in s10 it dies at
    the first of three."""
    found = []
    for name in dict.fromkeys(cell[0] for cell in _cells(boots)):
        stock = _of(boots, name, Variant.STOCK)
        cells = [cell for cell in _cells(boots) if cell[0] == name]
        lost = any(True for cell in cells for _ in _lost_more(boots, cell))
        late = any(True for cell in cells for _ in _later(boots, cell))
        if len(stock) <= AGAIN and (lost or (late and any(boot.lost for boot in stock))):
            found.append((name, Variant.STOCK))
    return found


def broken(boots: Sequence[run.Boot]) -> list[str]:
    """The promises that ``boots`` break, each as a sentence; nothing is promised for stock boots."""
    found: list[str] = []
    for boot in boots:
        if boot.variant is not Variant.STOCK and _is_promised((boot.scenario, boot.variant)):
            found += _lost(boot)
    for cell in _cells(boots):
        found += [*_late(boots, cell), *_local_late(boots, cell)]
    for variant in Variant:
        if variant is not Variant.STOCK:
            found += _slower(boots, variant)
    return found
