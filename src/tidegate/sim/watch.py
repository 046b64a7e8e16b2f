# SPDX-License-Identifier: Apache-2.0
"""The watch over a simulated boot: the time line, and the rules that nothing may break (contract.md, safety; issue of recovery).

Decisions are held against the models' truth at the same moment, not against what the agent believed.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from tidegate.config.policy import RecoveryPolicy
from tidegate.core import ids
from tidegate.core.action import (
    AcknowledgeWarning,
    Action,
    Outcome,
    OutcomeKind,
    ReconnectSatellite,
    RestartUnit,
    StartInstance,
    StartUnit,
    ValidatePool,
)
from tidegate.core.finding import Report
from tidegate.core.ids import InstanceId
from tidegate.recovery import levers
from tidegate.recovery.levers import Lever
from tidegate.sim import drbd, faults, patience
from tidegate.sim.incus.daemon import Phase
from tidegate.sim.incus.model import IncusModel
from tidegate.sim.linstor import wiring
from tidegate.sim.linstor.node import Status
from tidegate.sim.linstor.world import LinstorWorld
from tidegate.sim.patience import Patience
from tidegate.sim.schedule import Schedule
from tidegate.sim.wishes import Wishes

PER_MINUTE: Final = 40
"""Actions on one subject within a minute beyond which it is a hot loop."""
_KIND = faults.FaultKind
_GRAIN: Final = 1e-6
_BY_PERMISSION: Final = frozenset({Lever.FULL_SYNC, Lever.RESTART_INCUS})
_POLICY: Final = RecoveryPolicy()
_OWN_FAILURE: Final = "incusd forklxc"
"""In the text of a start that failed after its storage was there."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a simulated boot.

    Attributes:
        schedule: what was simulated.
        up: when each instance of this node first ran (seconds after boot), None if never; by ``PROJECT/NAME``.
        runs: who runs at the end.
        timeline: what happened, in order: seconds and a line for people.
        violations: rules that were broken; empty when all is well.
        waits: for each instance that we could start at once, how long it took (seconds).
        cycles: how often judge and step ran.
    """

    schedule: Schedule
    up: Mapping[str, float | None]
    runs: frozenset[str]
    timeline: tuple[tuple[float, str], ...]
    violations: tuple[str, ...]
    waits: Mapping[str, float]
    cycles: int


class Watch:
    """Collects what happens during one simulated boot."""

    def __init__(self, schedule: Schedule, world: LinstorWorld, incus: IncusModel) -> None:
        self._schedule = schedule
        self._world = world
        self._incus = incus
        self._timeline: list[tuple[float, str]] = []
        self._violations: list[str] = []
        self._said = ""
        self.wishes = Wishes(incus)
        self._patience = Patience(schedule, world, incus, self.wishes)
        self._begun: dict[str, list[float]] = {}
        self._flying: dict[str, Action] = {}
        self._own: dict[InstanceId, int] = {}
        self._pulls: dict[Lever, list[float]] = {}
        self.paused = False
        """A person has told the agent to do nothing, and it has heard of it."""

    # --- what happens ----------------------------------------------------------------------------
    def note(self, text: str) -> None:
        """Put a line on the time line."""
        self._timeline.append((round(self._world.now, 3), text))

    def says(self, sentence: str) -> None:
        """Note what recovery says, when it is something new."""
        if sentence != self._said:
            self._said = sentence
            self.note(f"agent: {sentence}")

    def agent_killed(self, *, forgets: bool) -> None:
        """Ours is gone, and with ``forgets`` its memory; what was sent goes on."""
        if forgets:
            self.wishes.memory_lost = True
            self._pulls.clear()
        self._flying.clear()
        self._begun.clear()

    def ended(self, outcome: Outcome) -> None:
        """Note the end of an action."""
        self._flying.pop(str(outcome.action.subject), None)
        lever = levers.of(outcome.action)
        if lever is not None and outcome.kind is OutcomeKind.VOID and self._pulls.get(lever):
            self._pulls[lever].pop()
        if isinstance(outcome.action, StartInstance) and _OWN_FAILURE in outcome.text:
            self._failed_by_itself(outcome.action.instance)
        text = f": {outcome.text}" if outcome.text else ""
        self.note(f"{_name(outcome.action)} {outcome.kind}{text}")

    def _failed_by_itself(self, who: InstanceId) -> None:
        """Hold an instance's own failures against its budget, which begins anew when its storage was away meanwhile, or our memory."""
        self._own[who] = self._own.get(who, 0) + 1
        schedule = self._schedule
        anew = len(schedule.faults) + len(schedule.happenings) + 2 * len(schedule.killed_after)
        if self._own[who] > _POLICY.instance_attempts * (1 + anew):
            self.broken(
                f"starts {who} for the {self._own[who]}th time, which fails by its own fault"
            )

    @property
    def is_broken(self) -> bool:
        """A rule was broken."""
        return bool(self._violations)

    # --- the rules -------------------------------------------------------------------------------
    def broken(self, rule: str) -> None:
        """Note a broken rule."""
        self._violations.append(f"{self._world.now:.2f} s: {rule}")
        self.note(f"BROKEN: {rule}")

    def decided(self, action: Action, report: Report) -> None:
        """Hold a decision against the truth."""
        key = str(action.subject)
        self.note(f"{_name(action)} ({action.cause})")
        if key in self._flying:
            self.broken(f"{_name(action)} while another action on it goes on")
        self._together(action)
        self._flying[key] = action
        times = self._begun.setdefault(f"{type(action).__name__} {key}", [])
        times.append(self._world.now)
        if sum(1 for moment in times if moment > self._world.now - patience.MINUTE) > PER_MINUTE:
            self.broken(f"a hot loop of {_name(action)}")
        if self.paused:
            self.broken(f"{_name(action)} during a pause")
        match action:
            case ValidatePool():
                self._validates(action)
            case StartInstance():
                self._starts(action, report)
            case ReconnectSatellite() | RestartUnit() | StartUnit():
                self._pulls_lever(action)
            case AcknowledgeWarning():
                if not self._incus.is_running(action.instance):
                    self.broken(f"acknowledges a warning about {action.instance}, which is down")

    def _together(self, action: Action) -> None:
        """Hold what goes on at the same time against its limits."""
        flying = [*self._flying.values(), action]
        starts = [one.instance for one in flying if isinstance(one, StartInstance)]
        known = (self._incus.world.instances.get(who) for who in starts)
        in_turn = [one for one in known if one is not None and one.is_prioritised]
        if len(starts) > _POLICY.most_parallel_starts:
            self.broken(f"{len(starts)} starts at once")
        if isinstance(action, StartInstance) and len(in_turn) > 1:
            record = self._incus.world.instances.get(action.instance)
            if record is not None and record.is_prioritised:
                self.broken(f"starts {action.instance} while another one with a priority starts")
        if sum(isinstance(one, ValidatePool) for one in flying) > 1:
            self.broken("two recover/validate at once")

    def _pulls_lever(self, action: ReconnectSatellite | RestartUnit | StartUnit) -> None:
        """Hold a lever against its fixed budget and against what it must never be pulled on (contract.md safety 8)."""
        lever = levers.of(action)
        if lever is None:
            return
        limit, now = levers.LIMITS[lever], self._world.now
        pulls = self._pulls.setdefault(lever, [])
        pulls.append(now)
        if sum(1 for moment in pulls if now - moment < limit.within) > limit.most:
            self.broken(f"{lever} pulled more than {limit.most} times")
        if len(pulls) > 1 and pulls[-1] - pulls[-2] < limit.apart - _GRAIN:
            self.broken(f"{lever} pulled {pulls[-1] - pulls[-2]:.1f} s after the last time")
        allowed = self._schedule.allows_more or lever not in _BY_PERMISSION
        if not allowed:
            self.broken(f"{lever} pulled, which configuration does not allow")
        if not self._controller_answers():
            return
        connection, life = self._world.connection, self._world.lives[self._world.local]
        fits = {
            Lever.WAKE: life.status is Status.OFFLINE and connection.listening(life),
            Lever.FALSE_ONLINE: life.status is Status.ONLINE,
            Lever.START_SATELLITE: connection.unit_failed(life),
            Lever.RESTART_INCUS: self._incus.phase is Phase.READY
            and not self._flying.keys() - {"incus"},
        }
        if not fits.get(lever, True):
            self.broken(f"{lever} pulled on a satellite that is {life.status}")

    def _controller_answers(self) -> bool:
        return all(self._world.fault(kind) is None for kind in faults.CONTROLLER_KINDS)

    def _validates(self, action: ValidatePool) -> None:
        if self._incus.phase is not Phase.READY:
            self.broken("recover/validate before Incus is ready")
        if self._incus.pool_status(action.pool) != "Unavailable":
            self.broken("recover/validate on a pool that is mounted")
        if action.local and not self._schedule.local_truth:
            self.broken("recover/validate on local truth, which nobody wanted")
        online = self._world.lives[self._world.local].status is Status.ONLINE
        if not online and not action.local:
            self.broken("recover/validate while the satellite is not ONLINE")

    def _starts(self, action: StartInstance, report: Report) -> None:
        who, incus = action.instance, self._incus
        record = incus.world.instances.get(who)
        if record is None:
            self.broken(f"starts {who}, which is gone")
            return
        if incus.phase is not Phase.READY:
            self.broken(f"starts {who} before Incus is ready")
        if incus.is_running(who):
            self.broken(f"starts {who}, which runs")
        if who in self.wishes.stopped:
            self.broken(f"starts {who}, which a user stopped")
        if record.expanded_config.get("boot.autostart") == "false":
            self.broken(f"starts {who}, which shall not start by itself")
        if incus.world.is_evacuated:
            self.broken(f"starts {who} on an evacuated member")
        if record.location != incus.world.server.location:
            self.broken(f"starts {who}, which lives elsewhere")
        if incus.pool_status(record.spec.pool) == "Unavailable":
            self.broken(f"starts {who} on a pool that is not mounted")
        if self._schedule.is_remote(record.spec.pool):
            self._storage(who, report)

    def _storage(self, who: InstanceId, report: Report) -> None:
        """Nothing before its device is ready, nothing against the rule on split brain."""
        local = self._schedule.local_truth and not report.ready(ids.CONTROLLER)
        if not local and not report.ready(ids.SATELLITE):
            self.broken(f"starts {who} while the satellite is not believed")
        for resource in self._schedule.resources_of(who):
            self._resource(who, resource)

    def _resource(self, who: InstanceId, resource: str) -> None:
        world = self._world
        if world.store.placement(resource, world.local) is None:
            return  # Incus itself has it placed here when it starts the instance
        for number in range(len(world.store.data.definitions[resource].volumes)):
            file = world.trees[world.local].of(resource, number)
            if file is None or world.open(file.path):
                self.broken(f"starts {who} before its device is ready")
            elif file.signature == "" and (self._schedule.has_map or number):
                # What a disk carried that nobody has noted, nobody can miss.
                self.broken(f"starts {who} on a volume that carries nothing")
        alone = len(world.lives) == 1 or not world.store.data.definitions[resource].drbd
        if alone or wiring.quorum_rule(world, resource):
            return  # with quorum DRBD itself decides, by letting the device be opened or not
        side = world.drbd[world.local].resources.get(resource)
        if side is not None and side.role is drbd.Role.PRIMARY:
            return  # Incus's own pass uses it already: what that may do to data is done, and not by us
        away = world.fault(_KIND.PEER_AWAY, "n2")
        kinds = [_KIND.SPLIT_BRAIN]
        if away is None or away.alive:
            kinds.append(_KIND.PEER_PRIMARY)  # a machine that is off holds nothing
        for kind in kinds:
            if world.fault(kind, resource) is not None:
                self.broken(f"starts {who} during {kind}")
        # One that comes up, and that LINSTOR has not dialled yet, is OFFLINE: that is what the rule goes by (contract.md, safety 1).
        off = world.lives["n2"].status is Status.OFFLINE
        if away is not None and away.alive and not off:
            self.broken(f"starts {who} while its peer lives and is not connected")

    def seen(self, report: Report) -> None:
        """Look whether what can run takes too long."""
        for rule in self._patience.seen(report, flying=self._flying, paused=self.paused):
            self.broken(rule)

    # --- the end ---------------------------------------------------------------------------------
    def end(self, *, with_tidegate: bool) -> None:
        """Ask for what must be true at the end: everything that should run, runs."""
        world = self._incus.world
        for validation in world.validations:
            if with_tidegate and not (validation.was_unavailable and validation.was_ready):
                self.broken(f"recover/validate on {validation.pool} at {validation.at:.2f} s")
        if world.mounted_unknown:
            self.broken("volumes were mounted that Incus does not know")
        if not with_tidegate:
            return
        for who in self.wishes.expected():
            if not self._incus.is_running(who) and not self.wishes.is_forgotten(who):
                self.broken(f"{who} does not run at the end")

    def result(self, cycles: int) -> Result:
        """Return everything."""
        first: dict[str, float | None] = {
            str(record.id): None for record in self._incus.world.local_instances
        }
        for start in self._incus.world.starts:
            if first.get(str(start.instance)) is None:
                first[str(start.instance)] = round(start.at, 3)
        return Result(
            schedule=self._schedule,
            up=first,
            runs=frozenset(str(who) for who in self._incus.world.running),
            timeline=tuple(self._timeline),
            violations=tuple(self._violations),
            waits=dict(self._patience.waits),
            cycles=cycles,
        )


def _name(action: Action) -> str:
    return f"{type(action).__name__} {action.subject}"
