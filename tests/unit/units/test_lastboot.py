# SPDX-License-Identifier: Apache-2.0
"""Starts of units read from recorded journals of real machines, and from lines that no machine should write."""

import json

import pytest
from tests.unit_boots import INCUS, SATELLITE, recorded

from tidegate.units import lastboot
from tidegate.units.lastboot import UnitTimes


def entry(at: float, **fields: object) -> str:
    said = {"_PID": "1", "_BOOT_ID": "b", "MESSAGE": "", **fields}
    return json.dumps({"__MONOTONIC_TIMESTAMP": str(int(at * 1e6)), **said})


def job(at: float, unit: str, result: str = "", **fields: object) -> str:
    done = {"JOB_RESULT": result} if result else {}
    return entry(at, UNIT=unit, JOB_TYPE="start", **done, **fields)


def test_a_power_loss_with_the_satellite_as_shipped() -> None:
    times = recorded("real-boots/r-crash.boot.json.gz")
    assert times.units[INCUS] == UnitTimes(begun=3.638601, up=8.583081)
    satellite = times.units[SATELLITE]
    assert satellite.is_up_at_fork
    assert satellite.up == 3.651272
    assert satellite.ready == 39.312349
    assert times.units["network-online.target"].up == 3.628481
    assert times.dropped == ()
    assert times.boot == "7c6069d82adf4969867434179cf568bc"


def test_a_satellite_that_says_itself_when_it_is_ready() -> None:
    satellite = recorded("real-boots/r-notify-order.boot.json.gz").units[SATELLITE]
    assert not satellite.is_up_at_fork
    assert (satellite.begun, satellite.up) == (4.518383, 38.190504)


def test_a_satellite_that_systemd_killed_while_it_waited() -> None:
    satellite = recorded("real-boots/r-notify-ctrl-down.boot.json.gz").units[SATELLITE]
    assert satellite.up is None
    assert satellite.failed == pytest.approx(94.739807)
    assert satellite.result == "timeout"


def test_a_machine_with_drbd() -> None:
    times = recorded("boots/fullstack/s2-power-loss.json.gz")
    assert times.units[INCUS].begun == 185.838953
    assert (times.units[SATELLITE].ready or 0.0) > 400


def test_the_first_start_counts_not_a_later_one() -> None:
    lines = [job(1, "a.service"), job(2, "a.service", "done"), job(50, "a.service", "done")]
    assert lastboot.of_journal(lines).units["a.service"] == UnitTimes(begun=1, up=2)


def test_a_job_that_was_deleted_to_break_a_cycle_through_the_kernels_buffer_as_well() -> None:
    text = "boot.target: Job incus.service/start deleted to break ordering cycle starting with boot.target/start"
    of_kernel = entry(1, MESSAGE=text, _PID="0", _TRANSPORT="kernel", SYSLOG_IDENTIFIER="systemd")
    of_user = entry(1, MESSAGE=text, _PID="700", SYSLOG_IDENTIFIER="systemd")
    assert lastboot.of_journal([of_kernel]).dropped == (INCUS,)
    assert lastboot.of_journal([entry(1, MESSAGE=text)]).dropped == (INCUS,)
    assert lastboot.of_journal([of_user]).dropped == ()


def test_what_a_condition_skipped_is_not_up() -> None:
    text = "a.service was skipped because of an unmet condition check (ConditionPathExists=/x)."
    (one,) = lastboot.of_journal([job(1, "a.service", "done", MESSAGE=text)]).units.values()
    assert one.skipped
    assert one.up is None


def test_a_dependency_that_failed() -> None:
    (one,) = lastboot.of_journal([job(3, "a.service", "dependency")]).units.values()
    assert (one.failed, one.result) == (3, "dependency")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"__MONOTONIC_TIMESTAMP":"x"}',
        '{"__MONOTONIC_TIMESTAMP":{}}',
        job(1, "a.service").replace('"a.service"', "[1, 2]"),
        entry(1, MESSAGE=None),
        entry(1, MESSAGE=[1, 2, 3]),
    ],
)
def test_lines_that_are_none_are_passed_over(line: str) -> None:
    assert lastboot.of_journal([line, job(2, "b.service", "done")]).units.keys() == {"b.service"}


def test_of_a_unit_that_dies_later_and_started_before_journald_nothing_is_known() -> None:
    died = entry(500, UNIT="a.service", UNIT_RESULT="signal")
    assert lastboot.of_journal([died]).units == {}


def test_another_boots_lines_do_not_count() -> None:
    lines = [job(2, "a.service", "done"), job(1, "b.service", "done", _BOOT_ID="c")]
    assert lastboot.of_journal(lines).units.keys() == {"a.service"}


def test_of_the_running_boot_the_manager_knows_best_but_for_units_that_started_again() -> None:
    journal = lastboot.of_journal(
        [job(1, "a.service", "done"), job(2, "b.service", "done"), job(3, "c.service", "done")]
    )
    merged = lastboot.merged(
        {"a.service": UnitTimes(begun=0.9, up=0.95), "b.service": None, "c.service": UnitTimes()},
        journal,
    )
    assert merged.units["a.service"].begun == 0.9
    assert merged.units["b.service"].begun == 2
    assert merged.units["c.service"].begun == 3
