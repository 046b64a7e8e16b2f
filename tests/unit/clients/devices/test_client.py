# SPDX-License-Identifier: Apache-2.0
import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tidegate.clients import errors, process
from tidegate.clients.devices import client
from tidegate.core.facts import OpenResult


@pytest.fixture
async def devices(tmp_path: Path) -> AsyncIterator[client.DeviceClient]:
    (tmp_path / "dev").mkdir()
    for minor in range(1000, 1010):
        (tmp_path / f"dev/drbd{minor}").write_bytes(bytes(4096))
    async with client.DeviceClient(tmp_path, limit=5) as found:
        yield found


def _openers() -> list[int]:
    """The opener processes that this process has started and that still run."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            command = (folder / "cmdline").read_bytes().split(b"\0")
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == os.getpid() and any(word.endswith(b"/opener.py") for word in command):
            found.append(int(folder.name))
    return found


async def test_a_device_is_opened_and_named(devices: client.DeviceClient) -> None:
    report = await devices.examine("/dev/drbd1000")
    assert report.opened == OpenResult.OPENED
    assert (report.content, report.size, report.errno) == ("zero", 4096, None)


async def test_a_missing_device_is_not_tried(devices: client.DeviceClient) -> None:
    report = await devices.examine("/dev/drbd2000")
    assert not report.exists
    assert (report.opened, report.errno) == (OpenResult.NOT_TRIED, "ENOENT")


async def test_many_at_once_share_few_processes(devices: client.DeviceClient) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(devices.examine(f"/dev/drbd{1000 + number % 10}"))
            for number in range(50)
        ]
    assert all(task.result().opened == OpenResult.OPENED for task in tasks)
    assert 1 <= len(_openers()) <= 4


async def test_a_few_devices_at_once_need_one_process(
    devices: client.DeviceClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at the start of the agent, while the host boots and its CPUs are busy."""
    monkeypatch.setattr(client, "_GROW_AFTER", 60.0)  # however slow this machine is
    paths = [f"/dev/drbd{minor}" for minor in range(1000, 1004)]
    reports = await asyncio.gather(*(devices.examine(path) for path in paths))
    assert [report.opened for report in reports] == [OpenResult.OPENED] * 4
    assert len(_openers()) == 1


async def test_what_is_prepared_is_used(
    devices: client.DeviceClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_GROW_AFTER", 60.0)
    devices.prepare()
    await asyncio.sleep(0)
    assert (await devices.examine("/dev/drbd1000")).opened == OpenResult.OPENED
    assert len(_openers()) == 1


async def test_what_is_being_prepared_is_ended(tmp_path: Path) -> None:
    for steps in range(4):
        async with client.DeviceClient(tmp_path) as devices:
            devices.prepare()
            for _ in range(steps):
                await asyncio.sleep(0)
        assert not _openers()


async def test_a_process_that_ended_is_made_up_for(devices: client.DeviceClient) -> None:
    await devices.examine("/dev/drbd1000")
    for opener in _openers():
        os.kill(opener, signal.SIGKILL)
    with pytest.raises(errors.ClientError):
        await devices.examine("/dev/drbd1000")
    reports = [await devices.examine("/dev/drbd1001") for _ in range(3)]
    assert {report.opened for report in reports} == {OpenResult.OPENED}
    assert len(_openers()) == 1


async def test_closing_ends_the_processes(tmp_path: Path) -> None:
    async with client.DeviceClient(tmp_path) as devices:
        await devices.examine("/dev/drbd1000")
        assert _openers()
    assert not _openers()


async def test_an_open_that_hangs_costs_its_limit_only(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/drbd1000").write_bytes(bytes(4096))
    async with client.DeviceClient(tmp_path, limit=0.2) as devices:
        assert (await devices.examine("/dev/drbd1000")).opened == OpenResult.OPENED
        (pid,) = _openers()
        os.kill(pid, signal.SIGSTOP)  # it hears no question and gives no answer
        async with asyncio.timeout(10):
            report = await devices.examine("/dev/drbd1000")
        assert (report.exists, report.opened) == (True, OpenResult.TIMED_OUT)
        assert devices.stuck == ()  # this one could be killed
        assert pid not in _openers()
        assert (await devices.examine("/dev/drbd1000")).opened == OpenResult.OPENED


async def test_openers_that_cannot_be_killed_are_few_and_cost_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dev").mkdir()
    for minor in range(10):
        (tmp_path / f"dev/drbd{minor}").write_bytes(bytes(4096))
    kill = os.killpg
    monkeypatch.setattr(process, "_KILL_GRACE", 0.05)
    async with client.DeviceClient(tmp_path, limit=0.3) as devices:
        for minor in range(4):
            await devices.examine("/dev/drbd9")
            (pid,) = set(_openers()) - set(_held)
            _held.append(pid)
            with monkeypatch.context() as patch:  # asleep in the kernel: no signal has an effect
                patch.setattr(os, "killpg", lambda _pid, _signal: None)
                patch.setattr("subprocess.Popen.kill", lambda _self: None)
                os.kill(pid, signal.SIGSTOP)
                report = await devices.examine(f"/dev/drbd{minor}")
            assert report.opened == OpenResult.TIMED_OUT
        assert sorted(devices.stuck) == [f"/dev/drbd{minor}" for minor in range(4)]
        async with asyncio.timeout(0.25):  # at once: less than one limit
            for minor in (0, 1, 2, 3, 7):
                report = await devices.examine(f"/dev/drbd{minor}")
                assert report.opened == OpenResult.TIMED_OUT
        assert len(_openers()) == 4
        for pid in _held:
            kill(pid, signal.SIGKILL)
        async with asyncio.timeout(10):
            while devices.stuck:  # noqa: ASYNC110 - the kernel tells when it is done, not to us
                await asyncio.sleep(0.01)
        assert (await devices.examine("/dev/drbd0")).opened == OpenResult.OPENED
    _held.clear()


_held: list[int] = []


async def test_a_device_that_hangs_delays_no_other(devices: client.DeviceClient) -> None:
    await devices.examine("/dev/drbd1000")
    (pid,) = _openers()
    os.kill(pid, signal.SIGSTOP)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        hanging = group.create_task(devices.examine("/dev/drbd1000"))
        await asyncio.sleep(0)  # it takes the stopped opener
        assert (await devices.examine("/dev/drbd1001")).opened == OpenResult.OPENED
        assert not hanging.done()
        os.kill(pid, signal.SIGCONT)
        assert (await hanging).opened == OpenResult.OPENED


async def test_a_cancelled_question_leaves_no_answer_for_the_next(
    devices: client.DeviceClient,
) -> None:
    await devices.examine("/dev/drbd1000")
    (pid,) = _openers()
    os.kill(pid, signal.SIGSTOP)
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(devices.examine("/dev/drbd1001"))
        await asyncio.sleep(0)
        asked.cancel()
    report = await devices.examine("/dev/drbd1002")
    assert report.path == "/dev/drbd1002"


async def test_a_helper_that_does_not_work_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    async with client.DeviceClient(tmp_path) as devices:
        with pytest.raises(errors.ClientError) as caught:
            await devices.examine("/dev/drbd1000")
    assert caught.value.code == "device.helper"
    assert "opener.py" in caught.value.trouble.text
