# SPDX-License-Identifier: Apache-2.0
"""What was wanted at the last good moment is gone, or lives on another node now: the boot is not held for it (contract.md, safety 9)."""

from tests.lab import observe, seed
from tests.lab import tale as tales
from tests.lab.variants import Variant

SAYS = "a wanted resource that is gone, and one that lives elsewhere, with the gate"
HELD_AT_MOST = 5.0


def tell(tale: tales.Tale) -> None:
    """c2's resource is deleted, c3's moved away, while the machine is down."""
    with tale.scene(Variant.GATE) as scene:
        gone, moved = (f"/v1/resource-definitions/{scene.resource(name)}" for name in ("c2", "c3"))
        scene.master.delete(gone)
        scene.master.delete(f"{moved}/resources/{seed.NODE}")
        scene.boot()
        scene.watch(30, lambda: scene.unit(tales.GATE) == "active")
        gate = scene.journal(tales.GATE)
        entered = observe.entered_active(scene.each, tales.GATE)
        tale.say(f"the gate ended at {entered}")
        tale.expect(
            entered is not None and entered < HELD_AT_MOST,
            f"the gate ends within {HELD_AT_MOST:.0f} s",
            gate[-800:],
        )
        usable = ("c1", "c3", "d1")
        scene.watch(40, lambda: all(map(scene.seen.running, usable)))
        for name in usable:
            tale.expect(scene.seen.running(name), f"{name}, which can be had, runs")
