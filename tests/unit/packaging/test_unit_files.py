# SPDX-License-Identifier: Apache-2.0
"""Our own units: systemd takes them without a word, they are as closed as was promised, and whatever is open has its reason beside it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tidegate.cli import gate

UNITS = Path(__file__).resolve().parents[3] / "packaging" / "systemd"
EXPOSURE = {
    "tidegate-agent.service": 2.6,
    "tidegate-ready.service": 1.5,
    "tidegate-guard.service": 1.5,
}
"""The most that ``systemd-analyze security`` may say (issue 5, "It must show" 6)."""
PROGRAM = "/opt/tidegate/bin/tidegate"


def text(name: str) -> str:
    return (UNITS / name).read_text(encoding="utf-8")


def settings(name: str) -> list[tuple[str, str]]:
    lines = (line.partition("=") for line in text(name).splitlines() if re.match(r"\w+=", line))
    return [(key, value) for key, _, value in lines]


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("name", EXPOSURE)
def test_its_exposure_is_as_promised(name: str) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(UNITS / name)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    told = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert told is not None, done.stderr
    assert float(told[1]) <= EXPOSURE[name], done.stdout


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("name", sorted(path.name for path in UNITS.iterdir()))
def test_systemd_takes_it_without_a_word(name: str, tmp_path: Path) -> None:
    """All units side by side; the program stands where the tests' own is."""
    for each in (path.name for path in UNITS.iterdir()):
        (tmp_path / each).write_text(text(each).replace(PROGRAM, sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / name)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    about_us = [line for line in done.stderr.splitlines() if "tidegate" in line or "cycle" in line]
    assert (done.returncode, about_us) == (0, [])


@pytest.mark.parametrize("name", EXPOSURE)
def test_what_is_open_has_its_reason_beside_it(name: str) -> None:
    """A comment right above whatever of the sandbox is less than its strictest."""
    lines = text(name).splitlines()
    # The reason stands above a block of settings that belong together.
    for setting in (
        "PrivateNetwork=no",
        "ProcSubset=all",
        "RestrictAddressFamilies=",
        "DeviceAllow=",
    ):
        if setting in {"DeviceAllow=", "ProcSubset=all"} and setting not in text(name):
            continue
        place = next(number for number, line in enumerate(lines) if line.startswith(setting))
        above = place
        while above and not lines[above - 1].startswith("#"):
            above -= 1
        assert place - above <= 2, f"{setting} has no reason beside it"


def test_the_gate_is_tied_so_that_it_cannot_hang_a_boot() -> None:
    """facts/incus.md U12, U13: wanted and never required, once per boot, ended when it hangs, never ordered before what it needs."""
    found = dict(settings("tidegate-ready.service"))
    assert (found["Type"], found["RemainAfterExit"]) == ("oneshot", "yes")
    # Stopped by hand, or ended because it hung, it does not hold a restart of Incus.
    began = f"/run/{found['RuntimeDirectory']}/{gate.BEGAN}"
    assert found["ConditionPathExists"] == f"!{began}"
    assert found["RuntimeDirectoryPreserve"] == "yes"
    assert found["After"] == "tidegate-agent.service"
    assert not {
        "Requires",
        "BindsTo",
        "Requisite",
        "PartOf",
        "Before",
        "DefaultDependencies",
    } & set(found)
    assert 0 < int(found["TimeoutStartSec"]) <= 60
    assert found["NotifyAccess"] == "main"
    assert found["ExecStart"].startswith(f"{PROGRAM} gate")


def test_the_agent_outlives_itself() -> None:
    """What recovery remembers of this boot lies in the run directory, which must not go with a crash."""
    found = dict(settings("tidegate-agent.service"))
    assert found["RuntimeDirectoryPreserve"] == "restart"
    assert (found["Restart"], found["Type"]) == ("always", "notify")
    assert "shutdown.target" in found["Conflicts"]
    assert "shutdown.target" in found["Before"]


def test_a_hung_guard_is_ended_and_one_that_always_hangs_closes_its_socket() -> None:
    """contract.md, safety 5: the start-rate limit closes it where starts are quick, its own last word where they are not."""
    found = dict(settings("tidegate-guard.service"))
    assert (found["Type"], found["Restart"], found["WatchdogSec"]) == ("notify", "always", "5")
    # Stopped by SIGSTOP it hears nothing else; any other signal would wait for a stop time-out on top.
    assert found["WatchdogSignal"] == "SIGKILL"
    interval, burst = int(found["StartLimitIntervalSec"]), int(found["StartLimitBurst"])
    assert (interval, burst) == (30, 5)
    assert burst * (int(found["WatchdogSec"]) + 0.1 + 0.5) < interval
    assert "tidegate-guard.socket" in found["Requires"]
    last_word = text("tidegate-guard.service").partition("ExecStopPost=+")[2]
    assert "stop tidegate-guard.socket" in last_word.partition("\nOOM")[0]


def test_the_guard_cannot_hold_a_boot_or_be_left_by_a_shutdown_too_early() -> None:
    found = dict(settings("tidegate-guard.service"))
    assert int(found["TimeoutStartSec"]) <= 5
    for name in ("tidegate-guard.service", "tidegate-guard.socket"):
        unit = dict(settings(name))
        assert {"incus.service", "shutdown.target"} <= set(unit["Before"].split())
        assert unit["Conflicts"] == "shutdown.target"
        assert unit["ConditionPathExists"] == "/var/lib/tidegate/guard.json"


def test_the_guard_is_nobody_and_gets_what_it_must_know_as_a_credential() -> None:
    found = dict(settings("tidegate-guard.service"))
    assert found["DynamicUser"] == "yes"
    assert found["LoadCredential"] == "guard.json:/var/lib/tidegate/guard.json"
    assert found["CapabilityBoundingSet"] == ""
    assert found["ExecStart"] == f"{PROGRAM} guard run"


def test_the_guard_listens_on_loopback_and_for_root_only() -> None:
    listens = [value for key, value in settings("tidegate-guard.socket") if key == "ListenStream"]
    assert listens == ["127.0.0.1:13370", "/run/tidegate-guard.sock"]
    assert dict(settings("tidegate-guard.socket"))["SocketMode"] == "0600"
