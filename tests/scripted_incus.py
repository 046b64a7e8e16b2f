# SPDX-License-Identifier: Apache-2.0
"""The lab's Incus server in front of a storage that does as it is told: what tests of the Incus model share."""

import random

import msgspec

from tidegate.sim.clock import VirtualClock
from tidegate.sim.incus import values
from tidegate.sim.incus.daemon import Phase
from tidegate.sim.incus.model import IncusModel
from tidegate.sim.incus.timings import IncusTimings
from tidegate.sim.storage import Done, Failed, Hangs, IncusVolume, Reply

OFFLINE = Failed(text="Node n1 is offline", unavailable=True)
NO_MODULE = Failed(text="Could not determine DRBD module version: Module not loaded")
MOUNTED = Done(took=0.045)
PREPARED = Done(took=0.02)

C1, C2, C3, D1 = (values.instance_id(name) for name in ("c1", "c2", "c3", "d1"))
DEVICES = {"c1": "/dev/drbd1001", "c2": "/dev/drbd1003", "c3": "/dev/drbd1004"}
POOLS = (values.PoolSpec(name="local", driver="dir"), values.PoolSpec(name="remote"))

# As in the recorded boots: c3 comes last although its name is not, and incusd waits 2 s after it.
INSTANCES = (
    values.InstanceSpec(name="c1"),
    values.InstanceSpec(name="c2"),
    values.InstanceSpec(name="c3", config={"boot.autostart.delay": "2"}),
    values.InstanceSpec(name="d1", pool="local"),
)


def missing(device: str) -> Failed:
    """What opening a device that is not there yet gives."""
    return Failed(text=f"open {device}: no such file or directory", took=0.007)


class ScriptedFront:
    """A storage whose answers a test sets: ``mount`` for the pool, ``volumes`` by volume name, else ``volume``."""

    def __init__(self) -> None:
        self.mount: Reply = MOUNTED
        self.volume: Reply = PREPARED
        self.volumes: dict[str, Reply] = {}
        self.asked: list[IncusVolume] = []
        self.processes = 0

    def restarted(self) -> None:
        self.processes += 1

    def load_driver(self) -> Failed | None:
        return self.mount if isinstance(self.mount, Failed) and not self.mount.unavailable else None

    def mount_pool(self) -> Reply:
        return self.mount

    def list_volumes(self) -> Reply:
        return PREPARED

    def prepare_volume(self, volume: IncusVolume) -> Reply:
        self.asked.append(volume)
        return self.volumes.get(volume.name, self.volume)


class Lab:
    """One server, its storage and its clock."""

    def __init__(
        self,
        *instances: values.InstanceSpec,
        timings: IncusTimings | None = None,
        seed: int = 0,
        server: values.ServerSpec | None = None,
    ) -> None:
        self.clock = VirtualClock()
        self.front = ScriptedFront()
        base = server or values.ServerSpec(pools=POOLS)
        self.spec = msgspec.structs.replace(base, instances=instances or INSTANCES)
        fronts = {pool.name: self.front for pool in self.spec.pools if pool.is_remote}
        self.model = IncusModel(self.clock, self.spec, fronts, timings=timings, seed=seed)

    def devices_missing(self) -> None:
        """Let the node be ONLINE while no device node is there (s4)."""
        self.front.volumes = {name: missing(device) for name, device in DEVICES.items()}

    def all_well(self) -> None:
        """End every fault."""
        self.front.mount, self.front.volume, self.front.volumes = MOUNTED, PREPARED, {}

    def booted(self, until: float = 10.0) -> "Lab":
        """Boot and run until that moment."""
        self.model.boot()
        self.clock.advance(until)
        return self

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(self.clock.now + seconds)

    def running(self) -> set[str]:
        """Names of the instances that run."""
        return {key.name for key in self.model.world.running}

    def messages(self, *, since: float = 0.0) -> list[str]:
        """Messages written since that moment, without debug ones."""
        return [
            line.msg for line in self.model.journal if line.at >= since and line.level != "debug"
        ]

    def phase(self) -> Phase:
        """How far incusd is."""
        return self.model.phase


def hangs(until: float | None = None) -> Hangs:
    """No answer."""
    return Hangs(until=until)


def seed_for(order: list[str]) -> int:
    """A seed with which the first pass takes the lab's pools in that order."""
    for seed in range(100):
        names = [pool.name for pool in POOLS]
        random.Random(seed).shuffle(names)
        if names == order:
            return seed
    raise AssertionError(f"no seed for {order}")
