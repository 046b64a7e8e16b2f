# SPDX-License-Identifier: Apache-2.0
"""The outside observer: sees from the host which containers run, without asking Incus (its socket would start it).

A container runs when its payload cgroup holds a process that has become ``/sbin/init``. When Incus's first pass was over is asked of
systemd (``incus.service`` turns active only after Incus's own autostart: facts/observed.md).
"""

import contextlib
import re
from pathlib import Path

from tests.lab import host, machine

INIT = b"/sbin/init"


def _is_init(pid: str) -> bool:
    with contextlib.suppress(OSError):
        return INIT in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return False


def container_pid(cgroup: Path, name: str) -> int | None:
    """The host's number of container ``name``'s init, or None while it does not run."""
    try:
        pids = (cgroup / f"lxc.payload.{name}" / "cgroup.procs").read_text().split()
    except OSError:
        return None
    return next((int(pid) for pid in pids if _is_init(pid)), None)


class Watch:
    """Starts and ends of the containers ``names`` of one machine's boot, in its seconds."""

    def __init__(self, booted: machine.Machine, names: tuple[str, ...]) -> None:
        self._machine = booted
        self._now: dict[str, int | None] = dict.fromkeys(names)
        self.starts: dict[str, list[float]] = {name: [] for name in names}
        self.first_pass: float | None = None
        self.api: float | None = None

    def look(self) -> None:
        """Look once; as exact as the caller is often."""
        for name, before in self._now.items():
            pid = container_pid(self._machine.cgroup, name)
            if pid is not None and pid != before:
                self.starts[name].append(round(self._machine.now(), 3))
            self._now[name] = pid

    @property
    def all_run(self) -> bool:
        """Whether every container runs at the last look."""
        return all(pid is not None for pid in self._now.values())

    def running(self, name: str) -> bool:
        """Whether ``name`` ran at the last look."""
        return self._now[name] is not None

    def ask_first_pass(self) -> float | None:
        """When ``incus.service`` first turned active (seconds), or None; remembers the first answer, and with it when Incus's API answered.

        That is when ``incus-startup.service`` was done: its program asks Incus for ``/1.0`` (facts/incus.md U3).
        """
        if self.first_pass is None:
            self.first_pass = entered_active(self._machine, "incus.service")
        if self.api is None:
            self.api = entered_active(self._machine, "incus-startup.service")
        return self.first_pass


def entered_active(booted: machine.Machine, unit: str) -> float | None:
    """When ``unit`` last turned active (seconds), or None when it did not in this boot."""
    key = "ActiveEnterTimestampMonotonic"
    answer = booted.exec(["systemctl", "show", unit, f"--property={key}"], check=False)
    found = re.search(rf"{key}=(\d+)", answer)
    return int(found[1]) / 1e6 if found and int(found[1]) else None


def attempts(text: str) -> int:
    """How many of its attempts at instances Incus spent in vain, by its journal."""
    return text.count("Failed auto start instance attempt")


def journal(directory: Path, *units: str) -> str:
    """The journal in ``directory`` as text with seconds of the machine's clock; of ``units`` alone if any are given."""
    words = ["journalctl", "-D", str(directory), "--no-pager", "--output=short-monotonic"]
    return host.run([*words, *(f"--unit={unit}" for unit in units)], timeout=60, check=False)
