# SPDX-License-Identifier: Apache-2.0
"""Devices first in whole boots after a power loss: never later, and nothing used before its peer has been heard."""

from typing import Any

import msgspec
import pytest

from tidegate.sim import schedule as schedules
from tidegate.sim.chance import by_chance
from tidegate.sim.faults import INSTANT, TYPICAL, Fault, FaultKind
from tidegate.sim.run import simulate
from tidegate.sim.watch import Result


def boot(*, devices_first: bool, seed: int = 0, nodes: int = 2, **changes: Any) -> Result:
    """A boot after a power loss in which every volume was Primary here, of two nodes or of three with a quorum."""
    plain = schedules.observed("s0", nodes=nodes, seed=seed)
    crashed = tuple(msgspec.structs.replace(each, crashed=True) for each in plain.layout.resources)
    layout = msgspec.structs.replace(plain.layout, resources=crashed)
    return simulate(
        msgspec.structs.replace(
            plain, layout=layout, timings=TYPICAL, devices_first=devices_first, **changes
        )
    )


def ups(result: Result) -> list[float]:
    """When the three on LINSTOR came up; none of them may have been lost."""
    found = [result.up[f"default/{name}"] for name in ("c1", "c2", "c3")]
    assert None not in found
    return [at for at in found if at is not None]


@pytest.mark.parametrize("seed", range(5))
def test_instances_run_earlier_and_their_crashed_volumes_have_been_resynced(seed: int) -> None:
    stock, early = (boot(devices_first=first, seed=seed) for first in (False, True))
    assert (stock.violations, early.violations) == ((), ())
    assert max(ups(early)) < max(ups(stock)) - 1.0


def test_a_torn_file_is_left_to_linstor_and_nothing_is_lost() -> None:
    names = tuple(f"{schedules.PREFIX}{name}" for name in ("c1", "c2", "c3"))
    torn = boot(devices_first=True, torn=names)
    assert torn.violations == ()
    assert torn.up == boot(devices_first=False).up


def test_an_absent_peer_that_may_have_newer_data_is_waited_for() -> None:
    """The split-brain rule holds for devices that came up early as for all others."""
    result = boot(devices_first=True, faults=(away(alive=True),))
    assert result.violations == ()
    assert min(ups(result)) > 60.0


def away(*, alive: bool) -> Fault:
    """The peer is not there for a minute: switched off, or cut off and perhaps with newer data."""
    return Fault(kind=FaultKind.PEER_AWAY, subject="n2", end=60.0, alive=alive)


NAMES = tuple(f"{schedules.PREFIX}{name}" for name in ("c1", "c2", "c3"))
CASES: dict[str, dict[str, Any]] = {
    "crashed": {},
    "peer-off": {"faults": (away(alive=False),)},
    "peer-cut-off": {"faults": (away(alive=True),)},
    "torn": {"torn": NAMES[:2]},
    "deleted": {"gone": ("old1", "old2")},
    "killed": {"devices_killed": 0.65},
    "module-late": {"faults": (Fault(kind=FaultKind.MODULE_LATE, subject="n1", end=5.0),)},
    "disk-late": {"faults": (Fault(kind=FaultKind.POOL_MISSING, subject="thin", end=4.0),)},
    "controller-late": {"faults": (Fault(kind=FaultKind.CONTROLLER_REFUSES, end=40.0),)},
    "controller-restarted": {
        "faults": (Fault(kind=FaultKind.CONTROLLER_REFUSES, end=30.0, restarts=True),)
    },
    "satellite-late": {"faults": (Fault(kind=FaultKind.SATELLITE_LATE, subject="n1", end=40.0),)},
    "all-at-once": {
        "faults": (away(alive=True), Fault(kind=FaultKind.CONTROLLER_REFUSES, end=30.0)),
        "torn": NAMES[1:2],
        "gone": ("old1",),
        "devices_killed": 0.9,
    },
}


