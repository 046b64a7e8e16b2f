# SPDX-License-Identifier: Apache-2.0
"""What each pool and each instance went through, as far as the lines tell; what is inferred says so.

Incus logs no success by default (facts/incus.md C8, G3). What stands for it here: a failure that is not repeated although the next try
was due (pools: every 60 s, D35; instances: three attempts 5 s apart, A6), the kernel's lines about DRBD devices and file systems, and
``incus.service`` turning active, which it does only when autostart is over (U17).
"""

from typing import Final

from tidegate.boot import errors
from tidegate.boot.facts import INCUS_UNIT, Facts
from tidegate.boot.model import Attempt, Event, InstanceStory, Kind, Outcome, PoolStory

POOL_ROUND: Final = 60.0
"""Seconds between Incus's tries to mount a pool that failed (facts/incus.md D35)."""
_ROUND_AND_PASS: Final = 75.0
ATTEMPT_GAP: Final = 5.0
"""Seconds between two attempts to start an instance (A6)."""
_POOL_FAILURES: Final = (Kind.POOL_MOUNT_FAILED, Kind.POOL_LOAD_FAILED)


def _attempt(event: Event) -> Attempt:
    wrong = errors.of(event) if event.detail else ""
    return Attempt(at=event.at, error=event.detail, code=str(wrong), evidence=event.evidence)


def pools(facts: Facts) -> tuple[PoolStory, ...]:
    """Return what happened to each pool that a line (or a hint) names."""
    names = [
        subject
        for subject in facts.subjects(*_POOL_FAILURES, Kind.POOL_READY)
        if subject.startswith("pool/")
    ]
    names += [f"pool/{name}" for name in facts.hints.linstor_pools if f"pool/{name}" not in names]
    return tuple(_pool(facts, subject) for subject in names)


def _pool(facts: Facts, subject: str) -> PoolStory:
    failures = sorted(
        (event for kind in _POOL_FAILURES for event in facts.all(kind, subject)),
        key=lambda event: event.at,
    )
    attempts = tuple(_attempt(event) for event in failures)
    asked = failures[0].at if failures else None
    last = (failures[-1].last or failures[-1].at) if failures else 0.0
    name = subject.partition("/")[2]
    good = _pool_good(facts, subject, last if failures else None)
    if good is not None:
        return PoolStory(
            subject=subject,
            name=name,
            asked=asked if asked is not None else good.at,
            outcome=Outcome.LATE if failures else Outcome.RUNNING,
            ready=good.at,
            attempts=(*attempts, Attempt(at=good.at, evidence=good.evidence)),
        )
    if not failures:
        return PoolStory(subject=subject, name=name)
    inferred = _pool_came(facts, failures[-1], last)
    return PoolStory(
        subject=subject,
        name=name,
        asked=asked,
        outcome=Outcome.LATE if inferred is not None else Outcome.WAITING,
        ready=inferred,
        attempts=attempts,
        exact=False,
    )


def _pool_good(facts: Facts, subject: str, after: float | None) -> Event | None:
    """Return the first line that says that a pool is there: Incus's after its last failure, or what the agent did or saw."""
    ready = facts.first(Kind.POOL_READY, subject, after=after)
    mounted = next(
        (
            event
            for event in facts.all(Kind.ACTION_DONE, subject)
            if event.data.get("code") == "pool.mounted" or "mounted" in event.data.get("text", "")
        ),
        None,
    )
    over = next((e for e in facts.all(Kind.FINDING_OVER, subject) if _pool_trouble(e)), None)
    found = [e for e in (ready, mounted, over) if e is not None]
    return min(found, key=lambda e: e.at, default=None)


def _pool_trouble(event: Event) -> bool:
    """Return whether a finding of the agent's that is over was that the pool cannot be used."""
    code = event.data.get("code", "")
    if code:
        return code in {"pool.unavailable", "pool.not-loaded"}
    text = event.data.get("text", "")
    return "not loaded" in text or "unavailable" in text.lower()


