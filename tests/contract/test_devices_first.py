# SPDX-License-Identifier: Apache-2.0
"""``tidegate devices`` as a person or a unit runs it, on a node with kept .res files, its programs being stand-ins."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
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
    assert sorted(node.log()) == sorted(
        line
        for minor, name in enumerate(("c1", "c2"), start=1000)
        for line in (
            f"lvchange -ay -K vg0/{name}_00000",
            f"adjust {name}",
            *(f"{verb} {name}" for verb in ("new-resource", "new-minor", "new-peer", "new-path")),
            f"attach {minor}",
            f"connect {name}",
        )
    )
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
        (lambda node: node.block("fail-attach"), "Device minor not allocated"),
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


class Systemd:
    """What systemd is told, and when."""

    def __init__(self, place: Path) -> None:
        self.env = {"NOTIFY_SOCKET": str(place)}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(place))
        self._socket.settimeout(WITHIN)
        self._began = time.monotonic()

    def ready(self) -> tuple[str, float]:
        """Wait for "ready"; returns all that it came with, and the seconds it took."""
        while True:
            told = self._socket.recv(4096).decode()
            if "READY=1" in told.splitlines():
                return told, time.monotonic() - self._began

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    found = Systemd(tmp_path / "notify")
    yield found
    found.close()


def test_the_boot_goes_on_at_the_limit_while_a_program_hangs(node: Node, systemd: Systemd) -> None:
    """systemd is told "ready"; the work goes on beside the satellite, and ends when that runs."""
    node.keep("c1", 1000)
    node.want("c1")
    node.block("hang-lvchange")
    node.configuration(limit=0.5)
    process = start(node, "up", env=systemd.env)
    told, took = systemd.ready()
    still = process.poll() is None
    node.start_satellite()
    node.unblock("hang-lvchange")
    process.communicate(timeout=WITHIN)
    assert "goes on beside" in told
    assert took < 5  # the limit, and the start of a program on a busy machine
    assert still
    assert process.returncode == 4
    assert node.up() == [], "the satellite runs: what came of the hanging program is its matter"


def test_a_disk_that_does_not_come_holds_nobody(node: Node, systemd: Systemd) -> None:
    """While nothing is at work the satellite's start goes on; a disk that comes meanwhile is still taken."""
    node.keep("c1", 1000)
    node.keep("c2", 1001, lv=False)
    node.want("c1", "c2")
    node.configuration(limit=50.0, end=50.0)
    process = start(node, "up", env=systemd.env)
    told, took = systemd.ready()
    assert "waits for disks beside the satellite's start" in told
    assert took < 20, "long before the limit"
    assert node.up() == ["c1"]
    node.find("c2")
    process.communicate(timeout=WITHIN)
    assert (process.returncode, node.up()) == (0, ["c1", "c2"])


def test_a_module_that_is_late_is_waited_for_and_an_old_one_is_left(node: Node) -> None:
    node.keep("c1", 1000)
    node.want("c1")
    node.load_module("8.4.11")
    code, text = run(node, "up")
    assert (code, node.log()) == (4, [])
    assert "version 8.4.11, and LINSTOR needs 9" in text
    node.load_module(None)
    process = start(node, "up")
    assert "the module drbd is not loaded" in _until(process, "not loaded")
    node.load_module("9.3.3")
    process.communicate(timeout=WITHIN)
    assert (process.returncode, node.up()) == (0, ["c1"])


def test_a_tie_breaker_needs_no_disk(node: Node) -> None:
    """Without LVM and without metadata: it gives the others their quorum (`everything`, docs/install.md)."""
    node.keep("tie", 1000, disk="none")
    code, text = run(node, "up", "--all")
    assert (code, node.up()) == (0, ["tie"]), text
    assert not [line for line in node.log() if line.startswith(("lvchange", "attach"))]


def test_one_sick_volume_group_takes_no_other_along(node: Node) -> None:
    node.keep("c1", 1000)
    node.want("c1")
    node.block("sick-group")
    assert run(node, "up")[0] == 0
    assert node.up() == ["c1"]


