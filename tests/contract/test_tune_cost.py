# SPDX-License-Identifier: Apache-2.0
"""What a look costs on a host with 1,000 volumes: seconds, nothing changed, ended at once by Ctrl-C, and never beside a boot or a resync.

What LVM answers is a recording of real LVM with 1,000 volumes, and so are the seconds after which it answers (``data/volumes``).
"""

import gzip
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.recordings import DATA
from tests.tuned_hosts import SLEEP, TunedHost

from tidegate.agent import tunecommands, tuneview, tuning
from tidegate.clients import clock
from tidegate.config.model import AgentConfig, Config, HostConfig, IncusConfig, Use
from tidegate.tuning.facts import HostFacts

VOLUMES = 1000
RECORDED = DATA / "volumes"
MEASURED = {one["name"]: one for one in json.loads((RECORDED / "measured.json").read_text())}
"""By name the words that were run, the lines of the answer, and the seconds of each run."""
ZFS = "tank/pvc-{n:04}_00000\t5368709120\t10737418240\tvolume\t16384\t-\t-"
SNAPSHOT = "tank/pvc-{n:04}_00000@back-{s}\t5368709120\t10737418240\tsnapshot\t-\t-\t-"
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TunedHost:
    """Four thin volumes, and as many zvols with three snapshots each."""
    return filled(TunedHost(tmp_path, monkeypatch), 4)


@pytest.fixture
def crowded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TunedHost:
    """1,000 of each, and LVM looks into as many zvols."""
    host = TunedHost(tmp_path, monkeypatch)
    for number in range(VOLUMES):
        host.write(f"var/lib/linstor.d/pvc-{number:04}.res", "resource x {}\n")
        host.write(f"sys/block/zd{number * 16}/size", "20971520\n")
    return filled(host, VOLUMES)


def filled(host: TunedHost, count: int) -> TunedHost:
    """Programs that answer as those of a host with ``count`` volumes do."""
    host.resources = count
    host.tell_drbd()
    lvs = gzip.decompress((RECORDED / "lvs-thin.txt.gz").read_bytes()).decode().splitlines(True)
    volumes = [ZFS.format(n=number) for number in range(count)]
    snapshots = [SNAPSHOT.format(n=number, s=s) for number in range(count) for s in range(3)]
    host.write("bin/volumes.txt", "\n".join([*volumes, ""]))
    host.write("bin/all.txt", "\n".join([*volumes, *snapshots, ""]))
    host.write("bin/lvs.txt", "".join(lvs[:count]))
    seconds = {name: statistics.median(one["seconds"]) for name, one in MEASURED.items()}
    host.program("lvs", f"sleep {seconds['lvs-200-loops']}; cat {host.programs}/lvs.txt")
    host.program(
        "pvdisplay",
        f"""case "$*" in *global_filter*) sleep {seconds["pvdisplay-200-loops-filtered"]} ;;
        *) sleep {seconds["pvdisplay-200-loops"]} ;; esac; echo "  /dev/sda" """,
    )
    every, plain = host.programs / "all.txt", host.programs / "volumes.txt"
    host.program("zfs", f'case "$*" in *snapshot*) cat {every} ;; *) cat {plain} ;; esac')
    host.program("zpool", "echo '\t/dev/sda'")
    show = host.programs / "show.json"
    show.write_text(show.read_text().replace("/dev/vg0/r1", "/dev/zvol/tank/r1"))
    host.boot(3)
    return host


def config(host: TunedHost) -> Config:
    return Config(
        host=HostConfig(root=str(host.root)),
        agent=AgentConfig(state_dir=str(host.state)),
        incus=IncusConfig(use=Use.OFF),
    )


async def test_a_look_takes_seconds_reads_only_and_counts_what_it_saw(crowded: TunedHost) -> None:
    before = crowded.tree()
    began = clock.boottime()
    facts = await tuneview.look(config(crowded), tuneview.Asked(), tuning.Notes())
    took = clock.boottime() - began
    assert isinstance(facts, HostFacts)
    assert (facts.resources, facts.udev_devices) == (VOLUMES + 4, VOLUMES)
    assert facts.timings["lvs"].lines == VOLUMES
    assert (facts.timings["zfs-list"].lines, facts.timings["zfs-list-volumes"].lines) == (
        4000,
        1000,
    )
    assert crowded.tree() == before
    assert facts.timings["lvs"].median < 10.0
    assert facts.groups == 1
    own = took - sum(sum(timing.seconds) for timing in facts.timings.values())
    assert own < 30.0, f"{took:.1f} s, of which {own:.1f} s are ours"


