"""Faults and scenarios as data."""

import msgspec
import pytest
from tests import linstor_worlds as worlds

from tidegate.sim import faults


def test_a_fault_is_there_from_its_start_up_to_not_including_its_end() -> None:
    fault = faults.Fault(kind=faults.FaultKind.NODE_OFFLINE, start=5, end=10)
    assert [fault.active(t) for t in (4.9, 5, 9.9, 10)] == [False, True, True, False]
    assert faults.Fault(kind=faults.FaultKind.NODE_OFFLINE).active(1e9)


def test_a_subject_means_one_or_all() -> None:
    fault = faults.Fault(kind=faults.FaultKind.DEVICE_MISSING, subject="r1")
    assert [fault.hits(name) for name in ("r1", "r2")] == [True, False]
    assert faults.Fault(kind=faults.FaultKind.DEVICE_MISSING).hits("r2")


def test_a_scenario_survives_as_json() -> None:
    scenario = faults.Scenario(
        name="s4",
        layout=worlds.layout(),
        faults=(faults.Fault(kind=faults.FaultKind.DEVICE_MISSING, end=40),),
        seed=3,
    )
    raw = msgspec.json.encode(scenario)
    assert msgspec.json.decode(raw, type=faults.Scenario) == scenario


def test_an_unknown_kind_or_field_is_refused() -> None:
    for raw in (b'{"kind": "nothing"}', b'{"kind": "node-offline", "ende": 5}'):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(raw, type=faults.Fault)
