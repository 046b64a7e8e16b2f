# SPDX-License-Identifier: Apache-2.0
"""The door to the model: one Incus server that boots, loses power, is used and asked.

Nothing happens by itself: advance the virtual clock (``clock.advance(moment)``), or let a pacer do so.
"""

from collections.abc import Callable, Mapping

from tidegate.core import ids
from tidegate.sim.clock import VirtualClock
from tidegate.sim.incus.daemon import Daemon, Phase
from tidegate.sim.incus.journal import Journal
from tidegate.sim.incus.operations import Operation
from tidegate.sim.incus.tasks import Signal
from tidegate.sim.incus.timings import IncusTimings
from tidegate.sim.incus.units import Units
from tidegate.sim.incus.values import Refusal, ServerSpec
from tidegate.sim.incus.warnings import Warnings
from tidegate.sim.incus.world import STOPPED, InstanceRecord, World
from tidegate.sim.storage import StorageFront

Answer = Operation | Refusal


class IncusModel:
    """An Incus server 7.0.2 as Debian packages it.

    Args:
        clock: the virtual clock, shared with the storage model.
        server: what the scenario declares.
        fronts: the storage behind each LINSTOR pool, by pool name; every LINSTOR pool needs one.
        timings: durations; ``IncusTimings().scaled(0.1)`` shrinks Incus's own waits for a demo.
        seed: for chance: order of pools, identifiers.

    Raises:
        KeyError: a LINSTOR pool has no front.
    """

    def __init__(
        self,
        clock: VirtualClock,
        server: ServerSpec,
        fronts: Mapping[str, StorageFront],
        *,
        timings: IncusTimings | None = None,
        seed: int = 0,
    ) -> None:
        self.clock = clock
        self.world = World(clock, server, fronts, timings or IncusTimings(), seed)
        self._listeners: list[Callable[[], None]] = []
        self.hangs = False
        """Its API takes calls and answers none; what incusd does by itself goes on."""
        self.units = Units(self.world, self._tell)

    # --- the machine ----------------------------------------------------------------------------

    def boot(self) -> None:
        """Let the machine come up now: nothing runs yet, the database is what it was."""
        self.units.boot()

    def power_loss(self) -> None:
        """Cut the power: no process is left, the database keeps what it had (A33)."""
        self.world.running.clear()
        self.units.power_loss()

    def shut_down(self) -> None:
        """Shut down cleanly: instances are stopped and will come back at boot (A32). Ends some time later."""
        self.units.shut_down()

    def crash_daemon(self) -> None:
        """Kill incusd with SIGKILL; systemd starts it again; instances keep running."""
        if self.daemon is not None:
            self.daemon.kill()

    def hold_start(self) -> Signal:
        """Let incus.service wait for something it is ordered after, until the returned signal is set (U10)."""
        self.units.hold = Signal()
        return self.units.hold

    def set_clock(self, seconds: float) -> None:
        """Set the wall clock on (or back, below zero) by so many seconds: what Incus stamps from now on is of that time."""
        self.world.clock_set += seconds

    def set_member_status(self, status: str) -> None:
        """Have this member be Online, Evacuated, Evacuating or Restoring (A2, R80)."""
        self.world.member_status = status

    def listen(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` whenever the socket opens or closes or an incusd process has ended."""
        self._listeners.append(listener)

    # --- who looks ------------------------------------------------------------------------------

    @property
    def daemon(self) -> Daemon | None:
        """The running incusd process, if any."""
        return self.units.daemon

    @property
    def phase(self) -> Phase:
        """How far incusd has come; GONE while there is no process."""
        return Phase.GONE if self.daemon is None else self.daemon.phase

    @property
    def journal(self) -> Journal:
        """What incusd wrote."""
        return self.world.journal

    @property
    def warnings(self) -> Warnings:
        """Incus's warnings."""
        return self.world.warnings

    def instance(self, instance: ids.InstanceId) -> InstanceRecord:
        """Return an instance's database record. Raises KeyError when there is none."""
        return self.world.instances[instance]

    def is_running(self, instance: ids.InstanceId) -> bool:
        """Return whether the instance runs now."""
        return instance in self.world.running

    def pool_status(self, pool: str) -> str:
        """Return the pool's local status: Created or Unavailable (D54); Created without a daemon."""
        is_missing = self.daemon is not None and pool in self.daemon.pools.unavailable
        return "Unavailable" if is_missing else "Created"

    # --- who acts -------------------------------------------------------------------------------

    def change_state(
        self,
        instance: ids.InstanceId,
        action: str,
        answer: Callable[[Answer], None] = lambda _: None,
        *,
        is_forced: bool = False,
        stateful: bool = False,
    ) -> None:
        """Ask the API to start, stop or restart an instance, as a client on the socket does (which starts incusd).

        ``answer`` is called when Incus would answer. What was asked is done even if the asker has given up (R6).
        """
        self.units.when_listening(
            lambda daemon: daemon.change_state(
                instance, action, answer, is_forced=is_forced, stateful=stateful
            )
        )

    def validate(
        self, pools: list[str], answer: Callable[[Refusal | None], None] = lambda _: None
    ) -> None:
        """Call ``recover/validate`` for pools; ``answer`` is called when Incus would answer."""
        self.units.when_listening(lambda daemon: daemon.validate(pools, answer))

    def guest_poweroff(self, instance: ids.InstanceId) -> None:
        """Let the guest power itself off: STOPPED is written, as by any stop (A31)."""
        if self.world.running.pop(instance, None) is not None:
            self.world.instances[instance].power = STOPPED
            if self.daemon is not None:
                name, project = instance.name, instance.project
                self.daemon.events.lifecycle("instance-shutdown", name, project, by_api=False)

    def _tell(self) -> None:
        for listener in tuple(self._listeners):
            listener()
