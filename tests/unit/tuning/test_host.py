# SPDX-License-Identifier: Apache-2.0
"""The right advice first on a host with one weakness, none on a healthy one, and a source for every figure."""

from typing import Any

import msgspec
import pytest

from tidegate.core.ids import AGENT_UNIT
from tidegate.tuning import figure, host, incus, jvm
from tidegate.tuning.advice import By, When
from tidegate.tuning.facts import (
    Archive,
    Boot,
    Database,
    HostFacts,
    Java,
    Limits,
    Medium,
    Service,
    Shutdown,
    Timing,
    UnitTime,
    Volume,
    Writes,
)
from tidegate.tuning.incus import Autostart

DAY = 1_795_420_800.0  # 2026-11-23
GIB = 1 << 30
JAVA = Java(program="java", version='openjdk version "17.0.15"', accepts=frozenset(jvm.TRIED))
SATELLITE = Service(
    unit="linstor-satellite.service", command="/s --logs", heap=2 * GIB, peak=200 << 20
)
PHASES = {
    "before": 3.0,
    "jvm": 0.8,
    "listening": 3.8,
    "connect": 1.2,
    "devices": 0.2,
    "volumes": 5.2,
    "instances": 3.0,
    "ready": 8.2,
}
HEALTHY = HostFacts(
    at=DAY,
    boots=tuple(Boot(began=DAY + n, phases=PHASES) for n in range(5)),
    cpus=8,
    memory=32 * GIB,
    java=JAVA,
    satellite=SATELLITE,
    archive=Archive(folder="/var/lib/tidegate/archive"),
    resources=10,
    orphans=(),
    timings={"lvs": Timing(command="lvs", seconds=(0.05, 0.04, 0.05), at=DAY)},
    module_listed=True,
    limits=Limits(inotify_instances=128, inotify_used=20),
    autostart=(Autostart(name="default/c1"), Autostart(name="default/c2")),
    agent=True,
)
SLOW, QUICK = (
    Medium(name="sda", rotational=True),
    Medium(name="nvme0n1", rotational=False, nvme=True),
)
MEDIA = {"sda": SLOW, "nvme0n1": QUICK}
VOLUMES = tuple(
    Volume(
        name=f"r{n}/0",
        internal=True,
        data=("sda",),
        meta=("sda",),
        al_extents=1237,
        size=50 * GIB,
        al_writes=90,
    )
    for n in range(10)
)


def facts(**changes: Any) -> HostFacts:
    return msgspec.structs.replace(HEALTHY, **changes)


def boots(**phases: float) -> dict[str, Any]:
    found = tuple(
        msgspec.structs.replace(boot, phases={**boot.phases, **phases}) for boot in HEALTHY.boots
    )
    return {"boots": found}


def satellite(**changes: Any) -> dict[str, Any]:
    return {"satellite": msgspec.structs.replace(SATELLITE, **changes)}


def writes(directory: str, medium: str, seconds: float) -> Writes:
    timing = Timing(command="write", seconds=(seconds,) * 200, at=DAY)
    return Writes(directory=directory, media=(medium,), timing=timing)


METADATA = {
    "volumes": VOLUMES,
    "media": MEDIA,
    "writes": (writes("/srv", "sda", 0.012), writes("/fast", "nvme0n1", 0.002)),
}


def test_a_healthy_host_gets_no_advice() -> None:
    assert host.advise(HEALTHY) == ()
    assert host.missing(HEALTHY) == ()


