# SPDX-License-Identifier: Apache-2.0
"""What systemd has in memory against what was applied."""

import msgspec

from tidegate.actuators.dropins import Record
from tidegate.agent import unitdrift
from tidegate.clients.systemd.manager import Unit
from tidegate.config.policy import GatePolicy
from tidegate.units.host import GuardAccess, Options, Strategy

GATE = "/etc/systemd/system/incus.service.d/60-tidegate-gate.conf"
RECORD = Record(strategy=Strategy.GATE, drop_ins={GATE: ""})
INCUS = Unit(
    name="incus.service",
    load_state="loaded",
    active_state="active",
    sub_state="running",
    drop_ins=(GATE,),
    after=("basic.target", "tidegate-ready.service"),
)


def told(**changes: object) -> list[str]:
    unit = msgspec.structs.replace(INCUS, **changes)
    return [one.text for one in unitdrift.of_manager(RECORD, {"incus.service": unit})]


def test_what_is_loaded_and_ordered_is_good() -> None:
    assert told() == []


def test_a_drop_in_that_systemd_never_read_is_named() -> None:
    assert told(drop_ins=()) == [f"systemd has not read {GATE}"]


def test_files_that_changed_since_they_were_read_are_named() -> None:
    assert told(need_daemon_reload=True) == [
        "the files of incus.service have changed since systemd read them"
    ]


def test_an_order_that_did_not_come_about_is_named() -> None:
    assert told(after=("basic.target",)) == [
        "in systemd's memory incus.service is not ordered after tidegate-ready.service"
    ]


def test_a_unit_that_is_masked_is_named() -> None:
    (text,) = told(load_state="masked")
    assert "as masked" in text


def test_a_guard_that_incus_is_not_ordered_after_is_named() -> None:
    variables = "/etc/systemd/system/incus.service.d/60-tidegate-guard.env"
    record = msgspec.structs.replace(
        RECORD,
        drop_ins={GATE: "", variables: ""},
        options=Options(guard=GuardAccess()),
    )
    (text,) = [one.text for one in unitdrift.of_manager(record, {"incus.service": INCUS})]
    assert "not ordered after tidegate-guard.socket" in text
    ordered = msgspec.structs.replace(INCUS, after=(*INCUS.after, "tidegate-guard.socket"))
    assert list(unitdrift.of_manager(record, {"incus.service": ordered})) == []


def test_a_limit_that_was_configured_after_the_drop_in_is_said_to_count_for_nothing() -> None:
    def told(**gate: object) -> list[str]:
        wanted = msgspec.convert(gate, GatePolicy)
        return [one.text for one in unitdrift.of_config(RECORD, wanted)]

    assert told() == []
    (limit,) = told(limit=60.0)
    assert limit == "gate.limit is 60 s in the configuration; applied, and what counts, is 300 s"
    (policy,) = told(policy="fail-closed")
    assert "gate.policy is fail-closed" in policy
