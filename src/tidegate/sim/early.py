# SPDX-License-Identifier: Apache-2.0
"""Devices first in the simulator: the product's own decisions about kept files, before the satellite's port is open."""

from typing import Final

from tidegate.bringup import decide
from tidegate.bringup.model import (
    Activate,
    Adjust,
    Examine,
    FileState,
    KeptFile,
    KeptVolume,
    Left,
    LogicalVolume,
    Metadata,
    Seen,
)
from tidegate.core.wanted import WantedMap
from tidegate.sim import drbd
from tidegate.sim.faults import FaultKind
from tidegate.sim.linstor import store
from tidegate.sim.linstor.world import LinstorWorld

BEGINS: Final = 0.5
"""Seconds after boot at which its unit starts: as soon as there is a file system."""
_STEP: Final = 0.1
"""Seconds that a round of programs takes."""


class DevicesFirst:
    """``tidegate devices up`` on the local node of ``world``.

    ``torn`` are the resources whose kept file cannot be read, ``gone`` those that LINSTOR deleted while the node was off;
    ``killed``: seconds after boot after which nothing is done any more.
    """

    def __init__(
        self,
        world: LinstorWorld,
        kept: WantedMap | None,
        *,
        torn: frozenset[str] = frozenset(),
        gone: frozenset[str] = frozenset(),
        killed: float | None = None,
    ) -> None:
        self._world = world
        self._wanted = None if kept is None else frozenset(map(str, kept.resources)) | gone
        self._torn, self._gone, self._killed = torn, gone, killed
        self._active: set[str] = set()
        self._known: dict[int, Metadata] = {}

    def begin(self) -> None:
        """Be started by systemd, soon."""
        self._world.clock.after(BEGINS, self._round)

    def _round(self) -> None:
        """Take each resource one step further, and come again while any is not at its end."""
        if self._killed is not None and self._world.clock.now >= self._killed:
            return
        again = any(list(map(self._stale, sorted(self._gone))))
        for placement in self._world.store.placements(node=self._world.local):
            if not self._world.store.data.definitions[placement.definition].drbd:
                continue
            file = self._file(placement)
            step = decide.next_step(file, self._seen(placement))
            again |= self._do(step, placement)
        if again and not self._satellite():
            self._world.clock.after(_STEP, self._round)

    def _do(self, step: Left | Activate | Examine | Adjust, placement: store.Placement) -> bool:
        """Carry out ``step``; True when there is more to do for this resource."""
        match step:
            case Left(again=again):
                return again
            case Activate(volumes=volumes):
                self._active |= set(volumes)
                return True
            case Examine(volumes=found):
                self._known |= {volume.minor: Metadata(valid=True) for volume in found}
                return True
            case Adjust():
                if self._world.manager.hindrance(placement) is None:
                    self._world.replication.bring_up(placement)
                return False

    def _stale(self, name: str) -> bool:
        """The same for one that LINSTOR has no record of: its file and its disk are as they were (facts/early-observed.md, E2)."""
        world, disk = self._world, f"/dev/vg0/{name}_00000"
        minor = 900 + sorted(self._gone).index(name)
        seen = Seen(
            wanted=self._wanted,
            satellite=self._satellite(),
            module="9.3.3" if world.module_loaded() else None,
            up=frozenset(world.drbd[world.local].resources),
            volumes={
                disk: LogicalVolume(vg="vg0", name=f"{name}_00000", active=True, size=1 << 30)
            },
            disks={disk: 1 << 30},
            metadata=self._known,
        )
        volume = KeptVolume(number=0, minor=minor, disk=disk)
        step = decide.next_step(
            KeptFile(path=f"{name}.res", resource=name, volumes=(volume,)), seen
        )
        match step:
            case Left(again=again):
                return again
            case Examine():
                self._known[minor] = Metadata(valid=True)
                return True
            case Adjust():
                peers = [other for other in world.lives if other != world.local]
                world.drbd[world.local].resources[name] = _old(name, minor, disk, peers)
                self._forget(name)
            case Activate():  # it is active, as all that udev finds is
                pass
        return False

    def _forget(self, name: str) -> None:
        """The satellite's first run removes it."""
        if self._world.lives[self._world.local].run_over:
            self._world.drbd[self._world.local].resources.pop(name, None)
        else:
            self._world.clock.after(_STEP, lambda: self._forget(name))

    def _file(self, placement: store.Placement) -> KeptFile:
        name = placement.definition
        first = 1000 + 16 * list(self._world.store.data.definitions).index(name)
        volumes = tuple(
            KeptVolume(
                number=volume.number,
                minor=first + volume.number,
                disk=None if placement.diskless else f"/dev/vg0/{name}_{volume.number:05}",
            )
            for volume in placement.volumes
        )
        state = FileState.TORN if name in self._torn else FileState.GOOD
        return KeptFile(path=f"{name}.res", resource=name, state=state, volumes=volumes)

    def _seen(self, placement: store.Placement) -> Seen:
        paths = [v.disk for v in self._file(placement).volumes if v.disk is not None]
        found = {} if self._pool_missing(placement) else dict.fromkeys(paths, 0)
        volumes = {
            path: LogicalVolume(
                vg="vg0",
                name=path.rpartition("/")[2],
                active=f"vg0/{path.rpartition('/')[2]}" in self._active,
                size=0,
            )
            for path in found
        }
        asleep = {path for path, lv in volumes.items() if not lv.active}
        return Seen(
            wanted=self._wanted,
            satellite=self._satellite(),
            module="9.3.3" if self._world.module_loaded() else None,
            up=frozenset(self._world.drbd[self._world.local].resources),
            volumes=volumes,
            disks={path: 1 << 30 for path in found if path not in asleep},
            metadata=self._known,
        )

    def _satellite(self) -> bool:
        life = self._world.lives[self._world.local]
        return self._world.connection.listening(life)

    def _pool_missing(self, placement: store.Placement) -> bool:
        pools = {volume.pool for volume in placement.volumes}
        found = (self._world.fault(FaultKind.POOL_MISSING, pool, placement.node) for pool in pools)
        return any(fault is not None for fault in found)


def _old(name: str, minor: int, disk: str, peers: list[str]) -> drbd.Resource:
    """A resource as it was, whose peers know nothing of it any more."""
    good = drbd.Volume(
        number=0, minor=minor, size_kib=1 << 20, disk=drbd.Disk.UP_TO_DATE, backing=disk
    )
    links = {
        peer: drbd.Connection(
            peer=peer,
            peer_id=number,
            local=f"10.99.0.11:{7900 + minor}",
            remote=f"10.99.0.{11 + number}:{7900 + minor}",
            link=drbd.Link.CONNECTING,
            volumes={0: drbd.PeerVolume()},
        )
        for number, peer in enumerate(peers, start=1)
    }
    return drbd.Resource(name=name, node_id=0, attached=True, volumes={0: good}, connections=links)