def _pool_came(facts: Facts, failure: Event, last: float) -> float | None:
    """Return when a pool must have been there at the latest, from what would not have happened without it."""
    used = [
        event.at
        for event in (
            facts.first(Kind.INSTANCE_ATTEMPT_FAILED, after=last),
            facts.first(Kind.ALL_RUN, after=last),
            _promoted_by_incus(facts, last),
            _up_again(facts, last),
        )
        if event is not None
        and not (
            event.kind is Kind.INSTANCE_ATTEMPT_FAILED
            and errors.of(event) in {errors.of(failure), errors.Wrong.POOL_UNAVAILABLE}
        )
    ]
    due = last + POOL_ROUND
    tried_again = facts.end > last + _ROUND_AND_PASS and _incus_alive(facts, last)
    if used:
        return min(used)
    return due if tried_again else None


def _up_again(facts: Facts, after: float) -> Event | None:
    """Return when an incusd that was started anew was active: it mounts every pool first, and would have said if it could not."""
    again = facts.first(Kind.UNIT_STARTING, INCUS_UNIT, after=after)
    return None if again is None else facts.first(Kind.UNIT_STARTED, INCUS_UNIT, after=again.at)


def _incus_alive(facts: Facts, after: float) -> bool:
    ends = (Kind.UNIT_STOPPING, Kind.UNIT_STOPPED, Kind.UNIT_FAILED, Kind.UNIT_EXITED)
    return all(facts.first(kind, INCUS_UNIT, after=after) is None for kind in ends)


def _promoted_by_incus(facts: Facts, after: float) -> Event | None:
    for event in facts.all(Kind.DRBD_ROLE):
        by = event.data.get("by", "")
        if event.at >= after and event.data.get("to") == "Primary" and "incusd" in by:
            return event
    return None


def instances(facts: Facts, known: tuple[PoolStory, ...]) -> tuple[InstanceStory, ...]:
    """Return what happened to each instance that a line (or a hint) names."""
    kinds = (
        Kind.INSTANCE_ATTEMPT_FAILED,
        Kind.INSTANCE_LOST,
        Kind.INSTANCE_STARTING,
        Kind.INSTANCE_STARTED,
        Kind.INSTANCE_START_FAILED,
        Kind.ACTION_DONE,
    )
    names = [subject for subject in facts.subjects(*kinds) if subject.startswith("instance/")]
    names += [
        f"instance/{name}" for name in facts.hints.instances if f"instance/{name}" not in names
    ]
    whole = [subject for subject in names if subject.count("/") >= 2]  # a damaged line names less
    return tuple(_instance(facts, subject, known) for subject in whole)


def _instance(facts: Facts, subject: str, known: tuple[PoolStory, ...]) -> InstanceStory:
    _, project, name = subject.split("/", 2)
    failures = facts.all(Kind.INSTANCE_ATTEMPT_FAILED, subject)
    lost = facts.last(Kind.INSTANCE_LOST, subject)
    pool = _pool_of(facts, f"{project}/{name}", known)
    started, exact, proof = _started(facts, subject, pool, failures, lost)
    begin = facts.last(Kind.INSTANCE_STARTING, subject, before=started)
    device = next((d for e in failures if (d := errors.device_of(e.detail))), "")
    mount = None
    if device:
        mount = facts.first(Kind.INSTANCE_MOUNTED, f"device/{device}")
    waiting = [event.at for event in failures[:1]]
    if pool is not None and pool.asked is not None and pool.outcome is not Outcome.RUNNING:
        waiting.append(pool.asked)
    return InstanceStory(
        subject=subject,
        project=project,
        name=name,
        pool=pool.name if pool is not None else "",
        device=device,
        outcome=_outcome(facts, subject, pool, started=started),
        waiting_since=min(waiting, default=None),
        mount_begin=begin.at if begin is not None else None,
        mounted=mount.at if mount is not None else None,
        started=started,
        attempts=tuple(_attempt(event) for event in failures),
        evidence=tuple(
            line for event in (lost, proof) if event is not None for line in event.evidence
        ),
        exact=exact,
    )


