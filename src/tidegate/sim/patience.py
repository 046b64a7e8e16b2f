# SPDX-License-Identifier: Apache-2.0
"""How long it may take until what can run, runs: by what the agent knew, and by what is true whether it knew or not."""

from collections.abc import Collection, Iterator
from typing import Final

from tidegate.core import ids
from tidegate.core.finding import Report
from tidegate.core.ids import InstanceId, SubjectKind
from tidegate.sim import drbd, faults
from tidegate.sim.incus.daemon import Phase
from tidegate.sim.incus.model import IncusModel
from tidegate.sim.linstor.node import Status
from tidegate.sim.linstor.world import LinstorWorld
from tidegate.sim.schedule import Schedule
from tidegate.sim.wishes import Wishes

SOON: Final = 15.0
"""Seconds within which an instance runs once the agent knew that all it rests on can be used, its own failures and its turn included."""
TRULY_SOON: Final = 25.0
"""The same once that is so, whether the agent knew or not: what LINSTOR, DRBD and Incus say has to be heard and believed first."""
MINUTE: Final = 60.0
_LONGEST_WAIT: Final = 40.0
"""Seconds between two starts for the same cause at the longest, jitter included (design.md, principle 5)."""
_SYN_PAUSE: Final = 64.0
"""Longest pause in seconds between two SYNs of Linux within the time of a schedule."""
_KIND = faults.FaultKind
_HIDDEN: Final = (_KIND.DEVICE_MISSING, _KIND.DEVICE_PATH_MISSING)
"""While one of these lasts, LINSTOR does not tell where the device is, and Incus asks nobody else."""


