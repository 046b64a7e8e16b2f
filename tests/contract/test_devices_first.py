# SPDX-License-Identifier: Apache-2.0
"""``tidegate devices`` as a person or a unit runs it, on a node with kept .res files, its programs being stand-ins."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.kept_resources import Node

pytestmark = pytest.mark.needs("drbdadm")
WITHIN = 60.0


@pytest.fixture
def node(tmp_path: Path) -> Node:
    real = shutil.which("drbdadm")
    assert real is not None
    return Node(tmp_path, real)


def start(node: Node, verb: str, *more: str, env: dict[str, str] | None = None) -> Any:
    config = node.base / "tidegate.toml"
    if not config.exists():
        node.configuration()
    argv = [sys.executable, "-m", "tidegate", "devices", verb, "--config", str(config), *more]
    return subprocess.Popen(
        argv,
        env=node.environment() | (env or {}),
        text=True,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def run(node: Node, verb: str, *more: str) -> tuple[int, str]:
    process = start(node, verb, *more)
    out, err = process.communicate(timeout=WITHIN)
    return process.returncode, out + err


def test_what_is_wanted_comes_up_and_nothing_else(node: Node) -> None:
    for minor, name in enumerate(("c1", "c2", "other")):
        node.keep(name, 1000 + minor)
    node.want("c1", "c2")
    code, text = run(node, "up")
    assert (code, node.up()) == (0, ["c1", "c2"]), text
    assert sorted(node.log()) == [
        "adjust c1",
        "adjust c2",
        "lvchange -ay -K vg0/c1_00000",
        "lvchange -ay -K vg0/c2_00000",
    ]
    assert "c1: brought up" in text
    assert "other" not in text


def test_a_second_run_changes_nothing(node: Node) -> None:
    node.keep("c1", 1000)
    node.want("c1")
    run(node, "up")
    before = node.log()
    code, text = run(node, "up")
    assert code == 0, text
    assert node.log() == before
    assert "c1: it is up already" in text


def test_plan_changes_nothing_and_says_what_would_be(node: Node) -> None:
    node.keep("c1", 1000)
    node.keep("torn", 1001).write_text('resource "torn" {')
    node.keep("old", 1003)
    node.want("c1", "torn", "gone")
    code, text = run(node, "plan", "--format", "json")
    found = {each["resource"]: each for each in json.loads(text)["resources"]}
    assert code == 4
    assert found["c1"]["text"] == "would be activated first: vg0/c1_00000"
    assert found["torn"]["code"] == "bringup.file-torn"
    assert found["gone"]["code"] == "bringup.no-file"
    assert found["old"]["code"] == "bringup.not-wanted"
    assert node.log() == []


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda node: (node.base / "meta/1000").write_text("none"), "no DRBD metadata that fits"),
        (lambda node: (node.base / "meta/1000").write_text("big"), "the nodes agreed upon"),
        (lambda node: node.keep("c1", 1000, disk="/dev/mapper/Linstor-Crypt-c1"), "LUKS"),
        (lambda node: node.keep("c1", 1000).write_bytes(b""), "holds no resource"),
        (lambda node: node.keep("twin", 1000), "is claimed by twin too"),
        (lambda node: node.block("fail-adjust"), "Device minor not allocated"),
    ],
    ids=["no-metadata", "too-small", "luks", "empty", "twin", "adjust"],
)
def test_what_is_not_sure_is_left_to_linstor(node: Node, spoil: Any, says: str) -> None:
    node.keep("c1", 1000)
    node.keep("c2", 1001)
    node.want("c1", "c2", "twin")
    spoil(node)
    code, text = run(node, "up")
    assert code in {1, 4}
    assert says in text
    assert "c1" not in node.up()


def test_a_running_satellite_is_left_alone(node: Node) -> None:
    node.keep("c1", 1000)
    node.want("c1")
    node.start_satellite()
    code, text = run(node, "up")
    assert (code, node.log()) == (4, [])
    assert "the satellite runs already" in text


def test_without_a_map_nothing_is_taken_unless_all_is_asked_for(node: Node) -> None:
    node.keep("c1", 1000)
    code, text = run(node, "up")
    assert (code, node.log()) == (4, [])
    assert "not known yet what is wanted" in text
    assert run(node, "up", "--all")[0] == 0
    assert node.up() == ["c1"]


def test_a_disk_that_comes_late_is_waited_for(node: Node) -> None:
    node.keep("c1", 1000, lv=False)
    node.keep("c2", 1001)
    node.want("c1", "c2")
    process = start(node, "up")
    assert "c2: brought up" in _until(process, "c2: brought up")
    node.find("c1")
    _out, err = process.communicate(timeout=WITHIN)
    assert (process.returncode, node.up()) == (0, ["c1", "c2"]), err


def _until(process: Any, words: str) -> str:
    read = ""
    while words not in read:
        line = process.stdout.readline()
        assert line, read
        read += line
    return read


def test_the_boot_goes_on_at_the_limit_while_a_program_hangs(node: Node, tmp_path: Path) -> None:
    """systemd is told "ready"; the work goes on beside the satellite, and ends when that runs."""
    node.keep("c1", 1000)
    node.want("c1")
    node.block("hang-lvchange")
    node.configuration(limit=0.5)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(WITHIN)
        began = time.monotonic()
        process = start(node, "up", env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        told = systemd.recv(4096).decode()
        took = time.monotonic() - began
        still = process.poll() is None
        node.start_satellite()
        process.communicate(timeout=WITHIN)
    assert "READY=1" in told
    assert "goes on beside" in told
    assert took < 5  # the limit, and the start of a program on a busy machine
    assert still
    assert process.returncode == 4
    assert node.up() == []


@pytest.mark.parametrize("seed", range(20261124, 20261130))
def test_killed_anywhere_and_begun_again_it_comes_to_the_same_end(node: Node, seed: int) -> None:
    names = [f"c{number}" for number in range(6)]
    for minor, name in enumerate(names):
        node.keep(name, 1000 + minor)
    node.want(*names)
    wait = random.Random(seed).uniform(0.3, 1.2)
    process = start(node, "up")
    time.sleep(wait)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=WITHIN)
    code, text = run(node, "up")
    assert (code, node.up()) == (0, names), text
    assert {line.split()[0] for line in node.log()} == {"adjust", "lvchange"}


def test_verify_says_how_each_stands(node: Node) -> None:
    node.keep("c1", 1000)
    node.want("c1", "gone")
    (node.base / "root/sys/module/drbd/version").unlink()
    code, text = run(node, "verify")
    assert code == 1
    assert "c1    not up\n" in text
    assert "gone  not up, and LINSTOR has left no file of it on this node" in text