@pytest.mark.parametrize("nodes", [2, 3])
@pytest.mark.parametrize("case", CASES)
def test_with_it_nothing_is_lost_and_nothing_is_later(case: str, nodes: int) -> None:
    """contract.md safety 1 and 11: with and without it, the same boots; what breaks a rule is in ``violations``."""
    waits = away(alive=True) in CASES[case].get("faults", ())
    slack = (
        2.0 if waits else 0.5
    )  # from the peer's return on both resync, each for a time of its own
    for seed in range(3):
        stock, early = (
            boot(devices_first=first, seed=seed, nodes=nodes, **CASES[case])
            for first in (False, True)
        )
        assert (stock.violations, early.violations) == ((), ())
        for own, theirs in zip(ups(early), ups(stock), strict=True):
            assert own <= theirs + slack


ALONE = (
    Fault(kind=FaultKind.CONTROLLER_REFUSES),
    Fault(kind=FaultKind.SATELLITE_LATE, subject="n1"),
)
"""Neither controller nor satellite comes in this boot."""


@pytest.mark.parametrize("nodes", [2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_on_local_truth_all_runs_though_nothing_of_linstor_ever_comes(
    nodes: int, seed: int
) -> None:
    """Devices before Incus asks: Incus itself starts all. Without local truth none of the three runs."""
    result = boot(devices_first=True, local_truth=True, nodes=nodes, seed=seed, faults=ALONE)
    assert result.violations == ()
    assert max(ups(result)) < 10.0
    without = boot(devices_first=True, nodes=nodes, seed=seed, faults=ALONE)
    assert [without.up[f"default/{name}"] for name in ("c1", "c2", "c3")] == [None] * 3


@pytest.mark.parametrize("nodes", [2, 3])
@pytest.mark.parametrize("end", [6.0, 14.0, 40.0])
def test_devices_after_incus_asked_are_mounted_on_local_truth_before_incuss_own_minute(
    end: float, nodes: int
) -> None:
    late = Fault(kind=FaultKind.POOL_MISSING, subject="thin", end=end)
    result = boot(devices_first=True, local_truth=True, nodes=nodes, faults=(*ALONE, late))
    assert result.violations == ()
    assert end < min(ups(result))
    assert max(ups(result)) < end + 5.0
    assert any("ValidatePool" in text for _, text in result.timeline)


def test_on_local_truth_a_peer_that_lives_and_is_not_connected_is_waited_for() -> None:
    result = boot(devices_first=True, local_truth=True, faults=(*ALONE, away(alive=True)))
    assert result.violations == ()
    assert min(ups(result)) > 60.0


def test_a_pool_with_volumes_that_incus_does_not_know_is_not_mounted_on_local_truth() -> None:
    """contract.md safety 2: it is left to Incus's own minute."""
    late = Fault(kind=FaultKind.POOL_MISSING, subject="thin", end=6.0)
    result = boot(devices_first=True, local_truth=True, faults=(*ALONE, late), stray=("lost",))
    assert result.violations == ()
    assert min(ups(result)) > 30.0


@pytest.mark.parametrize("nodes", [2, 3])
@pytest.mark.parametrize("case", CASES)
def test_with_local_truth_nothing_is_lost_and_nothing_is_later(case: str, nodes: int) -> None:
    for seed in range(2):
        without, local = (
            boot(devices_first=True, local_truth=chosen, seed=seed, nodes=nodes, **CASES[case])
            for chosen in (False, True)
        )
        assert (without.violations, local.violations) == ((), ())
        for own, theirs in zip(ups(local), ups(without), strict=True):
            assert own <= theirs + 0.5


def test_random_boots_are_not_worse_for_it() -> None:
    """Every third random boot has it (tests/sim/test_many.py); without it, the same boot loses no less and is no earlier."""
    chosen = [found for found in map(by_chance, range(60)) if found.devices_first]
    assert len(chosen) > 10
    for found in chosen:
        # Without chance in how long things take: else one of the two may miss a round of the controller that the other meets.
        schedule = msgspec.structs.replace(found, timings=INSTANT)
        early = simulate(schedule)
        without = simulate(msgspec.structs.replace(schedule, devices_first=False))
        assert early.violations == ()
        for who, at in without.up.items():
            own = early.up.get(who)
            assert at is None or (own is not None and own <= at + 0.5), (schedule.name, who)
