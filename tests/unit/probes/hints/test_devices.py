# SPDX-License-Identifier: Apache-2.0
"""A device file that appears where one is looked for wakes; what happens beside it does not."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.unit.probes.hints.ears import Ear

from tidegate.core.snapshot import Source
from tidegate.probes.hints.devices import DevicesListener, ancestors

pytestmark = pytest.mark.needs("linux")


@contextlib.asynccontextmanager
async def listening(root: Path, paths: set[str]) -> AsyncIterator[Ear]:
    (root / "dev").mkdir(exist_ok=True)
    ear = Ear()
    task = asyncio.ensure_future(DevicesListener(str(root), lambda: paths).listen(ear))
    try:
        await ear.until(1)
        yield ear
        assert not task.done()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_a_device_that_appears_wakes_and_its_neighbour_does_not(tmp_path: Path) -> None:
    async with listening(tmp_path, {"/dev/drbd1000"}) as ear:
        (tmp_path / "dev" / "loop7").touch()
        await ear.another()
        assert ear.woken == 1
        (tmp_path / "dev" / "drbd1000").touch()
        await ear.until(2)
    assert ear.heard[-1].wakes == {Source.DEVICES, Source.HOST}


async def test_a_device_that_vanishes_wakes(tmp_path: Path) -> None:
    device = tmp_path / "dev" / "drbd1000"
    device.parent.mkdir()
    device.touch()
    async with listening(tmp_path, {"/dev/drbd1000"}) as ear:
        device.unlink()
        await ear.until(2)


async def test_looking_at_a_device_does_not_wake(tmp_path: Path) -> None:
    device = tmp_path / "dev" / "drbd1000"
    device.parent.mkdir()
    device.touch()
    async with listening(tmp_path, {"/dev/drbd1000"}) as ear:
        device.read_bytes()
        (tmp_path / "dev" / "other").touch()  # and this is told after it
        await ear.another()
        assert ear.woken == 1


async def test_a_device_in_a_directory_that_is_not_there_yet(tmp_path: Path) -> None:
    async with listening(tmp_path, {"/dev/vg0/r_00000"}) as ear:
        (tmp_path / "dev" / "vg0").mkdir()
        await ear.until(2)
        (tmp_path / "dev" / "vg0" / "r_00000").symlink_to("../dm-3")
        await ear.until(3)


async def test_a_device_that_is_looked_for_only_later(tmp_path: Path) -> None:
    paths: set[str] = set()
    async with listening(tmp_path, paths) as ear:
        paths.add("/dev/drbd1000")
        (tmp_path / "dev" / "drbd1000").touch()
        await ear.until(2)


async def test_a_node_without_dev_is_listened_to_when_it_has_one(tmp_path: Path) -> None:
    ear = Ear()
    listener = DevicesListener(str(tmp_path), lambda: {"/dev/drbd1000"})
    task = asyncio.ensure_future(listener.listen(ear))
    await ear.until(1)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def test_the_directories_of_paths() -> None:
    assert ancestors({"/dev/drbd1000"}) == {"/dev"}
    assert ancestors({"/dev/vg0/r", "/dev/drbd1"}) == {"/dev", "/dev/vg0"}
    assert ancestors({"/dev/drbd/by-res/r/0"}) == {
        "/dev",
        "/dev/drbd",
        "/dev/drbd/by-res",
        "/dev/drbd/by-res/r",
    }
    assert ancestors(set()) == frozenset()
