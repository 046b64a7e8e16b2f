# SPDX-License-Identifier: Apache-2.0
"""Planners that are broken on purpose, each by one thing that the rules must catch: ``make mutants`` shows which they do.

Each is the real ``step`` with wrong eyes (what it is told), a wrong memory, or wrong hands (what it does). They run the observed
boots, the boots made for them, and random ones, until a rule is broken.
"""

import enum
import sys
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from tidegate.config.policy import RecoveryPolicy
from tidegate.core import ids
from tidegate.core.action import (
    Action,
    Reconnect,
    ReconnectSatellite,
    StartInstance,
    StartUnit,
    ValidatePool,
)
from tidegate.core.backoff import BackoffPolicy
from tidegate.core.facts import IncusPhase
from tidegate.core.finding import Report
from tidegate.core.ids import SubjectKind
from tidegate.core.snapshot import Snapshot
from tidegate.recovery.levers import SATELLITE_UNIT
from tidegate.recovery.state import RecoveryState
from tidegate.recovery.step import Event, Finished, Observed, Step, step
from tidegate.sim.chance import by_chance
from tidegate.sim.faults import Fault, FaultKind
from tidegate.sim.incus.values import InstanceSpec, MemberSpec, instance_id
from tidegate.sim.run import Planner, simulate
from tidegate.sim.schedule import (
    EPOCH,
    REMOTE,
    Deed,
    Happening,
    Schedule,
    layout,
    observed,
    resource_of,
    server,
)
from tidegate.sim.wishes import HOPELESS

RANDOM = 60
"""Random boots that a mutant is given before it counts as a survivor."""
Eyes = Callable[[Snapshot, Report], tuple[Snapshot, Report]]
Hands = Callable[[RecoveryState, Step, Snapshot, Report], tuple[Action, ...]]


class Mutant(enum.StrEnum):
    """What is broken."""

    BLIND = "takes everything for ready"
    BLIND_TO_VOLUMES = "takes every volume for ready"
    BLIND_TO_SATELLITE = "takes the satellite for ready"
    BLIND_TO_FIRST_PASS = "does not wait for Incus's first pass"
    BLIND_TO_EVACUATION = "does not see that the member is evacuated"
    BLIND_TO_LOCATION = "takes every instance for its own"
    BLIND_TO_WILL = "does not see that an instance ran in this boot"
    BLIND_TO_AUTOSTART = "does not see boot.autostart"
    BLIND_TO_POOLS = "takes every pool for mounted"
    FORGETS_FLIGHTS = "forgets what it has begun"
    FORGETS_BUDGETS = "forgets its waits"
    FORGETS_PULLS = "forgets how often it pulled levers"
    FORGETS_PAUSE = "forgets that it is paused"
    FORGETS_FAILURES = "forgets that starts of its own failed"
    IDLE = "never does anything"
    NO_POOLS = "never validates a pool"
    NO_STARTS = "never starts an instance"
    NO_UNIT = "never starts incus.service"
    TWICE = "does everything twice"
    IMPATIENT = "does not wait between tries"
    VALIDATES_ALWAYS = "validates a pool that is mounted"
    RECONNECTS_ALWAYS = "reconnects a satellite that is fine"
    STARTS_SATELLITE = "starts a satellite that runs"
    STARTS_EVERYTHING = "starts whatever is stopped"
    GIVES_UP_AT_ONCE = "gives up after one failure of an instance's own"
    CHARGES_NOBODY = "forgets outcomes"
    NEVER_GIVES_UP = "goes on for ever with an instance that fails by itself"
    WIDE = "starts everything at once"
    OUT_OF_TURN = "does not see priorities"
    ALL_POOLS = "validates all pools at once"
    ALL_OR_NOTHING = "waits for the last volume before it starts the first instance"
    SLEEPY = "acts once in a minute only"
    TRUSTS_STAMPS = "takes every time that Incus stamped for one of the past"


SURVIVORS = {
    Mutant.BLIND_TO_LOCATION: "the judge knows no instances of others, and the actuator reads the location again",
}
"""Mutants that break no rule, and what else stops them."""


