# SPDX-License-Identifier: Apache-2.0
"""incus.socket, incus.service and incus-startup.service as systemd runs them (facts/incus.md section 1, U2-U5, U12, U31, U40-U43)."""

from collections import deque
from collections.abc import Callable

import msgspec

from tidegate.sim.incus.daemon import Daemon, Phase
from tidegate.sim.incus.tasks import Signal, Steps, Task, Tasks, first_of
from tidegate.sim.incus.world import World, should_autostart

_START_LIMIT = 5
_START_LIMIT_INTERVAL = 10.0


class UnitState(msgspec.Struct, frozen=True, kw_only=True):
    """A unit as ``systemctl show`` has it. ``active_since``: virtual seconds, None when not active."""

    active: str = "inactive"
    sub: str = "dead"
    result: str = "success"
    restarts: int = 0
    active_since: float | None = None


class Units:
    """The three units. All state of systemd is here, so an incusd process can come and go.

    Attributes:
        daemon: the running incusd process, None without one.
        service: state of incus.service.
        startup: state of incus-startup.service.
        is_socket_open: incus.socket listens: a connection is accepted, and starts incus.service.
        hold: while not None and not set, a start job of incus.service waits: something it is ordered after (U10).
        changed: called after every change of ``is_socket_open`` and after every end of a process.
    """

    def __init__(self, world: World, changed: Callable[[], None]) -> None:
        self._world = world
        self._changed = changed
        self._tasks = Tasks(world.clock, self._broken)
        self._starts: deque[float] = deque(maxlen=_START_LIMIT)
        self._is_stop_wanted = False
        self._job: Task[None] | None = None
        self._stop_job: Task[None] | None = None
        self.daemon: Daemon | None = None
        self.service = UnitState()
        self.startup = UnitState()
        self.is_socket_open = False
        self.hold: Signal | None = None
        self.spawned = Signal()

    def boot(self) -> None:
        """Come up with the machine: the socket first, then ``activateifneeded`` (U1)."""
        self._tasks.spawn(self._boot())

    def power_loss(self) -> None:
        """Everything ends this moment."""
        self._tasks.kill_all()
        self._is_stop_wanted = True
        self.is_socket_open = False
        daemon, self.daemon = self.daemon, None
        self.service = self.startup = UnitState()
        self.spawned = Signal()
        self._starts.clear()
        if daemon is not None:
            daemon.kill()
        self._changed()

    def connect(self) -> None:
        """A client has connected to the socket: socket activation (U6, R7)."""
        if self.is_socket_open and self.service.active in {"inactive", "failed"}:
            self.start()

    def when_listening(self, call: Callable[[Daemon], None]) -> None:
        """Deliver a request that somebody has written to the socket: to the next process that listens, be the writer gone."""
        self.connect()
        self._tasks.spawn(self._deliver(call))

    def start(self) -> None:
        """Queue a start job for incus.service (StartUnit)."""
        if self.service.active in {"inactive", "failed"}:
            self._is_stop_wanted = False
            self.service = UnitState(active="activating", sub="start-pre")
            self._job = self._tasks.spawn(self._start())

    def stop(self) -> None:
        """Stop incus.service: SIGTERM, which leaves instances running (U40), SIGKILL after the limit (U41)."""
        self._replace_stop(self._stop())

    def restart(self) -> None:
        """Restart incus.service: instances keep running (U43)."""
        self._replace_stop(self._restart())

    def shut_down(self) -> None:
        """Shut the machine down cleanly: ``incusd shutdown`` stops the instances (A41), unless incusd is still starting (U19)."""
        self._replace_stop(self._shut_down())

    def _replace_stop(self, steps: Steps[None]) -> None:
        """A stop or restart takes the place of one that has not ended, as jobs of one unit do."""
        if self._stop_job is not None:
            self._stop_job.kill()
        self._stop_job = self._tasks.spawn(steps)

    def _deliver(self, call: Callable[[Daemon], None]) -> Steps[None]:
        while (daemon := self.daemon) is None or not daemon.listening.is_set:
            yield self.spawned if daemon is None else first_of(daemon.listening, daemon.gone)
        call(daemon)

    def _boot(self) -> Steps[None]:
        timings = self._world.timings
        yield timings.socket_up
        self.is_socket_open = True
        self._changed()
        yield max(timings.startup_check - timings.socket_up, 0.0)
        self.startup = UnitState(active="activating", sub="start")
        if self._is_activation_needed():
            yield timings.activate
            self.connect()
            yield from self._wait_for_api()
        if self.startup.active == "activating":
            self.startup = UnitState(
                active="active", sub="exited", active_since=self._world.clock.now
            )

    def _wait_for_api(self) -> Steps[None]:
        """``activateifneeded`` has connected: it waits for its GET /1.0, within its unit's time-out (U3, U14)."""
        over = Signal()
        limit = self._tasks.spawn(self._set_late(over))
        while self.daemon is None and not over.is_set:
            yield first_of(self.spawned, over)
        if self.daemon is not None:
            yield first_of(self.daemon.api_open, self.daemon.gone, over)
        limit.kill()
        if self.daemon is None or not self.daemon.api_open.is_set:
            result = "timeout" if over.is_set else "exit-code"
            self.startup = UnitState(active="failed", sub="failed", result=result)

    def _set_late(self, signal: Signal) -> Steps[None]:
        yield self._world.timings.startup_limit
        signal.set()

    def _is_activation_needed(self) -> bool:
        """What ``incusd activateifneeded`` decides, from a dump that may be stale (U2, U4)."""
        world = self._world
        if world.config.get("core.https_address"):
            return True
        if world.db_dump is None:
            return False
        wanted = any(
            should_autostart(config) or config.get("snapshots.schedule") for config in world.db_dump
        )
        return wanted or bool(world.running)

    def _start(self) -> Steps[None]:
        world = self._world
        if self.hold is not None:
            yield self.hold
        now = world.clock.now
        if len(self._starts) == _START_LIMIT and now - self._starts[0] < _START_LIMIT_INTERVAL:
            self._fail("start-limit-hit")
            self.is_socket_open = False
            self._changed()
            return
        self._starts.append(now)
        yield world.timings.exec
        assert self.daemon is None, "two incusd at once"
        daemon = self.daemon = Daemon(world, self._exited)
        self._set(active="activating", sub="start-post")
        spawned, self.spawned = self.spawned, Signal()
        spawned.set()
        yield from self._wait_ready(daemon)

    def _wait_ready(self, daemon: Daemon) -> Steps[None]:
        """``incusd waitready`` in ExecStartPost (C2, U31), and what its time-out leads to (U42).

        systemd waits for it even when the process that it asks about is dead (observed, s10).
        """
        timings, clock = self._world.timings, self._world.clock
        limit = clock.now + timings.waitready_limit
        while clock.now < limit:
            if daemon.phase is Phase.READY:
                self.service = UnitState(
                    active="active",
                    sub="running",
                    restarts=self.service.restarts,
                    active_since=clock.now,
                )
                return
            yield timings.waitready_poll
        self._set(active="deactivating", sub="stop-sigterm")
        yield from self._end(daemon)
        self._restart_on_failure("exit-code")

    def _stop(self) -> Steps[None]:
        self._is_stop_wanted = True
        if self._job is not None:
            self._job.kill()
        if self.daemon is not None:
            self._set(active="deactivating", sub="stop-sigterm")
            yield from self._end(self.daemon)
        self.service = UnitState()

    def _end(self, daemon: Daemon) -> Steps[None]:
        """SIGTERM, and SIGKILL after the limit."""
        if not daemon.gone.is_set:
            daemon.terminate()
            limit = self._tasks.spawn(self._kill_late(daemon))
            yield daemon.gone
            limit.kill()

    def _kill_late(self, daemon: Daemon) -> Steps[None]:
        yield self._world.timings.stop_limit
        daemon.kill()

    def _restart(self) -> Steps[None]:
        yield from self._stop()
        self.start()

    def _shut_down(self) -> Steps[None]:
        daemon = self.daemon
        if daemon is not None and self.service.active == "active":
            self._is_stop_wanted = True
            daemon.terminate(with_instances=True)
            yield daemon.gone
        self._world.running.clear()
        self.power_loss()

    def _exited(self, status: int) -> None:
        """The process has ended: Restart=on-failure, unless a stop was asked for or ``waitready`` still runs."""
        self.daemon = None
        if self.service.active == "active" and not self._is_stop_wanted:
            if status == 0:
                self.service = UnitState()
            else:
                self._restart_on_failure("exit-code" if status > 0 else "signal")
        self._changed()

    def _restart_on_failure(self, result: str) -> None:
        restarts = self.service.restarts + 1
        self.service = UnitState(
            active="activating", sub="auto-restart", result=result, restarts=restarts
        )
        self._job = self._tasks.spawn(self._restart_later())

    def _set(self, *, active: str, sub: str) -> None:
        self.service = msgspec.structs.replace(self.service, active=active, sub=sub)

    def _restart_later(self) -> Steps[None]:
        yield self._world.timings.restart
        self._set(active="activating", sub="start-pre")
        yield from self._start()

    def _fail(self, result: str) -> None:
        self.service = UnitState(active="failed", sub="failed", result=result)

    def _broken(self, text: str) -> None:
        raise AssertionError(f"systemd's model does not panic: {text}")
