# SPDX-License-Identifier: Apache-2.0
"""The lab's drbdsetup turns two dumps into the lines that a running ``events2`` prints, readable by our own parser."""

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.lab import golden

from tidegate.clients.drbd import events2

PROGRAM = golden.HERE / "rootfs/usr/lib/lab/drbdsetup.py"
BEFORE = [
    "exists resource name:r1 role:Secondary suspended:no",
    "exists device name:r1 volume:0 minor:1000 disk:Attaching",
    "exists resource name:r2 role:Secondary suspended:no",
    "exists -",
]
AFTER = [
    "exists resource name:r1 role:Secondary suspended:no",
    "exists device name:r1 volume:0 minor:1000 disk:UpToDate",
    "exists resource name:r3 role:Secondary suspended:no",
    "exists -",
]


@pytest.fixture
def program() -> dict[str, Any]:
    return runpy.run_path(str(PROGRAM))


def test_what_changed_between_two_dumps_is_said_as_drbdsetup_says_it(
    program: dict[str, Any],
) -> None:
    keyed: Callable[[list[str]], dict[str, str]] = program["keyed"]
    lines = program["changes"](keyed(BEFORE), keyed(AFTER))
    assert lines == [
        "destroy resource name:r2",
        "change device name:r1 volume:0 minor:1000 disk:UpToDate",
        "create resource name:r3 role:Secondary suspended:no",
    ]
    assert all(isinstance(events2.parse(line), events2.Event) for line in lines)


def test_without_the_module_it_fails_as_the_real_one(
    program: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    if Path("/sys/module/drbd").exists():
        pytest.skip("this host has DRBD")
    assert program["main"](["status", "--json"]) == 20
    assert "netlink" in capsys.readouterr().err
