# SPDX-License-Identifier: Apache-2.0
"""What happened to Incus, its pools and its instances, and for each kind of error the cause that stands before it."""

from typing import Final

from tidegate.boot import errors, rules_controller, rules_devices, rules_satellite
from tidegate.boot.case import Case, name, secs, span
from tidegate.boot.errors import CONTROLLER, Wrong
from tidegate.boot.facts import GATE_UNIT, INCUS_UNIT, STARTUP_UNIT
from tidegate.boot.model import (
    Confidence,
    Event,
    InstanceStory,
    Kind,
    Outcome,
    PoolStory,
)

_LONG: Final = 10.0
_MANY: Final = 100
_ON_INCUS_ITSELF: Final = (INCUS_UNIT, STARTUP_UNIT, "unit/incus.socket")


def examine(case: Case) -> None:
    """Add what Incus's lines say, and its causes."""
    for pool in case.pools:
        _pool(case, pool)
    _instances(case)
    _daemon(case)
    rules_controller.silence(case)
    _never_started(case)


def root(case: Case, wrong: Wrong, events: list[Event], end: float | None) -> str:
    """Return the cause that stands before errors of one kind; empty where the error is all that is known."""
    first, last = span(events)
    if wrong is Wrong.NODE_OFFLINE:
        return rules_satellite.why_offline(case, first, last)
    if wrong in CONTROLLER:
        return rules_controller.why(case, wrong, events, end)
    if wrong is Wrong.NODE_UNKNOWN:
        return case.graph.add(
            "controller.node-unknown",
            "controller",
            f"The controller did not know this node under the name that Incus uses: “{events[0].detail[:160]}”.",
            begin=first,
            events=events[:3],
        )
    if wrong is Wrong.SATELLITE_MISSING:
        return case.graph.add(
            "satellite.not-installed",
            "satellite",
            f"Incus did not find the satellite's program: “{events[0].detail[:160]}”.",
            begin=first,
            events=events[:3],
        )
    if wrong is Wrong.DISK_FULL:
        return case.graph.add(
            "host.disk-full",
            "host",
            f"A file system was full at {secs(first)}: “{events[0].detail[:160]}”.",
            begin=first,
            events=events[:3],
        )
    if wrong is Wrong.POOL_UNAVAILABLE:
        return next((key for key in case.graph.nodes if key.startswith("pool.unavailable:")), "")
    if wrong in {Wrong.NOT_STORAGE, Wrong.OTHER}:
        return ""
    return rules_devices.why(case, wrong, events, end)


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
        cause = root(case, wrong, events, pool.ready)
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
    groups: dict[Wrong, list[tuple[InstanceStory, list[Event]]]] = {}
    for story in case.instances[:_MANY]:
        failures = case.facts.all(Kind.INSTANCE_ATTEMPT_FAILED, story.subject)
        lost = case.facts.all(Kind.INSTANCE_LOST, story.subject)
        for wrong, events in rules_controller.classify(failures or lost).items():
            groups.setdefault(wrong, []).append((story, events))
        for event in case.facts.all(Kind.INSTANCE_START_FAILED, story.subject)[:1]:
            _failed_itself(case, story, event)
    for wrong, found in sorted(groups.items(), key=lambda item: item[1][0][1][0].at):
        events = sorted((e for _, some in found for e in some), key=lambda event: event.at)
        end = _over(found)
        cause = root(case, wrong, events, end)
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


def _daemon(case: Case) -> None:
    facts, graph = case.facts, case.graph
    _panic(case)
    _fatal(case)
    _cluster(case)
    for event in facts.all(Kind.INCUS_NETWORK_FAILED)[:1]:
        key = graph.add(
            "incus.network-failed",
            "incus",
            f"Incus could not bring up its network {event.data.get('network', '?')} at {secs(event.at)}: “{event.detail[:160]}”.",
            begin=event.at,
            events=facts.all(Kind.INCUS_NETWORK_FAILED)[:4],
        )
        graph.hit(key, "incus")
    _unit_trouble(case)
    _restarts(case)


