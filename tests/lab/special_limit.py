# SPDX-License-Identifier: Apache-2.0
"""What ends a hold: fail-open its limit, whatever is not ready; fail-closed only the storage, or a shutdown; always a person, for this boot."""

from tests.lab import promises, seed, special_shutdown
from tests.lab import tale as tales
from tests.lab.variants import Variant

from tidegate.sim.faults import FaultKind

SAYS = "the gate's limit: fail-open lets Incus go, fail-closed holds it until the storage or a shutdown comes"
LIMIT = 6.0
FAULT_END = 20.0
AGAIN = 15.0


def tell(tale: tales.Tale) -> None:
    """The same fault, three times as long as the limit, with both policies; and a hold that a person ends."""
    _open(tale)
    _closed(tale)
    _stopped(tale)


def _applied(scene: tales.Scene, policy: str) -> None:
    scene.healthy()
    words = ("--strategy", "gate", "--policy", policy, "--timeout", f"{LIMIT:.0f}s")
    scene.tidegate("units", "apply", *words)
    scene.tidegate("units", "verify")
    scene.poweroff()


def _open(tale: tales.Tale) -> None:
    with tale.scene(Variant.GATE_AGENT, "open") as scene:
        _applied(scene, "fail-open")
        scene.boot([tales.fault(FaultKind.CONTROLLER_REFUSES, FAULT_END)])
        tale.expect_all_run(scene, FAULT_END + 10, "fail-open")
        local = scene.ran("d1") or 0.0
        soon = LIMIT < local < LIMIT + promises.HELD + 2
        tale.expect(soon, f"fail-open lets d1 start soon after the limit of {LIMIT:.0f} s", local)
        gate = scene.journal(tales.GATE)
        tale.expect("Incus is let go after" in gate, "the gate says that it gave up", gate[-800:])
        for name in seed.REMOTE:
            late = (scene.ran(name) or 0.0) - FAULT_END
            tale.expect(late < promises.AFTER, f"{name} runs once the storage is there", late)


def _closed(tale: tales.Tale) -> None:
    with tale.scene(Variant.GATE_AGENT, "closed") as scene:
        _applied(scene, "fail-closed")
        scene.boot([tales.fault(FaultKind.CONTROLLER_REFUSES, FAULT_END)])
        scene.watch(2 * LIMIT)
        special_shutdown.held(tale, scene, f"fail-closed, {LIMIT:.0f} s after the limit")
        tale.expect_all_run(scene, FAULT_END + 2 * promises.HELD, "fail-closed")
        first = min(scene.ran(name) or 0.0 for name in scene.names)
        tale.expect(first > FAULT_END, "fail-closed starts nothing before the storage", first)
        scene.poweroff()
    with tale.scene(Variant.GATE_AGENT, "closed-shutdown") as scene:
        _applied(scene, "fail-closed")
        scene.boot([tales.fault(FaultKind.CONTROLLER_REFUSES, 300)])
        scene.watch(2 * LIMIT)
        special_shutdown.held(tale, scene, "fail-closed, before the shutdown")
        special_shutdown.released(tale, scene)


def _stopped(tale: tales.Tale) -> None:
    """`systemctl stop` of the gate lets Incus go, and a restart of Incus is not held again."""
    with tale.scene(Variant.GATE_AGENT, "stopped") as scene:
        scene.boot([tales.fault(FaultKind.CONTROLLER_REFUSES, 300)])
        scene.watch(LIMIT)
        special_shutdown.held(tale, scene, "before a person ends it")
        scene.each.exec(["systemctl", "stop", tales.GATE])
        scene.watch(2 * LIMIT, lambda: scene.seen.running("d1"))
        tale.expect(scene.seen.running("d1"), "stopped by hand, the gate lets d1 start")
        began = scene.each.now()
        scene.each.exec(["systemctl", "restart", "incus.service"], timeout=60)
        took = scene.each.now() - began
        tale.expect(took < AGAIN, f"a restart of Incus takes less than {AGAIN:.0f} s", took)
        state = scene.unit(tales.GATE)
        tale.expect(state == "inactive", "and the gate is not run again", state)
