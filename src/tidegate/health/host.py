# SPDX-License-Identifier: Apache-2.0
"""This machine: what DRBD and Incus's LINSTOR driver need before anything can come up (facts/incus.md 2.3)."""

from tidegate.core import ids
from tidegate.core.facts import HostFacts
from tidegate.core.finding import Finding, Grade
from tidegate.core.snapshot import Fact, Liveness, Source
from tidegate.health import catalogue
from tidegate.health.opinion import Opinion
from tidegate.health.view import Belief, View
from tidegate.health.wants import Wants

DRBD_MAJOR_VERSION = 9


def judge(view: View, wants: Wants) -> Opinion:
    """Return the opinion on this host."""
    fact = view.snapshot.host
    findings = _lost_helpers(view)
    match view.belief(fact, Source.HOST):
        case Belief.FRESH:
            assert fact is not None
            findings += _module(view, wants, fact) + _program(view, wants, fact)
        case Belief.OFF:
            pass
        case belief:
            findings.append(_not_known(view, belief, fact))
    return Opinion(subject=ids.HOST, findings=tuple(findings), good=_good(fact))


def needs_drbd(view: View, wants: Wants) -> bool | None:
    """Return whether a wanted resource has DRBD; None while nobody can say: then it is taken for granted."""
    places = [view.placed_here(resource) for resource in wants.wanted_resources]
    known = [place for place in places if place is not None]
    if any(place.has_drbd for place in known):
        return True
    return None if places and not known else False


def _module(view: View, wants: Wants, fact: Fact[HostFacts]) -> list[Finding]:
    version = fact.value.drbd_module
    needed = needs_drbd(view, wants)
    if needed is False and not wants.linstor_pools:
        return []
    # Without DRBD among the layers only Incus's driver insists on the module: the pool says so itself.
    grade = Grade.DEGRADED if needed is False else None
    if version is None:
        return [
            catalogue.finding(
                "host.drbd-module-absent",
                ids.HOST,
                f"module drbd is not loaded for {view.lasts(fact.since):.0f} s",
                source=Source.HOST,
                age=view.age(fact),
                since=fact.since,
                waiting=view.now < view.policy.wait_grace,
                grade=grade,
            )
        ]
    if _major(version) >= DRBD_MAJOR_VERSION:
        return []
    return [
        catalogue.finding(
            "host.drbd-module-old",
            ids.HOST,
            f"module drbd is version {version}",
            source=Source.HOST,
            age=view.age(fact),
            since=fact.since,
            grade=grade,
        )
    ]


def _program(view: View, wants: Wants, fact: Fact[HostFacts]) -> list[Finding]:
    if fact.value.satellite_present or not (wants.linstor_pools or wants.wanted_resources):
        return []
    return [
        catalogue.finding(
            "host.satellite-missing",
            ids.HOST,
            "the satellite's program is not there",
            source=Source.HOST,
            age=view.age(fact),
            since=fact.since,
        )
    ]


def _lost_helpers(view: View) -> list[Finding]:
    """Sources about this host that do not answer: what they told is missing elsewhere, the host itself may be well."""
    findings = []
    for source in (Source.SYSTEMD, Source.DRBD, Source.DEVICES):
        state = view.snapshot.source(source)
        if state.liveness is not Liveness.LOST:
            continue
        why = state.trouble.text if state.trouble is not None else "no reason given"
        hint = state.trouble.hint if state.trouble is not None else ""
        findings.append(
            catalogue.finding(
                "source.lost",
                ids.HOST,
                f"{source} does not answer for {view.lasts(state.since):.0f} s: {why}",
                source=source,
                age=view.lasts(state.answered_at),
                since=state.since,
                context={"source": str(source), "hint": hint or why},
            )
        )
    return findings


def _not_known(view: View, belief: Belief, fact: Fact[HostFacts] | None) -> Finding:
    state = view.snapshot.source(Source.HOST)
    why = state.trouble.text if state.trouble is not None else "no reason given"
    code, observed = {
        Belief.STALE: ("source.stale", f"what is known of the host is {view.age(fact):.0f} s old"),
        Belief.LOST: ("source.lost", f"the host cannot be looked at: {why}"),
        Belief.STARTING: ("source.lost", f"the host cannot be looked at: {why}"),
    }.get(belief, ("source.new", "the host has not been looked at yet"))
    return catalogue.finding(
        code,
        ids.HOST,
        observed,
        source=Source.HOST,
        age=view.age(fact),
        waiting=code == "source.new",
        context={
            "source": "the host",
            "hint": why,
            "limit": f"{view.policy.stale_after:.0f}",
        },
    )


def _good(fact: Fact[HostFacts] | None) -> str:
    if fact is None or fact.value.drbd_module is None:
        return "nothing missing"
    return f"DRBD {fact.value.drbd_module}"


def _major(version: str) -> int:
    digits = version.partition(".")[0]
    return int(digits) if digits.isdecimal() else 0
