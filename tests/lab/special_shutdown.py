# SPDX-License-Identifier: Apache-2.0
"""A shutdown begins while the gate holds Incus: the hold ends at once, in good order, and Incus is not started for it (U15, U19)."""

from tests.lab import tale as tales
from tests.lab.variants import Variant

from tidegate.sim.faults import FaultKind

SAYS = "a shutdown while the boot is held"
HELD_AT = 6.0
WITHIN = 10.0


def tell(tale: tales.Tale) -> None:
    """One held boot, cut short, by each strategy that holds."""
    for variant in (Variant.GATE_AGENT, Variant.ORDER_AGENT):
        with tale.scene(variant) as scene:
            scene.boot([tales.fault(FaultKind.CONTROLLER_REFUSES, 300)], [tales.SATELLITE_TIE])
            scene.watch(HELD_AT)
            held(tale, scene, f"{variant}, before the shutdown")
            released(tale, scene)


def held(tale: tales.Tale, scene: tales.Scene, when: str) -> None:
    """The gate waits, and Incus for it."""
    gate, incus = scene.unit(tales.GATE), scene.unit("incus.service", "ExecMainStartTimestamp")
    tale.expect(gate == "activating", f"{when} the gate holds", gate)
    tale.expect(incus == "", f"{when} incusd has not been started", incus)


def released(tale: tales.Tale, scene: tales.Scene) -> None:
    """Shut down, and look how that went."""
    took = scene.poweroff()
    tale.say(f"shut down in {took:.1f} s")
    tale.expect(took < WITHIN, f"the shutdown takes less than {WITHIN:.0f} s", f"{took:.1f} s")
    gate = scene.journal(tales.GATE)
    tale.expect("released after" in gate, "the gate says that it was told to stop", gate[-800:])
    tale.expect("Failed with result" not in gate, "the gate's unit has not failed", gate[-800:])
    started = "incusd" in scene.journal("incus.service")
    tale.expect(not started, "incusd was not started by the shutdown")
