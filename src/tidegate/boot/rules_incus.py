# SPDX-License-Identifier: Apache-2.0
"""What happened to Incus's pools and instances, each linked to the cause of its errors."""

from typing import Final

from tidegate.boot import errors, rules_controller, rules_daemon, rules_root
from tidegate.boot.case import Case, name, secs, span
from tidegate.boot.errors import Wrong
from tidegate.boot.model import (
    Confidence,
    Event,
    InstanceStory,
    Kind,
    Outcome,
    PoolStory,
)

_MANY: Final = 100
_BY_DEVICE: Final = frozenset(
    {Wrong.NO_DATA, Wrong.PEER_PRIMARY, Wrong.READ_ONLY, Wrong.IO_ERROR, Wrong.NOT_MOUNTABLE}
)
"""Errors that each volume has for a reason of its own."""


def examine(case: Case) -> None:
    """Add what Incus's lines say, and its causes."""
    for pool in case.pools:
        _pool(case, pool)
    _instances(case)
    rules_daemon.examine(case)


def _pool(case: Case, pool: PoolStory) -> None:
    facts = case.facts
    mounting = facts.all(Kind.POOL_MOUNT_FAILED, pool.subject)
    loading = facts.all(Kind.POOL_LOAD_FAILED, pool.subject)
    failures = sorted([*mounting, *loading], key=lambda event: event.at)
    if not failures:
        return
    code = "pool.unavailable" if mounting else "pool.not-loaded"
    key = case.graph.add(
        code,
        pool.subject,
        _pool_sentence(pool, failures, loads=not mounting),
        begin=failures[0].at,
        end=pool.ready,
        events=[*failures[:4], failures[-1], facts.first(Kind.POOL_READY, pool.subject)],
        confidence=Confidence.CERTAIN,
        not_seen=()
        if pool.exact or pool.ready is None
        else ("“Initialized storage pool”, which Incus does not write by default",),
    )
    case.graph.hit(key, pool.subject)
    for instance in case.instances:
        if instance.pool == pool.name and instance.outcome is not Outcome.RUNNING:
            case.graph.hit(key, instance.subject)
    for wrong, events in rules_controller.classify(failures).items():
        cause = rules_root.root(case, wrong, events, pool.ready)
        case.graph.link(cause, key, f"Incus said: “{events[0].detail[:120]}”", events[:2])


def _pool_sentence(pool: PoolStory, failures: list[Event], *, loads: bool) -> str:
    first, last = span(failures)
    number = sum(event.count for event in failures)
    tries = "once" if number == 1 else f"{number} times"
    what = "could not load the driver of" if loads else "could not mount"
    when = f"at {secs(first)}" if number == 1 else f"from {secs(first)} to {secs(last)}"
    if pool.ready is None:
        after = "; it had not been mounted when the lines end (Incus tries every 60 s)"
    else:
        after = f"; it was there at {'' if pool.exact else 'about '}{secs(pool.ready)}"
    return f"Incus {what} pool {pool.name} {when} ({tries}): “{failures[0].detail[:160]}”{after}."


def _instances(case: Case) -> None:
    groups: dict[tuple[Wrong, str], list[tuple[InstanceStory, list[Event]]]] = {}
    for story in case.instances[:_MANY]:
        failures = case.facts.all(Kind.INSTANCE_ATTEMPT_FAILED, story.subject)
        lost = case.facts.all(Kind.INSTANCE_LOST, story.subject)
        for wrong, events in rules_controller.classify(failures or lost).items():
            device = errors.device_of(events[0].detail) if wrong in _BY_DEVICE else ""
            groups.setdefault((wrong, device), []).append((story, events))
        for event in case.facts.all(Kind.INSTANCE_START_FAILED, story.subject)[:1]:
            _failed_itself(case, story, event)
    for (wrong, _), found in sorted(groups.items(), key=lambda item: item[1][0][1][0].at):
        events = sorted((e for _, some in found for e in some), key=lambda event: event.at)
        end = _over(found)
        cause = rules_root.root(case, wrong, events, end)
        for story, some in found:
            key = _instance(case, story, wrong)
            if cause:
                case.graph.link(cause, key, f"Incus said: “{some[0].detail[:120]}”", some[:2])
                case.graph.hit(cause, story.subject)


def _over(found: list[tuple[InstanceStory, list[Event]]]) -> float | None:
    """Return when the trouble was over at the latest: when the first of the instances ran after all."""
    return min((story.started for story, _ in found if story.started is not None), default=None)


def _instance(case: Case, story: InstanceStory, wrong: Wrong) -> str:
    lost = case.facts.last(Kind.INSTANCE_LOST, story.subject)
    failures = case.facts.all(Kind.INSTANCE_ATTEMPT_FAILED, story.subject)
    label = name(story.subject)
    tries = f"{len(failures)} attempt{'s' if len(failures) != 1 else ''}"
    if lost is not None:
        after = "; nobody tries again"
        if story.started is not None:
            after = f"; it ran at {'' if story.exact else 'about '}{secs(story.started)} after all"
        elif story.outcome is Outcome.WAITING:
            after = "; Incus tries again when the pool can be loaded"
        code, text = (
            "instance.lost",
            f"Incus gave {label} up at {secs(lost.at)} after {tries}{after}",
        )
    else:
        code = "instance.late"
        ran = (
            f"ran at about {secs(story.started)}"
            if story.started is not None
            else "had not run when the lines end"
        )
        text = f"{label} failed in {tries} and {ran}"
    said = (lost or failures[-1]).detail[:160]
    if wrong is Wrong.NOT_STORAGE:
        code = "instance.failed"
    elif wrong is Wrong.OTHER:
        code = "instance.error"
    return case.graph.add(
        code,
        story.subject,
        f"{text}: “{said}”.",
        begin=failures[0].at if failures else (lost.at if lost is not None else 0.0),
        end=story.started,
        events=[*failures[:3], lost],
        confidence=Confidence.CERTAIN,
    )


def _failed_itself(case: Case, story: InstanceStory, event: Event) -> None:
    key = case.graph.add(
        "instance.failed",
        story.subject,
        f"{name(story.subject)} failed at {secs(event.at)}, after its storage was mounted: see its own log.",
        begin=event.at,
        end=story.started,
        events=[event],
    )
    case.graph.hit(key, story.subject)
