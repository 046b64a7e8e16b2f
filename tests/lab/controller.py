# SPDX-License-Identifier: Apache-2.0
"""The lab's handle on its LINSTOR controller: the simulator's face as a program beside the machine (:mod:`tests.lab.linstord`).

The program owns the volumes: it makes loop devices and, once it is told of a machine that boots, shows and hides device files and
keeps the files that the machine's ``drbdsetup`` reads. Faults are given with the boot; their seconds are the machine's.
"""

import json
import os
import select
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import msgspec
from tests.lab import host, machine, rig

from tidegate.sim import faults as sim_faults

PORT = 3370
URL = f"http://{machine.CONTROLLER_ADDRESS}:{PORT}"


class Controller:
    """One controller for one machine. Use as a context manager; ``state`` keeps its database and disks."""

    def __init__(self, bench: rig.Rig, *, state: Path, drbd: Path) -> None:
        program = os.environ.get("TIDEGATE_LAB_CONTROLLER")
        words = [program] if program else ["-m", "tests.lab.linstord"]
        command = [sys.executable, *words, "--listen", f"{machine.CONTROLLER_ADDRESS}:{PORT}"]
        command += ["--state", str(state), "--drbd", str(drbd)]
        command += ["--calls", str(bench.directory / "calls.jsonl")]
        self._log = bench.directory / "controller.log"
        drbd.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                bench.in_network(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=host.PROJECT,
                env={**os.environ, "PYTHONPATH": str(host.PROJECT / "src")},
                pass_fds=[bench.network],
            )
        (bench.beside / "cgroup.procs").write_text(str(self._process.pid))
        self._answer("listening", timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self, word: str, timeout: float = 20) -> dict[str, Any]:
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], timeout)
        line = self._process.stdout.readline() if readable else ""
        answer: dict[str, Any] = json.loads(line) if line else {}
        if answer.get("op") != word:
            log = self._log.read_text(errors="replace")[-1500:]
            raise host.LabError(f"the controller did not say {word!r} but {line!r}:\n{log}")
        return answer

    def _tell(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._answer("done")

    def booting(self, booted: machine.Machine, faults: Sequence[sim_faults.Fault] = ()) -> None:
        """Say that ``booted`` has just started, and what goes wrong during this boot."""
        wire = msgspec.to_builtins(list(faults))
        order = {"op": "boot", "pid": booted.pid, "zero": booted.zero, "faults": wire}
        self._tell(order)

    def down(self) -> None:
        """Say that the machine is down."""
        self._tell({"op": "down"})

    def close(self) -> None:
        """End the program, its volumes detached."""
        if self._process.poll() is None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(20)
        assert self._process.stdout is not None
        self._process.stdout.close()
