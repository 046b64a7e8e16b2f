"""Untrusted, damaged and odd journals: nothing is believed that should not be, nothing crashes, memory stays bounded."""

import tracemalloc
from collections.abc import Iterator

import msgspec
import pytest
from tests.boot_journals import Journal

from tidegate.boot import Hints, analyse, analyse_all
from tidegate.boot.model import MAX_MESSAGE, Entry, Kind, Status


def test_two_boots_in_one_file_without_boot_ids_are_told_apart() -> None:
    first = Journal().host_up().satellite_up(2, connects=4, run=6).incus_up(10, 12)
    second = Journal().host_up().satellite_up(2, connects=4, run=6).incus_up(10, 12)
    lines = [
        msgspec.structs.replace(line, boot="", wall=None) for line in (*first.lines, *second.lines)
    ]

    boots = analyse_all(lines)

    assert [boot.entries for boot in boots] == [len(first.lines), len(second.lines)]
    assert any(cause.code == "host.power-loss" for cause in boots[1].causes)


def test_boots_come_in_the_order_of_their_beginnings() -> None:
    first = Journal(boot="a" * 32).host_up().incus_up(2, 3)
    second = Journal(boot="c" * 32).host_up().incus_up(2, 3)
    later = [msgspec.structs.replace(line, wall=(line.wall or 0) + 1000) for line in second.lines]

    boots = analyse_all([*later, *first.lines])

    assert [boot.boot[0] for boot in boots] == ["a", "c"]
    assert analyse([*later, *first.lines], boot="aaaa").boot == "a" * 32


def test_lines_out_of_order_are_put_into_order_and_said() -> None:
    journal = Journal().host_up().satellite_up(2, connects=4, run=6).incus_up(10, 12)
    lines = [*journal.lines[10:], *journal.lines[:10]]

    boot = analyse(lines)

    assert boot.status is Status.NOTHING_WRONG
    assert [event.at for event in boot.events] == sorted(event.at for event in boot.events)
    assert any("out of order" in note for note in boot.notes)


def test_a_clock_that_steps_changes_no_order_and_is_noted() -> None:
    journal = Journal().host_up().satellite_up(2, connects=4, run=6).incus_up(10, 12)
    lines = [
        msgspec.structs.replace(line, wall=(line.wall or 0) + (86_400 if (line.at or 0) > 5 else 0))
        for line in journal.lines
    ]

    boot = analyse(lines)

    assert boot.status is Status.NOTHING_WRONG
    (note,) = [cause for cause in boot.causes if cause.code == "host.clock-step"]
    assert "86400 s" in note.sentence
    assert boot.length == pytest.approx(12, abs=0.1)


def test_a_rotated_journal_says_that_its_beginning_is_missing() -> None:
    journal = Journal().host_up().satellite_up(2, connects=4, run=6).incus_up(10, 12)
    late = [msgspec.structs.replace(line, at=(line.at or 0) + 5000) for line in journal.lines[12:]]

    assert any("beginning" in note for note in analyse(late).notes)


def test_a_container_counts_from_its_own_beginning() -> None:
    journal = Journal().host_up().satellite_up(2, connects=4, run=6).incus_up(10, 12)
    inside = [msgspec.structs.replace(line, at=(line.at or 0) + 500_000) for line in journal.lines]

    boot = analyse(inside)

    assert boot.origin == pytest.approx(500_001.01)
    assert boot.length == pytest.approx(11, abs=0.1)


def test_names_in_messages_are_only_text() -> None:
    evil = "\x1b]0;pwned\x07<script>alert(1)</script>"
    journal = Journal().host_up().incus_up(2, 3)
    journal.incus(
        f'level=error msg="Failed mounting storage pool" err="{evil}" pool="{evil}"', at=2.3
    )

    boot = journal.analyse()

    assert boot.pools[0].name == evil
    assert evil in boot.causes[0].evidence[0].text


def test_a_user_s_manager_is_not_the_machine_s() -> None:
    journal = Journal().host_up().satellite_up(2, connects=4, run=6).incus_up(10, 12)
    journal.say("systemd", "linstor-satellite.service: Failed with result 'timeout'.", pid=2000)
    forged = msgspec.structs.replace(journal.lines[-1], pid=2000)

    assert analyse([*journal.lines[:-1], forged]).status is Status.NOTHING_WRONG


def test_messages_nobody_knows_are_grouped_and_counted() -> None:
    journal = Journal().host_up()
    for number in range(500):
        journal.satellite(f"Frobnicating volume {number} of '/dev/vg/{number}'", level="WARN")
    for number in range(300):
        journal.say("postfix", f"connect from 10.0.0.{number}")

    boot = journal.analyse()

    counts = {(shape.who, shape.shape): shape.count for shape in boot.shapes}
    assert counts["linstor-satellite.service", "WARN Frobnicating volume # of #"] == 500
    assert counts["postfix", "(everything else)"] == 300


