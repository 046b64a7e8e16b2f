# SPDX-License-Identifier: Apache-2.0
import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tidegate.clients import process


async def test_output_of_a_program_is_returned() -> None:
    done = await process.run(["printf", "%s", "hello"], deadline=5)
    assert (done.returncode, done.stdout, done.trouble) == (0, b"hello", None)


async def test_what_is_given_to_a_program_reaches_it() -> None:
    done = await process.run(["cat"], deadline=5, stdin=b"x" * 300_000)
    assert done.stdout == b"x" * 300_000


async def test_a_program_that_does_not_read_is_no_trouble() -> None:
    done = await process.run(["true"], deadline=5, stdin=b"x" * 300_000)
    assert done.trouble is None


async def test_failure_names_command_status_and_last_words() -> None:
    done = await process.run(["sh", "-c", "echo 'no such thing' >&2; exit 3"], deadline=5)
    assert done.trouble is not None
    assert done.trouble.code == "process.failed"
    assert done.returncode == 3
    assert "exit status 3" in done.trouble.text
    assert "sh -c 'echo '\"'\"'no such thing" in done.trouble.text
    assert done.trouble.text.endswith("no such thing")


async def test_a_program_ended_by_a_signal_says_which() -> None:
    done = await process.run(["sh", "-c", "kill -SEGV $$"], deadline=5)
    assert done.trouble is not None
    assert "SIGSEGV" in done.trouble.text


async def test_a_missing_program_is_named() -> None:
    done = await process.run(["no-such-program-here", "--now"], deadline=5)
    assert done.trouble is not None
    assert done.trouble.code == "process.missing"
    assert "no-such-program-here" in done.trouble.text


async def test_a_file_that_cannot_be_executed_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    done = await process.run([str(tmp_path / "tool")], deadline=5)
    assert done.trouble is not None
    assert done.trouble.code == "process.failed"


async def test_the_deadline_ends_the_program_and_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"sleep 1000 & echo $$ $! > {pids}; wait"
    done = await process.run(["sh", "-c", script], deadline=0.3)
    assert done.trouble is not None
    assert done.trouble.code == "process.timeout"
    assert done.elapsed < 2
    for pid in pids.read_text().split():
        assert not _runs(int(pid))


async def test_a_program_that_ignores_sigterm_is_killed() -> None:
    script = "trap '' TERM; while :; do sleep 1000; done"
    done = await process.run(["sh", "-c", script], deadline=0.2)
    assert done.returncode == -signal.SIGKILL
    assert done.trouble is not None
    assert done.trouble.code == "process.timeout"


async def test_a_program_that_must_not_be_cut_off_gets_time_to_end() -> None:
    """LVM holds SIGTERM back while it has devices suspended."""
    script = "trap 'sleep 1.5; echo done; exit 3' TERM; while :; do sleep 0.05; done"
    done = await process.run(["sh", "-c", script], deadline=0.5, grace=30)
    assert (done.returncode, done.stdout) == (3, b"done\n")
    assert done.trouble is not None
    assert done.trouble.code == "process.timeout"


async def test_output_beyond_the_limit_is_dropped_and_said() -> None:
    code = "import sys; sys.stdout.write('y' * 500_000)"
    done = await process.run([sys.executable, "-c", code], deadline=10, max_output=1000)
    assert done.stdout == b"y" * 1000
    assert done.truncated


async def test_a_child_that_outlives_its_parent_does_not_hold_the_answer() -> None:
    done = await process.run(["sh", "-c", "sleep 1000 & echo done"], deadline=30)
    assert done.stdout == b"done\n"
    assert done.elapsed < 10


async def test_programs_run_in_the_c_locale_with_sbin_on_the_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("SECRET", "hidden")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    done = await process.run(["env"], deadline=5)
    lines = done.stdout.decode().splitlines()
    assert "LC_ALL=C" in lines
    assert any(line.startswith("PATH=/usr/bin:/bin:") and ":/sbin:" in line for line in lines)
    assert not any(line.startswith("SECRET") for line in lines)


