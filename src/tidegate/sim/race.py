# SPDX-License-Identifier: Apache-2.0
"""The race between boot and storage: the same simulated node twice, one with Tidegate's agent, one without, side by side.

Here is what is raced and how it looks; :mod:`tidegate.cli.demo` runs it. Incus's and LINSTOR's own waits are scaled down, the
agent's are not: it runs as it would on a host.
"""

import enum
from collections.abc import Sequence
from typing import Final

import msgspec

from tidegate.core.ids import InstanceId, InstanceName, ProjectName
from tidegate.report.terminal import Style, Terminal
from tidegate.sim import faults
from tidegate.sim.incus.daemon import Phase
from tidegate.sim.incus.model import IncusModel
from tidegate.sim.incus.warnings import AUTOSTART_FAILURE, WarningStatus

SCALE: Final = 10
"""Incus's and LINSTOR's own waits are a tenth of the real ones: Incus's minute is 6 s here."""
CONTAINERS: Final = ("c1", "c2", "c3")
LOCAL: Final = ("d1",)
TICK: Final = 0.2
"""Seconds of one column of a lane."""


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """One fault at boot: its name, what it is in a sentence, the fault, and when storage is ready (seconds, scaled)."""

    key: str
    title: str
    fault: faults.Fault
    ready_at: float
    ends_at: float


ACTS: Final = (
    Act(
        key="satellite-late",
        title="the satellite's JVM is slow: LINSTOR says OFFLINE while Incus looks",
        fault=faults.Fault(kind=faults.FaultKind.NODE_OFFLINE, end=2.5),
        ready_at=2.5,
        ends_at=9.0,
    ),
    Act(
        key="devices-late",
        title="LINSTOR says ONLINE, the DRBD devices come later",
        fault=faults.Fault(kind=faults.FaultKind.DEVICE_MISSING, end=4.0),
        ready_at=4.0,
        ends_at=11.0,
    ),
)


class Cell(enum.StrEnum):
    """How an instance was during one column's time."""

    WAITING = "·"
    GIVEN_UP = "×"
    RUNNING = "━"


class Lane(msgspec.Struct, kw_only=True):
    """One instance on one node: its cells so far, and when it came up (seconds after boot)."""

    name: str
    cells: list[Cell] = []
    up_at: float | None = None

    @property
    def given_up(self) -> bool:
        """Incus has given it up, and nobody else has started it."""
        return self.cells[-1:] == [Cell.GIVEN_UP]


class Side(msgspec.Struct, kw_only=True):
    """One node of the race."""

    title: str
    incus: IncusModel
    lanes: list[Lane]
    sentence: str = ""


class Race(msgspec.Struct, kw_only=True):
    """One act with its two sides."""

    act: Act
    sides: tuple[Side, Side]

    def look(self) -> None:
        """Take down how everything is now, for each column that has passed."""
        for side in self.sides:
            for lane in side.lanes:
                _look(lane, side.incus)

    @property
    def over(self) -> bool:
        """Nothing more will happen that is worth watching."""
        return self.sides[0].incus.clock.now >= self.act.ends_at or all(
            lane.up_at is not None for side in self.sides for lane in side.lanes
        )


def scaled(timings: faults.Timings) -> faults.Timings:
    """Return LINSTOR's timings in the demo's scale."""
    changes = {
        name: getattr(timings, name) / SCALE
        for name in timings.__struct_fields__
        if name not in {"lost_round", "jitter"}
    }
    return msgspec.structs.replace(timings, **changes)


def new_lanes() -> list[Lane]:
    """Return a lane for each instance of a node."""
    return [Lane(name=name) for name in (*CONTAINERS, *LOCAL)]