def flood(number: int) -> Iterator[Entry]:
    """Yield events about ever new subjects, with ever new words, in huge lines."""
    base = Journal().host_up().lines
    yield from base
    for index in range(number):
        at = 2 + index * 1e-4
        yield msgspec.structs.replace(
            base[-1],
            at=at,
            message=f'time="x" level=warning msg="Failed auto start instance attempt" attempt=1 err="{"x" * 200}{index}" instance=c{index} maxAttempts=3 project=p{index}',
            identifier="startup",
            unit="incus.service",
            transport="stdout",
        )
        yield msgspec.structs.replace(
            base[-1],
            at=at,
            identifier=f"who{index}",
            transport="syslog",
            priority=3,
            message=f"word{index:x} " * 50,
        )


def test_memory_does_not_grow_with_the_number_of_lines() -> None:
    def peak(number: int) -> int:
        tracemalloc.start()
        try:
            analyse(flood(number))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    small, large = peak(600), peak(3_000)

    assert large < small * 1.3
    assert large < 20 * 1024 * 1024


def test_a_huge_message_is_cut_where_it_is_kept() -> None:
    journal = Journal().host_up()
    journal.say("kernel", "BUG: " + "x" * 1_000_000, priority=2)

    boot = journal.analyse()

    assert all(len(line.text) <= MAX_MESSAGE for event in boot.events for line in event.evidence)


def test_no_line_at_all_is_undecided() -> None:
    boot = analyse([])

    assert boot.status is Status.UNDECIDED
    assert "no line" in boot.verdict


def test_a_satellite_of_another_node_in_the_same_log_is_not_ours() -> None:
    ours = Journal().host_up().satellite_up(2, connects=4, run=6).incus_up(10, 12)
    theirs = Journal()
    theirs.lines = []
    theirs.satellite("FullSync error: missing required ext tools 3", at=5, level="ERROR")
    foreign = [msgspec.structs.replace(line, hostname="n2") for line in theirs.lines]

    assert ours.analyse(more=foreign).status is Status.NOTHING_WRONG
    assert any(
        event.kind is Kind.SATELLITE_SYNC_FAILED
        for event in ours.analyse(hints=Hints(node="n2"), more=foreign).events
    )


def test_a_log_file_beside_the_journal_tells_nothing_twice() -> None:
    journal = Journal().host_up().satellite_up(2, connects=4, run=6).incus_up(10, 14)
    journal.incus(
        'level=warning msg="Failed auto start instance attempt" attempt=1 err="open /dev/drbd1001: no such file or directory" instance=c1 maxAttempts=3 project=default',
        at=11,
    )
    log = [
        msgspec.structs.replace(line, boot="", at=None, source="incusd.log", transport="file")
        for line in journal.lines
        if line.unit == "incus.service"
    ]

    boot = journal.analyse(more=log)

    assert len(boot.instances[0].attempts) == 1
    assert boot.entries == len(journal.lines) + len(log)


def test_a_log_file_of_another_boot_is_left_out_and_said() -> None:
    journal = Journal().host_up().satellite_up(2, connects=4, run=6).incus_up(10, 14)
    old = [
        msgspec.structs.replace(
            line, boot="", at=None, wall=(line.wall or 0) - 90_000, source="incusd.log"
        )
        for line in journal.lines[-3:]
    ]

    assert any("belong to no boot" in note for note in journal.analyse(more=old).notes)


def test_local_times_of_a_log_file_are_placed_by_what_the_journal_has_too() -> None:
    journal = Journal().host_up()
    wall = 1_795_000_000.0 + 5  # 11:06:45 UTC, in the words of a host two hours ahead
    text = "2026-11-18 13:06:45.000 [Main] INFO  LINSTOR/Satellite/ff0000 SYSTEM - {}"
    journal.say(
        "Satellite",
        text.format("NetComService started on port /0:0:0:0:0:0:0:0:3366"),
        at=5,
        unit="linstor-satellite.service",
    )
    line = msgspec.structs.replace(
        journal.lines[-1],
        boot="",
        at=None,
        wall=wall + 7200,
        message=text.format("Controller connected and authenticated (10.0.0.1:1/1)"),
        source="satellite.log",
        transport="file",
    )

    events = journal.analyse(more=[line]).events

    connected = next(event for event in events if event.kind is Kind.SATELLITE_CONNECTED)
    assert connected.at == pytest.approx(5)
