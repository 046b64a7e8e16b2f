# SPDX-License-Identifier: Apache-2.0
"""What somebody does while the simulated node runs: to Incus, to its instances, to the machine's clock and disk, to our agent."""

from typing import Protocol

from tidegate.core.ids import InstanceId
from tidegate.recovery.step import Event, Paused, Resumed
from tidegate.sim.incus.model import IncusModel
from tidegate.sim.incus.operations import SUCCESS, Operation
from tidegate.sim.incus.values import Refusal
from tidegate.sim.schedule import Deed, Happening
from tidegate.sim.watch import Watch


class Agent(Protocol):
    """What can be done to the simulated agent."""

    def tell(self, event: Event) -> None:
        """A person tells it something."""

    def kill(self, *, forgets: bool) -> None:
        """Kill it; systemd starts it again."""

    def fill_disk(self) -> None:
        """Nothing of its memory is written any more."""


class Deeds:
    """Carries out happenings, and tells the watch of those that rules depend on."""

    def __init__(self, incus: IncusModel, watch: Watch, agent: Agent) -> None:
        self._incus = incus
        self._watch = watch
        self._agent = agent

    def do(self, happening: Happening) -> None:
        """Let ``happening`` happen now."""
        who = happening.instance
        self._watch.note(f"{happening.deed} {who or ''}".rstrip())
        if who is not None:
            if who in self._incus.world.instances:
                self._to_instance(happening.deed, who)
            return
        match happening.deed:
            case Deed.SET_CLOCK:
                self._incus.set_clock(happening.seconds)
            case Deed.FILL_DISK:
                self._agent.fill_disk()
            case Deed.PAUSE:
                self._agent.tell(Paused())
            case Deed.RESUME:
                self._agent.tell(Resumed())
            case Deed.KILL_AGENT | Deed.KILL_AND_FORGET:
                self._agent.kill(forgets=happening.deed is Deed.KILL_AND_FORGET)
            case _:
                self._to_incus(happening.deed)

    def _to_incus(self, deed: Deed) -> None:
        incus = self._incus
        match deed:
            case Deed.EVACUATE:
                incus.set_member_status("Evacuated")
            case Deed.RESTORE:
                incus.set_member_status("Online")
            case Deed.RESTART_INCUS:
                incus.units.restart()
                self._watch.wishes.memory_lost = True
            case Deed.CRASH_INCUS:
                incus.crash_daemon()
                self._watch.wishes.memory_lost = True
            case Deed.HANG_INCUS:
                incus.hangs = True
            case Deed.ANSWER_INCUS:
                incus.hangs = False
            case _:
                raise ValueError(f"{deed} is done to an instance")

    def _to_instance(self, deed: Deed, who: InstanceId) -> None:
        incus, wishes = self._incus, self._watch.wishes
        record, runs = incus.instance(who), incus.is_running(who)
        match deed:
            case Deed.STOP:
                self._stop(who)
            case Deed.START if incus.daemon is not None and not incus.hangs:
                incus.change_state(who, "start")
                wishes.tried.add(who)
            case Deed.FORBID:
                record.config["boot.autostart"] = "false"
                wishes.forbidden.add(who)
            case Deed.GUEST_OFF if runs:
                incus.guest_poweroff(who)
                wishes.stopped.add(who)
            case Deed.MOVE if not self._is_busy(who) and incus.world.server.is_clustered:
                record.location = next(
                    member.name
                    for member in incus.world.server.members
                    if member.name != incus.world.server.name
                )
            case Deed.REMOVE if not self._is_busy(who):
                del incus.world.instances[who]

    def _is_busy(self, who: InstanceId) -> bool:
        """It runs, or something is being done to it: then Incus refuses to move or delete it."""
        daemon = self._incus.daemon
        if daemon is None or self._incus.hangs or self._incus.is_running(who):
            return True
        return daemon.instances.is_busy(who)

    def _stop(self, who: InstanceId) -> None:
        def stopped(operation: Operation) -> None:
            if operation.status == SUCCESS:
                self._watch.wishes.stopped.add(who)

        def accepted(answer: Operation | Refusal) -> None:
            if isinstance(answer, Operation):
                answer.done.on_set(lambda: stopped(answer))

        if self._incus.daemon is not None:
            self._incus.change_state(who, "stop", accepted)
