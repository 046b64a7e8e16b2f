# SPDX-License-Identifier: Apache-2.0
"""One incusd process: its start, phase by phase, what its API does, its end (facts/incus.md 2.1, C3, R6, R46, U40-U43)."""

import enum
from collections.abc import Callable

from tidegate.core import ids
from tidegate.sim.incus.autostart import Autostart
from tidegate.sim.incus.events import Events
from tidegate.sim.incus.instances import Instances
from tidegate.sim.incus.journal import Level
from tidegate.sim.incus.operations import RUNNING, Operation, Operations
from tidegate.sim.incus.pools import Pools
from tidegate.sim.incus.tasks import Signal, Steps, Tasks
from tidegate.sim.incus.values import Refusal, instance_url
from tidegate.sim.incus.world import RUNNING as POWER_RUNNING
from tidegate.sim.incus.world import InstanceRecord, World

_DAEMON_VOLUMES = ("storage.backups_volume", "storage.images_volume", "storage.logs_volume")


class Phase(enum.StrEnum):
    """How far an incusd process has come."""

    STARTING = "starting"
    """No listener serves yet."""
    INITIALISING = "initialising"
    """Only ``/internal`` answers (D4); everything else waits."""
    AUTOSTART = "autostart"
    """Reads answer; what changes something waits (R6)."""
    READY = "ready"
    STOPPING = "stopping"
    GONE = "gone"


