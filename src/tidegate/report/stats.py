# SPDX-License-Identifier: Apache-2.0
"""Figures of many boots side by side: median, p95, worst, and where they are going. Pure."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from tidegate.report.terminal import Terminal, columns, duration, harmless

TITLES: Final[Mapping[str, str]] = {
    "satellite-started": "satellite's unit started",
    "satellite-listening": "satellite listens",
    "satellite-online": "satellite ONLINE",
    "satellite-ready": "satellite ready",
    "volumes-ready": "last volume ready",
    "incus-api": "Incus answers",
    "incus-ready": "Incus's first pass over",
    "pools-ready": "last pool mounted",
    "last-instance": "last instance runs",
    "resync-began": "resync of a wanted volume began",
    "resync-over": "nothing wanted is resynchronised",
    "phase/satellite.jvm": "satellite: start of its JVM",
    "phase/satellite.wait-controller": "satellite: waits for a controller",
    "phase/satellite.full-sync": "satellite: full sync",
    "phase/satellite.first-run": "satellite: first run of devices",
    "phase/incus.pools": "Incus: data base and pools",
    "phase/incus.autostart": "Incus: autostart",
    "pool-mount": "mount of a pool",
    "instance-start": "start of an instance",
    "instance-storage": "… of that, storage",
}
"""What is shown, in this order, under which name. The first are moments since boot, from ``phase/`` on lengths."""
NOTABLE: Final = 0.2
"""A change of the recent half against the older one by less than a fifth is no trend."""


class Boot(msgspec.Struct, frozen=True, kw_only=True):
    """One boot's figures: by name, all that was measured, in seconds."""

    boot_id: str
    began: float
    figures: Mapping[str, tuple[float, ...]]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One figure over all boots. ``worst_boot`` is where the worst was; ``change`` the recent half's median over the older one's, minus 1."""

    name: str
    title: str
    boots: int
    count: int
    last: float
    median: float
    p95: float
    worst: float
    worst_boot: str
    change: float | None


def rows(boots: Sequence[Boot]) -> tuple[Row, ...]:
    """Return one row per figure that any of ``boots`` (the oldest first) has."""
    return tuple(
        row for name, title in TITLES.items() if (row := _row(name, title, boots)) is not None
    )


def _row(name: str, title: str, boots: Sequence[Boot]) -> Row | None:
    having = [(boot, boot.figures[name]) for boot in boots if boot.figures.get(name)]
    if not having:
        return None
    every = sorted(value for _, values in having for value in values)
    worst_boot, worst = max(((b, max(v)) for b, v in having), key=lambda pair: pair[1])
    of_boots = [_median(sorted(values)) for _, values in having]
    return Row(
        name=name,
        title=title,
        boots=len(having),
        count=len(every),
        last=max(having[-1][1]),
        median=_median(every),
        p95=every[max(0, math.ceil(0.95 * len(every)) - 1)],
        worst=worst,
        worst_boot=worst_boot.boot_id,
        change=_change(of_boots),
    )


def _median(values: Sequence[float]) -> float:
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def _change(values: Sequence[float]) -> float | None:
    """Return by which share the recent half is slower than the older; None with fewer than four boots."""
    if len(values) < 4:
        return None
    half = len(values) // 2
    before, after = _median(sorted(values[:half])), _median(sorted(values[-half:]))
    return (after - before) / before if before > 0 else None


def document(boots: Sequence[Boot], found: Sequence[Row]) -> dict[str, Any]:
    """Return the same as plain values for JSON."""
    return {
        "format": 1,
        "boots": [{"boot_id": boot.boot_id, "began": boot.began} for boot in boots],
        "figures": [msgspec.to_builtins(row) for row in found],
    }


def render(boots: Sequence[Boot], found: Sequence[Row], terminal: Terminal) -> str:
    """Return a table as text ending in a newline."""
    if not found:
        return (
            f"{len(boots)} boots are known, and none was measured yet: the agent measures from its start on\n"
            "(of boots before that the journal tells: tidegate boot list)\n"
        )
    head = ("", "boots", "last", "median", "p95", "worst", "trend")
    body = [
        (
            row.title,
            str(row.boots),
            *map(duration, (row.last, row.median, row.p95, row.worst)),
            trend(row),
        )
        for row in found
    ]
    widths = columns([head, *body])
    lines = [terminal.heading(f"The last {len(boots)} boots: seconds after boot, then lengths")]
    for cells in (head, *body):
        first, *rest = (
            f"{harmless(cell):<{width}}" if index in {0, 6} else f"{harmless(cell):>{width}}"
            for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        lines.append("  ".join(["", first, *rest]).rstrip())
    return "\n".join(lines) + "\n"


def trend(row: Row) -> str:
    """Return in words where a figure is going."""
    if row.change is None:
        return "–"
    if abs(row.change) < NOTABLE:
        return "steady"
    return f"{'slower' if row.change > 0 else 'faster'} by {abs(row.change):.0%}"
