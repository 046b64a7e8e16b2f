# SPDX-License-Identifier: Apache-2.0
"""The table of results and the promises that it is held to (issue 3, "It must show" 2). Pure: boots in, text and failures out."""

from collections.abc import Iterable, Sequence
from statistics import median

from tests.lab import run, scenarios, seed
from tests.lab.variants import Variant

AFTER = 1.5
"""Seconds that a container may start after the later of the fault's end and the end of Incus's first pass."""
SLOWER = 0.3
"""Seconds by which the median of healthy boots with the agent may be later than without."""
PAIRS = 5
"""Pairs of healthy boots that the median needs: one varies by more than a second."""

_HEAD = (
    "",
    "variant",
    "fault end",
    "first pass",
    *seed.INSTANCES,
    "last − from",
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
        _seconds(boot.first_pass),
        *(_starts(boot, name) for name in seed.INSTANCES),
        after,
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


AGAIN = 2
"""Boots more of a scenario that was late once, before it is held against it: one run proves nothing (contract.md, words)."""


def _delays(boots: Sequence[run.Boot], name: str) -> list[float]:
    return [boot.starts[name][0] - boot.from_when for boot in boots if boot.starts[name]]


def _late(boots: Sequence[run.Boot], scenario: str) -> list[str]:
    """What started too late, by the median over all boots of the scenario with the agent."""
    seen = _of(boots, scenario, Variant.AGENT)
    found = []
    for name in seed.INSTANCES:
        delays = _delays([boot for boot in seen if boot.fault_end], name)
        if delays and median(delays) > AFTER:
            found.append(
                f"{scenario} with the agent: {name} ran {median(delays):.2f} s after storage and Incus's first pass were "
                f"ready (median of {len(delays)}); the promise is {AFTER} s"
            )
    return found


def _of_agent(boot: run.Boot) -> list[str]:
    where = f"{boot.scenario} with the agent"
    broken = [f"{where}: {name} is lost for ever" for name in boot.lost]
    broken += [
        f"{where}: {name} was started {len(starts)} times"
        for name, starts in boot.starts.items()
        if len(starts) > 1
    ]
    return broken


def doubtful(boots: Sequence[run.Boot]) -> list[str]:
    """The scenarios whose times break a promise by so few boots that they must be booted again before that counts."""
    late = [
        name
        for name in scenarios.SCENARIOS
        if len(_of(boots, name, Variant.AGENT)) <= AGAIN and _late(boots, name)
    ]
    few = len(_of(boots, "s0", Variant.AGENT)) <= PAIRS
    return late + (["s0"] if few and _s0(boots) else [])


def _s0(boots: Sequence[run.Boot]) -> list[str]:
    stock = [b.last for b in _of(boots, "s0", Variant.STOCK) if b.last is not None]
    agent = [b.last for b in _of(boots, "s0", Variant.AGENT) if b.last is not None]
    if min(len(stock), len(agent)) < PAIRS:
        return []
    slower = median(agent) - median(stock)
    if slower <= SLOWER:
        return []
    return [f"s0: {slower:.2f} s slower with the agent (medians); the promise is {SLOWER} s"]


def broken(boots: Sequence[run.Boot]) -> list[str]:
    """The promises that ``boots`` break, each as a sentence; nothing is promised for stock boots."""
    found = []
    for boot in boots:
        if boot.variant is Variant.AGENT:
            found += _of_agent(boot)
    for scenario in scenarios.SCENARIOS:
        found += _late(boots, scenario)
    return found + _s0(boots)