class Daemon:
    """One incusd process; it begins at once.

    Args:
        world: what outlives it.
        on_exit: called with the exit status when it has ended (negative: killed by that signal).

    Attributes:
        listening: set when its listeners serve.
        api_open: set when the API answers (Incus's ``setupChan``).
        ready: set when the first autostart pass is over (Incus's ``waitReady``).
        gone: set when the process has ended.
    """

    def __init__(self, world: World, on_exit: Callable[[int], None]) -> None:
        self._world = world
        self._on_exit = on_exit
        self.pid = world.new_pid()
        self.started_at = world.wall - world.server.epoch
        self.listening = Signal()
        self.api_open = Signal()
        self.ready = Signal()
        self.gone = Signal()
        self._is_stopping = False
        self.tasks = Tasks(world.clock, self._panic)
        self.events = Events(world)
        self.operations = Operations(world, self.tasks, self.events)
        self.pools = Pools(world)
        self.instances = Instances(world, self.pools, self.events, self.ready)
        self._autostart = Autostart(world, self.tasks, self.instances)
        self.tasks.spawn(self._main())

    @property
    def phase(self) -> Phase:
        """How far it has come."""
        if self.gone.is_set:
            return Phase.GONE
        if self._is_stopping:
            return Phase.STOPPING
        for signal, phase in (
            (self.ready, Phase.READY),
            (self.api_open, Phase.AUTOSTART),
            (self.listening, Phase.INITIALISING),
        ):
            if signal.is_set:
                return phase
        return Phase.STARTING

    # --- the API: each call answers when Incus would, perhaps never -----------------------------

    def change_state(
        self,
        instance: ids.InstanceId,
        action: str,
        answer: Callable[[Operation | Refusal], None],
        *,
        is_forced: bool = False,
        stateful: bool = False,
    ) -> None:
        """Start, stop or restart an instance: PUT /1.0/instances/NAME/state.

        It waits for the API and then for the end of incusd's start, and is carried out then even if nobody listens any more:
        incusd waits without looking at its client (R6).
        """
        self.tasks.spawn(self._change_state(instance, action, answer, is_forced, stateful))

    def validate(self, pools: list[str], answer: Callable[[Refusal | None], None]) -> None:
        """Mount pools anew: POST /internal/recover/validate (D61). Answers in any phase."""
        self.tasks.spawn(self._validate(pools, answer))

    # --- the end --------------------------------------------------------------------------------

    def terminate(self, *, with_instances: bool = False) -> None:
        """Deliver SIGTERM, or SIGPWR ``with_instances``: acted on only when incusd's start is over (U41, A41, A43)."""
        self.tasks.spawn(self._shut_down(with_instances=with_instances))

    def kill(self, status: int = -9) -> None:
        """End the process this moment."""
        if self.gone.is_set:
            return
        self.tasks.kill_all()
        self.events.close()
        self.gone.set()
        self._on_exit(status)

    def _panic(self, text: str) -> None:
        self._world.journal.write(Level.RAW, text)
        self._world.journal.write(Level.RAW, "goroutine 1 [running]:")
        self.kill(2)

    def _fail(self, err: str) -> None:
        self._world.journal.write(Level.ERROR, "Failed to start the daemon", err=err)
        self.kill(1)

    def _shut_down(self, *, with_instances: bool) -> Steps[None]:
        yield self.ready
        world = self._world
        self._is_stopping = True
        for operation in self.operations.all:
            if operation.status == RUNNING:
                yield operation.done
        if with_instances:
            for record in world.local_instances:
                if record.id in world.running:
                    yield from self.instances.stop(
                        record, by_api=False, stateful=record.stops_with_state
                    )
                    record.power = POWER_RUNNING  # it comes back at boot (A32)
        world.journal.write(
            Level.INFO, "Stopping storage pools" if with_instances else "Closing the database"
        )
        world.dump_database()
        world.journal.write(Level.INFO, "Daemon stopped")
        self.kill(0)

    # --- the start ------------------------------------------------------------------------------

    def _main(self) -> Steps[None]:
        world, timings, log = self._world, self._world.timings, self._world.journal.write
        log(Level.INFO, "Starting up", mode="normal", path="/var/lib/incus", version="7.0.2")
        yield timings.listeners
        self.listening.set()
        log(Level.INFO, "Initializing global database")
        yield timings.database
        log(Level.INFO, "Initialized global database")
        yield from self.pools.first_pass()
        if self.pools.waiting:
            self.tasks.spawn(self.pools.retry_loop(self._start_after_retry))
        err = self._fatal_pool()
        if err is not None:
            self._fail(err)
            return
        log(Level.INFO, "Initializing networks")
        log(Level.INFO, "All networks initialized")
        yield timings.setup
        yield from self.instances.register_running()
        self.api_open.set()
        world.warnings.resolve_older_than(self.started_at)
        yield from self._autostart.run()
        log(Level.INFO, "Daemon started")
        self.ready.set()

    def _start_after_retry(self) -> Steps[None]:
        yield from self._autostart.run(is_retry=True)

    def _fatal_pool(self) -> str | None:
        """Where a pool that is not there ends incusd's start (D19)."""
        world, missing = self._world, self.pools.waiting
        if world.server.is_patch_pending and missing:
            names = " ".join(sorted(missing))
            name = "storage_lvmcluster_qcow2_overhead"
            return f'Failed applying patch "{name}": Unavailable storage pools: [{names}]'
        for key in _DAEMON_VOLUMES:
            volume = world.config.get(key, "")
            if volume.partition("/")[0] in missing:
                what = key.removeprefix("storage.").removesuffix("_volume")
                text = f'Failed to mount storage volume "{volume}": Storage pool is unavailable on this server'
                return f"Failed to mount {what} storage: {text}"
        return None

    # --- calls ----------------------------------------------------------------------------------

    def _change_state(
        self,
        instance: ids.InstanceId,
        action: str,
        answer: Callable[[Operation | Refusal], None],
        is_forced: bool,
        stateful: bool,
    ) -> Steps[None]:
        yield self.api_open
        world = self._world
        if self._is_stopping:
            answer(Refusal("Incus is shutting down", 503))
            return
        if world.server.is_clustered and action != "stop" and world.is_evacuated:
            answer(Refusal("Cluster member is evacuated", 403))
            return
        yield self.ready
        record = world.instances.get(instance)
        if record is None:
            answer(Refusal("Instance not found", 404))
            return

        works: dict[str, tuple[str, Callable[[], Steps[Refusal | None]]]] = {
            "start": (
                "Starting instance",
                lambda: self.instances.start(record, by_api=True, stateful=stateful),
            ),
            "stop": (
                "Stopping instance",
                lambda: self.instances.stop(
                    record, by_api=True, is_forced=is_forced, stateful=stateful
                ),
            ),
            "restart": ("Restarting instance", lambda: self._restart(record, is_forced=is_forced)),
        }
        if action not in works:
            answer(Refusal(f"Unknown action: '{action}'", 400))
            return
        description, work = works[action]
        resources = {"instances": [instance_url(instance)]}
        answer(self.operations.run(description, resources, instance.project, work))

    def _restart(self, record: InstanceRecord, *, is_forced: bool) -> Steps[Refusal | None]:
        refusal = yield from self.instances.stop(record, by_api=True, is_forced=is_forced)
        if refusal is None:
            refusal = yield from self.instances.start(record, by_api=True)
        if refusal is None:
            self.events.lifecycle(
                "instance-restarted", record.id.name, record.id.project, by_api=True
            )
        return refusal

    def _validate(self, pools: list[str], answer: Callable[[Refusal | None], None]) -> Steps[None]:
        for pool in pools:
            refusal = yield from self.pools.validate(pool, is_ready=self.ready.is_set)
            if refusal is not None:
                answer(refusal)
                return
        answer(None)
