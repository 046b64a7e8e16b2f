# SPDX-License-Identifier: Apache-2.0
"""The race between boot and storage: the same simulated node twice, one with Tidegate's agent, one without, side by side.

Here is what is raced and how it looks; :mod:`tidegate.cli.demo` runs it. Incus's and LINSTOR's own waits are scaled down, the
agent's are not: it runs as it would on a host.
"""

import enum
import textwrap
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

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
    """One fault at boot: its name, what it is in a sentence, the fault, and when the race is over at the latest (seconds)."""

    key: str
    title: str
    fault: faults.Fault
    ends_at: float


ACTS: Final = (
    Act(
        key="satellite-late",
        title="the satellite's JVM is slow: LINSTOR says OFFLINE while Incus looks",
        fault=faults.Fault(kind=faults.FaultKind.NODE_OFFLINE, end=2.5),
        ends_at=9.0,
    ),
    Act(
        key="devices-late",
        title="LINSTOR says ONLINE, the DRBD devices come later",
        fault=faults.Fault(kind=faults.FaultKind.DEVICE_MISSING, end=4.0),
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
    now: Callable[[], float]
    """Brings the node to the present and returns its seconds since boot."""
    storage_ready: Callable[[], bool]
    ready_at: float | None = None
    """When all its volumes could be used at last (seconds since boot)."""
    first_pass_at: float | None = None
    """When Incus's own first pass of starting was over (seconds since boot); before that it takes no start from anybody."""
    lanes: list[Lane]
    sentence: str = ""


class Race(msgspec.Struct, kw_only=True):
    """One act with its two sides."""

    act: Act
    sides: tuple[Side, Side]

    def look(self) -> None:
        """Take down how everything is now, for each column that has passed."""
        for side in self.sides:
            now = side.now()
            if side.ready_at is None and side.storage_ready():
                side.ready_at = now
            if side.first_pass_at is None and side.incus.phase is Phase.READY:
                side.first_pass_at = now
            for lane in side.lanes:
                _look(lane, side.incus, now)

    @property
    def over(self) -> bool:
        """Nothing more will happen that is worth watching."""
        return self.sides[0].now() >= self.act.ends_at or all(
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


def _look(lane: Lane, incus: IncusModel, now: float) -> None:
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
    missing = int(now / TICK) - len(lane.cells)
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
_GAP = 2
_NOTE, _SHORT_NOTE = "▾ storage ready {:.1f} s", "▾ ready {:.1f} s"
_WIDE = 80
"""Columns of a screen from which on a lane's note is said in full."""
_NARROWEST = 40


def render(race: Race, terminal: Terminal) -> list[str]:
    """Return the act as lines: for each side a lane per instance over one axis of time, with the moment of ready storage.

    No line is longer than the screen is wide: one that wraps would be in the way of the next frame.
    """
    columns = _columns(race, terminal)
    lines = [terminal.heading(_cut(race.act.title, terminal))]
    for side in race.sides:
        lines.append(_axis(side, race.act.ends_at, columns, terminal))
        lines.extend(_lane(lane, race.act.ends_at, columns, terminal) for lane in side.lanes)
        if side.sentence:
            sentence = _cut(f"{' ' * _NAME_WIDTH}{side.sentence}", terminal)
            lines.append(terminal.paint(sentence, Style.ASIDE))
    return lines


def _columns(race: Race, terminal: Terminal) -> int:
    """Return how many columns the lanes have: one for each :data:`TICK`, or as many as the screen leaves beside the notes."""
    note = len((_NOTE if terminal.width >= _WIDE else _SHORT_NOTE).format(0.0))
    room = max(terminal.width, _NARROWEST) - _NAME_WIDTH - _GAP - note
    return min(int(race.act.ends_at / TICK), room)


def _cut(text: str, terminal: Terminal) -> str:
    return text if len(text) <= terminal.width else text[: terminal.width - 1] + "…"


def _axis(side: Side, ends_at: float, columns: int, terminal: Terminal) -> str:
    """Return the heading of a side, with the moment at which its storage was ready marked over the lanes."""
    title = f"  {side.title}"
    if side.ready_at is None:
        return terminal.heading(title)
    at = _NAME_WIDTH + int(side.ready_at / ends_at * columns)
    mark = " " * max(1, at - len(title)) + "▾"
    note = (_NOTE if terminal.width >= _WIDE else _SHORT_NOTE).format(side.ready_at)
    gap = " " * max(_GAP, _NAME_WIDTH + columns + _GAP - len(title) - len(mark))
    return terminal.heading(title) + terminal.paint(mark + gap + note, Style.ASIDE)


def _lane(lane: Lane, ends_at: float, columns: int, terminal: Terminal) -> str:
    ticks = int(ends_at / TICK)
    cells = [
        lane.cells[tick]
        for column in range(columns)
        if (tick := column * ticks // columns) < len(lane.cells)
    ]
    runs = "".join(terminal.paint(cell.value, _STYLES[cell]) for cell in cells)
    if lane.up_at is not None:
        note = terminal.paint(f"{lane.up_at:.1f} s", Style.GOOD)
    elif lane.given_up:
        note = terminal.paint("Incus gave up", Style.BAD)
    else:
        note = terminal.paint("down", Style.DIM)
    return f"{lane.name:<{_NAME_WIDTH}}{runs}{' ' * (columns - len(cells) + _GAP)}{note}"


_ACT_WIDTH, _RESULT_WIDTH = 18, 28


def summary(races: Sequence[Race], terminal: Terminal) -> list[str]:
    """Return the table at the end: when the last container ran, and how long after its storage was ready."""
    said = "Last container on LINSTOR running: after boot and after its storage was ready"
    lines = [
        terminal.heading(line) for line in textwrap.wrap(said, max(terminal.width, _NARROWEST))
    ]
    lines.append("")
    rows = [(race.act.key, _result(race.sides[0]), _result(race.sides[1])) for race in races]
    if terminal.width < 2 + _ACT_WIDTH + 2 * _RESULT_WIDTH:
        return lines + _summary_by_act(rows, terminal) + _first_passes(races, terminal)
    head = f"  {'':<{_ACT_WIDTH}}{'without Tidegate':<{_RESULT_WIDTH}}with Tidegate"
    lines.append(terminal.paint(head, Style.DIM))
    for key, (stock, stock_is_good), (ours, ours_is_good) in rows:
        cells = (
            terminal.paint(f"{stock:<{_RESULT_WIDTH}}", _verdict(good=stock_is_good)),
            terminal.paint(ours, _verdict(good=ours_is_good)),
        )
        lines.append(f"  {key:<{_ACT_WIDTH}}{''.join(cells)}")
    return lines + _first_passes(races, terminal)


_Row: TypeAlias = tuple[str, tuple[str, bool], tuple[str, bool]]


def _summary_by_act(rows: Sequence[_Row], terminal: Terminal) -> list[str]:
    """Return the table for a narrow screen: two lines for each act."""
    lines = []
    for key, stock, ours in rows:
        lines.append(f"  {key}")
        for side, (text, good) in (("without", stock), ("with", ours)):
            lines.append(f"    {side:<9}{terminal.paint(text, _verdict(good=good))}")
    return lines


def _first_passes(races: Sequence[Race], terminal: Terminal) -> list[str]:
    """Say where Incus itself was later than the storage: nobody can start anything before its own first pass is over."""
    late = [
        f"at {side.first_pass_at:.1f} s in {race.act.key}"
        for race in races
        for side in race.sides[1:]
        if side.first_pass_at is not None and (side.ready_at or 0.0) < side.first_pass_at
    ]
    if not late:
        return []
    said = f"Incus lets nobody start anything before its own first pass is over: {', '.join(late)}."
    wrapped = terminal.wrap(said, indent=2).splitlines()
    return ["", *(terminal.paint(line, Style.DIM) for line in wrapped)]


def _verdict(*, good: bool) -> Style:
    return Style.GOOD if good else Style.BAD


def _result(side: Side) -> tuple[str, bool]:
    """Return the result as text, and whether nothing was lost."""
    lanes = [lane for lane in side.lanes if lane.name in CONTAINERS]
    lost = [lane.name for lane in lanes if lane.up_at is None]
    if lost:
        return f"{', '.join(lost)} down for ever", False
    last = max(lane.up_at for lane in lanes if lane.up_at is not None)
    late = f" ({max(0.0, last - side.ready_at):.1f} s after)" if side.ready_at is not None else ""
    return f"{last:.1f} s{late}", True


def nothing_lost(races: Sequence[Race]) -> bool:
    """Return True when with Tidegate every container runs."""
    return all(_result(race.sides[1])[1] for race in races)
