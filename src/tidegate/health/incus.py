# SPDX-License-Identifier: Apache-2.0
"""The Incus daemon: does it run, has it finished its own start (facts/incus.md R10-R12, D13-D17)."""

from typing import Final

from tidegate.core import ids
from tidegate.core.facts import IncusFacts, IncusPhase
from tidegate.core.finding import Finding
from tidegate.core.snapshot import Fact, Liveness, Source, SourceState
from tidegate.health import catalogue, guard
from tidegate.health.opinion import Opinion
from tidegate.health.view import INCUS_UNIT, View
from tidegate.health.wants import LINSTOR_DRIVER, Origin, Wants

_PHASES: Final = {
    IncusPhase.STOPPED: ("incus.stopped", "incusd does not run"),
    IncusPhase.STARTING: ("incus.starting", "incusd is starting and does not answer yet"),
    IncusPhase.AUTOSTART: ("incus.autostart", "incusd is starting its instances"),
    IncusPhase.STOPPING: ("incus.stopping", "incusd is stopping"),
}
_EVACUATED: Final = frozenset({"Evacuated", "Evacuating", "Restoring"})
_OWN_VOLUMES: Final = ("storage.images_volume", "storage.backups_volume", "storage.logs_volume")
"""What incusd mounts before it serves: fatal while the pool is away (facts/incus.md D19)."""
MANY_RESTARTS: Final = 3


def judge(view: View, wants: Wants) -> Opinion:
    """Return the opinion on incusd. On a host without Incus it is not wanted."""
    fact = view.snapshot.incus
    wanted = view.liveness(Source.INCUS) is not Liveness.OFF or wants.origin is Origin.MAP
    return Opinion(
        subject=ids.INCUS,
        findings=(*_findings(view, wants, fact), *guard.findings(view)),
        wanted=wanted,
        good=f"Incus {fact.value.version} is ready"
        if fact is not None and fact.value.version
        else "ready",
    )


def _findings(view: View, wants: Wants, fact: Fact[IncusFacts] | None) -> list[Finding]:
    state = view.snapshot.source(Source.INCUS)
    if state.liveness is Liveness.NEW:
        return [_finding(view, "source.new", "Incus has not answered yet", waiting=True)]
    if state.liveness in {Liveness.LOST, Liveness.OFF}:
        return [_silent(view, state)]
    if fact is None:
        return [_phase(view, IncusPhase.STARTING, state.since)]
    if view.age(fact) > view.policy.stale_after:
        limit = f"{view.policy.stale_after:.0f}"
        text = f"the last word of Incus is {view.age(fact):.0f} s old"
        return [_finding(view, "source.stale", text, limit=limit)]
    if fact.value.phase is not IncusPhase.READY:
        return [_loop(view) or _phase(view, fact.value.phase, fact.since)]
    findings = _on_linstor(view, wants, fact.value)
    if fact.value.member_status in _EVACUATED:
        text = f"this member is {fact.value.member_status}"
        member = fact.value.server_name or view.node
        findings.append(_finding(view, "incus.evacuated", text, member=member))
    return findings


def _loop(view: View) -> Finding | None:
    """Return the finding that incusd does not get through its own start (facts/incus.md D19), if systemd has started it often."""
    unit = view.unit(INCUS_UNIT)
    if unit is None or unit.restarts < MANY_RESTARTS or unit.active_state == "active":
        return None
    said = view.journal.incus_error
    text = f"started {unit.restarts} times again, last end: {unit.result}"
    text += f"; it says: {said}" if said else ""
    return _finding(view, "incus.restarting", text)


def _on_linstor(view: View, wants: Wants, facts: IncusFacts) -> list[Finding]:
    """Return what makes incusd itself depend on LINSTOR, and whether its driver is loaded."""
    findings = []
    if facts.drivers is not None and wants.linstor_pools and LINSTOR_DRIVER not in facts.drivers:
        text = f"its storage drivers are {', '.join(facts.drivers) or 'none'}"
        findings.append(_finding(view, "incus.driver-not-loaded", text))
    for key in _OWN_VOLUMES:
        place = facts.config.get(key, "")
        if place.partition("/")[0] in wants.linstor_pools:
            text = f"{key} is {place}, which lies on LINSTOR"
            findings.append(_finding(view, "incus.fatal-volume", text, key=key))
    return findings


def _silent(view: View, state: SourceState) -> Finding:
    """Return the finding that the client's trouble stands for."""
    trouble = state.trouble
    if trouble is None:
        return _finding(view, "incus.lost", "Incus does not answer", since=state.since)
    code = trouble.code if trouble.code in catalogue.CODES else "incus.lost"
    return _finding(view, code, trouble.text, since=state.since, remedy=trouble.hint)


def _phase(view: View, phase: IncusPhase, since: float) -> Finding:
    code, text = _PHASES[phase]
    lasts = view.lasts(since)
    early = view.now < view.policy.wait_grace
    waiting = early if phase is IncusPhase.STOPPED else lasts < view.policy.wait_grace
    return _finding(view, code, f"{text}, for {lasts:.0f} s", since=since, waiting=waiting)


def _finding(
    view: View,
    code: str,
    observed: str,
    *,
    since: float | None = None,
    waiting: bool = False,
    remedy: str = "",
    **context: str,
) -> Finding:
    return catalogue.finding(
        code,
        ids.INCUS,
        observed,
        source=Source.INCUS,
        age=view.age(view.snapshot.incus),
        since=since,
        waiting=waiting,
        remedy=remedy,
        context=context,
    )
