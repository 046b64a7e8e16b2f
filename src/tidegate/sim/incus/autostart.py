# SPDX-License-Identifier: Apache-2.0
"""The passes in which incusd starts instances by itself (facts/incus.md 3.1, A1-A8)."""

from tidegate.sim.incus.instances import Instances
from tidegate.sim.incus.journal import Level
from tidegate.sim.incus.tasks import PanicError, Signal, Steps, Tasks, join
from tidegate.sim.incus.warnings import AUTOSTART_FAILURE
from tidegate.sim.incus.world import InstanceRecord, World

ATTEMPTS = 3
"""Starts that incusd tries per instance and pass (A6)."""

_PANIC = "panic: runtime error: invalid memory address or nil pointer dereference"


class Autostart:
    """Incus's own starting of instances; passes run one at a time (A3)."""

    def __init__(self, world: World, tasks: Tasks, instances: Instances) -> None:
        self._world = world
        self._tasks = tasks
        self._instances = instances
        self._under_way: Signal | None = None

    @property
    def parallelism(self) -> int:
        """How many of the bulk group are started at a time (A4)."""
        return max(self._world.server.cpus // 4, 1)

    def run(self, *, is_retry: bool = False) -> Steps[None]:
        """Start every local instance that should run and does not.

        Args:
            is_retry: called by the pool retry loop, whose early snapshot of incusd's state makes it panic on some devices
                (D-RETRY-PANIC).

        Raises:
            PanicError: that panic.
        """
        if self._world.is_evacuated:
            return
        while self._under_way is not None:
            yield self._under_way
        over = self._under_way = Signal()
        try:
            yield from self._pass(is_retry=is_retry)
        finally:
            self._under_way = None
        over.set()

    def _pass(self, *, is_retry: bool) -> Steps[None]:
        wanted = [record for record in self._world.local_instances if self._is_wanted(record)]
        if is_retry and any(record.has_watched_device for record in wanted):
            raise PanicError(_PANIC)
        bulk = [record for record in wanted if not record.is_prioritised]
        workers = [self._tasks.spawn(self._worker(bulk)) for _ in range(self.parallelism)]
        yield from join(workers)
        rest = [record for record in wanted if record.is_prioritised]
        for record in sorted(rest, key=lambda record: (-record.priority, record.id.name)):
            if (yield from self._start(record)):
                yield float(record.start_delay)

    def _is_wanted(self, record: InstanceRecord) -> bool:
        return record.should_autostart and record.id not in self._world.running

    def _worker(self, todo: list[InstanceRecord]) -> Steps[None]:
        """Take instances off the common list until it is empty."""
        while todo:
            yield from self._start(todo.pop(0))

    def _start(self, record: InstanceRecord) -> Steps[bool]:
        """Try up to three times. Returns whether the instance runs now."""
        world, who = self._world, {"instance": record.id.name, "project": record.id.project}
        if record.id in world.running:
            return False
        err = ""
        for attempt in range(1, ATTEMPTS + 1):
            if attempt > 1:
                yield world.timings.attempt_pause
            refusal = yield from self._instances.start(
                record, by_api=False, stateful=record.stops_with_state
            )
            if refusal is None:
                world.warnings.resolve(AUTOSTART_FAILURE, str(record.id), project=record.id.project)
                return True
            if refusal.code == 503:
                world.dropped.add(record.id)
                return False  # dropped without a word (A7)
            err = refusal.text
            world.journal.write(
                Level.WARNING,
                "Failed auto start instance attempt",
                attempt=attempt,
                maxAttempts=ATTEMPTS,
                err=err,
                **who,
            )
        world.warnings.upsert(
            AUTOSTART_FAILURE,
            str(record.id),
            err,
            entity_url=f"/1.0/instances/{record.id.name}?project={record.id.project}",
            project=record.id.project,
        )
        world.journal.write(Level.ERROR, "Failed to auto start instance", err=err, **who)
        return False
