"""Impossible states and scenarios are refused with a sentence; ordinary runs are not."""

import itertools

import msgspec
import pytest
from tests import linstor_worlds as worlds
from tests.linstor_worlds import Fault, FaultKind

from tidegate.sim import consistency, drbd, faults
from tidegate.sim.linstor.node import Status


def test_online_without_contact_to_a_controller_is_impossible() -> None:
    one = worlds.build(booted=False)
    one.lives["n1"].status = Status.ONLINE
    with pytest.raises(
        consistency.ImpossibleError, match="n1 is ONLINE, yet its satellite has not"
    ):
        consistency.check(one)


def test_state_on_an_offline_node_is_impossible() -> None:
    one = worlds.build(booted=False)
    one.lives["n1"].reported.add("r0")
    with pytest.raises(
        consistency.ImpossibleError, match="n1 is OFFLINE, yet the controller has state"
    ):
        consistency.check(one)


def test_a_device_while_drbd_is_down_is_impossible() -> None:
    one = worlds.build()
    del one.drbd["n1"].resources["r0"]
    with pytest.raises(consistency.ImpossibleError, match="/dev/drbd1000 exists on n1, yet DRBD"):
        consistency.check(one)


def test_up_to_date_without_a_backing_disk_is_impossible() -> None:
    one = worlds.build()
    one.drbd["n1"].resources["r0"].volumes[0].backing = ""
    with pytest.raises(consistency.ImpossibleError, match="UpToDate, yet it has no backing device"):
        consistency.check(one)


def test_a_one_sided_connection_is_impossible() -> None:
    one = worlds.build()
    one.drbd["n2"].resources["r0"].connections["n1"].link = drbd.Link.CONNECTING
    with pytest.raises(consistency.ImpossibleError, match="yet not the other way round"):
        consistency.check(one)


def test_devices_without_power_are_impossible() -> None:
    one = worlds.build()
    one.lives["n1"].powered = False
    with pytest.raises(consistency.ImpossibleError, match="n1 has no power, yet"):
        consistency.check(one)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (Fault(kind=FaultKind.NODE_OFFLINE, subject="n7"), "no such node"),
        (Fault(kind=FaultKind.DEVICE_MISSING, subject="n1"), "no such resource"),
        (Fault(kind=FaultKind.POOL_MISSING, subject="r0"), "no such storage pool"),
        (Fault(kind=FaultKind.NODE_OFFLINE, start=9, end=9), "not after its start"),
        (Fault(kind=FaultKind.DEVICE_MISSING, state_reported=True), "while DRBD is down"),
        (Fault(kind=FaultKind.DEVICE_CANNOT_OPEN, errno=2), "use device-missing"),
        (Fault(kind=FaultKind.DEVICE_CANNOT_OPEN), "needs the errno"),
        (Fault(kind=FaultKind.NODE_STATUS, status="ONLINE"), "cannot be 'ONLINE'"),
        (Fault(kind=FaultKind.PEER_AWAY, subject="n1"), "not the local one"),
        (Fault(kind=FaultKind.CONTENT_EMPTY, start=5), "between boots"),
        (Fault(kind=FaultKind.CONTROLLER_HANGS, subject="r0"), "there is one controller"),
    ],
)
def test_an_impossible_fault_is_refused_with_a_sentence(fault: Fault, sentence: str) -> None:
    scenario = faults.Scenario(name="bad", layout=worlds.layout(), faults=(fault,))
    with pytest.raises(consistency.ImpossibleError, match=sentence) as refused:
        consistency.check_scenario(scenario)
    assert "scenario 'bad' is impossible: " in str(refused.value)


def test_an_impossible_layout_is_refused() -> None:
    made = worlds.layout()
    twice = [msgspec.structs.replace(r, minor=1000) for r in made.resources]
    scenario = faults.Scenario(
        name="bad", layout=msgspec.structs.replace(made, local="n9", resources=tuple(twice))
    )
    found = " ".join(consistency.scenario_problems(scenario))
    assert "local node 'n9' is not among" in found
    assert "Two volumes have the minor number 1000." in found


def test_split_brain_needs_a_peer() -> None:
    scenario = faults.Scenario(
        name="bad",
        layout=worlds.layout(plain=True),
        faults=(Fault(kind=FaultKind.SPLIT_BRAIN),),
    )
    assert list(consistency.scenario_problems(scenario)) == [
        "split-brain needs a resource that has a peer."
    ]


def _possible(kind: FaultKind, start: float) -> Fault | None:
    subject = "n2" if kind is FaultKind.PEER_AWAY else faults.EVERY
    fault = Fault(kind=kind, start=start, end=start + 20, subject=subject, errno=61)
    scenario = faults.Scenario(name="x", layout=worlds.layout(), faults=(fault,))
    return None if list(consistency.scenario_problems(scenario)) else fault


PAIRS = list(itertools.combinations(FaultKind, 2))


@pytest.mark.parametrize("seed", range(4))
def test_every_pair_of_faults_leads_through_possible_states_only(seed: int) -> None:
    """``worlds.advance`` checks after each step; afterwards everything is usable again, unless a reconnect is needed."""
    for number, (one_kind, other_kind) in enumerate(PAIRS):
        if number % 4 != seed:
            continue
        found = [_possible(one_kind, 0.0), _possible(other_kind, 10.0)]
        faulty = [f for f in found if f is not None]
        one = worlds.build(*faulty, timings=faults.TYPICAL, seed=number)
        worlds.advance(one, 200)
        if FaultKind.NODE_STATUS in (one_kind, other_kind):
            continue
        assert worlds.status(one) == "ONLINE", (one_kind, other_kind, number)
        assert [one.open(f"/dev/drbd100{i}") for i in range(3)] == [0, 0, 0], (one_kind, other_kind)
        assert worlds.path_of(one, "r2") == "/dev/drbd1002"