def planner(mutant: Mutant) -> Planner:
    """Return the planner that is broken so."""

    def plan(
        state: RecoveryState,
        event: Event,
        snapshot: Snapshot,
        report: Report,
        policy: RecoveryPolicy,
    ) -> Step:
        state = _remember(mutant, state)
        seen, told = _look(mutant, snapshot, report)
        policy = _patience(mutant, policy)
        if mutant is Mutant.CHARGES_NOBODY and isinstance(event, Finished):
            gone = {k: v for k, v in state.in_flight.items() if v != event.outcome.action}
            state = msgspec.structs.replace(state, in_flight=gone)
            event = Observed()
        given = step(state, event, seen, told, policy)
        return msgspec.structs.replace(given, actions=tuple(_act(mutant, given, snapshot, report)))

    return plan


def _remember(mutant: Mutant, state: RecoveryState) -> RecoveryState:
    forgotten: dict[Mutant, dict[str, Any]] = {
        Mutant.FORGETS_FLIGHTS: {"in_flight": {}},
        Mutant.FORGETS_BUDGETS: {"budgets": {}},
        Mutant.FORGETS_PULLS: {"pulls": {}},
        Mutant.FORGETS_PAUSE: {"pause": None},
        Mutant.FORGETS_FAILURES: {"failed": {}},
        Mutant.BLIND_TO_WILL: {"ran": frozenset()},
    }
    return msgspec.structs.replace(state, **forgotten.get(mutant, {}))


def _look(mutant: Mutant, snapshot: Snapshot, report: Report) -> tuple[Snapshot, Report]:
    ready: dict[Mutant, frozenset[SubjectKind]] = {
        Mutant.BLIND: frozenset(SubjectKind),
        Mutant.BLIND_TO_VOLUMES: frozenset({SubjectKind.VOLUME}),
        Mutant.BLIND_TO_SATELLITE: frozenset({SubjectKind.SATELLITE}),
        Mutant.BLIND_TO_POOLS: frozenset({SubjectKind.POOL}),
        Mutant.BLIND_TO_FIRST_PASS: frozenset({SubjectKind.INCUS}),
    }
    kinds = ready.get(mutant, frozenset())
    if mutant is Mutant.ALL_OR_NOTHING:
        return snapshot, _all_or_nothing(report)
    good = {
        name: msgspec.structs.replace(one, ready=True) if one.subject.kind in kinds else one
        for name, one in report.subjects.items()
    }
    return _see(mutant, snapshot), msgspec.structs.replace(report, subjects=good)


def _all_or_nothing(report: Report) -> Report:
    volumes = [one for one in report.subjects.values() if one.subject.kind is SubjectKind.VOLUME]
    if all(one.ready for one in volumes):
        return report
    none = {str(one.subject): msgspec.structs.replace(one, ready=False) for one in volumes}
    return msgspec.structs.replace(report, subjects={**report.subjects, **none})


def _see(mutant: Mutant, snapshot: Snapshot) -> Snapshot:
    incus, instances = snapshot.incus, snapshot.instances
    if incus is None or instances is None:
        return snapshot
    if mutant is Mutant.BLIND_TO_FIRST_PASS and incus.value.phase is IncusPhase.AUTOSTART:
        return _with(snapshot, "incus", phase=IncusPhase.READY)
    if mutant is Mutant.BLIND_TO_EVACUATION:
        return _with(snapshot, "incus", member_status="Online")
    changes: dict[Mutant, dict[str, Any]] = {
        Mutant.BLIND_TO_LOCATION: {"location": "none"},
        Mutant.BLIND_TO_AUTOSTART: {"autostart": "true"},
        Mutant.BLIND_TO_WILL: {"last_used_at": None, "last_power": "RUNNING"},
        Mutant.OUT_OF_TURN: {"priority": None, "delay": None},
    }
    if mutant is Mutant.TRUSTS_STAMPS:
        return _stamped(snapshot)
    if mutant not in changes:
        return snapshot
    seen = {
        name: msgspec.structs.replace(facts, **changes[mutant])
        for name, facts in instances.value.items()
    }
    return msgspec.structs.replace(
        snapshot, instances=msgspec.structs.replace(instances, value=seen)
    )


