# SPDX-License-Identifier: Apache-2.0
"""What the journal tells: lines of a real satellite, of DRBD and of Incus, folded into evidence."""

import gzip
import json
from pathlib import Path

import pytest
from tests import recordings

from tidegate.clients.systemd.follow import Journal, Line
from tidegate.core.evidence import Filling, JournalFacts, SatelliteLog
from tidegate.core.snapshot import Liveness
from tidegate.probes import base, journal, translate_journal
from tidegate.probes.hints import journal as hints
from tidegate.probes.hints.base import Heard

SATELLITE, INCUS = "linstor-satellite.service", "incus.service"
LINSTOR = "2026-11-23 07:37:33.300 [DeviceManager] INFO  LINSTOR/Satellite/7a7c3d SYSTEM - "


def told(*texts: str, unit: str = SATELLITE, kernel: bool = False) -> JournalFacts:
    lines = [
        Line(at=float(at), unit="" if kernel else unit, kernel=kernel, text=text)
        for at, text in enumerate(texts)
    ]
    return translate_journal.fold(JournalFacts(), lines, satellite=SATELLITE, incus=INCUS)


def recorded(case: str) -> SatelliteLog:
    """What is known at the end of a recorded journal of node n1."""
    path = recordings.DATA / "linstor" / f"{case}.journal.log.gz"
    with gzip.open(path, "rt", errors="replace") as lines:
        found = [line.split(" ", 2) for line in lines]
    texts = [parts[2] for parts in found if len(parts) == 3 and parts[1] == "n1"]
    return told(*texts).satellite


def test_a_satellite_that_came_up() -> None:
    log = recorded("b1_satellite_boot_controller_up")
    moments = [
        log.started_at,
        log.port_at,
        log.authenticated_at,
        log.synced_at,
        log.run_ended_at,
    ]
    assert None not in moments
    assert moments == sorted(moments, key=lambda at: at or 0.0)
    assert (log.waiting, log.outdated_at, log.reports) == (False, None, 2)
    assert "Report number" in log.last_report
    assert not log.last_report.startswith("2026"), "the time stands beside it"


def test_a_satellite_that_slept_through_its_full_sync() -> None:
    """facts/linstor-observed.md A1: ONLINE, and the device manager never runs."""
    log = recorded("d1_satellite_sigstop_40s")
    assert log.outdated_at is not None
    assert log.waiting


def test_a_restart_begins_anew() -> None:
    facts = told(f"{LINSTOR}x [Report number 1A-2B-000001]", f"{LINSTOR}Log directory set to: '/x'")
    assert facts.satellite == SatelliteLog(started_at=1.0)


def test_encrypted_resources_that_were_skipped() -> None:
    line = f"{LINSTOR}Skipped actions for encrypted resource 'r1' because the encryption key is not known yet"
    assert told(line, line).satellite.locked == ("r1",)


@pytest.mark.parametrize(
    ("text", "is_wedged"),
    [
        ("drbd odd/0 drbd1001: ASSERTION device->open_cnt == 0 FAILED in drbd_open", True),
        ("drbd odd: ASSERT FAILED", True),
        ("kernel BUG at drivers/block/drbd/drbd_req.c:12!", True),
        ("INFO: task drbd_w_odd:77 blocked for more than 120 seconds.", True),
        ("drbd odd/0 drbd1001: disk( UpToDate -> Failed ) [local-io-error]", False),
        ("ext4: ASSERTION x FAILED", False),
        ("INFO: task kworker:77 blocked for more than 120 seconds.", False),
        ("INFO: task jbd2/drbd1002-8:77 blocked for more than 120 seconds.", False),
        ("RIP: 0010:drbd_worker+0x12/0x90 [drbd]", True),
    ],
)
def test_a_kernel_that_cannot_be_trusted(text: str, is_wedged: bool) -> None:
    assert (told(text, kernel=True).assertion == text) is is_wedged


