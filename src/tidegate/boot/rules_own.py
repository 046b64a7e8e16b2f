# SPDX-License-Identifier: Apache-2.0
"""Tidegate's own part in a boot: what its gate and its guard held, what its agent did."""

from tidegate.boot.case import Case, name, secs
from tidegate.boot.facts import INCUS_UNIT
from tidegate.boot.model import Kind

_WORTH_SAYING = 5.0


def examine(case: Case) -> None:
    """Add what Tidegate did and held."""
    _gate(case)
    _guard(case)
    _agent(case)


def _gate(case: Case) -> None:
    facts, graph = case.facts, case.graph
    gave_up = facts.first(Kind.GATE_TIMED_OUT)
    waits = facts.all(Kind.GATE_WAITING)
    if gave_up is not None:
        key = graph.add(
            "gate.timed-out",
            "host",
            f"Tidegate's gate let Incus go at {secs(gave_up.at)} after its whole limit, storage not being ready: {gave_up.data.get('sentence', '')[:200]}.",
            begin=waits[0].at if waits else gave_up.at,
            end=gave_up.at,
            events=[*waits[:2], gave_up, facts.first(Kind.UNIT_STARTING, INCUS_UNIT)],
        )
        for effect in list(graph.nodes):
            if effect.startswith(("satellite.", "controller.", "storage.", "drbd.", "devices.")):
                graph.link(effect, key, "that is what it waited for", [gave_up])
        return
    opened = facts.first(Kind.GATE_OPENED)
    if opened is None or not waits or opened.at - waits[0].at < _WORTH_SAYING:
        return
    graph.add(
        "gate.held",
        "host",
        f"Tidegate's gate held Incus for {secs(opened.at - waits[0].at)}, until {secs(opened.at)}: {waits[0].data.get('sentence', '')[:160]}.",
        begin=waits[0].at,
        end=opened.at,
        events=[waits[0], opened],
        note=True,
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


def _agent(case: Case) -> None:
    done = [
        event
        for event in case.facts.all(Kind.ACTION_DONE)
        if event.data.get("code") in {"instance.started", "pool.mounted"}
        or event.data.get("text") in {"started", "mounted"}
    ]
    if not done:
        return
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
