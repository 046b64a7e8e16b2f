# SPDX-License-Identifier: Apache-2.0
"""How the race looks: on a screen of any width no line wraps, because a wrapped one would be in the way of the next frame."""

import re

import pytest

from tidegate.report.terminal import Terminal
from tidegate.sim import faults, race
from tidegate.sim.clock import VirtualClock
from tidegate.sim.incus.model import IncusModel
from tidegate.sim.incus.values import ServerSpec
from tidegate.sim.race import Act, Cell, Lane, Race, Side

ACT = Act(
    key="devices-late",
    title="LINSTOR says ONLINE, the DRBD devices come later",
    fault=faults.Fault(kind=faults.FaultKind.DEVICE_MISSING, end=4.0),
    ends_at=11.0,
)
WIDTHS = (40, 50, 66, 79, 80, 81, 112, 200)


def _lane(name: str, *, up_at: float | None, given_up: bool = False) -> Lane:
    until = int((up_at if up_at is not None else 11.0) / race.TICK)
    before = Cell.GIVEN_UP if given_up else Cell.WAITING
    cells = [before] * until + [Cell.RUNNING] * (int(11.0 / race.TICK) - until)
    return Lane(name=name, cells=cells, up_at=up_at)


def _side(title: str, lanes: list[Lane], *, first_pass_at: float = 4.9) -> Side:
    return Side(
        title=title,
        incus=IncusModel(VirtualClock(), ServerSpec(epoch=0.0), {}),
        now=lambda: 11.0,
        storage_ready=lambda: True,
        ready_at=4.2,
        first_pass_at=first_pass_at,
        lanes=lanes,
        sentence="nothing to do: all 4 wanted instances run, and this sentence is far longer than any lane beside it can be",
    )


def _race(first_pass_at: float = 4.9) -> Race:
    lost = [_lane(name, up_at=None, given_up=True) for name in race.CONTAINERS]
    up = [_lane(name, up_at=5.2) for name in race.CONTAINERS]
    sides = (
        _side("without Tidegate", [*lost, _lane("d1", up_at=4.9)]),
        _side("with Tidegate", [*up, _lane("d1", up_at=4.9)], first_pass_at=first_pass_at),
    )
    return Race(act=ACT, sides=sides)


def _plain(lines: list[str]) -> list[str]:
    return [re.sub(r"\x1b\[\d+m", "", line) for line in lines]


@pytest.mark.parametrize("width", WIDTHS)
def test_no_line_is_longer_than_the_screen_is_wide(width: int) -> None:
    terminal = Terminal(width=width, color=True)
    lines = _plain([*race.render(_race(), terminal), *race.summary([_race()], terminal)])
    assert max(len(line) for line in lines) <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_the_whole_race_is_seen_at_any_width(width: int) -> None:
    """A lane on a narrow screen is coarser, not cut off."""
    lines = _plain(race.render(_race(), Terminal(width=width)))
    lanes = [line for line in lines if line.startswith("c1")]
    lost, ours = lanes
    assert set(lost.partition("Incus")[0].split()[1]) == {"×"}
    assert re.search(r"·+━+\s+5\.2 s$", ours)
    run = ours.split()[1]
    assert run.index("━") / len(run) == pytest.approx(5.2 / 11.0, abs=0.06)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_summary_says_who_was_lost_and_who_was_not(width: int) -> None:
    text = "\n".join(_plain(race.summary([_race()], Terminal(width=width))))
    assert "c1, c2, c3 down for ever" in text
    assert "5.2 s (1.0 s after)" in text
    assert not race.nothing_lost([Race(act=ACT, sides=_race().sides[::-1])])
    assert race.nothing_lost([_race()])


def test_what_incus_itself_holds_up_is_said() -> None:
    terminal = Terminal(width=100)
    assert "first pass is over: at 4.9 s in devices-late" in race.summary([_race()], terminal)[-1]
    assert "first pass" not in "".join(race.summary([_race(first_pass_at=1.0)], terminal))