def _panic(case: Case) -> None:
    facts, graph = case.facts, case.graph
    panic = facts.first(Kind.INCUS_PANIC)
    if panic is not None:
        hint = ""
        if "index out of range [0] with length 0" in panic.detail:
            hint = " It does so when LINSTOR answers with no volumes for a resource."
        elif "nil pointer" in panic.detail or "invalid memory address" in panic.detail:
            hint = " It does so when a pool comes late and an instance has a unix-char or unix-block device (a bug of its retry)."
        key = graph.add(
            "incus.panic",
            "incus",
            f"incusd crashed at {secs(panic.at)}: “{panic.detail[:160]}”.{hint}",
            begin=panic.at,
            events=[
                panic,
                facts.first(Kind.UNIT_EXITED, INCUS_UNIT),
                *facts.all(Kind.UNIT_RESTART, INCUS_UNIT)[:1],
            ],
        )
        graph.hit(key, "incus")


def _fatal(case: Case) -> None:
    facts, graph = case.facts, case.graph
    fatal = facts.first(Kind.INCUS_FATAL)
    if fatal is not None:
        key = graph.add(
            "incus.fatal",
            "incus",
            f"incusd refused to start at {secs(fatal.at)}: “{fatal.detail[:200]}”.",
            begin=fatal.at,
            events=[fatal, facts.first(Kind.UNIT_FAILED, INCUS_UNIT)],
        )
        graph.hit(key, "incus")
        cause = root(case, errors.classify(fatal.detail), [fatal], None)
        if cause:
            graph.link(cause, key, "the error says so", [fatal])


def _cluster(case: Case) -> None:
    """Say that incusd waited for its cluster, where it said so over and over."""
    facts = case.facts
    waits = facts.all(Kind.INCUS_WAITING_CLUSTER)
    if not waits:
        return
    opened = facts.first(Kind.UNIT_STARTED, STARTUP_UNIT, after=waits[0].at)
    end = opened.at if opened is not None else facts.end
    if end - waits[0].at < _LONG:
        return
    key = case.graph.add(
        "incus.waiting-cluster",
        "incus",
        f"incusd waited {secs(end - waits[0].at)} for other members of its cluster.",
        begin=waits[0].at,
        end=opened.at if opened is not None else None,
        events=[*waits[:4], opened],
    )
    case.graph.hit(key, "incus")


_UNIT_TROUBLE: Final = (
    (
        Kind.UNIT_TIMEOUT,
        "incus.start-timeout",
        "incusd was not ready within its start time-out",
    ),
    (
        Kind.UNIT_STOP_TIMEOUT,
        "incus.killed",
        "systemd killed incusd, which did not stop in time",
    ),
    (
        Kind.UNIT_DEPENDENCY,
        "incus.dependency-failed",
        "incusd was not started because something it requires failed",
    ),
    (
        Kind.UNIT_START_LIMIT,
        "incus.start-limit",
        "systemd gave up starting it: too often in too short a time",
    ),
)


def _unit_trouble(case: Case) -> None:
    facts, graph = case.facts, case.graph
    for kind, code, text in _UNIT_TROUBLE:
        for unit in _ON_INCUS_ITSELF:
            event = facts.first(kind, unit)
            if event is None:
                continue
            key = graph.add(
                code,
                unit,
                f"{text} ({name(unit)}, {secs(event.at)}).",
                begin=event.at,
                events=[
                    facts.first(Kind.UNIT_STARTING, unit),
                    event,
                    facts.first(Kind.UNIT_FAILED, unit),
                ],
            )
            graph.hit(key, "incus")
            if kind is Kind.UNIT_TIMEOUT:
                silence = rules_controller.silence(case)
                graph.link(silence, key, "it stood still in its set-up", [event])
            elif kind is Kind.UNIT_DEPENDENCY:
                _failed_dependency(case, key, event)


