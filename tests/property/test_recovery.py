# SPDX-License-Identifier: Apache-2.0
"""Random interleavings of what happens to a node, to Incus, to our actions and to ourselves, against a small true world.

The planner sees the world only through looks that may be old. After every step the actions are held against what it saw and against
the truth at that moment; at the end all hindrances go, and whatever is still owed must run in bounded time. A planner that is broken
on purpose must be caught. Hypothesis prints the failing schedule, and the blob that repeats it.
"""

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from tests.unit.recovery.world import BOOT_WALL, REMOTE, World, running, stopped, volume_id, warning

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
from tidegate.core.facts import IncusPhase, InstanceFacts, WarningFacts
from tidegate.core.finding import Report
from tidegate.core.snapshot import Snapshot
from tidegate.recovery.state import RecoveryState, resumed
from tidegate.recovery.step import Event, Finished, Observed, Step, Tick, step

Planner = Callable[[RecoveryState, Event, Snapshot, Report, RecoveryPolicy], Step]

NAMES = ("c1", "c2", "c3", "first", "second", "plain-off")
OWN = "Failed to run: incusd forklxc start: exit status 1"
MISSING = "open /dev/drbd1000: no such file or directory"
HOT = 8.0
SHORTEST = 0.8
"""Seconds between two tries of the same: the first step of a budget, shortened by its jitter."""
LIVELY = 400
"""Seconds within which all that is owed must run, once every hindrance is gone and every action works."""


@dataclasses.dataclass
class Flight:
    """An action on its way in the world. ``heard``: the planner that sent it will hear of its end."""

    action: Action
    began: float
    void: str = ""
    heard: bool = True


class Truth:
    """The world as it is, whether or not anybody looks."""

    def __init__(self) -> None:
        self.phase = IncusPhase.READY
        self.phase_since = 50.0
        self.pool = "Created"
        self.satellite = True
        self.member = "Online"
        self.volumes = dict.fromkeys(NAMES, True)
        self.instances = {
            "c1": stopped("c1"),
            "c2": stopped("c2", autostart="true"),
            "c3": running("c3"),
            "first": stopped("first", priority=5, delay=3),
            "second": stopped("second", priority=1),
            "plain-off": stopped("plain-off", autostart="false"),
        }
        self.warnings: dict[str, WarningFacts] = {}
        self.owed = {"c1", "c2", "first", "second"}
        """What must run in the end."""
        self.never: set[str] = {"plain-off"}
        """What must not be started, by somebody's will."""
        self.doubtful: set[str] = set()
        """Started by us with an answer that was lost; nobody has seen it run."""

    def usable(self, name: str) -> bool:
        return self.satellite and self.volumes[name] and self.pool == "Created"

    def set(self, name: str, **changes: Any) -> None:
        self.instances[name] = msgspec.structs.replace(self.instances[name], **changes)

    def comes_up(self, name: str, at: float) -> None:
        self.set(name, status="Running", last_power="RUNNING", last_used_at=BOOT_WALL + at)
        self.owed.discard(name)

    def goes_down(self, name: str) -> None:
        self.set(name, status="Stopped", last_power="STOPPED")


