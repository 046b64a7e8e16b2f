# SPDX-License-Identifier: Apache-2.0
"""Times of starts as systemd's manager and journalctl tell them; a journal that is not there is said to be so."""

import gzip
import os
import shlex
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests import unit_trees
from tests.fake_systemd import Daemon, FakeSystemd
from tests.recordings import DATA

from tidegate.agent import unitcheck
from tidegate.agent.unitcheck import Asked
from tidegate.clients.systemd.manager import Unit
from tidegate.config.model import Config
from tidegate.core.finding import Grade
from tidegate.units.lastboot import UnitTimes

UNIT = Unit(name="a.service", load_state="loaded", active_state="active", sub_state="running")


def of(**known: object) -> UnitTimes | None:
    return unitcheck.of_unit(
        Unit(**{**{name: getattr(UNIT, name) for name in UNIT.__struct_fields__}, **known})
    )


def test_the_managers_times_are_those_of_the_first_start_only() -> None:
    assert of(inactive_exit=2.0, active_enter=3.0) == UnitTimes(begun=2.0, up=3.0)
    assert of() == UnitTimes()
    assert of(inactive_exit=50.0, active_enter=51.0, active_exit=40.0, inactive_enter=41.0) is None
    assert of(inactive_exit=50.0, active_enter=51.0, restarts=1) is None


def test_a_start_that_failed_and_one_that_was_over_at_once() -> None:
    failed = of(inactive_exit=2.0, inactive_enter=92.0, result="timeout")
    assert failed == UnitTimes(begun=2.0, failed=92.0, result="timeout")
    assert of(inactive_exit=2.0, inactive_enter=3.0, result="success") == UnitTimes(
        begun=2.0, up=3.0
    )


@pytest.fixture
async def manager(tmp_path: Path) -> AsyncIterator[tuple[FakeSystemd, str]]:
    """A systemd on a bus of its own, and the bus's address."""
    daemon = Daemon(tmp_path, f"unix:path={tmp_path}/bus")
    await daemon.start()
    fake = FakeSystemd()
    await fake.serve(daemon.address)
    yield fake, daemon.address
    await fake.close()
    await daemon.kill()


@pytest.mark.needs("dbus-daemon")
async def test_systemd_is_asked_over_the_bus(manager: tuple[FakeSystemd, str]) -> None:
    fake, address = manager
    fake.units["incus.service"].update(
        NRestarts=("u", 0), ActiveEnterTimestampMonotonic=("t", 4_500_000)
    )
    told = await unitcheck.of_manager(["incus.service", "tidegate-guard.socket"], address)
    assert told["incus.service"] == UnitTimes(begun=1.549, up=4.5)


@pytest.fixture
def journalctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A journalctl that tells of a recorded boot; returns the file in which it notes how it was called."""
    recorded = tmp_path / "boot.json"
    recorded.write_bytes(gzip.decompress((DATA / "real-boots/r-crash.boot.json.gz").read_bytes()))
    noted = tmp_path / "called"
    program = tmp_path / "bin" / "journalctl"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" >{shlex.quote(str(noted))}\nexec cat {shlex.quote(str(recorded))}\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return noted


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return unit_trees.written("debian", tmp_path / "root")


def words_in(noted: Path) -> set[str]:
    return set(noted.read_text().splitlines())


async def test_an_earlier_boot_is_read_from_the_journal(root: Path, journalctl: Path) -> None:
    found = await unitcheck.look(root, Config(), Asked(boot=-1))
    assert found.sources == ("journal",)
    assert found.troubles == ()
    assert found.check.grade is Grade.FAILING
    (one,) = found.check.inversions
    assert one.over == 39.312349
    wanted = {"--boot=-1", f"--root={root}", "_PID=1", "UNIT=incus.service", "--output=json"}
    assert wanted <= words_in(journalctl)


async def test_a_journal_without_that_boot_is_said_to_have_none(
    root: Path, journalctl: Path
) -> None:
    (journalctl.parent / "boot.json").write_text("")
    found = await unitcheck.look(root, Config(), Asked(boot=-3))
    assert [one.code for one in found.troubles] == ["units.no-journal"]
    assert "list-boots" in found.troubles[0].hint
    assert found.check.grade is Grade.UNKNOWN


async def test_a_journal_without_end_is_read_to_the_end_of_the_boot_only(
    root: Path, journalctl: Path
) -> None:
    program = journalctl.parent / "bin" / "journalctl"
    late = '{"__MONOTONIC_TIMESTAMP":"9000000000","_BOOT_ID":"7c6069d82adf4969867434179cf568bc"}'
    program.write_text(
        f"#!/bin/sh\ncat {journalctl.parent}/boot.json\nwhile echo '{late}'; do :; done\n"
    )
    found = await unitcheck.look(root, Config(), Asked())
    assert found.troubles == ()
    assert len(found.check.inversions) == 1


async def test_without_journalctl_that_is_said(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidegate.clients.process._PATH", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    found = await unitcheck.look(root, Config(), Asked())
    assert [one.code for one in found.troubles] == ["process.missing"]