def _stamped(snapshot: Snapshot) -> Snapshot:
    """What is stamped with a time to come looks as if it had been done just now."""
    assert snapshot.instances is not None
    now = snapshot.boot_wall + snapshot.at
    seen = {
        name: msgspec.structs.replace(facts, last_used_at=min(facts.last_used_at or 0.0, now))
        for name, facts in snapshot.instances.value.items()
    }
    return msgspec.structs.replace(
        snapshot, instances=msgspec.structs.replace(snapshot.instances, value=seen)
    )


def _with(snapshot: Snapshot, section: str, **changes: Any) -> Snapshot:
    fact = getattr(snapshot, section)
    value = msgspec.structs.replace(fact.value, **changes)
    return msgspec.structs.replace(
        snapshot, **{section: msgspec.structs.replace(fact, value=value)}
    )


def _patience(mutant: Mutant, policy: RecoveryPolicy) -> RecoveryPolicy:
    if mutant is Mutant.IMPATIENT:
        hot = BackoffPolicy(first=0.0, limit=0.0)
        return msgspec.structs.replace(policy, backoff=hot, instance_attempts=10_000)
    if mutant is Mutant.GIVES_UP_AT_ONCE:
        return msgspec.structs.replace(policy, instance_attempts=1)
    if mutant is Mutant.NEVER_GIVES_UP:
        return msgspec.structs.replace(policy, instance_attempts=10_000)
    if mutant is Mutant.WIDE:
        return msgspec.structs.replace(policy, parallel_starts=99, most_parallel_starts=99)
    return policy


_UNDONE = {
    Mutant.IDLE: (object,),
    Mutant.NO_POOLS: (ValidatePool,),
    Mutant.NO_STARTS: (StartInstance,),
    Mutant.NO_UNIT: (StartUnit,),
}


def _act(mutant: Mutant, given: Step, snapshot: Snapshot, report: Report) -> Iterator[Action]:
    if mutant is Mutant.SLEEPY and snapshot.at % 60.0 > 1.0:
        return
    for action in given.actions:
        if not isinstance(action, _UNDONE.get(mutant, ())):
            yield action
            if mutant is Mutant.TWICE:
                yield action
    busy = {str(action.subject) for action in given.actions} | set(given.state.in_flight)
    more = _more(mutant, given, snapshot, report)
    yield from (one for one in more if str(one.subject) not in busy)


def _more(mutant: Mutant, given: Step, snapshot: Snapshot, report: Report) -> Iterator[Action]:
    named = {"id": f"m-{snapshot.at}", "cause": "mutant"}
    if mutant is Mutant.VALIDATES_ALWAYS:
        for facts in (snapshot.pools.value if snapshot.pools else {}).values():
            if facts.driver == "linstor" and report.ready(ids.INCUS):
                yield ValidatePool(id=named["id"], cause="mutant", pool=facts.name)
    if mutant is Mutant.ALL_POOLS and any(isinstance(one, ValidatePool) for one in given.actions):
        for facts in (snapshot.pools.value if snapshot.pools else {}).values():
            if facts.status == "Unavailable":
                yield ValidatePool(id=named["id"], cause="mutant", pool=facts.name)
    if mutant is Mutant.RECONNECTS_ALWAYS and report.ready(ids.SATELLITE):
        yield ReconnectSatellite(**named, node=snapshot.node, reason=Reconnect.WAKE)
    if mutant is Mutant.STARTS_SATELLITE and report.ready(ids.SATELLITE):
        yield StartUnit(id=named["id"], cause="mutant", unit=SATELLITE_UNIT, subject=ids.SATELLITE)
    if mutant is Mutant.STARTS_EVERYTHING and report.ready(ids.INCUS):
        for one in (snapshot.instances.value if snapshot.instances else {}).values():
            if not one.runs:
                yield StartInstance(
                    id=named["id"],
                    cause="mutant",
                    instance=one.id,
                    last_used_at=one.last_used_at,
                )


# --- the boots that they run ------------------------------------------------------------------------
def boots() -> Iterator[Schedule]:
    """Yield the boots of the observed table, some made for one rule each, then random ones."""
    for key in ("s1", "s4", "s9", "s3", "s0"):
        yield observed(key)
    yield from made()
    for seed in range(RANDOM):
        yield by_chance(seed)


