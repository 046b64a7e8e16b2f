# SPDX-License-Identifier: Apache-2.0
"""Our own guard: down, without a controller, or not asked by Incus. All of it leaves Incus usable, as it was without a guard."""

from typing import Final

from tidegate.core import ids
from tidegate.core.facts import GuardFacts, IncusPhase
from tidegate.core.finding import Finding
from tidegate.core.snapshot import Fact, Liveness, Source
from tidegate.health import catalogue
from tidegate.health.view import View

LINSTOR_DRIVER: Final = "linstor"
ASKED_WITHIN: Final = 10.0
"""Seconds that a guard may be older than Incus's start without having been asked: the two start beside each other."""
_TLS: Final = "controller.tls"
_FIRST: Final = "version"
"""Class of Incus's first call; where that fails, no other follows (facts/incus.md L30)."""


def findings(view: View) -> list[Finding]:
    """Return the findings about the guard; none where it is not enabled."""
    fact = view.snapshot.guard
    state = view.snapshot.source(Source.GUARD)
    if fact is None or state.liveness is not Liveness.UP or not view.is_fresh(fact, Source.GUARD):
        return []
    seen = fact.value
    if not seen.answers:
        text = seen.trouble.text if seen.trouble is not None else "it does not answer"
        return [_finding(view, fact, "guard.down", text)]
    found = []
    if seen.controller is None and seen.controller_trouble:
        code = "guard.certificate" if _TLS in seen.controller_trouble else "guard.no-controller"
        found.append(_finding(view, fact, code, seen.controller_trouble))
    bypassed = _bypassed(view, seen)
    if bypassed is not None:
        found.append(_finding(view, fact, "guard.bypassed", bypassed))
    return found


def _bypassed(view: View, seen: GuardFacts) -> str | None:
    """Return how it shows that Incus does not ask the guard; None when it does, or nothing shows it.

    Incus's client moves to the front of its list whichever address answered last (facts/incus.md L35), and a running one keeps the
    environment it was started with.
    """
    incus, pools, instances = view.snapshot.incus, view.snapshot.pools, view.snapshot.instances
    if incus is None or pools is None or incus.value.phase is not IncusPhase.READY:
        return None
    if not any(one.driver == LINSTOR_DRIVER for one in pools.value.values()):
        return None
    asked = seen.mounts or seen.volumes or seen.calls.get(_FIRST)
    if incus.since > seen.started_at + ASKED_WITHIN and not asked:
        return "Incus has started since the guard did, and has not asked it once"
    if seen.volumes or instances is None:
        return None
    boot, linstor = (
        view.snapshot.boot_wall,
        {n for n, p in pools.value.items() if p.driver == LINSTOR_DRIVER},
    )
    for facts in instances.value.values():
        started = facts.last_used_at
        if started is None or started < boot + seen.started_at + ASKED_WITHIN:
            continue
        if facts.runs and any(need.pool in linstor for need in facts.needs):
            return f"{ids.instance(facts.id)} was started since the guard runs, and Incus has not asked it for a volume once"
    return None


def _finding(view: View, fact: Fact[GuardFacts], code: str, observed: str) -> Finding:
    return catalogue.finding(
        code,
        ids.INCUS,
        observed,
        source=Source.GUARD,
        age=view.age(fact),
        since=fact.since,
    )
