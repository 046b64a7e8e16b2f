# SPDX-License-Identifier: Apache-2.0
"""The watch over a simulated boot: the time line, and the rules that nothing may break (contract.md, safety; issue of recovery).

Decisions are held against the models' truth at the same moment, not against what the agent believed.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

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
from tidegate.core.ids import InstanceId, SubjectKind
from tidegate.recovery import levers
from tidegate.recovery.levers import Lever
from tidegate.sim import drbd, faults
from tidegate.sim.incus.daemon import Phase
from tidegate.sim.incus.model import IncusModel
from tidegate.sim.linstor import wiring
from tidegate.sim.linstor.node import Status
from tidegate.sim.linstor.world import LinstorWorld
from tidegate.sim.schedule import Schedule

MINUTE: Final = 60.0
PER_MINUTE: Final = 40
"""Actions on one subject within a minute beyond which it is a hot loop."""
SOON: Final = 15.0
"""Seconds within which an instance runs once all it rests on could be used, its own failures and its turn included."""
_KIND = faults.FaultKind
_GRAIN: Final = 1e-6
_BY_PERMISSION: Final = frozenset({Lever.FULL_SYNC, Lever.RESTART_INCUS})
_SYN_PAUSE: Final = 64.0
"""Longest pause in seconds between two SYNs of Linux within the time of a schedule."""


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
        self._stopped: dict[InstanceId, float] = {}
        self._forbidden: set[InstanceId] = set()
        self._begun: dict[str, list[float]] = {}
        self._flying: set[str] = set()
        self._possible: dict[InstanceId, float] = {}
        self._waits: dict[str, float] = {}
        self._killed = False
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

    def stopped(self, who: InstanceId) -> None:
        """A user has stopped an instance."""
        self._stopped[who] = self._world.now

    def forbids(self, who: InstanceId) -> None:
        """A user has said that it shall not start by itself."""
        self._forbidden.add(who)

    def incus_killed(self) -> None:
        """The memory of incusd of failed starts is gone."""
        self._killed = True

    def agent_killed(self, *, forgets: bool) -> None:
        """Ours is gone, and with ``forgets`` its memory; what was sent goes on."""
        self._killed = self._killed or forgets
        if forgets:
            self._pulls.clear()
        self._flying.clear()
        self._begun.clear()

    def ended(self, outcome: Outcome) -> None:
        """Note the end of an action."""
        self._flying.discard(str(outcome.action.subject))
        lever = levers.of(outcome.action)
        if lever is not None and outcome.kind is OutcomeKind.VOID and self._pulls.get(lever):
            self._pulls[lever].pop()
        text = f": {outcome.text}" if outcome.text else ""
        self.note(f"{_name(outcome.action)} {outcome.kind}{text}")

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
        self._flying.add(key)
        times = self._begun.setdefault(f"{type(action).__name__} {key}", [])
        times.append(self._world.now)
        if sum(1 for moment in times if moment > self._world.now - MINUTE) > PER_MINUTE:
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
            Lever.RESTART_INCUS: self._incus.phase is Phase.READY and not self._flying - {"incus"},
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
        if self._world.lives[self._world.local].status is not Status.ONLINE:
            self.broken("recover/validate while the satellite is not ONLINE")

    def _starts(self, action: StartInstance, report: Report) -> None:
        who, incus = action.instance, self._incus
        record = incus.instance(who)
        if incus.phase is not Phase.READY:
            self.broken(f"starts {who} before Incus is ready")
        if incus.is_running(who):
            self.broken(f"starts {who}, which runs")
        if who in self._stopped:
            self.broken(f"starts {who}, which a user stopped")
        if who in self._forbidden or record.expanded_config.get("boot.autostart") == "false":
            self.broken(f"starts {who}, which shall not start by itself")
        if incus.world.is_evacuated:
            self.broken(f"starts {who} on an evacuated member")
        if record.location != incus.world.server.location:
            self.broken(f"starts {who}, which lives elsewhere")
        if incus.pool_status(record.spec.pool) == "Unavailable":
            self.broken(f"starts {who} on a pool that is not mounted")
        if record.spec.pool == "remote":
            self._storage(who, report)

    def _storage(self, who: InstanceId, report: Report) -> None:
        """Nothing before its device is ready, nothing against the rule on split brain."""
        if not report.ready(ids.SATELLITE):
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
            elif file.signature == "":
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
        if away is not None and away.alive:
            self.broken(f"starts {who} while its peer lives and is not connected")

    # --- patience --------------------------------------------------------------------------------
    def seen(self, report: Report) -> None:
        """Remember since when each instance could have been started."""
        for who in self._expected():
            if self._incus.is_running(who):
                self._up(who)
            elif not self._could(who, report) or str(ids.instance(who)) in self._flying:
                # What is being started may hang in Incus, which no one can shorten.
                self._possible.pop(who, None)
            else:
                self._possible.setdefault(who, self._world.now)

    def _could(self, who: InstanceId, report: Report) -> bool:
        state = report.state(ids.instance(who))
        closed = self._incus.phase is not Phase.READY or self._incus.world.is_evacuated
        if state is None or closed or self.paused:
            return False
        below = (s for s in state.rests_on if s.kind is not SubjectKind.POOL)
        remote = self._incus.instance(who).spec.pool == "remote"
        if remote and not self._world.module_loaded():
            return (
                False  # without DRBD among the layers the judge does not mind; Incus's driver does
            )
        ground = (ids.SATELLITE, ids.CONTROLLER, ids.HOST) if remote else ()
        return all(report.ready(subject) for subject in (*below, *ground))

    def _up(self, who: InstanceId) -> None:
        since = self._possible.pop(who, None)
        if since is None:
            return
        last = max((s.at for s in self._incus.world.starts if s.instance == who), default=since)
        wait = max(0.0, last - since)
        self._waits[str(who)] = max(wait, self._waits.get(str(who), 0.0))
        if wait > SOON + self._delays() and not self._is_forgotten(who):
            self.broken(f"{who} could have been started {wait:.1f} s before it ran")

    def _delays(self) -> float:
        """Return what may come on top: delays by configuration, and Incus's own SYNs that were lost in a black hole."""
        hole = any(fault.kind is _KIND.CONTROLLER_BLACK_HOLE for fault in self._schedule.faults)
        delays = sum(record.start_delay for record in self._incus.world.local_instances)
        # A pool with volumes that Incus does not know is Incus's own to mount, once a minute.
        minute = MINUTE if self._schedule.stray else 0.0
        return delays + minute + (_SYN_PAUSE if hole else 0.0)

    def _expected(self) -> list[InstanceId]:
        """Return who should run here and was not stopped by somebody's will."""
        world = self._incus.world
        return [
            record.id
            for record in world.local_instances
            if record.id not in self._stopped
            and record.id not in self._forbidden
            and self._should(record.spec.config)
        ]

    def _should(self, config: Mapping[str, str]) -> bool:
        autostart = config.get("boot.autostart", "")
        power = config.get("volatile.last_state.power", "RUNNING")
        return autostart == "true" or (autostart in {"", "last-state"} and power == "RUNNING")

    def _is_forgotten(self, who: InstanceId) -> bool:
        """What fails late looks as if a user had stopped it (facts/incus.md A21), once whoever knew better is gone."""
        return self._killed and self._incus.instance(who).spec.late_failures > 0

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
        for who in self._expected():
            if not self._incus.is_running(who) and not self._is_forgotten(who):
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
            waits=dict(self._waits),
            cycles=cycles,
        )


def _name(action: Action) -> str:
    return f"{type(action).__name__} {action.subject}"
