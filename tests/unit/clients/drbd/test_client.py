# SPDX-License-Identifier: Apache-2.0
import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.recordings import DATA

from tidegate.clients import errors
from tidegate.clients.drbd import client, state

DUMP = (
    DATA
    / "drbd"
    / "two-guests_kmod-9.3.3_utils-9.34.0"
    / "n1"
    / "37-split-brain-standalone"
    / "events2-full-timestamps-now.txt"
)

Make = Callable[[str], client.DrbdClient]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A client whose drbdsetup is a shell script with the given body."""

    def build(body: str) -> client.DrbdClient:
        tool = tmp_path / "drbdsetup"
        tool.write_text(f"#!/bin/sh\n{body}\n")
        tool.chmod(0o755)
        return client.DrbdClient(drbdsetup=str(tool), module_file=None)

    return build


async def test_snapshot_reads_everything_at_once(make: Make) -> None:
    drbd = make(f'[ "$*" = "events2 --now --full" ] || exit 20; cat "{DUMP}"')
    told = await drbd.snapshot()
    assert told.resources["pvc-r0"].connections[0].state == "StandAlone"


async def test_status_and_quorum_come_from_json(make: Make) -> None:
    drbd = make(
        'case "$*" in "status --json") echo "[ ]";; '
        """"show --json") echo '[{"resource": "r", "options": {"quorum": "off"}}]';; """
        "*) exit 20;; esac"
    )
    assert await drbd.status() == ()
    assert await drbd.quorum_policies() == {"r": "off"}


async def test_no_program_says_what_to_install(tmp_path: Path) -> None:
    drbd = client.DrbdClient(drbdsetup=str(tmp_path / "drbdsetup"), module_file=None)
    with pytest.raises(errors.ClientError) as caught:
        await drbd.snapshot()
    assert caught.value.code == "drbd.no-tool"
    assert "drbd-utils" in caught.value.trouble.hint


async def test_without_the_module_nothing_is_run(tmp_path: Path) -> None:
    # Any call of drbdsetup would load the module: an observer must not.
    tool = tmp_path / "drbdsetup"
    tool.write_text(f"#!/bin/sh\ntouch {tmp_path}/was-run\n")
    tool.chmod(0o755)
    drbd = client.DrbdClient(drbdsetup=str(tool), module_file=tmp_path / "version")
    for call in (drbd.snapshot, drbd.status, drbd.quorum_policies):
        with pytest.raises(errors.ClientError) as caught:
            await call()
        assert caught.value.code == "drbd.no-module"
    with pytest.raises(errors.ClientError):
        await anext(drbd.stream())
    assert not (tmp_path / "was-run").exists()


async def test_a_module_that_cannot_be_loaded(make: Make) -> None:
    drbd = make('echo "Failed to modprobe drbd (Success)" >&2; exit 20')
    with pytest.raises(errors.ClientError) as caught:
        await drbd.status()
    assert caught.value.code == "drbd.no-module"


async def test_other_failures_carry_command_and_last_words(make: Make) -> None:
    drbd = make('echo "API mismatch!" >&2; exit 20')
    with pytest.raises(errors.ClientError) as caught:
        await drbd.status()
    assert caught.value.code == "drbd.failed"
    assert "status --json" in caught.value.trouble.text
    assert "API mismatch!" in caught.value.trouble.text


async def test_a_hanging_program_is_a_timeout(tmp_path: Path) -> None:
    tool = tmp_path / "drbdsetup"
    tool.write_text("#!/bin/sh\nexec sleep 1000\n")
    tool.chmod(0o755)
    drbd = client.DrbdClient(drbdsetup=str(tool), module_file=None, deadline=0.2)
    with pytest.raises(errors.ClientError) as caught:
        await drbd.snapshot()
    assert caught.value.code == "drbd.timeout"
    with pytest.raises(errors.ClientError) as caught:
        await anext(drbd.stream())
    assert caught.value.code == "drbd.timeout"


@pytest.mark.parametrize("body", ["echo exists resource name:r", "echo '[oops'", "true"])
async def test_answers_that_make_no_sense_are_garbage(make: Make, body: str) -> None:
    drbd = make(body)
    with pytest.raises(errors.ClientError) as caught:
        await drbd.snapshot()
    assert caught.value.code == "drbd.garbage"
    with pytest.raises(errors.ClientError) as caught:
        await drbd.status()
    assert caught.value.code == "drbd.garbage"


async def test_the_stream_tells_the_start_and_then_what_happens(make: Make, tmp_path: Path) -> None:
    go = tmp_path / "go"
    drbd = make(
        f"""[ "$*" = "events2 --full" ] || exit 20
        mkfifo {go}
        echo exists resource name:r role:Secondary
        echo exists -
        read word < {go}
        echo change resource name:r role:Primary
        exec sleep 1000"""
    )
    told = state.State()
    async with asyncio.timeout(10), contextlib.aclosing(drbd.stream()) as stream:
        async for events in stream:
            told = state.fold(told, events)
            if told.complete and told.resources["r"].role == "Secondary":
                await asyncio.to_thread(go.write_text, "go\n")
            if told.resources["r"].role == "Primary":
                break
    assert told.complete


async def test_a_stream_that_ends_is_lost_not_silent(make: Make) -> None:
    drbd = make("echo exists -")
    with pytest.raises(errors.ClientError) as caught:
        async for _ in drbd.stream():
            pass
    assert caught.value.code == "drbd.lost"


async def test_a_stream_cut_in_the_middle_is_not_believed(make: Make) -> None:
    drbd = make("echo exists -; echo change device name:r vol; exec sleep 1000")
    with pytest.raises(errors.ClientError) as caught:
        async for _ in drbd.stream():
            pass
    assert caught.value.code == "drbd.garbage"
