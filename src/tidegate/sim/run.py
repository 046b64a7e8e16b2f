# SPDX-License-Identifier: Apache-2.0
"""The closed loop on the virtual clock: simulated node → looks → judge → recovery.step → actions on the node → outcomes.

The same judge and the same ``step`` as in the agent, without sockets: a boot of an hour takes less than a second, and the same
schedule with the same seed always runs the same way. :func:`simulate` is the door; what must never happen is watched meanwhile by
:mod:`~tidegate.sim.watch`.
"""

import functools
import math
from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec

from tidegate.config.policy import HealthPolicy, RecoveryPolicy
from tidegate.core.action import Action, Outcome
from tidegate.core.finding import Grade, Report
from tidegate.core.ids import BootId, NodeName, SubjectKind, VolumeId
from tidegate.core.snapshot import SECTIONS, Snapshot, apply
from tidegate.core.wanted import WantedMap
from tidegate.health import judge
from tidegate.health import wanted as wanted_map
from tidegate.recovery.state import RecoveryState, resumed
from tidegate.recovery.step import (
    Event,
    Finished,
    Observed,
    Paused,
    Resumed,
    Step,
    Tick,
    step,
)
from tidegate.sim import outage
from tidegate.sim.acts import CALL, Act
from tidegate.sim.deeds import Deeds
from tidegate.sim.early import DevicesFirst
from tidegate.sim.foreign import ForeignFront
from tidegate.sim.guarded import GuardedFront, Known
from tidegate.sim.incus.model import IncusModel
from tidegate.sim.linstor.front import LinstorFront
from tidegate.sim.linstor.world import LinstorWorld
from tidegate.sim.looks import Looks
from tidegate.sim.schedule import Schedule
from tidegate.sim.storage import IncusVolume, StorageFront, VolumeKind
from tidegate.sim.watch import Result, Watch

AGENT_AT: Final = 1.0
"""Seconds after boot at which the agent starts, and after which systemd starts it again when it was killed."""
GRID: Final = 0.25
"""Seconds between two looks while something waits. Looks at which nothing can have changed are left out."""
SETTLE: Final = 0.05
"""Seconds from the end of an action to the agent's next cycle."""
WAITING_LOOK, RESTING_LOOK = 5.0, 120.0
"""Seconds after which everything is looked at and judged in any case, while something waits and at rest."""


Planner: TypeAlias = Callable[[RecoveryState, Event, Snapshot, Report, RecoveryPolicy], Step]


def simulate(
    schedule: Schedule,
    *,
    with_tidegate: bool = True,
    planner: Planner = step,
    until_broken: bool = False,
) -> Result:
    """Run ``schedule`` to its horizon. A rule that is broken is in ``violations``, not raised.

    ``planner`` is what decides: a broken one shows whether the rules would catch it; with ``until_broken`` the run ends there.
    """
    kept = kept_map(schedule) if with_tidegate and schedule.has_map else None
    run = Simulation(schedule, with_tidegate=with_tidegate, kept=kept, planner=planner)
    first = run.run(until_broken=until_broken)
    if schedule.power_lost_at is None or (until_broken and first.violations):
        return first
    follows = outage.after(schedule, run.world, run.incus)
    second = Simulation(follows, with_tidegate=with_tidegate, kept=kept, planner=planner)
    ago = schedule.power_lost_at + outage.DARK
    second.incus.warnings.kept(run.incus.warnings, ago=ago + run.incus.world.clock_set)
    return _joined(first, second.run(until_broken=until_broken), ago)


def _joined(first: Result, second: Result, ago: float) -> Result:
    """Return both boots as one: in the seconds of the first, who came up and runs as in the second."""
    moved = tuple((at + ago, text) for at, text in second.timeline)
    lost = (ago - outage.DARK, "power is lost")
    return msgspec.structs.replace(
        second,
        schedule=first.schedule,
        up={who: at if at is None else round(at + ago, 3) for who, at in second.up.items()},
        timeline=(*first.timeline, lost, *moved),
        violations=(*first.violations, *second.violations),
        waits={**first.waits, **second.waits},
        cycles=first.cycles + second.cycles,
    )


def kept_map(schedule: Schedule) -> WantedMap | None:
    """Return the map that the agent kept when all was well: drawn at the end of the same boot without faults."""
    healthy = tuple(
        msgspec.structs.replace(instance, late_failures=0, last_used_at=None)
        for instance in schedule.server.instances
    )
    quiet = Schedule(
        name="before",
        layout=schedule.layout,
        server=msgspec.structs.replace(schedule.server, instances=healthy, has_db_dump=True),
        seed=schedule.seed,
        horizon=30.0,
    )
    return _kept_map(msgspec.json.encode(quiet))


@functools.lru_cache(maxsize=256)
def _kept_map(key: bytes) -> WantedMap | None:
    schedule = msgspec.json.decode(key, type=Schedule)
    healthy = Simulation(schedule, with_tidegate=True, kept=None)
    healthy.run(until_good=True)
    assert healthy.report is not None
    return wanted_map.draw(healthy.snapshot, healthy.report, None, schedule.server.epoch - 3600.0)


