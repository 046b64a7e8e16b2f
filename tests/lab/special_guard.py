# SPDX-License-Identifier: Apache-2.0
"""The guard itself dead, hung, or started again and again: Incus goes on without it, and what needs no storage comes up in time.

Issue 6, "It must show" 1 and 4: d1, on the local pool, is at most 8 s later than on a machine whose guard is well; nothing is lost
that stock keeps (contract.md, safety 5 and 11). And where the guard refuses a volume, Incus's own log says why.
"""

import contextlib
import os
import signal
from pathlib import Path

from tests.lab import observe, variants
from tests.lab import tale as tales
from tests.lab.variants import Variant

from tidegate.sim.faults import FaultKind

SAYS = "the guard dead, hung once or at every start, killed and started anew while Incus starts; a shutdown with a hung controller"
GUARD = "tidegate-guard.service"
SOCKET = "tidegate-guard.socket"
LATE = 8.0
"""Seconds that a guard which hangs may delay what needs no storage."""
SOON = 15.0
"""Second by which a healthy machine has everything running, on a busy host too."""
TWICE = 16.0
"""The same for one that hangs again as soon as it was started anew: then its socket is closed."""
CLOSED = 30.0
"""Second by which all runs without a guard that hangs at every start."""
FAULT_END = 12.0
DOWN = 45.0
"""Seconds that a shutdown may take while the controller hangs."""
_NOWHERE = "[Service]\nExecStart=\nExecStart=/opt/nowhere/bin/tidegate guard run\n"
_STOPS = "[Service]\nExecStartPost=+/bin/sh -c '{unless} kill -STOP $MAINPID'\n"
_ONCE = "mkdir /run/lab-stopped 2>/dev/null || exit 0;"


def tell(tale: tales.Tale) -> None:
    """A machine that is well for comparison, and one for each way to be broken."""
    well = _well(tale)
    _broken(tale, well, "hung-once", _STOPS.format(unless=_ONCE), SOON)
    _broken(tale, well, "hung-always", _STOPS.format(unless=""), CLOSED, late=TWICE)
    _broken(tale, well, "dead", _NOWHERE, SOON)
    _stopped_meanwhile(tale, well)
    _killed_meanwhile(tale)
    _restarted_while_it_holds(tale)
    _reason(tale)
    _shutdown(tale)


def _well(tale: tales.Tale) -> float:
    """When d1 runs on a machine whose guard is well."""
    with tale.scene(Variant.GUARD_AGENT, "well") as scene:
        scene.boot()
        tale.expect_all_run(scene, SOON, "the guard is well")
        return scene.ran("d1") or 0.0


def _broken(
    tale: tales.Tale, well: float, part: str, drop_in: str, until: float, *, late: float = LATE
) -> None:
    with tale.scene(Variant.GUARD_AGENT, part) as scene:
        scene.each.write(f"{variants.SYSTEM}/{GUARD}.d/90-lab.conf", drop_in)
        scene.boot()
        _all_in_time(tale, scene, well, until, part, late=late)
        state = scene.unit(SOCKET)
        closed = state in {"failed", "inactive"}
        tale.expect(
            closed is (part != "hung-once"), f"{part}: its socket is open only if it answers", state
        )


def _stopped_meanwhile(tale: tales.Tale, well: float) -> None:
    """It hangs in the middle of what Incus asks, as seen from outside."""
    with tale.scene(Variant.GUARD_AGENT, "meanwhile") as scene:
        scene.boot()
        scene.watch(SOON, lambda: bool(_pids(scene)) and _asked(scene))
        for pid in _pids(scene):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        _all_in_time(tale, scene, well, SOON + LATE, "stopped while Incus asks")


def _killed_meanwhile(tale: tales.Tale) -> None:
    with tale.scene(Variant.GUARD_AGENT, "killed") as scene:
        scene.boot()
        for _ in range(3):
            scene.watch(scene.each.now() + 0.7)
            scene.each.exec(["systemctl", "kill", "-s", "KILL", GUARD], check=False)
        tale.expect_all_run(scene, SOON + LATE, "killed three times while Incus starts")
        state = scene.unit(SOCKET)
        tale.expect(state == "active", "killed: its socket stays open", state)


def _restarted_while_it_holds(tale: tales.Tale) -> None:
    """A planned restart, while a fault has the pool turned away: it is no reason to mount it, and no request is lost."""
    with tale.scene(Variant.GUARD_AGENT, "restarted") as scene:
        scene.boot([tales.fault(FaultKind.DEVICE_MISSING, FAULT_END)])
        scene.watch(SOON, lambda: scene.seen.running("d1"))
        for _ in range(2):
            scene.each.exec(["systemctl", "restart", GUARD])
            scene.watch(scene.each.now() + 2)
        tale.expect_all_run(scene, FAULT_END + SOON, "restarted while it holds")
        spent = observe.attempts(scene.journal())
        tale.expect(spent == 0, "restarted while it holds: Incus spends no attempt", spent)


def _reason(tale: tales.Tale) -> None:
    """Without the agent nobody turns the pool away; an empty list still never reaches Incus, which logs why it cannot start."""
    with tale.scene(Variant.GUARD, "reason") as scene:
        scene.boot([tales.fault(FaultKind.VOLUMES_EMPTY, FAULT_END)])
        scene.watch(FAULT_END + SOON, lambda: scene.seen.all_run)
        said = scene.journal("incus.service")
        told = "Tidegate:" in said and "the controller gives an empty list of volumes" in said
        tale.expect(told, "Incus's own log names the reason", said[-800:])
        tale.expect("panic:" not in said, "Incus does not panic")
        tale.expect(scene.ran("d1") is not None, "d1 runs")


def _shutdown(tale: tales.Tale) -> None:
    """A controller that hangs does not hold the shutdown: each instance's stop asks it several things, without a limit of Incus's."""
    with tale.scene(Variant.GUARD_AGENT, "shutdown") as scene:
        scene.healthy()
        scene.master.fault(FaultKind.CONTROLLER_HANGS, "*")
        took = scene.poweroff()
        tale.say(f"shut down in {took:.1f} s with a controller that hangs")
        tale.expect(took < DOWN, f"the shutdown takes less than {DOWN:.0f} s", f"{took:.1f} s")


def _all_in_time(
    tale: tales.Tale,
    scene: tales.Scene,
    well: float,
    until: float,
    where: str,
    *,
    late: float = LATE,
) -> None:
    tale.expect_all_run(scene, until, where)
    local = scene.ran("d1") or until
    tale.say(f"{where}: d1 at {local:.1f}, {well:.1f} with a guard that is well")
    tale.expect(local <= well + late, f"{where}: d1 is at most {late:.0f} s later", local - well)


def _pids(scene: tales.Scene) -> list[int]:
    """The guard's processes, in the host's numbers."""
    path: Path = scene.each.cgroup / "system.slice" / GUARD / "cgroup.procs"
    try:
        return [int(pid) for pid in path.read_text().split()]
    except OSError:
        return []


def _asked(scene: tales.Scene) -> bool:
    """Whether incusd is on its way: from then on it may ask at any moment."""
    path = scene.each.cgroup / "system.slice/incus.service/cgroup.procs"
    try:
        return bool(path.read_text().split())
    except OSError:
        return False