class Patience:
    """Watches one simulated boot; every rule that is broken comes as a sentence."""

    def __init__(
        self, schedule: Schedule, world: LinstorWorld, incus: IncusModel, wishes: Wishes
    ) -> None:
        self._schedule = schedule
        self._world = world
        self._incus = incus
        self._wishes = wishes
        self._possible: dict[InstanceId, float] = {}
        self._true: dict[InstanceId, float] = {}
        self.waits: dict[str, float] = {}
        """For each instance that we could start at once, how long it took (seconds)."""

    def seen(self, report: Report, *, flying: Collection[str], paused: bool) -> Iterator[str]:
        """Look once; ``flying`` are the subjects that an action is on its way for. Yields a sentence for each rule broken now."""
        closed = paused or self._incus.phase is not Phase.READY or self._incus.hangs
        closed = closed or self._incus.world.is_evacuated
        for who in self._wishes.expected():
            if self._incus.is_running(who):
                yield from self._up(who)
            elif closed or str(ids.instance(who)) in flying:
                # What is being started may hang in Incus, which no one can shorten.
                self._possible.pop(who, None)
                self._true.pop(who, None)
            else:
                self._since(self._possible, who, self._could(who, report))
                self._since(self._true, who, self._is_true(who))

    def _since(self, since: dict[InstanceId, float], who: InstanceId, can: bool) -> None:
        if can:
            since.setdefault(who, self._world.now)
        else:
            since.pop(who, None)

    def _could(self, who: InstanceId, report: Report) -> bool:
        """All that it rests on is ready, as the agent judges it; pools are the agent's own work."""
        state = report.state(ids.instance(who))
        if state is None:
            return False
        below = (s for s in state.rests_on if s.kind is not SubjectKind.POOL)
        remote = self._schedule.is_remote(self._incus.instance(who).spec.pool)
        if not remote and not self._is_true(who):
            return False  # nothing but a start tells whether such a storage is there
        if remote and not self._world.module_loaded():
            return (
                False  # without DRBD among the layers the judge does not mind; Incus's driver does
            )
        ground = [ids.SATELLITE, ids.CONTROLLER, ids.HOST] if remote else []
        if remote and self._schedule.local_truth and not report.ready(ids.CONTROLLER):
            ground = [ids.HOST]
        return all(report.ready(subject) for subject in (*below, *ground))

    # --- the models' truth -----------------------------------------------------------------------
    def _is_true(self, who: InstanceId) -> bool:
        """Everything that a start needs is there, whoever knows it."""
        world = self._world
        pool = self._incus.instance(who).spec.pool
        if not self._schedule.is_remote(pool):
            mounted = self._incus.pool_status(pool) == "Created"
            return mounted and world.fault(_KIND.FOREIGN_AWAY, pool) is None
        life = world.lives[world.local]
        troubled = any(world.fault(kind) is not None for kind in faults.CONTROLLER_KINDS)
        away = len(world.lives) > 1 and world.fault(_KIND.PEER_AWAY) is not None
        missing = world.fault(_KIND.POOL_MISSING) is not None
        if troubled or away or missing or not world.module_loaded():
            return False
        if life.status is not Status.ONLINE or not world.connection.manages(life):
            return False
        if world.connection.mute(life):
            return False
        return all(map(self._is_usable, self._schedule.resources_of(who)))

    def _is_usable(self, resource: str) -> bool:
        """It is placed here, reported, its devices open and carry what they should; every peer is connected and none is Primary."""
        world = self._world
        placement = world.store.placement(resource, world.local)
        told = resource in world.lives[world.local].reported
        hidden = any(world.fault(kind, resource) is not None for kind in _HIDDEN)
        if placement is None or not told or hidden:
            return False
        for number, volume in enumerate(placement.volumes):
            file = world.trees[world.local].of(resource, number)
            if file is None or volume.device_path != file.path or not file.signature:
                return False
            if world.open(file.path):
                return False
        side = world.drbd[world.local].resources.get(resource)
        if side is None:
            return not world.store.data.definitions[resource].drbd
        disks = (drbd.Disk.UP_TO_DATE, drbd.Disk.DISKLESS)
        return all(volume.disk in disks for volume in side.volumes.values()) and all(
            connection.connected and connection.role is not drbd.Role.PRIMARY
            for connection in side.connections.values()
        )

    # --- the verdict -----------------------------------------------------------------------------
    def _up(self, who: InstanceId) -> Iterator[str]:
        known, true = self._possible.pop(who, None), self._true.pop(who, None)
        yield from self._in_time(who, known, SOON, "could have been started, as the agent knew,")
        yield from self._in_time(who, true, TRULY_SOON, "could have been started")

    def _in_time(
        self, who: InstanceId, since: float | None, limit: float, what: str
    ) -> Iterator[str]:
        if since is None:
            return
        last = max((s.at for s in self._incus.world.starts if s.instance == who), default=since)
        wait = max(0.0, last - since)
        if limit == SOON:
            self.waits[str(who)] = max(wait, self.waits.get(str(who), 0.0))
        if wait > limit + self._delays() and not self._wishes.is_forgotten(who):
            yield f"{who} {what} {wait:.1f} s before it ran"

    def _delays(self) -> float:
        """Return what may come on top: delays by configuration, and what Incus itself waits for."""
        hole = any(fault.kind is _KIND.CONTROLLER_BLACK_HOLE for fault in self._schedule.faults)
        delays = sum(record.start_delay for record in self._incus.world.local_instances)
        # A pool with volumes that Incus does not know is Incus's own to mount, once a minute.
        minute = MINUTE if self._schedule.stray else 0.0
        # Of a foreign storage nothing tells that it is back: the next start does, when the waits have grown.
        foreign = any(fault.kind is _KIND.FOREIGN_AWAY for fault in self._schedule.faults)
        # A call of Incus's own to a slow controller, which others then wait for.
        slow = max((fault.delay for fault in self._schedule.faults), default=0.0)
        more = (_SYN_PAUSE if hole else 0.0) + (_LONGEST_WAIT if foreign else 0.0)
        return delays + minute + slow + more