@pytest.mark.parametrize(
    ("weakness", "name", "gain", "source"),
    [
        (boots(jvm=9.0), "jvm-flags", 4.5, "0.5 × 9.0 s, the median of 5 recorded boots"),
        (
            boots(devices=12.0),
            "devices-first",
            9.0,
            "0.75 × 12.0 s, the median of 5 recorded boots",
        ),
        (
            {**boots(connect=9.0), "wakes": False},
            "wake-controller",
            7.0,
            "9.0 s, the median of 5 recorded boots, less 2 s",
        ),
        (
            {"orphans": ("gone", "lost"), "devices_first": True, **boots(devices=8.0)},
            "orphans",
            1.6,
            "2 × 8.0 s / 10 resources, the median of 5 recorded boots",
        ),
        (
            METADATA,
            "metadata-medium",
            3.0,
            "900 updates of activity logs × (12.0 ms − 2.0 ms), at most the 3.0 s",
        ),
        (
            {
                "database": Database(
                    path="/var/lib/linstor/linstordb", size=300_000_000, media=("sda",)
                ),
                "media": MEDIA,
            },
            "controller-database",
            3.0,
            "286 MiB / 95 MiB per second",
        ),
        (
            {"autostart": tuple(Autostart(name=f"default/c{n}", delay=20.0) for n in range(3))},
            "autostart-delay",
            40.0,
            "the sum of all delays but the last instance's, 40 s",
        ),
        (
            {
                "cpus": 32,
                "autostart": tuple(Autostart(name=f"default/c{n}", priority=n) for n in range(6)),
            },
            "autostart-priority",
            2.5,
            "3.0 s of starts, from the median of 5 recorded boots, × (6 − 1) / 6",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_each_weakness_is_found_with_its_figure(
    weakness: dict[str, Any], name: str, gain: float, source: str
) -> None:
    found = host.advise(facts(**weakness))
    assert [one.id for one in found] == [name]
    assert found[0].gain == pytest.approx(gain)
    assert source in found[0].source
    assert all((found[0].change, found[0].risk, found[0].undo, found[0].evidence))


@pytest.mark.parametrize(
    ("weakness", "name", "when"),
    [
        (satellite(peak=1900 << 20), "jvm-heap", When.TROUBLE),
        (satellite(files_used=4000, files_limit=4096), "file-limit", When.TROUBLE),
        (
            {"limits": Limits(inotify_instances=128, inotify_used=120)},
            "inotify-limit",
            When.TROUBLE,
        ),
        ({"agent": False}, "satellite-restart", When.TROUBLE),
        ({"module_listed": False}, "module-at-boot", When.TROUBLE),
        (
            {
                "shutdown": Shutdown(took=120.0, forced=("incus.service",)),
                "volumes": VOLUMES,
                "resync_rate": 100e6,
            },
            "slow-shutdown",
            When.CRASH,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_costs_only_when_it_goes_wrong_says_so(
    weakness: dict[str, Any], name: str, when: When
) -> None:
    found = host.advise(facts(**weakness))
    assert [one.id for one in found] == [name]
    assert found[0].when is when


def test_the_most_seconds_of_every_boot_come_first() -> None:
    weak = {**boots(jvm=9.0, devices=12.0), "limits": Limits(inotify_instances=5, inotify_used=5)}
    assert [one.id for one in host.advise(facts(**weak))] == [
        "devices-first",
        "jvm-flags",
        "inotify-limit",
    ]


def test_nothing_can_come_before_a_module_that_the_satellite_loads() -> None:
    weak = {**boots(devices=60.0), "module_listed": False}
    assert [one.id for one in host.advise(facts(**weak))] == ["module-at-boot"]


@pytest.mark.parametrize(
    "settled",
    [
        satellite(options="-XX:+UseSerialGC -XX:TieredStopAtLevel=1"),
        satellite(options="-XX:+UseParallelGC"),
        {"java": msgspec.structs.replace(JAVA, accepts=frozenset())},
        {"java": None},
        {"resources": 5000},
        {"applied": frozenset({"jvm-flags"})},
        {"satellite": None},
    ],
    ids=[
        "set-already",
        "own-collector",
        "refused-by-the-jvm",
        "no-jvm",
        "many",
        "applied",
        "no-satellite",
    ],
)
def test_flags_are_not_advised_where_they_cannot_help(settled: dict[str, Any]) -> None:
    assert "jvm-flags" not in [one.id for one in host.advise(facts(**boots(jvm=4.0), **settled))]


def test_an_archive_is_advised_only_where_it_is_worth_a_start_command_of_ours() -> None:
    flags = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"
    (found,) = host.advise(facts(**boots(jvm=9.0), **satellite(options=flags)))
    assert (found.id, round(found.gain, 3), found.by) == ("class-archive", 1.8, By.US)
    assert found.edit is not None
    assert found.edit.sections["Service"][0] == "ExecStart="
    less = facts(**boots(jvm=7.0), **satellite(options=flags))
    assert host.advise(less) == ()
    (row,) = [row for row in host.looked(less) if "archive" in row.what]
    assert row.why == "not worth replacing the satellite's start command"
    other = facts(
        **boots(jvm=9.0), **satellite(options=flags), archive=Archive(obstacle="no script")
    )
    assert host.advise(other) == ()
    assert any("cannot be made here: no script" in row.why for row in host.looked(other))


def test_the_heap_of_a_satellite_that_needs_more_than_is_left_is_not_cut() -> None:
    small = {"memory": 3 * GIB, **satellite(peak=1 * GIB)}
    assert host.advise(facts(**small)) == ()


def test_the_wait_for_a_network_is_ours_to_change_only_where_links_and_command_are_known() -> None:
    unit = "systemd-networkd-wait-online.service"
    times = {
        unit: UnitTime(unit=unit, began=1.0, active=31.0),
        SATELLITE.unit: UnitTime(unit=SATELLITE.unit, began=31.1, active=31.1),
    }
    weak = {"times": times, **satellite(online=True)}
    (found,) = host.advise(facts(**weak))
    assert (found.id, round(found.gain, 3), found.by) == ("network-online", 29.0, By.HAND)
    early = {**times, unit: UnitTime(unit=unit, began=1.0, active=12.0)}
    assert host.advise(facts(**{**weak, "times": early})) == (), "something else held the satellite"


def test_of_two_waits_beside_each_other_neither_alone_gains_it_all() -> None:
    def found(settle_began: float, settle_active: float) -> dict[str, str]:
        times = {
            "systemd-udev-settle.service": UnitTime(
                unit="systemd-udev-settle.service", began=settle_began, active=settle_active
            ),
            "zfs-import-scan.service": UnitTime(
                unit="zfs-import-scan.service", began=3.0, active=10.0
            ),
            SATELLITE.unit: UnitTime(unit=SATELLITE.unit, began=10.1, active=10.1),
        }
        advised = host.advise(facts(times=times, import_scans=True))
        return {one.id: " ".join(seen.text for seen in one.evidence) for one in advised}

    both = found(1.0, 9.5)
    assert both.keys() == {"udev-settle", "zfs-import-cache"}
    assert all("neither is waited for" in text for text in both.values())
    one_after_the_other = found(0.5, 3.0)
    assert one_after_the_other.keys() == {"zfs-import-cache"}
    assert "neither" not in one_after_the_other["zfs-import-cache"]


def test_a_controller_that_is_ready_before_the_satellite_is_not_blamed() -> None:
    name = "linstor-controller.service"
    early = facts(
        controller=Service(unit=name), times={name: UnitTime(unit=name, began=0.5, active=3.5)}
    )
    assert host.advise(early) == ()
    (row,) = [row for row in host.looked(early) if "controller's own start" in row.what]
    assert row.why == "before the satellite's port is open: nothing waits for it"


def test_a_database_gains_no_more_than_its_controller_is_waited_for() -> None:
    name = "linstor-controller.service"
    weak = {
        "database": Database(path="/var/lib/db", size=900_000_000, media=("sda",)),
        "media": MEDIA,
        "controller": Service(unit=name, options=" ".join(jvm.QUICK)),
    }
    started = {name: UnitTime(unit=name, began=0.5, active=6.3)}
    (found,) = host.advise(facts(**weak, times=started))
    assert (found.id, round(found.gain, 3)) == ("controller-database", 2.5)
    early = {name: UnitTime(unit=name, began=0.5, active=3.0)}
    assert host.advise(facts(**weak, times=early)) == ()


KILLED = {
    "shutdown": Shutdown(took=92.0, forced=("incus.service",)),
    "volumes": VOLUMES,
    "resync_rate": 100e6,
}


def test_a_shutdown_that_killed_costs_the_resync_that_was_recorded() -> None:
    (found,) = host.advise(facts(**KILLED, **boots(resync=7.5)))
    assert (found.id, found.gain) == ("slow-shutdown", 7.5)
    assert found.source == "recorded: the last boot began with 7.5 s of resync"


def test_a_shutdown_that_killed_and_cost_nothing_is_no_advice_and_is_shown() -> None:
    told = facts(**KILLED, **boots(resync=0.0))
    assert host.advise(told) == ()
    (row,) = [row for row in host.looked(told) if row.what == "the shutdown before this boot"]
    assert row.cost == "92.0 s"
    assert row.why == "it killed incus.service; recorded: the last boot began with 0.0 s of resync"


def test_our_own_parts_stand_in_the_list() -> None:
    times = {
        AGENT_UNIT: UnitTime(unit=AGENT_UNIT, began=0.4, active=0.9),
        host.GATE: UnitTime(unit=host.GATE, began=1.0, active=5.4),
    }
    agent, gate = host.own(facts(times=times))
    assert agent.cost == "0.5 s"
    assert agent.why.startswith("active 2.9 s before the satellite's port is open")
    assert (
        gate.why
        == "held Incus until 5.4 s after boot; the storage was ready at 5.2 s (recorded: median of 5 boots)"
    )


def test_what_could_not_be_judged_is_said() -> None:
    said = host.missing(
        facts(boots=(), java=None, not_timed="this host has just booted", orphans=None)
    )
    assert len(said) == 2
    assert any("just booted" in one for one in said)
    assert "no controller answered" in host.missing(facts(orphans=None))[0]
    slow = host.missing(facts(volumes=VOLUMES, media=MEDIA))
    assert any("tidegate tune --write-test DIR" in one for one in slow)


@pytest.mark.parametrize(
    "weakness", [boots(jvm=9.0, devices=9.0), METADATA, {"agent": False, **boots(connect=14.0)}]
)
def test_nothing_is_printed_without_a_source(weakness: dict[str, Any]) -> None:
    judged = facts(**weakness)
    for one in host.advise(judged):
        assert one.source.startswith(figure.PREFIXES)
        assert all(seen.source.startswith(figure.PREFIXES) for seen in one.evidence)
    for row in (*host.looked(judged), *host.own(judged)):
        assert row.source.startswith(figure.PREFIXES), row


def test_the_order_of_incus() -> None:
    one = (Autostart(name="a"), Autostart(name="b", priority=1), Autostart(name="c", delay=5.0))
    assert [each.name for each in incus.in_turn(one)] == ["b", "c"]
    assert (incus.slept(one), incus.steps(one, 2), incus.width(16)) == (0.0, 3, 4)
