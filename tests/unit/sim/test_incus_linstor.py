# SPDX-License-Identifier: Apache-2.0
"""Both models on one clock: stock Incus in front of LINSTOR under the lab's faults, as in the table of facts/observed.md."""

from typing import Any

import pytest
from tests import scripted_incus

from tidegate.sim import faults
from tidegate.sim.faults import Fault, FaultKind
from tidegate.sim.incus.model import IncusModel
from tidegate.sim.incus.values import ServerSpec
from tidegate.sim.linstor.front import LinstorFront
from tidegate.sim.linstor.world import LinstorWorld

MINORS = {"c1": 1001, "c2": 1003, "c3": 1004}
LAYOUT = faults.Layout(
    nodes=tuple(faults.NodeSpec(name=f"n{n}", address=f"10.99.0.1{n}") for n in (1, 2)),
    pools=tuple(faults.PoolSpec(name="thin", node=node) for node in ("n1", "n2")),
    groups=(faults.GroupSpec(name="remote", storage_pool="thin"),),
    resources=tuple(
        faults.ResourceSpec(
            name=f"incus-volume-{name}",
            minor=minor,
            props={
                "Aux/Incus/name": f"incus-volume-{name}",
                "Aux/Incus/type": "containers",
                "Aux/Incus/content-type": "filesystem",
            },
        )
        for name, minor in MINORS.items()
    ),
)


class Node:
    """A node with its satellite and its Incus."""

    def __init__(self, *found: Fault, timings: faults.Timings = faults.INSTANT) -> None:
        scenario = faults.Scenario(name="test", layout=LAYOUT, faults=found, timings=timings)
        self.world = LinstorWorld(scenario)
        spec = ServerSpec(pools=scripted_incus.POOLS, instances=scripted_incus.INSTANCES)
        fronts = {"remote": LinstorFront(self.world, pool="remote")}
        self.incus = IncusModel(self.world.clock, spec, fronts)
        self.world.boot()
        self.incus.boot()

    def up_at(self, limit: float = 130.0) -> dict[str, float]:
        """When each instance came up, for those that did within ``limit`` seconds."""
        self.world.clock.advance(limit)
        return {str(start.instance.name): start.at for start in self.incus.world.starts}

    def errors(self) -> set[str]:
        return {line.context["err"] for line in self.incus.journal if "err" in line.context}


def fault(kind: FaultKind, end: float, **more: Any) -> Fault:
    return Fault(kind=kind, end=end, **more)


CONNECT = "Failed to connect to Linstor: Failed to create Linstor client: "

# Scenario, faults, when c1 came up in the lab (None: never), when d1 did, an error text that Incus logged.
TABLE = [
    ("s0", (), 2.4, 2.9, None),
    ("s1", (fault(FaultKind.NODE_OFFLINE, 25.0),), 62.2, 2.1, "Node n1 is offline"),
    (
        "s2",
        (fault(FaultKind.CONTROLLER_REFUSES, 25.0),),
        62.0,
        2.1,
        CONNECT
        + 'Get "http://127.0.0.1:3370/v1/controller/version": dial tcp 127.0.0.1:3370: connect: connection refused',
    ),
    (
        "s3",
        (fault(FaultKind.MODULE_LATE, 20.0, subject="n1"),),
        62.0,
        22.4,
        "Could not determine DRBD module version: Module not loaded",
    ),
    (
        "s4",
        (fault(FaultKind.DEVICE_MISSING, 40.0),),
        None,
        22.5,
        "open /dev/drbd1001: no such file or directory",
    ),
    (
        "s5",
        (fault(FaultKind.DEVICE_MISSING, 8.0),),
        12.3,
        12.8,
        "open /dev/drbd1001: no such file or directory",
    ),
    ("s6", (fault(FaultKind.CONTROLLER_500, 25.0),), 62.1, 2.0, None),
    ("s7", (fault(FaultKind.CONTROLLER_BLACK_HOLE, 45.0),), 66.0, 66.5, None),
    ("s8", (fault(FaultKind.CONTROLLER_HANGS, 40.0),), 41.0, 41.5, None),
    (
        "s9",
        (fault(FaultKind.DEVICE_PATH_MISSING, 20.0),),
        None,
        22.5,
        "open : no such file or directory",
    ),
]


@pytest.mark.parametrize(
    ("found", "c1", "d1", "error"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_stock_incus_under_the_faults_of_the_lab(
    found: tuple[Fault, ...], c1: float | None, d1: float, error: str | None
) -> None:
    node = Node(*found)
    up = node.up_at()
    assert up.get("c1") == (c1 if c1 is None else pytest.approx(c1, abs=6.0 if c1 > 63 else 1.5))
    assert up["d1"] == pytest.approx(d1, abs=6.0 if d1 > 63 else 1.5)
    if error is not None:
        assert error in node.errors()


def test_s10_volumes_answered_with_an_empty_list() -> None:
    node = Node(fault(FaultKind.VOLUMES_EMPTY, 20.0))
    up = node.up_at(130.0)
    assert up == {}
    assert node.incus.units.service.sub == "start-post"
    assert set(node.up_at(620.0)) == {"c1", "c2", "c3", "d1"}


def test_late_storage_at_an_ordinary_pace_loses_instances_for_ever() -> None:
    """f1, e0: ONLINE before the devices is enough, nothing need be wrong."""
    slow = faults.Timings(full_sync=0.5, first_device=14.0, per_device=8.0, attach=0.1, connect=0.5)
    node = Node(timings=slow)
    up = node.up_at(300.0)
    assert "d1" in up
    assert "c1" not in up
