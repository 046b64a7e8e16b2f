# SPDX-License-Identifier: Apache-2.0
"""A shutdown begins while the gate holds Incus: the hold ends at once, in good order, and Incus is not started for it (U15, U19).

And one of a healthy machine: Incus has ended before the satellite below its volumes is asked to (U18).
"""

from tests.lab import tale as tales
from tests.lab.variants import Variant

from tidegate.sim.faults import FaultKind

SAYS = "a shutdown while the boot is held, and the order in which a healthy machine goes down"
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
    for variant in (Variant.STOCK, Variant.GATE_AGENT):
        _goes_down(tale, variant)


def _goes_down(tale: tales.Tale, variant: Variant) -> None:
    with tale.scene(variant, "healthy") as scene:
        scene.healthy()
        scene.poweroff()
        text = scene.journal()
        incus = text.rfind("Stopped incus.service")
        satellite = text.rfind(f"Stopping {tales.SATELLITE}")
        in_order = 0 <= incus < satellite
        if variant is Variant.STOCK:
            tale.say(
                f"stock: the satellite goes {'after' if in_order else 'beside or before'} Incus"
            )
        else:
            tale.expect(in_order, f"{variant}: the satellite is stopped after Incus", text[-4000:])


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
