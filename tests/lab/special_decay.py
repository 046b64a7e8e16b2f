# SPDX-License-Identifier: Apache-2.0
"""Parts of ours that are dead, hung, or half there: Incus is held no longer than promised, and nothing is lost (contract.md, safety 11).

A gate that is alive and cannot ask the agent looks by itself; one that hangs is ended by systemd ten seconds after its last word,
but never before its start time-out of 30 s: a word can only make that longer (seen here).
"""

import os
import signal
from collections.abc import Sequence

from tests.lab import observe, variants
from tests.lab import tale as tales
from tests.lab.variants import Variant

from tidegate.sim.faults import Fault, FaultKind

SAYS = "programs gone, units gone, the agent hung or killed, the gate hung: with gate and agent installed"
SOON = 8.0
"""Seconds by which a healthy machine of the lab has everything running, on a busy host too."""
KILLED_AT = 6.0
FAULT_END = 12.0
LET_GO = 35.0
"""Second by which a gate that hung early in the boot has let Incus go: its start time-out, and Incus's own start."""
_NOWHERE = "[Service]\nExecStart=\nExecStart=/opt/nowhere/bin/tidegate {verb}\n"
_VERBS = {variants.AGENT_UNIT: "agent", tales.GATE: "gate"}
_DEAF = """[Service]
Type=exec
ExecStart=
ExecStart=/usr/bin/python3 -IS -c "import os, socket, time; s = socket.socket(socket.AF_UNIX); \\
 s.bind('/run/tidegate/agent.sock'); s.listen(9); time.sleep(1e6)"
"""


def tell(tale: tales.Tale) -> None:
    """One machine for each way to be broken."""
    _programs_gone(tale)
    _units_gone(tale)
    _agent_deaf(tale)
    _agent_killed(tale)
    _gate_stopped(tale)


def _programs_gone(tale: tales.Tale) -> None:
    with tale.scene(Variant.GATE_AGENT, "programs") as scene:
        for unit, verb in _VERBS.items():
            scene.each.write(f"{variants.SYSTEM}/{unit}.d/90-lab.conf", _NOWHERE.format(verb=verb))
        scene.boot()
        tale.expect_all_run(scene, SOON, "our programs are gone")


def _units_gone(tale: tales.Tale) -> None:
    with tale.scene(Variant.GATE_AGENT, "units") as scene:
        for unit in _VERBS:
            scene.each.link(f"{variants.SYSTEM}/{unit}", "/dev/null")
        scene.boot()
        tale.expect_all_run(scene, SOON, "our units are gone, the drop-ins are there")


def _agent_deaf(tale: tales.Tale) -> None:
    with tale.scene(Variant.GATE_AGENT, "deaf") as scene:
        scene.each.write(f"{variants.SYSTEM}/{variants.AGENT_UNIT}.d/90-lab.conf", _DEAF)
        _late_controller(tale, scene, "an agent that never answers")


def _agent_killed(tale: tales.Tale) -> None:
    with tale.scene(Variant.GATE_AGENT, "killed") as scene:
        scene.boot([tales.fault(FaultKind.CONTROLLER_REFUSES, FAULT_END)])
        scene.watch(KILLED_AT)
        scene.each.exec(["systemctl", "kill", "-s", "KILL", variants.AGENT_UNIT])
        tale.expect_all_run(scene, FAULT_END + SOON, "the agent is killed during the hold")
        _nothing_early(tale, scene, "the agent is killed during the hold")


def _late_controller(tale: tales.Tale, scene: tales.Scene, where: str) -> None:
    faults: Sequence[Fault] = [tales.fault(FaultKind.CONTROLLER_REFUSES, FAULT_END)]
    scene.boot(faults)
    tale.expect_all_run(scene, FAULT_END + SOON, where)
    _nothing_early(tale, scene, where)


def _nothing_early(tale: tales.Tale, scene: tales.Scene, where: str) -> None:
    first = min(scene.ran(name) or 0.0 for name in scene.names)
    tale.expect(first > FAULT_END, f"{where}: nothing starts before its storage", first)
    spent = observe.attempts(scene.journal())
    tale.expect(spent == 0, f"{where}: Incus spends no attempt", spent)


def _gate_stopped(tale: tales.Tale) -> None:
    with tale.scene(Variant.GATE_AGENT, "stopped") as scene:
        scene.boot([tales.fault(FaultKind.CONTROLLER_REFUSES, 25)])
        scene.watch(KILLED_AT)
        pids = (scene.each.cgroup / "system.slice" / tales.GATE / "cgroup.procs").read_text()
        for pid in pids.split():
            os.kill(int(pid), signal.SIGSTOP)
        scene.watch(LET_GO, lambda: scene.seen.running("d1"))
        local = scene.ran("d1") or 0.0
        let_go = 0 < local < LET_GO
        tale.expect(let_go, f"a gate that hangs lets Incus go by {LET_GO:.0f}", local)
        tale.expect_all_run(scene, 40, "the gate hangs")
