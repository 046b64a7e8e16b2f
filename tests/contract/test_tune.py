# SPDX-License-Identifier: Apache-2.0
"""``tidegate tune`` over a history of recorded boots, with the real JVM of this machine and stand-ins for LVM and ZFS."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tidegate.agent import tuneview, tuning
from tidegate.clients import process
from tidegate.config.model import AgentConfig, Config
from tidegate.core.ids import BootId
from tidegate.history.store import open_history
from tidegate.metrics.moments import Moment
from tidegate.tuning import advice
from tidegate.tuning.facts import HostFacts
from tidegate.tuning.result import Applied, Verdict, compare
from tidegate.units.host import Addition

SLOW_JVM = {
    Moment.SATELLITE_STARTED: 3.0,
    Moment.SATELLITE_LISTENING: 13.0,
    Moment.SATELLITE_ONLINE: 14.5,
    Moment.VOLUMES_READY: 14.7,
    Moment.LAST_INSTANCE: 16.0,
}
EPOCH = 1_795_000_000.0


def record(state: Path, began: float, moments: dict[Moment, float]) -> None:
    """Have the agent recorded a boot."""
    history, troubles = open_history(state / "history.db", BootId(f"boot-{began:.0f}"))
    assert troubles == ()
    history.begin_boot("n1", began)
    history.add_measures([(name.value, "", at) for name, at in moments.items()])
    history.close()


def tune(state: Path, *words: str, path: Path | None = None) -> tuple[int, str]:
    env = {**os.environ, "PATH": f"{path}:{os.environ['PATH']}"} if path else dict(os.environ)
    argv = [sys.executable, "-m", "tidegate", "tune", *words, "--state-dir", str(state)]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.needs("java")
def test_a_slow_jvm_is_the_first_advice_and_says_where_its_figure_comes_from(
    tmp_path: Path,
) -> None:
    for number in range(3):
        record(tmp_path, EPOCH + number, SLOW_JVM)
    code, text = tune(tmp_path, "--no-measure")
    assert code == 4, text
    assert "5.0 s  start the satellite's JVM with the serial collector" in text
    assert "0.5 × 10.0 s, the median of 3 recorded boots" in text
    assert "do it   tidegate tune apply jvm-flags" in text


@pytest.mark.needs("java")
async def test_the_flags_are_those_that_the_installed_jvm_accepts(tmp_path: Path) -> None:
    facts = await tuneview.look(Config(agent=AgentConfig(state_dir=str(tmp_path))), measure=False)
    assert facts.java is not None
    assert facts.java.accepts == frozenset(advice.FLAGS)
    refused = await process.run(["java", "-XX:+UseNoSuchGC", "-version"], deadline=60)
    assert refused.trouble is not None


def test_nothing_is_advised_on_a_host_whose_boots_are_short(tmp_path: Path) -> None:
    quick = {name: at / 20 for name, at in SLOW_JVM.items()}
    record(tmp_path, EPOCH, quick)
    code, text = tune(tmp_path, "--no-measure")
    assert (code, "nothing to advise" in text) == (0, True), text


def test_the_cost_of_listings_is_measured_with_the_satellites_own_words(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in {
        "lvs": 'case "$*" in *global_filter*) ;; *) sleep 0.3 ;; esac; echo "$@" >> '
        f"{tmp_path}/asked",
        "zfs": "exit 1",
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    code, text = tune(tmp_path, "--format", "json", path=programs)
    found = json.loads(text)
    asked = tmp_path / "asked"
    if any("just booted" in one for one in found["not_judged"]):
        assert not asked.exists()
        return
    assert code in {0, 4}
    words = asked.read_text().splitlines()
    assert len(words) == 2 * tuneview.RUNS
    assert all("-o lv_name,lv_path,lv_size,vg_name,pool_lv,data_percent" in line for line in words)


@pytest.mark.parametrize(
    "words", [("apply",), ("list", "x"), ("result",)], ids=["no-id", "id-too-many", "result"]
)
def test_what_makes_no_sense_is_said(tmp_path: Path, words: tuple[str, ...]) -> None:
    code, text = tune(tmp_path, *words)
    assert code == 2
    assert "take the ID of an advice" in text


def test_what_is_not_advised_is_not_applied(tmp_path: Path) -> None:
    code, text = tune(tmp_path, "apply", "jvm-flags", "--no-measure")
    assert code == 1
    assert "jvm-flags is not advised on this host" in text
    assert tune(tmp_path, "result", "jvm-flags")[0] == 1
    assert tune(tmp_path, "revert", "jvm-flags")[0] == 1


@pytest.mark.parametrize(
    ("unit", "file", "options", "where"),
    [
        ("", "", "", ""),
        ('Environment="JAVA_OPTS=-Xmx4G -XX:+UseSerialGC"', "", "-Xmx4G -XX:+UseSerialGC", ""),
        ("Environment=JAVA_OPTS=-Xmx4G", "# JAVA_OPTS=-Xmx1G", "-Xmx4G", ""),
        ("Environment=JAVA_OPTS=-Xmx4G", "JAVA_OPTS='-Xmx8G'", "-Xmx8G", "/etc/default/ls"),
    ],
    ids=["nothing", "unit", "comment", "file"],
)
def test_what_the_satellites_jvm_is_given_today(
    tmp_path: Path, unit: str, file: str, options: str, where: str
) -> None:
    path = tmp_path / "usr/lib/systemd/system/linstor-satellite.service"
    path.parent.mkdir(parents=True)
    path.write_text(f"[Service]\nExecStart=/s\nEnvironmentFile=-/etc/default/ls\n{unit}\n")
    (tmp_path / "etc/default").mkdir(parents=True)
    (tmp_path / "etc/default/ls").write_text(f"{file}\n")
    found = tuneview._satellite_unit(tmp_path)
    assert (found.java_options, found.java_options_file) == (options, where)


def test_the_drop_in_keeps_what_was_set_and_is_one_that_units_writes() -> None:
    facts = HostFacts(java_options="-Xmx4G")
    wanted: Any = type("Advised", (), {"id": "jvm-flags", "title": "flags"})()
    made = tuning._addition(wanted, facts)
    assert made == Addition(
        unit="linstor-satellite.service",
        topic="tune-jvm-flags",
        why="flags",
        sections={
            "Service": ('Environment="JAVA_OPTS=-Xmx4G -XX:+UseSerialGC -XX:TieredStopAtLevel=1"',)
        },
    )


def test_real_boots_before_and_after_give_the_result(tmp_path: Path) -> None:
    for number in range(3):
        record(tmp_path, EPOCH + number, SLOW_JVM)
    for number in range(3):
        shorter = {**SLOW_JVM, Moment.SATELLITE_LISTENING: 7.0 + number / 10}
        record(tmp_path, EPOCH + 100 + number, shorter)
    config = Config(agent=AgentConfig(state_dir=str(tmp_path)))
    noted = Applied(id="jvm-flags", measure="jvm", at=EPOCH + 50, expected=5.0)
    tuning._save(config, tuning.Notes(applied=(noted,)))
    assert compare(noted, tuneview.boots(config)).verdict is Verdict.FASTER
    code, text = tune(tmp_path, "result", "jvm-flags")
    assert code == 0
    assert "jvm-flags: faster (+5.9 s gained, 5.0 s expected)" in text
    assert "before  10.0 s, median of 3 boots (10.0 to 10.0)" in text