class Node(RuleBasedStateMachine):
    """The schedule: each rule is something that may happen at any moment."""

    planner: Planner = staticmethod(step)

    def __init__(self) -> None:
        super().__init__()
        self.truth = Truth()
        self.view = World(at=100.0)
        self.view.policy = msgspec.structs.replace(self.view.policy, parallel_starts=2)
        self.state = RecoveryState()
        self.flights: list[Flight] = []
        self.begun: dict[str, list[float]] = {}
        self.own_faults: dict[str, int] = {}
        self.wake_at: float | None = None
        self._see_incus()
        self._see_storage()

    # --- the planner and what it sees ----------------------------------------------------------
    @property
    def now(self) -> float:
        return self.view.at

    def _see_incus(self) -> None:
        view, truth = self.view, self.truth
        view.phase, view.phase_since = truth.phase, truth.phase_since
        if truth.phase is not IncusPhase.READY:
            return
        view.seen_at = view.at
        view.pool_status = truth.pool
        view.clustered, view.member_status = True, truth.member
        view.instances = {str(facts.id): facts for facts in truth.instances.values()}
        view.warnings = list(truth.warnings.values())
        truth.doubtful -= {name for name, facts in truth.instances.items() if facts.runs}

    def _see_storage(self) -> None:
        unready = {ids.volume(volume_id(n)) for n, good in self.truth.volumes.items() if not good}
        self.view.unready = unready | (set() if self.truth.satellite else {ids.SATELLITE})

    def _step(self, event: Event) -> None:
        snapshot, report = self.view.snapshot(), self.view.report()
        given = self.planner(self.state, event, snapshot, report, self.view.policy)
        self.state, self.wake_at = given.state, given.wake_at
        assert given.sentence
        assert given.wake_at is None or given.wake_at > snapshot.at - 1e-9, "a wake-up in the past"
        for action in given.actions:
            self._allowed(action, snapshot, report)
            self._send(action)
        ours = [f for f in self.flights if f.heard and isinstance(f.action, StartInstance)]
        assert len(ours) <= self.view.policy.parallel_starts, "too many starts at once"

    def _allowed(self, action: Action, snapshot: Snapshot, report: Report) -> None:
        """Hold an action against what was seen when it was decided."""
        assert snapshot.incus is not None
        assert snapshot.incus.value.phase is IncusPhase.READY, "Incus is asked before it is ready"
        flying = [f for f in self.flights if f.heard and f.action.subject == action.subject]
        assert not flying, f"twice at once: {action}"
        times = self.begun.setdefault(f"{type(action).__name__} {action.subject}", [])
        times.append(self.now)
        recent = [moment for moment in times if moment > self.now - HOT]
        assert len(recent) <= HOT / SHORTEST + 1, f"a hot loop: {action}"
        match action:
            case ValidatePool():
                assert self.view.pool_status == "Unavailable", "validates a pool that is mounted"
                assert report.ready(ids.SATELLITE), "validates over an unready satellite"
                volumes = [ids.volume(volume_id(name)) for name in NAMES]
                assert any(report.ready(volume) for volume in volumes), "validates without volumes"
                pools = [f for f in self.flights if f.heard and isinstance(f.action, ValidatePool)]
                assert not pools, "validates two at once"
            case StartInstance(instance=instance):
                self._start_allowed(instance.name, report)
            case AcknowledgeWarning(instance=instance):
                assert self.view.instances[str(instance)].runs, "acknowledges for a stopped one"
            case StartUnit() | RestartUnit() | ReconnectSatellite():
                raise AssertionError("pulls a lever where nothing asks for it")

    def _start_allowed(self, name: str, report: Report) -> None:
        seen = self.view.instances[f"default/{name}"]
        assert seen.status == "Stopped", "starts what runs"
        assert report.ready(ids.volume(volume_id(name))), "starts before its device is ready"
        assert report.ready(ids.SATELLITE), "starts before the satellite is ready"
        assert report.ready(ids.pool(REMOTE)), "starts before its pool is mounted"
        assert self.view.member_status == "Online", "starts on an evacuated member"
        assert seen.location == "none", "starts what belongs to another member"
        looked = seen == self.truth.instances[name]
        assert not (looked and name in self.truth.never), f"starts {name} against somebody's will"
        assert self.own_faults.get(name, 0) <= 60, "an endless budget"

    def _send(self, action: Action) -> None:
        """Begin in the world, with the precondition read again, as our actuators do."""
        void = ""
        if isinstance(action, StartInstance):
            facts = self.truth.instances[action.instance.name]
            if facts.runs or facts.last_used_at != action.last_used_at:
                void = "it was started meanwhile"
        if isinstance(action, ValidatePool) and self.truth.pool != "Unavailable":
            void = "it is mounted"
        self.flights.append(Flight(action=action, began=self.now, void=void))

    def _end(self, flight: Flight, kind: OutcomeKind, text: str = "") -> None:
        self.flights.remove(flight)
        if not flight.heard:
            return
        outcome = Outcome(
            action=flight.action,
            kind=kind,
            code="x",
            text=text,
            started_at=flight.began,
            ended_at=self.now,
        )
        self._step(Finished(outcome=outcome))

    # --- what may happen -----------------------------------------------------------------------
    @rule(seconds=st.sampled_from([0.1, 0.5, 1.0, 3.0, 10.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        self.view.at += seconds

    @rule()
    def look_at_incus(self) -> None:
        self._see_incus()
        self._step(Observed())

    @rule()
    def look_at_storage(self) -> None:
        self._see_storage()
        self._step(Observed())

    @rule()
    def ticks(self) -> None:
        self._step(Tick())

    @rule(name=st.sampled_from(NAMES), good=st.booleans())
    def volume_changes(self, name: str, good: bool) -> None:
        self.truth.volumes[name] = good

    @rule(good=st.booleans())
    def satellite_changes(self, good: bool) -> None:
        self.truth.satellite = good

    @rule()
    def pool_breaks(self) -> None:
        self.truth.pool = "Unavailable"

    @rule(mounted=st.booleans())
    def incus_restarts(self, mounted: bool) -> None:
        """Everything on its way loses its answer; what was being started may come up or not."""
        self.truth.phase, self.truth.phase_since = IncusPhase.STARTING, self.now
        self.truth.pool = "Created" if mounted and self.truth.satellite else "Unavailable"
        for flight in list(self.flights):
            kind = OutcomeKind.VOID if flight.void else OutcomeKind.UNCERTAIN
            self._end(flight, kind, flight.void or "connection reset")

    @precondition(lambda self: self.truth.phase is not IncusPhase.READY)
    @rule(up=st.sets(st.sampled_from(NAMES)), fail_late=st.sets(st.sampled_from(NAMES)))
    def incus_is_ready(self, up: set[str], fail_late: set[str]) -> None:
        """Its own first pass: what can come up does, or fails early or late and leaves a warning."""
        self.view.at += 2.0
        self.truth.phase, self.truth.phase_since = IncusPhase.READY, self.now
        for name, facts in self.truth.instances.items():
            if facts.runs or not facts.should_start or facts.location != "none":
                continue
            if self.truth.member != "Online" or self.truth.pool != "Created":
                continue
            # Incus starts again what was stopped in this boot where boot.autostart says so.
            if name in up and self.truth.usable(name):
                self.truth.comes_up(name, self.now)
                self.truth.never.discard(name)
                continue
            if name in self.truth.never:
                continue
            if name in fail_late:
                self.truth.set(name, last_used_at=BOOT_WALL + self.now, last_power="STOPPED")
            self.truth.warnings[name] = warning(name, last_seen_at=BOOT_WALL + self.now)

    @precondition(lambda self: self.truth.phase is IncusPhase.READY)
    @rule(name=st.sampled_from(NAMES))
    def user_stops(self, name: str) -> None:
        if self.truth.instances[name].runs and name not in self.truth.doubtful:
            self.truth.goes_down(name)
            self.truth.owed.discard(name)
            self.truth.never.add(name)

    @precondition(lambda self: self.truth.phase is IncusPhase.READY)
    @rule(name=st.sampled_from(NAMES))
    def user_starts(self, name: str) -> None:
        facts = self.truth.instances[name]
        # Incus refuses a second start while one of ours, heard of or not, goes on: "Instance is busy running a start operation".
        busy = any(f.action.subject.name == f"default/{name}" and not f.void for f in self.flights)
        if not busy and not facts.runs and self.truth.usable(name) and facts.location == "none":
            # Time has moved on since any start of ours, as it does for a person; so it does until the next one of ours.
            self.view.at += 2.0
            self.truth.comes_up(name, self.now)
            self.truth.never.discard(name)
            self.view.at += 2.0

    @precondition(lambda self: self.truth.phase is IncusPhase.READY)
    @rule(name=st.sampled_from(NAMES))
    def user_forbids(self, name: str) -> None:
        self.truth.set(name, autostart="false")
        self.truth.owed.discard(name)
        if not self.truth.instances[name].runs:
            self.truth.never.add(name)

    @precondition(lambda self: self.truth.phase is IncusPhase.READY)
    @rule(name=st.sampled_from(NAMES))
    def moves_away(self, name: str) -> None:
        self.truth.set(name, location="n2", status="Stopped")
        self.truth.owed.discard(name)
        self.truth.never.add(name)

    @rule(status=st.sampled_from(["Online", "Evacuated", "Restoring"]))
    def member_changes(self, status: str) -> None:
        self.truth.member = status

    @rule()
    def we_crash(self) -> None:
        """All memory is gone; what is on its way goes on, unheard."""
        self.state = RecoveryState()
        self.begun.clear()
        for flight in self.flights:
            flight.heard = False
        self._late_failures_are_forgotten()

    @rule()
    def we_are_killed_and_remember(self) -> None:
        """Killed as well, but what was written before each act is found again."""
        boot_id = self.view.snapshot().boot_id
        written = msgspec.json.encode(self.state)
        kept = msgspec.json.decode(written, type=RecoveryState)
        self.view.at += 1.0
        self.state = resumed(kept, boot_id=boot_id, now=self.now)
        self.begun.clear()
        for flight in self.flights:
            flight.heard = False

    def _late_failures_are_forgotten(self) -> None:
        """A start that failed late looks like one that a user stopped, and only memory tells (desire.py)."""
        for name in sorted(self.truth.owed):
            warned = self.truth.warnings.get(name)
            told = warned.last_seen_at if warned is not None and warned.last_seen_at else BOOT_WALL
            if (self.truth.instances[name].last_used_at or 0.0) >= told:
                self.truth.owed = self.truth.owed - {name}

    @precondition(lambda self: self.flights)
    @rule(
        which=st.integers(0, 3),
        fate=st.sampled_from(["works", "fails", "late", "own", "lost", "lost-works"]),
    )
    def action_ends(self, which: int, fate: str) -> None:
        self._fly(self.flights[which % len(self.flights)], fate)

    @rule(fate=st.sampled_from(["fails", "own", "lost"]))
    def all_goes_wrong_for_a_while(self, fate: str) -> None:
        """Every action ends badly at once, and Incus is looked at all the time."""
        for _ in range(30):
            for flight in list(self.flights):
                self._fly(flight, fate)
            self.view.at += 0.2
            self._see_incus()
            self._step(Observed())

    def _fly(self, flight: Flight, fate: str) -> None:
        if flight.void:
            self._end(flight, OutcomeKind.VOID, flight.void)
            return
        match flight.action:
            case StartInstance(instance=instance):
                self._start_ends(flight, instance.name, fate)
            case ValidatePool():
                works = self.truth.satellite and fate in {"works", "lost-works"}
                self.truth.pool = "Created" if works else self.truth.pool
                lost = fate.startswith("lost")
                kind = OutcomeKind.DONE if works else OutcomeKind.FAILED
                self._end(flight, OutcomeKind.UNCERTAIN if lost else kind, "Node n1 is offline")
            case AcknowledgeWarning(instance=instance):
                if fate == "works" and instance.name in self.truth.warnings:
                    warned = self.truth.warnings[instance.name]
                    acknowledged = msgspec.structs.replace(warned, status="acknowledged")
                    self.truth.warnings[instance.name] = acknowledged
                self._end(flight, OutcomeKind.DONE if fate == "works" else OutcomeKind.FAILED)
            case StartUnit() | RestartUnit() | ReconnectSatellite():
                raise AssertionError("never sent here")

    def _start_ends(self, flight: Flight, name: str, fate: str) -> None:
        truth = self.truth
        if truth.instances[name].runs:
            self._end(flight, OutcomeKind.FAILED, "The instance is already running")
        elif not truth.usable(name) or fate == "fails":
            self._end(flight, OutcomeKind.FAILED, MISSING)
        elif fate in {"works", "lost-works"}:
            truth.comes_up(name, self.now)
            if fate == "lost-works" or not flight.heard:
                truth.doubtful.add(name)
            kind = OutcomeKind.DONE if fate == "works" else OutcomeKind.UNCERTAIN
            self._end(flight, kind)
        elif fate == "lost":
            self._end(flight, OutcomeKind.UNCERTAIN, "timed out")
        else:
            if fate == "late":
                truth.set(name, last_used_at=BOOT_WALL + self.now, last_power="STOPPED")
            if not flight.heard:
                self._late_failures_are_forgotten()
            self.own_faults[name] = self.own_faults.get(name, 0) + 1
            self._end(flight, OutcomeKind.FAILED, OWN)

    # --- the end -------------------------------------------------------------------------------
    def teardown(self) -> None:
        """All hindrances go: what is owed runs in bounded time, and then there is peace."""
        truth = self.truth
        truth.satellite, truth.member = True, "Online"
        truth.volumes = dict.fromkeys(NAMES, True)
        if truth.phase is not IncusPhase.READY:
            truth.phase, truth.phase_since = IncusPhase.READY, self.now
        lost = set(self.state.given_up)
        for name in lost:
            short = name.split("/")[1]
            assert self.own_faults.get(short, 0) >= self.view.policy.instance_attempts, name
        ended = self.now + LIVELY
        while self._owed() or self.flights:
            assert self.now < ended, f"still down: {self._owed()}; {self.state.sentence}"
            self._goes_well(1.0)
        for _ in range(30):
            self._goes_well(1.0)
        for _ in range(6):
            self._goes_well(15.0)
        quiet = {name: moments[-1] for name, moments in self.begun.items()}
        assert all(moment < self.now - 45 for moment in quiet.values()), f"no peace: {quiet}"

    def _owed(self) -> set[str]:
        return {name for name in self.truth.owed if f"default/{name}" not in self.state.given_up}

    def _goes_well(self, seconds: float) -> None:
        for flight in list(self.flights):
            self._fly(flight, "works")
        self.view.at += seconds
        self._see_storage()
        self._see_incus()
        self._step(Observed())


def schedules(planner: Planner, *, examples: int, shrink: bool = True) -> None:
    """Run the planner through random schedules. Raises what it did wrong, as short as can be found with ``shrink``."""

    class Planned(Node):
        pass

    Planned.planner = staticmethod(planner)
    run_state_machine_as_test(
        Planned,
        settings=settings(
            max_examples=examples,
            stateful_step_count=60,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, *([Phase.shrink] if shrink else [])],
        ),
    )


def test_every_schedule_is_safe_and_ends_well() -> None:
    schedules(step, examples=100)


# --- planners broken on purpose -----------------------------------------------------------------
def blind(
    state: RecoveryState, event: Event, snapshot: Snapshot, report: Report, policy: RecoveryPolicy
) -> Step:
    """Takes everything for ready."""
    good = {
        name: msgspec.structs.replace(subject, ready=True)
        for name, subject in report.subjects.items()
    }
    return step(state, event, snapshot, msgspec.structs.replace(report, subjects=good), policy)


def forgetful(
    state: RecoveryState, event: Event, snapshot: Snapshot, report: Report, policy: RecoveryPolicy
) -> Step:
    """Forgets what it has begun."""
    return step(msgspec.structs.replace(state, in_flight={}), event, snapshot, report, policy)


def wilful(
    state: RecoveryState, event: Event, snapshot: Snapshot, report: Report, policy: RecoveryPolicy
) -> Step:
    """Does not see that something ran in this boot."""
    assert snapshot.instances is not None

    def older(facts: InstanceFacts) -> InstanceFacts:
        return msgspec.structs.replace(facts, last_used_at=None, last_power="RUNNING")

    instances = {name: older(facts) for name, facts in snapshot.instances.value.items()}
    fact = msgspec.structs.replace(snapshot.instances, value=instances)
    altered = msgspec.structs.replace(snapshot, instances=fact)
    return step(msgspec.structs.replace(state, ran=frozenset()), event, altered, report, policy)


def deaf(
    state: RecoveryState, event: Event, snapshot: Snapshot, report: Report, policy: RecoveryPolicy
) -> Step:
    """Never hears of the end of an action."""
    heard = Tick() if isinstance(event, Finished) else event
    return step(state, heard, snapshot, report, policy)


def tireless(
    state: RecoveryState, event: Event, snapshot: Snapshot, report: Report, policy: RecoveryPolicy
) -> Step:
    """Has no budgets, and does not wait for a fresh look."""
    free = msgspec.structs.replace(state, budgets={}, settled={}, given_up={}, attempts={})
    return step(free, event, snapshot, report, policy)


def hasty(
    state: RecoveryState, event: Event, snapshot: Snapshot, report: Report, policy: RecoveryPolicy
) -> Step:
    """Believes that Incus is ready as soon as it is heard of."""
    assert snapshot.incus is not None
    value = msgspec.structs.replace(snapshot.incus.value, phase=IncusPhase.READY)
    fact = msgspec.structs.replace(snapshot.incus, value=value, since=0.0)
    incus = msgspec.structs.replace(report.subjects["incus"], ready=True)
    believed = msgspec.structs.replace(report, subjects={**report.subjects, "incus": incus})
    return step(state, event, msgspec.structs.replace(snapshot, incus=fact), believed, policy)


@pytest.mark.parametrize("broken", [blind, forgetful, wilful, deaf, tireless, hasty])
def test_a_broken_planner_is_caught(broken: Planner) -> None:
    caught: list[BaseException] = []
    with contextlib.redirect_stdout(None):
        try:
            schedules(broken, examples=600, shrink=False)
        except BaseException as error:
            caught.append(error)
    assert caught, f"nobody notices the planner that is {broken.__name__}"
    assert "AssertionError" in repr(caught[0]) or isinstance(
        caught[0], (AssertionError, BaseExceptionGroup)
    )


def test_a_start_that_nobody_heard_of_and_a_user_was_before_it() -> None:
    """Found by a random schedule: decided by a look that was old, void, and killed before that was heard."""
    node = Node()
    node.user_starts(name="c1")
    node.user_stops(name="c1")
    node.look_at_storage()
    node.we_are_killed_and_remember()
    node.teardown()
