# SPDX-License-Identifier: Apache-2.0
"""When a boot is over, and what is made of its journal."""

import gzip
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests import boots_made
from tests.hand_made import offline, snapshot
from tests.journals import recorded_journal

from tidegate import boot as room
from tidegate.agent import afterwards
from tidegate.agent.meter import Meter
from tidegate.boot.model import Phase
from tidegate.clients import process
from tidegate.clients.journal import read
from tidegate.clients.journal.notes import Notes
from tidegate.core.trouble import Trouble
from tidegate.metrics.tally import Tally
from tidegate.metrics.values import BootFigures
from tidegate.report import boot_json


@pytest.mark.parametrize(
    ("last", "born", "now", "over"),
    [
        (20.0, 3.0, 49.0, False),
        (20.0, 3.0, 50.0, True),
        (None, 3.0, 600.0, False),
        (None, 3.0, 930.0, True),
        (20.0, 5000.0, 5010.0, False),
        (None, 5000.0, 5030.0, True),
    ],
)
def test_a_boot_is_over_when_nothing_more_is_to_be_expected(
    last: float | None, born: float, now: float, over: bool
) -> None:
    assert afterwards.is_over(last, born=born, now=now) is over


def answering(monkeypatch: pytest.MonkeyPatch, output: str, trouble: Trouble | None = None) -> None:
    async def run(argv: tuple[str, ...], **_more: Any) -> process.Completed:
        return process.Completed(argv=argv, returncode=0, stdout=output.encode(), trouble=trouble)

    monkeypatch.setattr(process, "run", run)


async def test_its_figures_are_exported_and_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    steps = ("jvm", 2.0), ("wait-controller", 3.0), ("full-sync", 1.0), ("first-run", 4.0)
    phases = tuple(
        Phase(
            name=f"satellite.{name}",
            title="",
            subject="satellite",
            begin=0.0,
            end=took,
            lane="satellite",
        )
        for name, took in steps
    )
    shown = [boot_json.row(0, boots_made.boot(phases=phases))]
    answering(monkeypatch, json.dumps(shown))
    found = await afterwards.read(tmp_path)
    assert isinstance(found, BootFigures)
    kept: list[tuple[str, str, float]] = []
    meter = Meter(Tally(satellite_unit="s", born=0.0), kept.extend)
    meter.read(found)
    assert ("phase/satellite.full-sync", "", 1.0) in kept
    series = {f.name: f.samples for f in meter.families(snapshot(), offline(), 80.0)}
    seconds = {one.labels["phase"]: one.value for one in series["tidegate_satellite_start_seconds"]}
    assert seconds == {"jvm": 2.0, "connect": 4.0, "devices": 4.0, "total": 10.0}
    tried = {
        tuple(one.labels.values()): one.value for one in series["tidegate_boot_pool_mount_attempts"]
    }
    assert tried == {("remote", "mounted"): 1, ("remote", "failed"): 1}
    assert {one.labels["outcome"]: one.value for one in series["tidegate_boot_instances"]} == {
        "late": 1,
        "lost": 1,
    }
    assert [one.labels for one in series["tidegate_boot_status"]] == [{"status": "down"}]


async def test_a_journal_that_tells_nothing_is_no_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for output in ("", "[]", "{}", "[1]"):
        answering(monkeypatch, output)
        found = await afterwards.read(tmp_path)
        assert isinstance(found, Trouble)
        assert found.code == "metrics.boot-unread"
    missing = Trouble(code="process.failed", text="x", hint="y")
    answering(monkeypatch, "", missing)
    assert await afterwards.read(tmp_path) == missing


def test_the_figures_are_those_of_the_boots_own_log() -> None:
    """Read with nothing of ours: lines of the recording and their monotonic times."""
    path = (
        Path(__file__).resolve().parents[2] / "data" / "real-boots" / "r-notify-order.boot.json.gz"
    )
    lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]

    def at(part: str) -> float:
        return next(
            int(e["__MONOTONIC_TIMESTAMP"]) / 1e6
            for e in lines
            if part in str(e.get("MESSAGE", ""))
        )

    found = room.analyse(read.file(path, Notes()))
    row = msgspec.convert(boot_json.row(0, found), BootFigures)
    began = at("Starting linstor-satellite.service")
    listens = at("NetComService started on port")
    connected = at("Controller connected and authenticated")
    assert row.phases["satellite.jvm"] == pytest.approx(listens - began, abs=0.05)
    assert row.phases["satellite.wait-controller"] == pytest.approx(connected - listens, abs=0.05)


async def test_the_journal_is_read_by_a_process_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    recorded_journal(tmp_path, monkeypatch)
    found = await afterwards.read(tmp_path)
    assert isinstance(found, BootFigures), found
    assert found.status == "nothing-wrong"
    assert found.phases["satellite.jvm"] == pytest.approx(23.16, abs=0.01)
