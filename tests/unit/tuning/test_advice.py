# SPDX-License-Identifier: Apache-2.0
"""The right advice first on a host with one weakness, none on a healthy one, and a source for every figure."""

from typing import Any

import msgspec
import pytest

from tidegate.tuning import advice
from tidegate.tuning.facts import Autostart, Boot, HostFacts, Java, Timing, UnitWait

DAY = 1_795_420_800.0  # 2026-11-23
JAVA = Java(program="java", version='openjdk version "17.0.15"', accepts=frozenset(advice.FLAGS))
HEALTHY = HostFacts(
    boots=tuple(
        Boot(began=DAY + n, phases={"jvm": 0.8, "connect": 1.2, "devices": 0.2, "instances": 1.0})
        for n in range(5)
    ),
    cpus=8,
    java=JAVA,
    timings={
        "lvs": Timing(command="lvs -o", seconds=(0.05, 0.04, 0.05), at=DAY),
        "lvs-filtered": Timing(command="lvs --config", seconds=(0.04, 0.04, 0.05), at=DAY),
        "zfs-list": Timing(command="zfs list", seconds=(0.02,) * 3, at=DAY, lines=12),
    },
    scanned={"drbd": 12, "zvol": 0, "loop": 3},
    waits=(UnitWait(unit="systemd-networkd-wait-online.service", seconds=1.1),),
    autostart=(Autostart(name="default/c1"),),
)


def host(**changes: Any) -> HostFacts:
    return msgspec.structs.replace(HEALTHY, **changes)


def boots(**phases: float) -> dict[str, Any]:
    found = tuple(
        msgspec.structs.replace(boot, phases={**boot.phases, **phases}) for boot in HEALTHY.boots
    )
    return {"boots": found}


def timed(name: str, seconds: float, lines: int = 12) -> dict[str, Any]:
    slow = Timing(command=name, seconds=(seconds,) * 3, at=DAY, lines=lines)
    return {"timings": {**HEALTHY.timings, name: slow}}


def test_a_healthy_host_gets_no_advice() -> None:
    assert advice.advise(HEALTHY) == ()
    assert advice.missing(HEALTHY) == ()


@pytest.mark.parametrize(
    ("weakness", "name", "gain", "source"),
    [
        (boots(jvm=9.0), "jvm-flags", 4.5, "0.5 × 9.0 s, the median of 5 recorded boots"),
        (boots(devices=12.0), "devices-first", 12.0, "12.0 s, the median of 5 recorded boots"),
        (
            {**boots(connect=9.0), "wakes": False},
            "wake-controller",
            7.0,
            "9.0 s, the median of 5 recorded boots, less 2 s",
        ),
        (timed("lvs", 2.0), "lvm-filter", 7.84, "measured 2026-11-23: 4 × (2.00 s − 0.04 s"),
        (timed("zfs-list", 30.0, 1800), "zfs-snapshots", 15.0, "one listing of 1800 datasets"),
        (
            {"waits": (UnitWait(unit="NetworkManager-wait-online.service", seconds=31.0),)},
            "network-online",
            30.0,
            "this boot: NetworkManager-wait-online.service took 31.0 s",
        ),
        (
            {"autostart": (Autostart(name="default/c1", delay=20.0),)},
            "autostart-delay",
            10.0,
            "20 s of delays / 2 instances",
        ),
    ],
)
def test_each_weakness_is_found_with_its_figure(
    weakness: dict[str, Any], name: str, gain: float, source: str
) -> None:
    found = advice.advise(host(**weakness))
    assert [one.id for one in found] == [name]
    assert found[0].gain == pytest.approx(gain)
    assert source in found[0].source
    assert all((found[0].change, found[0].risk, found[0].undo, found[0].evidence))


def test_the_most_seconds_come_first() -> None:
    found = advice.advise(host(**boots(jvm=9.0, devices=12.0), **timed("lvs", 2.0)))
    assert [one.id for one in found] == ["devices-first", "lvm-filter", "jvm-flags"]


@pytest.mark.parametrize(
    "settled",
    [
        {"java_options": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"},
        {"java_options": "-XX:+UseParallelGC"},
        {"java": msgspec.structs.replace(JAVA, accepts=frozenset())},
        {"java": None},
        {"resources": 5000},
        {"applied": frozenset({"jvm-flags"})},
    ],
    ids=["set-already", "own-collector", "refused-by-the-jvm", "no-jvm", "many", "applied"],
)
def test_flags_are_not_advised_where_they_cannot_help(settled: dict[str, Any]) -> None:
    assert advice.advise(host(**boots(jvm=9.0), **settled)) == ()


def test_what_is_set_already_is_kept() -> None:
    assert advice.java_options("-Xmx4G -XX:+UseSerialGC") == (
        "-Xmx4G -XX:+UseSerialGC -XX:TieredStopAtLevel=1"
    )


def test_what_could_not_be_judged_is_said() -> None:
    said = advice.missing(HostFacts(not_timed="this host has just booted"))
    assert len(said) == 3
    assert any("just booted" in one for one in said)


def test_a_file_that_wins_over_the_unit_is_named_and_left_to_a_person() -> None:
    (found,) = advice.advise(host(**boots(jvm=9.0), java_options_file="/etc/default/ls"))
    assert found.by is advice.By.HAND
    assert "/etc/default/ls" in found.change
