# SPDX-License-Identifier: Apache-2.0
"""What appears in a directory and vanishes from it is told; what is merely read is not."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tidegate.clients import errors, inotify
from tidegate.clients.inotify import Change, Inotify

pytestmark = pytest.mark.needs("linux")


def most_kept() -> int:
    return int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())


async def told(watcher: Inotify) -> list[str]:
    async with asyncio.timeout(5):
        return [change.path for change in await watcher.changes()]


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(lambda path: path.write_text("x"), id="made"),
        pytest.param(lambda path: path.mkdir(), id="made-a-directory"),
        pytest.param(lambda path: path.symlink_to("/dev/null"), id="linked"),
    ],
)
async def test_what_appears_is_told_by_its_path(
    tmp_path: Path, act: Callable[[Path], object]
) -> None:
    with Inotify() as watcher:
        assert watcher.watch(str(tmp_path))
        act(tmp_path / "drbd1000")
        assert await told(watcher) == [f"{tmp_path}/drbd1000"]


async def test_what_vanishes_moves_or_changes_its_mode_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with Inotify() as watcher:
        watcher.watch(str(tmp_path))
        (tmp_path / "a").chmod(0o600)
        (tmp_path / "a").rename(tmp_path / "b")
        (tmp_path / "b").unlink()
        names = [path.rpartition("/")[2] for path in await told(watcher)]
    assert names == ["a", "a", "b", "b"]


async def test_opening_reading_and_writing_tell_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    with Inotify() as watcher:
        watcher.watch(str(tmp_path))
        (tmp_path / "a").read_text()
        with (tmp_path / "a").open("a") as file:
            file.write("y")
        (tmp_path / "b").touch()
        assert await told(watcher) == [f"{tmp_path}/b"]


async def test_many_changes_come_together(tmp_path: Path) -> None:
    with Inotify() as watcher:
        watcher.watch(str(tmp_path))
        for number in range(500):
            (tmp_path / str(number)).touch()
        assert len(await told(watcher)) == 500


async def test_more_than_the_kernel_keeps_is_said_to_be_lost(tmp_path: Path) -> None:
    limit = most_kept()
    if limit > 100_000:
        pytest.skip(f"this kernel keeps {limit} changes")
    with Inotify() as watcher:
        watcher.watch(str(tmp_path))
        for _ in range(limit // 2 + 1):
            (tmp_path / "a").mkdir()
            (tmp_path / "a").rmdir()
        lost = False
        while not lost:
            lost = "" in await told(watcher)


async def test_watching_again_is_nothing_new_and_what_is_not_there_is_not_watched(
    tmp_path: Path,
) -> None:
    with Inotify() as watcher:
        assert watcher.watch(str(tmp_path))
        assert not watcher.watch(str(tmp_path))
        assert not watcher.watch(str(tmp_path / "no"))
        (tmp_path / "file").touch()
        assert not watcher.watch(str(tmp_path / "file"))


async def test_a_directory_that_vanished_can_be_watched_again(tmp_path: Path) -> None:
    folder = tmp_path / "vg0"
    folder.mkdir()
    with Inotify() as watcher:
        watcher.watch(str(folder))
        folder.rmdir()
        assert await told(watcher) == [str(folder)]
        folder.mkdir()
        assert watcher.watch(str(folder))
        (folder / "lv").touch()
        assert f"{folder}/lv" in await told(watcher)


async def test_waiting_can_be_given_up_and_taken_up_again(tmp_path: Path) -> None:
    with Inotify() as watcher:
        watcher.watch(str(tmp_path))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await watcher.changes()
        (tmp_path / "a").mkdir()
        async with asyncio.timeout(5):
            assert await watcher.changes() == [Change(f"{tmp_path}/a")]


async def test_a_kernel_that_gives_no_more_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refuses:
        def inotify_init1(self, _flags: int) -> int:
            return -1

    monkeypatch.setattr(inotify, "_libc", Refuses)
    with pytest.raises(errors.ClientError) as caught:
        Inotify()
    assert caught.value.code == "inotify.refused"
    assert "max_user_instances" in caught.value.trouble.hint
