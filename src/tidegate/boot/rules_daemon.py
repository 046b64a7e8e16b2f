# SPDX-License-Identifier: Apache-2.0
"""What happened to incusd itself: crashed, refused to start, waited for its cluster, was killed, or was never started."""

from typing import Final

from tidegate.boot import errors, rules_controller, rules_exit, rules_root
from tidegate.boot.case import Case, known, name, secs
from tidegate.boot.facts import GATE_UNIT, INCUS_UNIT, STARTUP_UNIT
from tidegate.boot.model import Confidence, Event, Kind

_LONG: Final = 10.0
_ON_INCUS_ITSELF: Final = (INCUS_UNIT, STARTUP_UNIT, "unit/incus.socket")


def examine(case: Case) -> None:
    """Add what happened to incusd."""
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
    _failed(case)
    rules_controller.silence(case)
    _never_started(case)


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
        cause = rules_root.root(case, errors.of(fatal), [fatal], None)
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
        if e.at <= event.at + 1 and e.subject != event.subject
    ]
    if before:
        last = before[-1]
        said = next((e.detail for e in before if e.subject == last.subject and e.detail), "")
        cause = case.graph.add(
            "unit.failed",
            last.subject,
            f"{name(last.subject)} failed at {secs(last.at)}{f': “{said}”' if said else ''}.",
            begin=last.at,
            events=before[-3:],
        )
        case.graph.link(cause, key, f"{name(event.subject)} requires it", [event])


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
        back = facts.first(Kind.UNIT_STARTED, INCUS_UNIT, after=exited.at)
        again = f"; it was there again at {secs(back.at)}" if back is not None else ""
        key = graph.add(
            "incus.ended",
            "incus",
            f"incusd's process ended at {secs(exited.at)}: {exited.data.get('code', '')} {exited.data.get('status', '')}{again}.",
            begin=exited.at,
            end=back.at if back is not None else None,
            events=[exited, facts.first(Kind.UNIT_FAILED, INCUS_UNIT), back],
        )
    graph.hit(key, "incus")
    rules_exit.link_memory(case, key, INCUS_UNIT, exited.at)


def _failed(case: Case) -> None:
    """Say that a unit of Incus failed, where nothing says more."""
    facts = case.facts
    told = any(known(case, code) for code in _SAYS_MORE)
    for unit in (INCUS_UNIT, "unit/incus.socket"):
        events = facts.all(Kind.UNIT_FAILED, unit)
        if not events or told:
            continue
        said = next((e.detail for e in events if e.detail), "")
        result = next((e.data["result"] for e in events if "result" in e.data), "")
        key = case.graph.add(
            "incus.failed",
            unit,
            f"{name(unit)} failed at {secs(events[0].at)}{f' ({result})' if result else ''}{f': “{said[:200]}”' if said else ''}.",
            begin=events[0].at,
            events=[*events[:3], *facts.all(Kind.UNIT_EXITED, unit)[:2]],
        )
        case.graph.hit(key, "incus")
        limit = next((one for one in case.graph.nodes if one.startswith("incus.start-limit")), "")
        case.graph.link(key, limit, "it failed each time", events[:1])


_SAYS_MORE: Final = (
    "incus.panic",
    "incus.fatal",
    "incus.ended",
    "incus.start-timeout",
    "incus.killed",
    "incus.dependency-failed",
)


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
