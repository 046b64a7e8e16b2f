# SPDX-License-Identifier: Apache-2.0
"""Tidegate's own part in a boot: what its gate and its guard held, and for what; what its agent did."""

from typing import Final

import msgspec

from tidegate.boot import rules_held
from tidegate.boot.case import Case, name, secs
from tidegate.boot.code import AGENT
from tidegate.boot.facts import GATE_UNIT, INCUS_UNIT
from tidegate.boot.model import Event, Kind

_WORTH_SAYING: Final = 5.0
_FAULT: Final = 5.0
"""Seconds for which a gate that holds explains itself by a fault, where the satellite's own log does not show a normal start."""


def examine(case: Case) -> None:
    """Add what Tidegate did and held."""
    _gate(case)
    _guard(case)
    _pools(case)
    _agent(case)


def _gate(case: Case) -> None:
    facts = case.facts
    gave_up = facts.first(Kind.GATE_TIMED_OUT)
    waits = facts.all(Kind.GATE_WAITING)
    opened = facts.first(Kind.GATE_OPENED)
    begun = facts.begun(GATE_UNIT)
    begin = begun if begun is not None else (waits[0].at if waits else None)
    if begin is None:
        return
    ends = [
        event
        for event in (gave_up, opened, facts.first(Kind.UNIT_STARTED, GATE_UNIT))
        if event is not None
    ]
    end = min((event.at for event in ends), default=facts.end)
    if gave_up is not None:
        key = _gave_up(case, waits, gave_up, begin)
    elif end - begin < _WORTH_SAYING or not waits:
        return
    else:
        key = case.graph.add(
            "gate.held",
            "host",
            f"Tidegate's gate held Incus for {secs(end - begin)}, {'until ' + secs(end) if ends else 'and still does when the lines end'}: "
            f"{waits[0].data.get('sentence', '')[:160]}.",
            begin=begin,
            end=end if ends else None,
            events=[*waits[:2], opened],
            note=True,
        )
    if end - begin >= _FAULT:
        for cause in rules_held.waited_for(case, waits, begin, end):
            case.graph.link(cause, key, "that is what the gate waited for", waits[:2])


def _gave_up(case: Case, waits: list[Event], gave_up: Event, begin: float) -> str:
    return case.graph.add(
        "gate.timed-out",
        "host",
        f"Tidegate's gate let Incus go at {secs(gave_up.at)} after its whole limit, storage not being ready: {gave_up.data.get('sentence', '')[:200]}.",
        begin=begin,
        end=gave_up.at,
        events=[*waits[:2], gave_up, case.facts.first(Kind.UNIT_STARTING, INCUS_UNIT)],
    )


def _guard(case: Case) -> None:
    held = case.facts.all(Kind.GUARD_HELD)
    if held:
        passed = case.facts.first(Kind.GUARD_PASSED, after=held[0].at)
        case.graph.add(
            "guard.held",
            "host",
            f"Tidegate's guard held calls of Incus from {secs(held[0].at)} on.",
            begin=held[0].at,
            end=passed.at if passed is not None else None,
            events=[*held[:3], passed],
            note=True,
        )


_DONE: Final = "Nothing: the agent started what had waited for it, the moment it could."


def _pools(case: Case) -> None:
    """Say what else a pool waited for, where the agent says so: one trouble after the other, of which Incus met the first only."""
    for pool in case.pools:
        key = f"pool.unavailable:{pool.subject}"
        if pool.asked is None or pool.ready is None or not pool.exact:
            continue
        waits = [
            event
            for event in case.facts.all(Kind.AGENT_WAITS)
            if pool.asked <= event.at < pool.ready
            and pool.subject in event.data.get("who", "").split(", ")
        ]
        if waits:
            for cause in rules_held.waited_for(case, waits, waits[0].at, pool.ready):
                case.graph.link(cause, key, "the agent says that it waited for that", waits[:3])


def _agent(case: Case) -> None:
    done = [
        event
        for event in case.facts.all(Kind.ACTION_DONE)
        if event.data.get("code") in {"instance.started", "pool.mounted"}
        or event.data.get("text") in {"started", "mounted"}
    ]
    if not done:
        return
    for key, cause in list(case.graph.nodes.items()):
        if cause.remedy == AGENT:  # it runs here already
            case.graph.nodes[key] = msgspec.structs.replace(cause, remedy=_DONE)
    who = ", ".join(dict.fromkeys(name(event.subject) for event in done[:8]))
    case.graph.add(
        "agent.acted",
        "host",
        f"Tidegate brought up what Incus had not: {who} ({secs(done[0].at)} to {secs(done[-1].at)}).",
        begin=done[0].at,
        end=done[-1].at,
        events=done[:6],
        note=True,
    )