def _look(lane: Lane, incus: IncusModel) -> None:
    instance = InstanceId(ProjectName("default"), InstanceName(lane.name))
    running = incus.world.running.get(instance)
    if running is not None and lane.up_at is None:
        lane.up_at = running.since
    state = (
        Cell.RUNNING
        if running is not None
        else Cell.GIVEN_UP
        if _given_up(incus, lane.name)
        else Cell.WAITING
    )
    missing = int(incus.clock.now / TICK) - len(lane.cells)
    lane.cells.extend([state] * missing)


def _given_up(incus: IncusModel, name: str) -> bool:
    return incus.phase is not Phase.GONE and any(
        warning.type == AUTOSTART_FAILURE
        and warning.status is not WarningStatus.RESOLVED
        and warning.entity_url.partition("?")[0].endswith(f"/{name}")
        for warning in incus.warnings
    )


_STYLES = {Cell.WAITING: Style.DIM, Cell.GIVEN_UP: Style.BAD, Cell.RUNNING: Style.GOOD}
_NAME_WIDTH = 4


def render(race: Race, terminal: Terminal) -> list[str]:
    """Return the act as lines: for each side a lane per instance over one axis of time, with the moment of ready storage."""
    columns = int(race.act.ends_at / TICK)
    mark = int(race.act.ready_at / TICK)
    axis = " " * _NAME_WIDTH + "".join("▾" if column == mark else " " for column in range(columns))
    lines = [
        terminal.heading(race.act.title),
        terminal.paint(f"{axis}  ▾ storage ready at {race.act.ready_at:.1f} s", Style.DIM),
    ]
    for side in race.sides:
        lines.append(f"  {terminal.heading(side.title)}")
        lines.extend(_lane(lane, columns, terminal) for lane in side.lanes)
        if side.sentence:
            lines.append(
                terminal.paint(
                    f"{' ' * _NAME_WIDTH}{side.sentence[: terminal.width - 8]}", Style.ASIDE
                )
            )
    return lines


def _lane(lane: Lane, columns: int, terminal: Terminal) -> str:
    cells = lane.cells[:columns]
    runs = "".join(terminal.paint(cell.value, _STYLES[cell]) for cell in cells)
    if lane.up_at is not None:
        note = terminal.paint(f"{lane.up_at:.1f} s", Style.GOOD)
    elif lane.given_up:
        note = terminal.paint("Incus gave up", Style.BAD)
    else:
        note = terminal.paint("down", Style.DIM)
    return f"{lane.name:<{_NAME_WIDTH}}{runs}{' ' * (columns - len(cells))}  {note}"


def summary(races: Sequence[Race], terminal: Terminal) -> list[str]:
    """Return the table at the end: when the last container ran, and how long after its storage was ready."""
    lines = [
        terminal.heading(
            "Last container on LINSTOR running (seconds after boot; after its storage was ready)"
        ),
        "",
    ]
    head = f"  {'':<16}{'storage ready':>14}  {'without Tidegate':<28}{'with Tidegate':<28}"
    lines.append(terminal.paint(head, Style.DIM))
    for race in races:
        stock, ours = (_result(side, race.act) for side in race.sides)
        left = terminal.paint(f"{stock[0]:<28}", Style.GOOD if stock[1] else Style.BAD)
        right = terminal.paint(f"{ours[0]:<28}", Style.GOOD if ours[1] else Style.BAD)
        lines.append(f"  {race.act.key:<16}{race.act.ready_at:>12.1f} s  {left}{right}")
    return lines


def _result(side: Side, act: Act) -> tuple[str, bool]:
    """Return the result as text, and whether nothing was lost."""
    lanes = [lane for lane in side.lanes if lane.name in CONTAINERS]
    lost = [lane.name for lane in lanes if lane.up_at is None]
    if lost:
        return f"{', '.join(lost)} down for ever", False
    last = max(lane.up_at for lane in lanes if lane.up_at is not None)
    return f"{last:.1f} s (+{max(0.0, last - act.ready_at):.1f} s)", True


def nothing_lost(races: Sequence[Race]) -> bool:
    """Return True when with Tidegate every container runs."""
    return all(_result(race.sides[1], race.act)[1] for race in races)