def _pool_of(facts: Facts, name: str, known: tuple[PoolStory, ...]) -> PoolStory | None:
    wanted = facts.hints.instances.get(name)
    return next((pool for pool in known if pool.name == wanted), None) if wanted else None


def _started(
    facts: Facts,
    subject: str,
    pool: PoolStory | None,
    failures: list[Event],
    lost: Event | None,
) -> tuple[float | None, bool, Event | None]:
    """Return when it ran, whether a line says so, and that line."""
    said = facts.first(Kind.INSTANCE_STARTED, subject)
    if said is not None:
        return said.at, True, said
    for event in facts.all(Kind.ACTION_DONE, subject):
        if event.data.get("code") == "instance.started" or event.data.get("text") == "started":
            return event.at, True, event
    everything = facts.first(Kind.ALL_RUN, after=lost.at if lost is not None else None)
    if lost is not None:
        at = _after_lost(facts, lost, pool)
        if at is None and everything is not None:
            return everything.at, False, everything
        return at, False, None
    if failures:
        return _after_failures(facts, failures)
    up = facts.first(Kind.UNIT_STARTED, INCUS_UNIT)
    if up is not None and subject.partition("/")[2] in facts.hints.instances:
        if pool is None or pool.outcome in {Outcome.RUNNING, Outcome.UNKNOWN}:
            return up.at, False, up
        return pool.ready, False, None
    return None, False, None


def _after_failures(facts: Facts, failures: list[Event]) -> tuple[float | None, bool, Event | None]:
    last = failures[-1]
    device = errors.device_of(last.detail)
    mounted = (
        facts.first(Kind.INSTANCE_MOUNTED, f"device/{device}", after=last.at) if device else None
    )
    if mounted is not None:
        return mounted.at, False, mounted
    up = facts.first(Kind.UNIT_STARTED, INCUS_UNIT, after=last.at)
    others = [
        event
        for event in facts.all(Kind.INSTANCE_ATTEMPT_FAILED)
        if event.at > last.at + ATTEMPT_GAP and event.subject != last.subject
    ]
    if up is not None or others:
        return last.at + ATTEMPT_GAP, False, up
    return None, False, None


def _after_lost(facts: Facts, lost: Event, pool: PoolStory | None) -> float | None:
    """Return when an instance that was given up ran after all: another pass of autostart (facts/incus.md A22)."""
    again = facts.first(Kind.UNIT_STARTING, INCUS_UNIT, after=lost.at)
    if again is not None:
        up = facts.first(Kind.UNIT_STARTED, INCUS_UNIT, after=again.at)
        return up.at if up is not None else None
    if pool is not None and pool.ready is not None and pool.ready > lost.at:
        return pool.ready
    wrong = errors.of(lost)
    late = facts.first(Kind.POOL_READY, after=lost.at)
    return late.at if late is not None and wrong is errors.Wrong.MODULE_MISSING else None


def _outcome(
    facts: Facts, subject: str, pool: PoolStory | None, *, started: float | None
) -> Outcome:
    failures = facts.all(Kind.INSTANCE_ATTEMPT_FAILED, subject)
    lost = facts.last(Kind.INSTANCE_LOST, subject)
    if started is not None:
        slow = bool(failures) or lost is not None
        slow = slow or (pool is not None and pool.outcome is Outcome.LATE)
        return Outcome.LATE if slow else Outcome.RUNNING
    if lost is not None:
        retried = any(
            event.at <= lost.at and errors.of(event) is errors.of(lost)
            for event in facts.all(Kind.POOL_LOAD_FAILED)
        )
        return Outcome.WAITING if retried else Outcome.LOST
    if failures or (pool is not None and pool.outcome is Outcome.WAITING):
        return Outcome.WAITING
    if facts.first(Kind.INSTANCE_START_FAILED, subject) is not None:
        return Outcome.LOST
    return Outcome.UNKNOWN