def test_what_was_recorded_are_the_words_that_we_time() -> None:
    """And so a satellite's (facts/linstor.md 8.2)."""
    lvs, pvdisplay = MEASURED["lvs-thin"]["words"], MEASURED["pvdisplay-thin"]["words"]
    assert tuple(pvdisplay) == tunecommands.physical_volumes("vg0")
    assert lvs == ["lvs", *lvs[1:3], *tunecommands.LISTED, "vg0"]
    text = gzip.decompress((RECORDED / "lvs-thin.txt.gz").read_bytes()).decode()
    assert text.count("\n") == MEASURED["lvs-thin"]["lines"] == VOLUMES + 1


async def test_a_command_that_hangs_is_ended_and_the_others_are_timed(
    host: TunedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.program("pvdisplay", "exec sleep 600")
    monkeypatch.setattr(tunecommands, "WITHIN", 0.5)
    facts = await tuneview.look(config(host), tuneview.Asked(), tuning.Notes())
    assert isinstance(facts, HostFacts)
    assert "pvdisplay" not in facts.timings
    assert "lvs" in facts.timings


async def test_nothing_is_timed_once_it_has_taken_long_enough(
    host: TunedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tunecommands, "IN_ALL", -1.0)
    facts = await tuneview.look(config(host), tuneview.Asked(), tuning.Notes())
    assert isinstance(facts, HostFacts)
    assert facts.timings == {}
    assert "it has taken -1 s already" in facts.not_timed


@pytest.mark.parametrize("state", ["SyncTarget", "SyncSource", "PausedSyncT", "VerifyS"])
def test_nothing_is_run_while_a_resync_goes_on(
    host: TunedHost, capsys: Capture, state: str
) -> None:
    asked = host.root / "asked"
    for name in ("lvs", "zfs", "pvdisplay", "java"):
        host.program(name, f"echo {name} >> {asked}")
    text = (host.programs / "status.json").read_text().replace("Established", state, 1)
    (host.programs / "status.json").write_text(text)
    host.tune("--write-test", str(host.root))
    assert "no command was timed: r0 is being resynchronised" in capsys.readouterr().out
    assert not asked.exists()
    assert not list(host.root.glob(".tidegate-*"))


def test_nothing_is_run_while_the_host_boots(
    host: TunedHost, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = host.root / "asked"
    for name in ("lvs", "zfs", "pvdisplay", "java"):
        host.program(name, f"echo {name} >> {asked}")
    monkeypatch.setattr(clock, "boottime", lambda: 40.0)
    host.tune()
    assert "no command was timed: this host has just booted" in capsys.readouterr().out
    assert not asked.exists()


async def test_a_resync_that_begins_meanwhile_ends_it(host: TunedHost) -> None:
    status = host.programs / "status.json"
    syncing = status.read_text().replace("Established", "SyncTarget", 1)
    host.write("bin/syncing.json", syncing)
    host.program("lvs", f"cp {host.programs}/syncing.json {status}; echo x")
    facts = await tuneview.look(config(host), tuneview.Asked(), tuning.Notes())
    assert isinstance(facts, HostFacts)
    assert "lvs" in facts.timings
    assert "zfs-list" not in facts.timings
    assert facts.not_timed == "r0 is being resynchronised"


def test_ctrl_c_ends_it_and_the_command_that_runs(host: TunedHost) -> None:
    """As a person would: the signal to the whole terminal, and nothing of ours goes on."""
    pid = host.root / "pid"
    host.program("lvs", f"echo $$ > {pid}; exec {SLEEP % 600}")
    # Where the tests run in the background, SIGINT is ignored, and what they start inherits that.
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); from tidegate.clients import clock; clock.boottime = lambda b=clock.boottime: b() + 3600.0; from tidegate.cli import main; sys.exit(main.main())"
    words = [sys.executable, "-c", code, "tune", "--state-dir", str(host.state)]
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ)
    )
    try:
        await_text(pid)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert not Path(f"/proc/{pid.read_text().strip()}").exists()


def await_text(path: Path) -> None:
    """Until a program that we started has written ``path``."""
    until = time.monotonic() + 60
    while not (path.exists() and path.read_text().strip()):
        assert time.monotonic() < until, f"{path} is not written"
        time.sleep(0.02)


def test_writes_are_measured_only_if_asked_and_leave_nothing(
    host: TunedHost, capsys: Capture
) -> None:
    place = host.root / "srv"
    place.mkdir()
    host.tune()
    assert "small synced write" not in capsys.readouterr().out
    host.tune("--write-test", str(place))
    text = capsys.readouterr().out
    assert f"a small synced write in {place}" in text
    assert "[measured 2026-" in text
    assert list(place.iterdir()) == []
    assert host.tune("--write-test", str(place / "nowhere")) == 1
    assert "no writes can be measured" in capsys.readouterr().err