def test_the_first_line_counts() -> None:
    first = "drbd a: ASSERTION x FAILED"
    facts = told(first, "drbd b: ASSERTION y FAILED", kernel=True)
    assert (facts.assertion, facts.assertion_at) == (first, 0.0)


def test_a_pool_that_incus_could_not_load() -> None:
    failed = 'time="x" level=error msg="Failed loading storage pool" err="Could not determine \\"DRBD\\"" pool=remote'
    assert told(failed, unit=INCUS).unloaded_pools == {"remote": 'Could not determine "DRBD"'}
    mounted = 'time="x" level=info msg="Initialized storage pool" pool=remote'
    assert told(failed, mounted, unit=INCUS).unloaded_pools == {}


def test_metadata_of_a_thin_pool_that_fill_up() -> None:
    facts = told(
        "WARNING: Thin pool vg0-thin-tpool metadata is now 80.01% full.",
        "WARNING: Thin pool my--vg-a--pool metadata is now 91.50% full.",
        "WARNING: Thin pool vg0-thin-tpool data is now 97.00% full.",
        "WARNING: Thin pool vg0-thin-tpool metadata is now 85.12% full.",
        unit="dm-event.service",
    )
    assert facts.thin_metadata == {
        "vg0-thin": Filling(percent=85.12, at=3.0),
        "my--vg-a--pool": Filling(percent=91.5, at=1.0),
    }


def test_other_units_say_nothing() -> None:
    assert told(f"{LINSTOR}FullSync successful 3", unit="other.service") == JournalFacts()


# --- the probe and the listener --------------------------------------------------------------


def program(tmp_path: Path, *texts: str, then: str = "") -> Journal:
    path = tmp_path / "journalctl"
    entries = [
        json.dumps({"MESSAGE": text, "_SYSTEMD_UNIT": SATELLITE, "__MONOTONIC_TIMESTAMP": "1"})
        for text in texts
    ]
    body = "\n".join(f"cat <<'E'\n{entry}\nE" for entry in entries)
    path.write_text(f"#!/bin/sh\n{body}\n{then}\n")
    path.chmod(0o755)
    return Journal((SATELLITE,), journalctl=str(path))


def made() -> journal.Told:
    return journal.Told(satellite=SATELLITE, incus=INCUS, clock=lambda: 100.0)


async def test_the_probe_reads_once_in_a_while(tmp_path: Path) -> None:
    now = [100.0]
    probe = journal.JournalProbe(
        program(tmp_path, f"{LINSTOR}FullSync successful 3"), made(), clock=lambda: now[0]
    )
    seen = await probe.look(base.Need())
    assert seen.journal is not None
    assert seen.journal.satellite.synced_at is not None
    (tmp_path / "journalctl").unlink()
    again = await probe.look(base.Need())
    assert again.journal == seen.journal, "not asked again so soon"
    now[0] += journal.AGAIN
    assert (await probe.look(base.Need())).liveness is Liveness.OFF


async def test_without_a_journal_it_is_off() -> None:
    probe = journal.JournalProbe(None, made(), clock=lambda: 1.0)
    assert (await probe.look(base.Need())).liveness is Liveness.OFF


async def test_the_listener_hands_over_and_wakes_by_what_means_something(tmp_path: Path) -> None:
    from tidegate.clients import errors

    told_to = made()
    source = program(tmp_path, "nothing of ours", f"{LINSTOR}FullSync successful 3")
    heard: list[Heard] = []
    with pytest.raises(errors.ClientError):
        await hints.JournalListener(source, told_to).listen(heard.append)
    assert told_to.facts.satellite.synced_at is not None
    assert any(one.wakes for one in heard)
    assert not told_to.listens


def test_a_kernel_that_failed_is_not_forgiven_when_the_journal_is_read_again() -> None:
    told_to = made()
    told_to.take([Line(at=1.0, kernel=True, text="drbd a: ASSERTION x FAILED")])
    told_to.begin()
    assert told_to.wedged() == "drbd a: ASSERTION x FAILED"