def test_a_second_one_at_the_same_time_is_turned_away(node: Node) -> None:
    node.keep("c1", 1000)
    node.want("c1")
    node.block("hang-lvchange")
    first = start(node, "up")
    while not node.log():
        assert first.poll() is None
        time.sleep(0.02)
    code, text = run(node, "up")
    assert code == 1
    assert "another `tidegate devices up` is at work" in text
    node.unblock("hang-lvchange")
    first.communicate(timeout=WITHIN)
    assert (first.returncode, node.up()) == (0, ["c1"])


def small(node: Node) -> None:
    """One volume with metadata elsewhere: every kind of step is in it."""
    node.keep("c1", 1000, meta=True)
    node.want("c1")


STEPS = 15
"""How many programs the run above starts, those that drbdadm starts included; checked below."""


def test_the_steps_of_a_run(node: Node) -> None:
    small(node)
    assert run(node, "up")[0] == 0
    assert len(node.steps()) == STEPS
    assert {"drbdadm", "drbdsetup", "drbdmeta", "lvs", "lvchange"} == set(node.steps())


@pytest.mark.parametrize("at", range(STEPS))
def test_killed_at_any_step_and_begun_again_it_comes_to_the_same_end(node: Node, at: int) -> None:
    """kill -9 of us and of what we started, right after the program of that step has done its work."""
    small(node)
    node.kill_at(at, "after")
    process = start(node, "up")
    node.name_victim(process.pid)
    process.communicate(timeout=WITHIN)
    assert process.returncode == -signal.SIGKILL
    code, text = run(node, "up")
    assert (code, node.up()) == (0, ["c1"]), text
    volume = {"minor": 1000, "disk": "/dev/vg0/c1_00000", "client": False}
    assert node.kernel()["c1"]["volumes"] == {"0": {**volume, "meta": "/dev/vg0/c1.meta_00000"}}
    assert "FORBIDDEN" not in " ".join(node.log())


def test_what_somebody_else_left_half_up_is_not_touched(node: Node) -> None:
    """Detached or disconnected by a person: only what we began ourselves is finished."""
    node.keep("c1", 1000)
    node.want("c1")
    run(node, "up")
    node.detach("c1")
    before = node.kernel()
    code, text = run(node, "up")
    assert (code, node.kernel()) == (0, before)
    assert "c1: it is up already" in text


def test_a_failed_try_is_repeated_once_and_finished_by_the_next_run(node: Node) -> None:
    node.keep("c1", 1000)
    node.want("c1")
    node.block("fail-attach")
    code, text = run(node, "up")
    assert code == 1
    assert "the satellite brings it up as always" in text
    assert node.log().count("adjust c1") == 2
    node.unblock("fail-attach")
    assert run(node, "up")[0] == 0
    assert node.up() == ["c1"]


def test_of_minors_that_are_taken_nothing_is_touched(node: Node) -> None:
    node.keep("old", 1000)
    node.want("old")
    run(node, "up")
    node.keep("c1", 1000)
    node.want("c1")
    before = node.kernel()
    code, text = run(node, "up")
    assert (code, node.kernel()) == (4, before)
    assert "its minor 1000 belongs to old, which is up" in text


def test_what_linstor_was_deleting_is_left_also_when_all_is_taken(node: Node) -> None:
    node.keep("c1", 1000)
    node.keep("c2", 1001)
    node.want("c1", "c2", reserved={"c2": "LINSTOR was deleting it when it was last asked"})
    code, text = run(node, "up", "--all")
    assert (code, node.up()) == (4, ["c1"])
    assert "c2: LINSTOR was deleting it" in text


def test_verify_says_how_each_stands(node: Node) -> None:
    node.keep("c1", 1000)
    node.want("c1", "gone")
    node.load_module(None)
    code, text = run(node, "verify")
    assert code == 1
    assert "c1    not up\n" in text
    assert "gone  not up, and LINSTOR has left no file of it on this node" in text
    node.load_module("9.3.3")
    node.want("c1")
    assert run(node, "up")[0] == 0
    code, text = run(node, "verify")
    assert (code, text) == (4, "c1  volume 0 UpToDate, peer Connecting\n"), "the peer is off"