def _failed_dependency(case: Case, key: str, event: Event) -> None:
    before = [
        e
        for e in case.facts.of(Kind.UNIT_FAILED, Kind.UNIT_TIMEOUT)
        if e.at <= event.at + 1 and e.subject not in _ON_INCUS_ITSELF
    ]
    if before:
        last = before[-1]
        cause = case.graph.add(
            "unit.failed",
            last.subject,
            f"{name(last.subject)} failed at {secs(last.at)}.",
            begin=last.at,
            events=before[-2:],
        )
        case.graph.link(cause, key, "incus.service requires it", [event])


def _restarts(case: Case) -> None:
    """A main process that ended without a panic that we saw: killed, or failed."""
    facts, graph = case.facts, case.graph
    exited = facts.first(Kind.UNIT_EXITED, INCUS_UNIT)
    if exited is None or "incus.panic:incus" in graph.nodes or "incus.fatal:incus" in graph.nodes:
        return
    if exited.data.get("which") == "Control":
        return
    if exited.data.get("status") == "2/INVALIDARGUMENT":
        key = graph.add(
            "incus.panic",
            "incus",
            f"incusd ended with status 2 at {secs(exited.at)}, as after a crash of its Go program.",
            begin=exited.at,
            events=[exited],
            confidence=Confidence.LIKELY,
            not_seen=("“panic:” of incusd",),
        )
    else:
        key = graph.add(
            "unit.failed",
            INCUS_UNIT,
            f"incusd's process ended at {secs(exited.at)}: {exited.data.get('code', '')} {exited.data.get('status', '')}.",
            begin=exited.at,
            events=[exited, facts.first(Kind.UNIT_FAILED, INCUS_UNIT)],
        )
    graph.hit(key, "incus")
    rules_satellite.link_memory(case, key, INCUS_UNIT, exited.at)


def _never_started(case: Case) -> None:
    """Say that the start-up check found nothing to start: it ends before incusd begins only then (facts/incus.md U2 to U4)."""
    facts = case.facts
    check = facts.first(Kind.UNIT_STARTED, STARTUP_UNIT)
    incus = facts.first(Kind.UNIT_STARTING, INCUS_UNIT)
    gate = facts.first(Kind.UNIT_STARTING, GATE_UNIT) is not None
    waits = gate and facts.first(Kind.UNIT_STARTED, GATE_UNIT) is None
    if check is None or waits or (incus is not None and incus.at <= check.at):
        return
    if facts.of(Kind.INCUS_STARTING, Kind.INCUS_STARTED, Kind.POOL_MOUNT_FAILED) and incus is None:
        return
    wanted = len(facts.hints.instances)
    unclean = facts.first(Kind.UNCLEAN_BEFORE)
    cut = facts.before is not None and facts.before.shutdown is None
    sure = bool(wanted) or (cut and facts.ran_before)
    never = (
        "was never started"
        if incus is None
        else f"was started only at {secs(incus.at)}, by somebody else"
    )
    stale = ", which is that of the last clean stop, and the boot before had none"
    key = case.graph.add(
        "incus.never-started",
        "incus",
        f"The start-up check was over at {secs(check.at)} and incus.service {never}: the check found nothing to start in the state kept on disk"
        f"{stale if cut or unclean is not None else ''}{f'; {wanted} instances should run' if wanted else ''}.",
        begin=check.at,
        end=None if incus is None else incus.at,
        events=[facts.first(Kind.UNIT_LISTENING, "unit/incus.socket"), check, unclean, incus],
        confidence=Confidence.LIKELY if sure else Confidence.POSSIBLE,
        not_seen=("“Starting incus.service” before the end of the check",),
        alternatives=() if wanted else ("nothing was to be started",),
        tell="" if wanted else "incus list: is there an instance that should run?",
        note=not sure and (unclean is None or incus is not None),
    )
    if not case.graph.nodes[key].note:
        case.graph.hit(key, "incus")
