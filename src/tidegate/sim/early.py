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
from tidegate.sim.faults import FaultKind
from tidegate.sim.linstor import store
from tidegate.sim.linstor.world import LinstorWorld

BEGINS: Final = 0.5
"""Seconds after boot at which its unit starts: as soon as there is a file system."""
_STEP: Final = 0.1
"""Seconds that a round of programs takes."""


class DevicesFirst:
    """``tidegate devices up`` on the local node of ``world``; ``torn`` are the resources whose kept file cannot be read."""

    def __init__(
        self, world: LinstorWorld, kept: WantedMap | None, *, torn: frozenset[str] = frozenset()
    ) -> None:
        self._world = world
        self._wanted = None if kept is None else frozenset(map(str, kept.resources))
        self._torn = torn
        self._active: set[str] = set()
        self._known: dict[int, Metadata] = {}

    def begin(self) -> None:
        """Be started by systemd, soon."""
        self._world.clock.after(BEGINS, self._round)

    def _round(self) -> None:
        """Take each resource one step further, and come again while any is not at its end."""
        again = False
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
            module="9.3.3" if self._world.drbd[self._world.local].loaded else None,
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