def made() -> Iterator[Schedule]:
    """Yield boots made for one rule each."""
    base = observed("s4", nodes=2)
    who = instance_id("c1")
    members = (MemberSpec(name="n1"), MemberSpec(name="n2"))
    cluster = msgspec.structs.replace(base.server, members=members)
    leave = Happening(at=10.0, deed=Deed.EVACUATE)
    back = Happening(at=60.0, deed=Deed.RESTORE)
    yield msgspec.structs.replace(base, server=cluster, happenings=(leave, back))
    stop = Happening(at=60.0, deed=Deed.STOP, instance=who)
    yield msgspec.structs.replace(base, happenings=(stop,))
    pause = Happening(at=20.0, deed=Deed.PAUSE)
    resume = Happening(at=80.0, deed=Deed.RESUME)
    yield msgspec.structs.replace(base, happenings=(pause, resume))
    for late in (1, 3, 5 * HOPELESS):
        instances = tuple(
            msgspec.structs.replace(spec, late_failures=late) for spec in base.server.instances
        )
        changed = msgspec.structs.replace(base.server, instances=instances)
        horizon = 450.0 if late >= HOPELESS else base.horizon
        yield msgspec.structs.replace(base, server=changed, horizon=horizon)
    unreachable = Fault(kind=FaultKind.NODE_OFFLINE, end=120.0, subject="n1")
    yield msgspec.structs.replace(base, faults=(unreachable,), horizon=180.0)
    dead = msgspec.structs.replace(base.server, has_db_dump=False)
    yield msgspec.structs.replace(base, server=dead, faults=())
    yield from _crowds()
    one_late = Fault(kind=FaultKind.DEVICE_MISSING, end=150.0, subject=resource_of(who))
    both = (one_late, *observed("s1").faults)
    yield msgspec.structs.replace(observed("s1"), name="one late", faults=both, horizon=240.0)
    set_at = Happening(at=120.0, deed=Deed.SET_CLOCK, seconds=86400.0)
    late_clock = tuple(
        msgspec.structs.replace(one, last_used_at=EPOCH + 80_000.0) for one in base.server.instances
    )
    behind = msgspec.structs.replace(base.server, instances=late_clock)
    yield msgspec.structs.replace(
        observed("s1"), name="clock behind", server=behind, happenings=(set_at,), horizon=180.0
    )


def _crowds() -> Iterator[Schedule]:
    """Yield boots of many instances that could go at the same moment: some with a priority, on two pools."""
    names = tuple(f"c{number:02}" for number in range(24))
    ranks = {"c03": "1", "c05": "9", "c07": "5"}
    instances = tuple(
        InstanceSpec(
            name=name,
            pool=REMOTE if number % 2 else "fast",
            config={"boot.autostart.priority": ranks[name]} if name in ranks else {},
        )
        for number, name in enumerate(names)
    )
    pools = (REMOTE, "fast")
    plain = layout(names, nodes=1, groups=pools)
    resources = tuple(
        msgspec.structs.replace(one, group=spec.pool)
        for one, spec in zip(plain.resources, instances, strict=True)
    )
    yield Schedule(
        name="crowd",
        layout=msgspec.structs.replace(plain, resources=resources),
        server=server(instances, remote=pools),
        faults=(Fault(kind=FaultKind.NODE_OFFLINE, end=25.0),),
        horizon=120.0,
    )


def caught(mutant: Mutant) -> tuple[Schedule, str] | None:
    """Return the first boot in which a rule catches ``mutant``, and the rule; None when it survives them all."""
    for schedule in boots():
        try:
            broken = simulate(schedule, planner=planner(mutant), until_broken=True).violations
        except Exception as error:  # a mutant may break more than rules
            return schedule, repr(error)
        if broken:
            return schedule, broken[0]
    return None


def main() -> int:
    """Print a line for each mutant; 1 when one survives that nothing else stops."""
    survivors: list[Mutant] = []
    for mutant in Mutant:
        found = caught(mutant)
        if found is None:
            survivors.append(mutant)
        reason = SURVIVORS.get(mutant, "nothing stops it")
        how = f"caught in {found[0].name}: {found[1]}" if found else f"SURVIVES: {reason}"
        sys.stdout.write(f"{mutant:<55} {how}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{len(Mutant)} mutants, {len(survivors)} survive\n")
    return int(not set(survivors) <= set(SURVIVORS))


if __name__ == "__main__":
    sys.exit(main())