async def test_cancelling_kills_the_program(tmp_path: Path) -> None:
    fifo = tmp_path / "started"
    os.mkfifo(fifo)
    async with asyncio.TaskGroup() as group:
        script = f"echo $$ > {fifo}; exec sleep 1000"
        task = group.create_task(process.run(["sh", "-c", script], deadline=1000))
        pid = int(await asyncio.to_thread(fifo.read_text))
        task.cancel()
    await _gone(pid)


async def test_children_that_cannot_be_killed_are_counted_and_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kill, started = os.killpg, list[int]()
    monkeypatch.setattr(process, "_TERM_GRACE", 0.05)
    monkeypatch.setattr(process, "_KILL_GRACE", 0.05)
    monkeypatch.setattr(process, "MAX_ABANDONED", 2)
    # A child in D state: no signal of ours has an effect.
    monkeypatch.setattr(os, "killpg", lambda pid, _signal: started.append(pid))
    monkeypatch.setattr("subprocess.Popen.kill", lambda _self: None)
    for _ in range(2):
        done = await process.run(["sleep", "1000"], deadline=0.05)
        assert done.trouble is not None
        assert done.returncode is None
        assert "cannot be killed" in done.trouble.text
    refused = await process.run(["true"], deadline=5)
    assert refused.trouble is not None
    assert refused.trouble.code == "process.refused"
    for pid in set(started):
        kill(pid, signal.SIGKILL)
    async with asyncio.timeout(10):
        while True:
            done = await process.run(["true"], deadline=5)
            if done.trouble is None:
                break
            await asyncio.sleep(0.01)
    assert done.returncode == 0


async def test_lines_come_while_the_program_runs() -> None:
    async with process.lines(["sh", "-c", "echo one; echo two; exec sleep 1000"]) as lines:
        seen: list[str] = []
        async with asyncio.timeout(10):
            while len(seen) < 2:
                seen += await lines.batch()
        assert seen == ["one", "two"]


async def test_the_end_of_a_telling_program_says_why() -> None:
    async with process.lines(["sh", "-c", "echo one; echo broken >&2; exit 20"]) as lines:
        seen = [line async for line in _all(lines)]
        end = lines.end()
    assert seen == ["one"]
    assert end.returncode == 20
    assert end.trouble is not None
    assert "broken" in end.trouble.text


async def test_a_reader_that_is_slow_loses_nothing() -> None:
    async with process.lines(["seq", "1", "400000"]) as lines:
        first = await lines.batch()
        await asyncio.sleep(0.05)  # let it run into its limit; correctness does not hang on it
        seen = first + [line async for line in _all(lines)]
    assert seen == [str(number) for number in range(1, 400001)]


async def test_a_line_without_end_is_not_waited_for() -> None:
    async with process.lines(["sh", "-c", "yes | tr -d '\\n'"], max_line=1000) as lines:
        async with asyncio.timeout(10):
            assert await lines.batch() == []


async def test_lines_of_a_missing_program_end_at_once() -> None:
    async with process.lines(["no-such-program-here"]) as lines:
        assert await lines.batch() == []
        end = lines.end()
    assert end.trouble is not None
    assert end.trouble.code == "process.missing"


async def test_leaving_the_block_ends_the_program() -> None:
    async with process.lines(["sh", "-c", "echo $$; exec sleep 1000"]) as lines:
        pid = int((await lines.batch())[0])
    await _gone(pid)


async def _all(lines: process.Lines) -> AsyncIterator[str]:
    while batch := await lines.batch():
        for line in batch:
            yield line


def _runs(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


async def _gone(pid: int) -> None:
    async with asyncio.timeout(10):
        while _runs(pid):  # noqa: ASYNC110 - the kernel tells no event
            await asyncio.sleep(0.01)