class Simulation:
    """One run. Use :func:`simulate`; this is for tests that look inside."""

    def __init__(
        self,
        schedule: Schedule,
        *,
        with_tidegate: bool,
        kept: WantedMap | None,
        planner: Planner = step,
    ) -> None:
        self.schedule = schedule
        self.world = LinstorWorld(schedule.scenario, epoch=schedule.server.epoch)
        self.clock = self.world.clock
        self._alive_at = AGENT_AT if with_tidegate else math.inf
        fronts: dict[str, StorageFront] = {
            pool.name: self._front(pool.name)
            if pool.is_remote
            else ForeignFront(self.world, pool.name)
            for pool in schedule.server.pools
            if pool.driver != "dir"
        }
        self.incus = IncusModel(self.clock, schedule.server, fronts, seed=schedule.seed)
        self.watch = Watch(schedule, self.world, self.incus)
        more = schedule.allows_more
        self.health = HealthPolicy()
        self.policy = RecoveryPolicy(cure_full_sync=more, restart_incus=more)
        if schedule.stray:
            self.incus.world.unknown_volumes = {
                "remote": tuple(
                    IncusVolume(pool="remote", kind=VolumeKind.CONTAINERS, name=name)
                    for name in schedule.stray
                )
            }
        self.state = RecoveryState()
        self.report: Report | None = None
        self.cycles = 0
        self._kept = kept
        self._planner = planner
        self._acts: list[Act] = []
        self._outcomes: list[Outcome] = []
        self._wishes: list[Event] = []
        self._wake_at: float | None = None
        self._judged_at = 0.0
        self._news = True
        self._disk_is_full = False
        self._decided = 0
        self._begin_agent()
        deeds = Deeds(self.incus, self.watch, self)
        for happening in schedule.happenings:
            self.clock.at(happening.at, functools.partial(deeds.do, happening))

    def _front(self, pool: str) -> StorageFront:
        if not self.schedule.local_truth or math.isinf(self._alive_at):
            return LinstorFront(self.world, pool=pool)
        return GuardedFront(self.world, self._knows, pool=pool)

    def _knows(self) -> Known | None:
        """Return what our guard is told; None while the agent is away: then the controller's own answers pass."""
        if self.report is None or self.clock.now < self._alive_at:
            return None
        return Known(snapshot=self.snapshot, report=self.report, leased=self._wants_mount)

    def run(self, *, until_good: bool = False, until_broken: bool = False) -> Result:
        """Boot, and go on to the horizon; or only until everything is well, or until a rule is broken."""
        self.world.boot()
        if self.schedule.devices_first and math.isfinite(self._alive_at):
            DevicesFirst(
                self.world,
                self._kept,
                torn=frozenset(self.schedule.torn),
                gone=frozenset(self.schedule.gone),
                killed=self.schedule.devices_killed,
            ).begin()
        self.incus.boot()
        while self.clock.now < self._end:
            self._advance()
            if self.clock.now >= self._alive_at:
                self._cycle()
                if until_good and self.report is not None and self.report.grade is Grade.OK:
                    break
            if until_broken and self.watch.is_broken:
                return self.watch.result(self.cycles)
        if self.schedule.power_lost_at is None:
            self.watch.end(with_tidegate=math.isfinite(self._alive_at))
        return self.watch.result(self.cycles)

    # --- time ------------------------------------------------------------------------------------
    def _advance(self) -> None:
        """Let time pass until the agent has something to do."""
        end = self._end
        if self.clock.now < self._alive_at:
            self.clock.advance(min(self._alive_at, end))
            return
        limit = min(end, self._grid() if self._news else self.clock.now + self._longest())
        if self._wake_at is not None:
            limit = min(limit, max(self._wake_at, self.clock.now + SETTLE))
        while (due := self.clock.next_due()) is not None and due < limit:
            self.clock.advance(due)
            if self.clock.now < self._alive_at:
                return
            if self._outcomes:
                limit = min(limit, self.clock.now + SETTLE)
            limit = min(limit, self._grid())
        self.clock.advance(limit)

    @property
    def _end(self) -> float:
        lost_at = self.schedule.power_lost_at
        return self.schedule.horizon if lost_at is None else lost_at

    def _grid(self) -> float:
        return (math.floor(self.clock.now / GRID) + 1) * GRID

    def _longest(self) -> float:
        waiting = self.report is None or any(
            state.wanted and not state.ready for state in self.report.subjects.values()
        )
        return WAITING_LOOK if waiting else RESTING_LOOK

    # --- the agent -------------------------------------------------------------------------------
    def _begin_agent(self) -> None:
        self.looks = Looks(self.world, self.incus, guard=self.schedule.local_truth)
        self._wants_mount = False
        self.state = RecoveryState()
        self.report = None
        self._wake_at = None
        self.snapshot = Snapshot(
            at=self.clock.now,
            boot_id=BootId(f"{self.schedule.seed:08d}-sim"),
            boot_wall=self.schedule.server.epoch,
            node=NodeName(self.world.local),
            wanted=self._kept,
        )

    def _cycle(self) -> None:
        """Look, judge, decide, act: as the agent's loop does."""
        if self._nothing_new():
            return
        self.cycles += 1
        self._judged_at = self.clock.now
        before, self.report = self.report, judge.judge(self.snapshot, self.health)
        # What is new may change what has to be looked at next.
        self._news = before is None or _essence(before) != _essence(self.report)
        self.watch.seen(self.report)
        outcomes, self._outcomes = self._outcomes, []
        wishes, self._wishes = self._wishes, []
        woken = self._wake_at is not None and self.clock.now >= self._wake_at
        last: Event = Tick() if woken and not outcomes else Observed()
        for event in (*(Finished(outcome=outcome) for outcome in outcomes), *wishes, last):
            if isinstance(event, Paused | Resumed):
                self.watch.paused = isinstance(event, Paused)
            given = self._planner(self.state, event, self.snapshot, self.report, self.policy)
            self.state, self._wake_at = given.state, given.wake_at
            self._wants_mount = any(
                one.standing.pool is not None and one.standing.can for one in given.verdicts
            )
            self.watch.says(given.sentence)
            for action in given.actions:
                self._act(action)

    def _nothing_new(self) -> bool:
        """Look at everything; True when nothing is other than before and time alone is not due to change what is decided.

        The agent would judge once more, to the same end; here that is what an hour would be spent on.
        """
        woken = self._wake_at is not None and self.clock.now >= self._wake_at
        due = bool(self._outcomes or self._wishes) or woken or self.report is None
        due = due or self.clock.now >= self._judged_at + self._longest()
        before = self.snapshot
        for seen in self.looks.all(before, self._volumes()):
            self.snapshot = apply(self.snapshot, seen)
        began = self.incus.world.wall - self.clock.now
        self.snapshot = msgspec.structs.replace(self.snapshot, at=self.clock.now, boot_wall=began)
        if due or _facts(before) != _facts(self.snapshot):
            return False
        self._news = False
        return True

    def _volumes(self) -> list[VolumeId]:
        if self.report is None:
            return [volume.id for volume in self._kept.volumes] if self._kept else []
        return [
            VolumeId.parse(state.subject.name)
            for state in self.report.subjects.values()
            if state.subject.kind is SubjectKind.VOLUME
        ]

    def _act(self, action: Action) -> None:
        assert self.report is not None
        self.watch.decided(action, self.report)

        def ended(outcome: Outcome) -> None:
            self._acts.remove(act)
            self._outcomes.append(outcome)
            self.watch.ended(outcome)

        act = Act(action, self.world, self.incus, ended)
        self._acts.append(act)
        self._decided += 1
        if self._decided in self.schedule.killed_after:
            for delay in (CALL / 2, AGENT_AT + 2 * CALL):
                self.clock.after(delay, lambda: self.kill(forgets=False))

    # --- what is done to it ----------------------------------------------------------------------
    def tell(self, event: Event) -> None:
        """A person tells the agent; where none runs at the moment, the command says so, and the person repeats it."""
        if self.clock.now < self._alive_at < math.inf:
            self.clock.at(self._alive_at, functools.partial(self.tell, event))
            return
        self._wishes.append(event)

    def fill_disk(self) -> None:
        """From now on what it would write is not written."""
        self._disk_is_full = True

    def kill(self, *, forgets: bool) -> None:
        """Kill the agent; what it has written is found by the one that systemd starts."""
        if math.isinf(self._alive_at):
            return
        for act in self._acts:
            act.forget()
        self._acts, self._outcomes = [], []
        # What cannot be written anew is taken away.
        lost = forgets or self._disk_is_full
        written = msgspec.json.encode(RecoveryState() if lost else self.state)
        self._begin_agent()
        self._alive_at = self.clock.now + AGENT_AT
        kept = msgspec.json.decode(written, type=RecoveryState)
        self.state = resumed(kept, boot_id=self.snapshot.boot_id, now=self._alive_at)
        if self.state.pause is None:
            self.watch.paused = False
        # A wish is answered once it was taken (agent.orders): who got no answer repeats it.
        unanswered, self._wishes = self._wishes, []
        for event in unanswered:
            self.tell(event)
        self.watch.agent_killed(forgets=lost)


def _facts(snapshot: Snapshot) -> tuple[object, ...]:
    """Return what is known without its ages: ``since`` moves with a value only."""
    facts = (getattr(snapshot, section) for section in SECTIONS)
    return (
        tuple(fact.since if fact is not None else None for fact in facts),
        tuple(fact.since for fact in snapshot.placements.values()),
        tuple(fact.since for fact in snapshot.devices.values()),
        tuple((state.liveness, state.trouble) for state in snapshot.sources.values()),
    )


def _essence(report: Report) -> dict[str, bool]:
    return {name: state.ready for name, state in report.subjects.items()}
