# SPDX-License-Identifier: Apache-2.0
"""A unit of ours that changes wakes who runs in it; other units are not even sent to us."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from tests.fake_systemd import UNIT, Daemon, FakeSystemd
from tests.unit.probes.hints.ears import Ear

from tidegate.clients import errors
from tidegate.clients.systemd.manager import Manager, unit_name, unit_path
from tidegate.core.snapshot import Source
from tidegate.probes.hints.base import Heard
from tidegate.probes.hints.systemd import SystemdListener

pytestmark = pytest.mark.needs("dbus-daemon")

UNITS = {
    "incus.service": frozenset({Source.INCUS}),
    "linstor-satellite.service": frozenset({Source.HOST}),
}
ALL = {Source.SYSTEMD, Source.INCUS, Source.HOST}


@contextlib.asynccontextmanager
async def listening(manage: Manager) -> AsyncIterator[asyncio.Queue[Heard]]:
    heard: asyncio.Queue[Heard] = asyncio.Queue()
    task = asyncio.ensure_future(SystemdListener(manage, UNITS).listen(heard.put_nowait))
    try:
        async with asyncio.timeout(20):
            assert (await heard.get()).wakes == ALL
            yield heard
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, errors.ClientError):
            await task


async def test_a_unit_that_changes_wakes_who_runs_in_it(
    manage: Manager, systemd: FakeSystemd
) -> None:
    systemd.units["linstor-satellite.service"] = dict(UNIT)
    systemd.units["cron.service"] = dict(UNIT)
    async with listening(manage) as heard:
        systemd.change("cron.service", ActiveState=("s", "active"))
        systemd.change("incus.service", ActiveState=("s", "active"))
        assert (await heard.get()).wakes == {Source.SYSTEMD, Source.INCUS}
        systemd.change("linstor-satellite.service", ActiveState=("s", "failed"))
        assert (await heard.get()).wakes == {Source.SYSTEMD, Source.HOST}
        assert heard.empty()


async def test_jobs_that_end_and_unit_files_read_anew_wake(
    manage: Manager, systemd: FakeSystemd
) -> None:
    async with listening(manage) as heard:
        systemd.tell("JobRemoved", "uoss", 3, "/job/3", "cron.service", "done")
        systemd.tell("JobRemoved", "uoss", 4, "/job/4", "incus.service", "failed")
        assert (await heard.get()).wakes == {Source.SYSTEMD, Source.INCUS}
        systemd.tell("Reloading", "b", True)
        systemd.tell("Reloading", "b", False)
        assert (await heard.get()).wakes == ALL
        assert heard.empty()


async def test_asking_for_a_unit_does_not_wake(manage: Manager, systemd: FakeSystemd) -> None:
    """systemd loads a unit that somebody asks for, tells so, and forgets it again: we would wake ourselves for ever."""
    async with listening(manage) as heard:
        for member in ("UnitNew", "UnitRemoved"):
            systemd.tell(member, "so", "incus.service", unit_path("incus.service"))
        systemd.tell("JobRemoved", "uoss", 4, "/job/4", "incus.service", "done")
        assert (await heard.get()).wakes == {Source.SYSTEMD, Source.INCUS}
        assert heard.empty()


async def test_a_lost_bus_ends_it(manage: Manager, daemon: Daemon, systemd: FakeSystemd) -> None:
    ear = Ear()
    task = asyncio.ensure_future(SystemdListener(manage, UNITS).listen(ear))
    await ear.until(1)
    await daemon.kill()
    async with asyncio.timeout(20):
        with pytest.raises(errors.ClientError) as caught:
            await task
    assert caught.value.code == "bus.lost"


def test_paths_of_units_there_and_back() -> None:
    assert unit_path("incus.service") == "/org/freedesktop/systemd1/unit/incus_2eservice"
    for name in ("incus.service", "drbd@a\\x2db.target", "dev-drbd1000.device"):
        assert unit_name(unit_path(name)) == name
