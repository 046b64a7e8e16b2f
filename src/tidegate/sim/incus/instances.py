# SPDX-License-Identifier: Apache-2.0
"""Starting and stopping instances in one incusd process (facts/incus.md 3.2, 3.3, R46-R49)."""

from datetime import UTC, datetime

from tidegate.core import ids
from tidegate.sim.incus.events import Events
from tidegate.sim.incus.journal import Level
from tidegate.sim.incus.pools import Pools
from tidegate.sim.incus.tasks import Signal, Steps
from tidegate.sim.incus.values import DEFAULT_PROJECT, InstanceKind, Refusal
from tidegate.sim.incus.world import (
    RUNNING,
    STOPPED,
    InstanceRecord,
    RunningInstance,
    StartRecord,
    World,
)
from tidegate.sim.storage import IncusVolume, VolumeKind


class _Lock:
    """The operation lock of an instance (R49): who comes second waits for the first's outcome."""

    def __init__(self, action: str) -> None:
        self.action = action
        self.released = Signal()
        self.refusal: Refusal | None = None


class Instances:
    """What this process does to instances.

    Args:
        ready: set when incusd's own start is over (A12).
    """

    def __init__(self, world: World, pools: Pools, events: Events, ready: Signal) -> None:
        self._world = world
        self._pools = pools
        self._events = events
        self._ready = ready
        self._locks: dict[ids.InstanceId, _Lock] = {}

    def start(
        self, record: InstanceRecord, *, by_api: bool, stateful: bool = False
    ) -> Steps[Refusal | None]:
        """Start an instance, from its saved state if ``stateful``. Returns why it does not run, with code 503 when a pool of it is unavailable (A7)."""
        other = self._locks.get(record.id)
        if other is not None:
            return (yield from self._wait_for(other, "start"))
        lock = self._locks[record.id] = _Lock("start")
        try:
            lock.refusal = yield from self._start(record, by_api=by_api, stateful=stateful)
        finally:
            del self._locks[record.id]
        lock.released.set()
        return lock.refusal

    def stop(
        self,
        record: InstanceRecord,
        *,
        by_api: bool,
        is_forced: bool = False,
        stateful: bool = False,
    ) -> Steps[Refusal | None]:
        """Stop an instance: whoever does it, STOPPED is written (A31)."""
        other = self._locks.get(record.id)
        if other is not None:
            return (yield from self._wait_for(other, "stop"))
        if record.id not in self._world.running:
            return Refusal("The instance is already stopped")
        lock = self._locks[record.id] = _Lock("stop")
        try:
            self._log(record, "Stopping instance" if is_forced else "Shutting down instance")
            yield self._world.timings.instance_stop
            self._world.running.pop(record.id, None)
            record.power = STOPPED
            record.is_stateful = stateful
            self._log(record, "Stopped instance" if is_forced else "Shut down instance")
        finally:
            del self._locks[record.id]
        action = "instance-stopped" if is_forced else "instance-shutdown"
        self._events.lifecycle(action, record.id.name, record.id.project, by_api=by_api)
        lock.released.set()
        return None

    def is_busy(self, instance: ids.InstanceId) -> bool:
        """Return True while something is being done to it (R49)."""
        return instance in self._locks

    def register_running(self) -> Steps[None]:
        """Take over instances that run since before this process: their volumes are asked for anew (L80-L82)."""
        for record in self._world.local_instances:
            if record.id not in self._world.running:
                continue
            for volume in self._world.volumes_of(record):
                refusal = (
                    Refusal("Storage pool is unavailable on this server", 503)
                    if volume.pool in self._pools.unavailable
                    else (yield from self._pools.prepare(volume))
                )
                if refusal is not None:
                    self._world.journal.write(
                        Level.ERROR,
                        "Failed to register device",
                        device="root",
                        err=refusal.text,
                        instance=record.id.name,
                        instanceType=record.spec.kind,
                        project=record.id.project,
                    )
                    break

    def _wait_for(self, other: _Lock, action: str) -> Steps[Refusal | None]:
        if other.action != action:
            return Refusal(f'Instance is busy running a "{other.action}" operation')
        yield other.released
        return other.refusal

    def _start(
        self, record: InstanceRecord, *, by_api: bool, stateful: bool
    ) -> Steps[Refusal | None]:
        refusal = self._validate(record)
        if refusal is not None:
            return refusal
        self._log(record, "Starting instance", only_containers=True)
        refusal = yield from self._prepare(record)
        if refusal is not None:
            return refusal
        return (yield from self._boot(record, by_api=by_api, stateful=stateful))

    def _validate(self, record: InstanceRecord) -> Refusal | None:
        """What Incus checks before it touches storage."""
        if record.id in self._world.running:
            return Refusal("The instance is already running")
        if record.is_in_error:
            return Refusal("The instance cannot be started as in Error status")
        if record.expanded_config.get("security.protection.start") == "true":
            return Refusal("Instance has startup protection enabled")
        pool = record.spec.pool
        problem = self._pools.load_failure(pool)
        if problem is not None:
            return Refusal(problem)
        if pool in self._pools.unavailable:
            return Refusal(f'Storage pool "{pool}" unavailable on this server', 503)
        for device, volume in self._custom_volumes(record):
            problem = self._pools.load_failure(volume.pool)
            if problem is not None:
                text = f'Failed to get storage pool "{volume.pool}": {problem}'
                return Refusal(f'Failed start validation for device "{device}": {text}')
            if volume.pool in self._pools.unavailable:
                text = f'Storage pool "{volume.pool}" unavailable on this server'
                return Refusal(f'Failed pre-start check for device "{device}": {text}', 503)
        return None

    def _prepare(self, record: InstanceRecord) -> Steps[Refusal | None]:
        for volume in self._world.volumes_of(record):
            refusal = yield from self._pools.prepare(volume)
            if refusal is not None:
                return refusal
        for device, volume in self._custom_volumes(record):
            refusal = yield from self._pools.prepare(volume)
            if refusal is not None:
                name = volume.name.partition("_")[2]
                text = f'Failed mounting custom storage volume "{name}" on storage pool "{volume.pool}": {refusal.text}'
                return Refusal(f'Failed to start device "{device}": {text}')
        return None

    def _boot(
        self, record: InstanceRecord, *, by_api: bool, stateful: bool
    ) -> Steps[Refusal | None]:
        world, is_container = self._world, record.spec.kind is InstanceKind.CONTAINER
        if is_container:
            self._record_running(record)
        yield world.timings.instance_start
        if record.late_failures > 0:
            return (yield from self._fail_late(record))
        if not is_container:
            self._record_running(record)
        record.is_stateful = False
        now = world.clock.now
        world.running[record.id] = RunningInstance(pid=world.new_pid(), since=now)
        origin = "api" if by_api else "autostart"
        world.starts.append(
            StartRecord(at=now, instance=record.id, origin=origin, was_stateful=stateful)
        )
        self._log(record, "Started instance", only_containers=True)
        self._events.lifecycle("instance-started", record.id.name, record.id.project, by_api=by_api)
        return None

    def _fail_late(self, record: InstanceRecord) -> Steps[Refusal]:
        """The container's own start fails: its stop hook writes STOPPED (A21) and waits for incusd's start to end (A12)."""
        record.late_failures -= 1
        if not self._ready.is_set:
            yield self._world.timings.callhook_limit
        record.power = STOPPED
        self._log(record, "Failed starting instance", level=Level.ERROR, only_containers=True)
        name = record.id.name
        command = f"/usr/libexec/incus/incusd forklxc {name} /var/lib/incus/containers /run/incus/{name}/lxc.conf"
        return Refusal(f"Failed to run: {command}: exit status 1")

    def _record_running(self, record: InstanceRecord) -> None:
        record.power = RUNNING
        record.last_used_at = self._world.wall

    def _custom_volumes(self, record: InstanceRecord) -> list[tuple[str, IncusVolume]]:
        """Return the required custom volumes with their device names (L28)."""
        project = self._world.server.project(record.id.project)
        owner = project.name if project is not None and project.has_own_volumes else DEFAULT_PROJECT
        volumes = []
        for device, config in sorted(record.expanded_devices.items()):
            if config.get("type") != "disk" or "pool" not in config or config.get("path") == "/":
                continue
            if config.get("required") == "false" or config.get("attached") == "false":
                continue
            name = f"{owner}_{config.get('source', '').partition('/')[0]}"
            volumes.append(
                (device, IncusVolume(pool=config["pool"], kind=VolumeKind.CUSTOM, name=name))
            )
        return volumes

    def _log(
        self,
        record: InstanceRecord,
        msg: str,
        *,
        level: Level = Level.INFO,
        only_containers: bool = False,
    ) -> None:
        if only_containers and record.spec.kind is not InstanceKind.CONTAINER:
            return
        self._world.journal.write(
            level,
            msg,
            action="stop" if msg.startswith(("Stop", "Shut")) else "start",
            created=go_time(record.created_at),
            ephemeral=record.spec.is_ephemeral,
            instance=record.id.name,
            instanceType=record.spec.kind,
            project=record.id.project,
            stateful=record.is_stateful,
            used=go_time(record.last_used_at),
        )


def go_time(seconds: float) -> str:
    """Return seconds since the epoch as Go prints a time: ``2026-11-23 05:19:24.033478 +0000 UTC``."""
    moment = datetime.fromtimestamp(seconds, UTC)
    fraction = f"{moment.microsecond:06d}".rstrip("0")
    return (
        moment.strftime("%Y-%m-%d %H:%M:%S") + (f".{fraction}" if fraction else "") + " +0000 UTC"
    )
