# SPDX-License-Identifier: Apache-2.0
"""The recipe that circulates, when the controller comes late: the satellite is killed for not being ready, and nobody starts it again.

Times are short here: a start time-out of 15 s in place of systemd's 90, a controller that is back after 30 s in place of 200 (r3).
"""

from tests.lab import seed
from tests.lab import tale as tales
from tests.lab.variants import Variant

from tidegate.sim.faults import FaultKind

SAYS = "the circulating recipe and a late controller: the satellite is lost for good; with ours it is not"
LIMIT = 15.0
FAULT_END = 30.0
RETRIED = 85.0
"""Incus has tried its pools again by then: it starts at 15, and looks once a minute."""


def tell(tale: tales.Tale) -> None:
    """The recipe, then ours, then both, under the same fault."""
    faults = [tales.fault(FaultKind.CONTROLLER_REFUSES, FAULT_END)]
    with tale.scene(Variant.STOCK, "recipe") as scene:
        scene.each.write(tales.NAIVE, tales.naive(f"{LIMIT:.0f}s"))
        scene.boot(faults, [tales.SATELLITE_TIE])
        scene.watch(RETRIED)
        state = scene.unit(tales.SATELLITE)
        tale.expect(state == "failed", "the recipe loses the satellite", state)
        ran = [name for name in seed.REMOTE if scene.seen.starts[name]]
        tale.expect(not ran, "the recipe loses its instances", ran)
    for variant in (Variant.GATE, Variant.ORDER, Variant.ORDER_AGENT):
        with tale.scene(variant) as scene:
            scene.boot(faults, [tales.SATELLITE_TIE])
            tale.expect_all_run(scene, FAULT_END + 10, str(variant))
            state = scene.unit(tales.SATELLITE)
            tale.expect(state == "active", f"{variant}: the satellite runs", state)
    with tale.scene(Variant.GATE, "beside") as scene:
        scene.each.write(tales.NAIVE, tales.naive(f"{LIMIT:.0f}s"))
        scene.boot(faults, [tales.SATELLITE_TIE])
        tale.expect_all_run(scene, FAULT_END + LIMIT + 15, "ours beside the recipe")
        state = scene.unit(tales.SATELLITE)
        tale.expect(state == "active", "beside the recipe the satellite comes back", state)
