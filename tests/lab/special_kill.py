# SPDX-License-Identifier: Apache-2.0
"""The agent is killed (SIGKILL) at random moments, one a boot: nothing is lost and nothing is started twice.

Half of the moments are anywhere in the boot, half around the fault's end, where its actions are on their way.
"""

import random

from tests.lab import tale as tales
from tests.lab import variants
from tests.lab.variants import Variant

from tidegate.sim.faults import FaultKind

SAYS = "the agent killed at 20 random moments of a boot"
MOMENTS = 20
FAULT_END = 6.0
ANYWHERE = (1.0, FAULT_END + 2.0)
AROUND = (FAULT_END - 0.3, FAULT_END + 1.5)
PATIENCE = 20.0
"""Seconds after the fault's end by which all runs: far below Incus's own minute."""


def tell(tale: tales.Tale) -> None:
    """One machine, that loses power after each boot."""
    chance_seed = random.SystemRandom().randrange(10**6)
    tale.say(f"moments by seed {chance_seed}")
    chance = random.Random(chance_seed)
    with tale.scene(Variant.AGENT) as scene:
        for number in range(MOMENTS):
            moment = chance.uniform(*(AROUND if number % 2 else ANYWHERE))
            scene.boot([tales.fault(FaultKind.CONTROLLER_REFUSES, FAULT_END)])
            scene.watch(moment)
            scene.each.exec(["systemctl", "kill", "-s", "KILL", variants.AGENT_UNIT])
            ran = sum(map(scene.seen.running, scene.names))
            where = f"killed at {moment:.2f} with {ran} of {len(scene.names)} running"
            tale.expect_all_run(scene, FAULT_END + PATIENCE, where)
            scene.crash()
