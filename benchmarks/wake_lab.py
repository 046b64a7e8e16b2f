# SPDX-License-Identifier: Apache-2.0
"""The part of ``benchmarks.wake_latency`` that needs the boot lab: a healthy machine with an agent that only observes."""

import json
import subprocess
import threading
import time
from pathlib import Path

from tests.lab import controller, golden, host, machine, rig, scenarios, seed, variants

from tidegate.sim.faults import FaultKind

_DRIVER = Path(__file__).with_name("wake_driver.py")
_INSIDE = "/root/wake_driver.py"
_CODE = f"PYTHONPATH={golden.SOURCE}:{golden.DEPS}"
_OBSERVES = """[Service]
ExecStart=
ExecStart=/usr/bin/python3 -m tidegate agent --observe
"""
_ASKS = "LINSTOR: "
_LIMIT = 900.0


def rows(rounds: int, chance: int) -> list[tuple[str, list[float]]]:
    """Boot a healthy machine and measure in it; rows of milliseconds."""
    layers = golden.layers()
    ground = variants.ground(variants.Variant.AGENT, layers)
    with rig.rig("wake") as bench:
        each, master = variants.stand_up(bench, ground)
        each.write(f"/etc/systemd/system/{variants.AGENT_UNIT}.d/60-observe.conf", _OBSERVES)
        each.write(_INSIDE, _DRIVER.read_text())
        with master:
            each.start(bench.network)
            master.booting(each, scenarios.SCENARIOS["s0"].faults)
            _await_ready(each)
            try:
                told = _drive(each, master, rounds, chance)
            finally:
                each.kill()
    return list(json.loads(told).items())


def _drive(each: machine.Machine, master: controller.Controller, rounds: int, chance: int) -> str:
    """Run the driver inside and have LINSTOR say of the node what it asks for; returns its last line."""
    words = [*each.enter(), "env", _CODE, "/usr/bin/python3", _INSIDE, str(rounds), str(chance)]
    line = ""
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout is not None
        watch = threading.Timer(_LIMIT, driver.kill)
        watch.start()
        for line in driver.stdout:
            if line.startswith(_ASKS):
                offline = line.removeprefix(_ASKS).strip() == "OFFLINE"
                act = master.fault if offline else master.clear
                act(FaultKind.NODE_OFFLINE, seed.NODE)
                print(file=driver.stdin, flush=True)
        watch.cancel()
    if driver.returncode:
        raise host.LabError(f"the driver inside: exit {driver.returncode}")
    return line


def _await_ready(each: machine.Machine) -> None:
    until = time.monotonic() + 120
    wanted = [f"instance/default/{name}" for name in seed.INSTANCES]
    words = ["env", _CODE, "/usr/bin/python3", "-m", "tidegate", "wait", *wanted, "--timeout", "60"]
    each.wait()
    while time.monotonic() < until:
        if "ready" in each.exec(words, timeout=90, check=False):
            return
        time.sleep(0.5)
    raise host.LabError("the machine does not come up")
