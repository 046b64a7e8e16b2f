# SPDX-License-Identifier: Apache-2.0
"""The satellites' device managers: one run after each full sync, resource after resource in name order, then retries.

Sources: facts/linstor.md 2.5, 6.2; facts/linstor-observed.md A4, A5, A10, section G; facts/early-observed.md (device paths only at
the end of the run).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.sim import faults
from tidegate.sim.linstor import store
from tidegate.sim.linstor.node import Life, Status

if TYPE_CHECKING:
    from tidegate.sim.linstor import world as worlds

_KIND = faults.FaultKind
_KNOWN_ALREADY = 0.02
"""Seconds that a resource costs in a run if its device is there (facts/linstor-observed.md, 309 volumes)."""


class DeviceManagers:
    """The device managers of all nodes."""

    def __init__(self, world: worlds.LinstorWorld) -> None:
        self._world = world

    def look(self) -> None:
        """Retry what a fault held and does so no more; begin the run that a false ONLINE had kept from happening."""
        for life in self._world.lives.values():
            if life.status is not Status.ONLINE or not self._acts(life):
                continue  # the controller may still believe in it
            if not self._world.connection.manages(life):
                if life.running or life.run_over:
                    self.abort(life)
                    life.run_over = False
                life.reported.clear()
            elif not life.running and not life.run_over:
                self.start(life)
            else:
                self._plan_retries(life)

    def _acts(self, life: Life) -> bool:
        """True if the satellite's process is there and not stopped in its tracks."""
        connection = self._world.connection
        return connection.listening(life) and not connection.mute(life)

    def abort(self, life: Life) -> None:
        """The run ends here: connection or power is gone."""
        life.run += 1
        life.running = False
        life.queue.clear()
        life.late.clear()

    def start(self, life: Life) -> None:
        """A run begins; ONLINE was set just before (facts/linstor.md 0.1)."""
        late = list(life.late)
        self.abort(life)
        if not self._world.connection.manages(life):
            return
        life.running = True
        life.spoilt = False
        life.failed.clear()
        placed = [p.definition for p in self._world.store.placements(node=life.name)]
        life.late = late
        life.queue = [name for name in placed if name not in late]
        timings = self._world.timings
        self._then(life, self._world.vary(timings.first_device), self._next)

    def _then(self, life: Life, delay: float, step: object) -> None:
        run = life.run

        def due() -> None:
            if life.run == run and callable(step):
                step(life)

        self._world.clock.after(delay, due)

    def _next(self, life: Life) -> None:
        world = self._world
        if not life.queue:
            self._then(life, world.vary(world.timings.run_end), self._end)
            return
        placement = world.store.placement(life.queue.pop(0), life.name)
        spent = self._do(life, placement) if placement is not None else 0.0
        self._then(life, spent, self._next)

    def _do(self, life: Life, placement: store.Placement) -> float:
        """Bring one resource up. Returns the seconds that the device manager is busy with it."""
        world, name = self._world, placement.definition
        hindrance = self.hindrance(placement)
        if hindrance is not None or life.spoilt:
            life.failed[name] = world.now
            fails = hindrance is not None and hindrance.kind is _KIND.RESOURCE_FAILS
            life.spoilt |= fails and life.running
            return 0.0
        there = world.replication.is_up(placement)
        if there:
            world.report(life, name)
        life.reported.add(name)
        world.replication.bring_up(placement)
        if there:
            return _KNOWN_ALREADY if world.timings.per_device else 0.0
        return world.vary(world.timings.attach + world.timings.per_device)

    def hindrance(self, placement: store.Placement) -> faults.Fault | None:
        """The fault that keeps the satellite from bringing this resource up now."""
        world, on = self._world, placement.node
        fails = world.fault(_KIND.RESOURCE_FAILS, placement.definition, on)
        if fails is not None:
            return fails
        missing = world.fault(_KIND.DEVICE_MISSING, placement.definition, on)
        if missing is not None and not missing.drbd_up:
            return missing
        locked = world.fault(_KIND.STORAGE_LOCKED)
        if (
            locked is not None
            and "LUKS" in world.store.data.definitions[placement.definition].layers
        ):
            return locked
        if world.store.data.definitions[placement.definition].drbd:
            late = world.fault(_KIND.MODULE_LATE, on)
            if late is not None:
                return late
        if placement.diskless:
            return None
        pools = {v.pool for v in placement.volumes}
        found = (world.fault(_KIND.POOL_MISSING, pool, on) for pool in sorted(pools))
        return next((f for f in found if f is not None), None)

    def _end(self, life: Life) -> None:
        """The run is over: all paths are told together (facts/linstor.md 6.2), READY=1 goes out, late placements follow."""
        life.running = False
        # what was placed after the last resource of the run had its turn
        life.late += life.queue
        life.queue.clear()
        first, life.run_over = not life.run_over, True
        if life.spoilt:
            # not even those whose devices are up are reported; all are on the retry list (A18)
            life.spoilt = False
            for placement in self._world.store.placements(node=life.name):
                life.failed.setdefault(placement.definition, self._world.now)
            life.reported.clear()
        for placement in self._world.store.placements(node=life.name):
            if placement.definition not in (*life.failed, *life.late):
                self.tell_paths(placement)
        if first:
            self._world.emit("run-over", node=life.name)
        self._next_late(life)
        self._plan_retries(life)

    def _next_late(self, life: Life) -> None:
        if not life.late:
            return
        placement = self._world.store.placement(life.late.pop(0), life.name)
        spent = 0.0
        if placement is not None:
            spent = self._do(life, placement)
            self.tell_paths(placement)
        self._then(life, spent, self._next_late)

    def tell_paths(self, placement: store.Placement) -> None:
        """The controller learns where the devices are. A volume that is not up keeps what was known."""
        world = self._world
        for volume in placement.volumes:
            path = world.replication.path(placement, volume.number)
            volume.device_path = path or volume.device_path

    def create(self, placement: store.Placement) -> None:
        """A new placement on a connected node: its own short run. While CONNECTED it waits for the first run's end (A4)."""
        life = self._world.lives[placement.node]
        if life.status is Status.ONLINE and not life.running:
            self._do(life, placement)
            self.tell_paths(placement)
        elif life.status is Status.ONLINE:
            life.queue.append(placement.definition)
        elif life.status is Status.CONNECTED:
            life.late.append(placement.definition)

    # --- retries ---------------------------------------------------------------------------------
    def _plan_retries(self, life: Life) -> None:
        for name, since in list(life.failed.items()):
            placement = self._world.store.placement(name, life.name)
            if placement is None:
                del life.failed[name]
            elif self.hindrance(placement) is None:
                self._then(
                    life, self._wait(since, placement), lambda one, n=name: self._retry(one, n)
                )

    def _wait(self, since: float, placement: store.Placement) -> float:
        """A missing device file is there the moment its fault ends; what failed otherwise waits for LINSTOR's retry task (3.5)."""
        world, first = self._world, self._world.timings.retry
        missing = any(
            f.kind is _KIND.DEVICE_MISSING and f.hits(placement.definition) for f in world.faults
        )
        if missing or not first:
            return 0.0
        held = world.lives[placement.node].failed
        moment, step = since + first, 2 * first
        if len(held) > 1 and placement.definition != min(held):
            moment += step  # one resource at a time, then the rest
        while moment < world.now:
            moment, step = moment + step, 2 * step
        return moment - world.now

    def _retry(self, life: Life, name: str) -> None:
        placement = self._world.store.placement(name, life.name)
        if name not in life.failed or placement is None or self.hindrance(placement) is not None:
            return
        del life.failed[name]
        self._do(life, placement)
        if life.run_over:
            self.tell_paths(placement)
