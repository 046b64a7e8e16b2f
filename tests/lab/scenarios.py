# SPDX-License-Identifier: Apache-2.0
"""The scenarios of the lab as data: what is wrong during a boot, in seconds after PID 1 starts (facts/observed.md, first table).

A new one is a few lines here. The faults are the simulator's; two kinds it cannot do itself are done by the lab: a black hole (the
network's) and a late DRBD module (the satellite stand-in's).
"""

import msgspec

from tidegate.sim.faults import Fault, FaultKind


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One boot.

    Attributes:
        says: what is wrong, for the table.
        faults: the simulator's faults; none: a healthy boot.
        stock: what Incus alone was seen to do, for people (facts/observed.md).
        cut: seconds after which it is not watched any longer; None: until nothing more can happen.
    """

    says: str
    faults: tuple[Fault, ...] = ()
    stock: str = ""
    cut: float | None = None

    @property
    def fault_end(self) -> float:
        """Seconds after which nothing is wrong any more."""
        return max((fault.end or 0.0 for fault in self.faults), default=0.0)

    def until(self, kind: FaultKind) -> float:
        """When the faults of ``kind`` end; 0 when there are none."""
        return max((f.end or 0.0 for f in self.faults if f.kind is kind), default=0.0)


def _one(kind: FaultKind, until: float, **parameters: bool) -> tuple[Fault, ...]:
    return (msgspec.convert({"kind": kind, "end": until, **parameters}, Fault),)


SCENARIOS: dict[str, Scenario] = {
    "s0": Scenario(
        says="nothing wrong",
        stock="all at 1.7–3.4",
    ),
    "s1": Scenario(
        says="node OFFLINE until 25",
        faults=_one(FaultKind.NODE_OFFLINE, 25),
        stock="62, by the 60 s retry",
    ),
    "s2": Scenario(
        says="controller refuses until 25",
        faults=_one(FaultKind.CONTROLLER_REFUSES, 25),
        stock="62",
    ),
    "s3": Scenario(
        says="DRBD module comes at 20",
        faults=_one(FaultKind.MODULE_LATE, 20),
        stock="63; c1's attempts used up",
    ),
    "s4": Scenario(
        says="ONLINE, no device files until 40",
        faults=_one(FaultKind.DEVICE_MISSING, 40),
        stock="c1..c3 never; d1 at 22",
    ),
    "s5": Scenario(
        says="ONLINE, no device files until 8",
        faults=_one(FaultKind.DEVICE_MISSING, 8),
        stock="third attempt",
    ),
    "s6": Scenario(
        says="controller answers 500 until 25",
        faults=_one(FaultKind.CONTROLLER_500, 25),
        stock="62",
    ),
    "s7": Scenario(
        says="controller black-holed until 45",
        faults=_one(FaultKind.CONTROLLER_BLACK_HOLE, 45),
        stock="71, d1 too",
    ),
    "s8": Scenario(
        says="controller accepts and hangs until 40",
        faults=_one(FaultKind.CONTROLLER_HANGS, 40),
        stock="40, d1 too",
    ),
    "s9": Scenario(
        says="volumes without device_path until 20",
        faults=_one(FaultKind.DEVICE_PATH_MISSING, 20),
        stock="one of three never",
    ),
    "s10": Scenario(
        says="volumes answers [] until 20",
        faults=_one(FaultKind.VOLUMES_EMPTY, 20),
        stock="incusd panics; all never, its unit activating until 602",
        cut=90.0,
    ),
}

QUICK = ("s0", "s1", "s2", "s4", "s5", "s6", "s9")
"""The set that a promise is made for: issue 3, "It must show" 2, with the agent; issue 5, 1, with the gate."""
