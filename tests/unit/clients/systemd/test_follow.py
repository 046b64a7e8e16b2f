# SPDX-License-Identifier: Apache-2.0
"""journalctl's JSON, from a program that plays journalctl's part."""

import contextlib
import json
from pathlib import Path

import pytest

from tidegate.clients import errors
from tidegate.clients.systemd import follow
from tidegate.clients.systemd.follow import Journal, Line

ENTRY = {
    "MESSAGE": "hello",
    "_SYSTEMD_UNIT": "s.service",
    "_TRANSPORT": "stdout",
    "_PID": "7",
    "__MONOTONIC_TIMESTAMP": "1500000",
}


def program(tmp_path: Path, body: str) -> str:
    path = tmp_path / "journalctl"
    path.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\n{body}\n')
    path.chmod(0o755)
    return str(path)


async def followed(journal: Journal, into: list[Line]) -> None:
    async with contextlib.aclosing(journal.follow()) as stream:
        async for batch in stream:
            into += batch


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({}, "hello"),
        ({"MESSAGE": [104, 105, 255]}, "hi�"),
        ({"MESSAGE": ["first", "second"]}, "first"),
        ({"MESSAGE": None}, ""),
    ],
)
def test_odd_messages(change: dict[str, object], text: str) -> None:
    line = follow.parse(json.dumps(ENTRY | change))
    assert line == Line(at=1.5, unit="s.service", pid=7, text=text)


@pytest.mark.parametrize(
    "raw",
    ["", "{", "[]", "null", '{"__MONOTONIC_TIMESTAMP":"x"}', '{"_PID":"x"}', '{"MESSAGE":{}}'],
)
def test_what_is_no_entry_is_left_out(raw: str) -> None:
    assert follow.parse(raw) is None


async def test_the_kernel_and_the_units_are_asked_for(tmp_path: Path) -> None:
    path = program(tmp_path, f"echo '{json.dumps(ENTRY)}'; echo rubbish")
    lines = await Journal(("s.service", "i.service"), journalctl=path).read()
    assert [line.text for line in lines] == ["hello"]
    asked = (tmp_path / "asked").read_text()
    assert "_SYSTEMD_UNIT=s.service + _SYSTEMD_UNIT=i.service + _TRANSPORT=kernel" in asked
    assert "--boot" in asked


async def test_lines_come_as_they_are_written_and_the_end_is_told(tmp_path: Path) -> None:
    entry = json.dumps(ENTRY)
    path = program(tmp_path, f"echo '{entry}'; read -t 0.2 x; echo '{entry}'; exit 0")
    seen: list[Line] = []
    with pytest.raises(errors.ClientError) as told:
        await followed(Journal((), journalctl=path), seen)
    assert len(seen) == 2
    assert told.value.code == "journal.lost"
    assert "--follow" in (tmp_path / "asked").read_text()


async def test_no_journalctl(tmp_path: Path) -> None:
    journal = Journal((), journalctl=str(tmp_path / "missing"))
    with pytest.raises(errors.ClientError) as told:
        await journal.read()
    assert told.value.code == "journal.no-tool"
    with pytest.raises(errors.ClientError) as ended:
        await followed(journal, [])
    assert ended.value.code == "journal.no-tool"


async def test_one_that_hangs_is_given_up(tmp_path: Path) -> None:
    journal = Journal((), journalctl=program(tmp_path, "exec sleep 60"), deadline=0.2)
    with pytest.raises(errors.ClientError) as told:
        await journal.read()
    assert told.value.code == "journal.failed"
