# SPDX-License-Identifier: Apache-2.0
"""Instances: what should run here runs (facts/incus.md A1, R42)."""

from typing import Final

from tidegate.core import ids
from tidegate.core.facts import InstanceFacts
from tidegate.core.finding import Finding
from tidegate.core.ids import Subject
from tidegate.core.snapshot import Source
from tidegate.health import catalogue, mapping
from tidegate.health.opinion import Opinion
from tidegate.health.view import View
from tidegate.health.wants import Want, Wants

_STOPPED: Final = "Stopped"
_NETWORK_AWAY: Final = "Network unavailable"


def judge(view: View, wants: Wants) -> list[Opinion]:
    """Return an opinion on every instance of this node."""
    return [
        Opinion(
            subject=ids.instance(want.id),
            findings=tuple(_findings(view, want)),
            rests_on=_rests_on(want),
            wanted=want.wanted,
            good=_good(want),
            used=want.facts is not None and want.facts.runs,
        )
        for want in wants.all
    ]


def _rests_on(want: Want) -> tuple[Subject, ...]:
    volumes = [ids.volume(volume) for volume in want.volumes]
    volumes += [ids.volume(miss.stand_in) for miss in want.missing]
    return (*volumes, *(ids.pool(pool) for pool in want.pools))


def _findings(view: View, want: Want) -> list[Finding]:
    if want.facts is None and not want.wanted:
        return []
    if want.facts is None:
        text = "Incus cannot be asked about it yet"
        return [_finding(view, want, "instance.not-known", text, waiting=True)]
    if not want.wanted:
        return []
    findings = []
    if not want.facts.runs:
        findings.append(_not_running(view, want, want.facts))
    findings += [
        _finding(
            view, want, "instance.no-volume", _what(miss), volume=str(ids.volume(miss.stand_in))
        )
        for miss in want.missing
        if miss.miss is not mapping.Miss.NOT_KNOWN and not want.facts.runs
    ]
    return findings


def _not_running(view: View, want: Want, facts: InstanceFacts) -> Finding:
    status = facts.status
    if status == _STOPPED:
        if want.given_up is not None:
            text = f"stopped; Incus gave up on it: {want.given_up}"
            return _finding(view, want, "instance.given-up", text, waiting=view.is_coming_up)
        away = _networks_away(view)
        network = next((name for name in facts.networks if name in away), None)
        if network is not None:
            text = f"stopped; its network {network} is unavailable: {away[network]}"
            return _finding(view, want, "instance.network-unavailable", text, network=network)
        return _finding(
            view, want, "instance.stopped", "stopped, and should run", waiting=view.is_coming_up
        )
    return _finding(view, want, "instance.error", f"status {status}, and should run")


def _networks_away(view: View) -> dict[str, str]:
    """Return Incus's networks that it could not start -> why (facts/incus.md R61): instances on them are skipped without a word."""
    fact = view.snapshot.warnings
    if fact is None:
        return {}
    return {
        warning.entity_url.partition("?")[0].rpartition("/")[2]: warning.message
        for warning in fact.value
        if warning.type == _NETWORK_AWAY
    }


def _what(miss: mapping.Missing) -> str:
    many = "several resources" if miss.miss is mapping.Miss.AMBIGUOUS else "no resource"
    return f"LINSTOR has {many} for its volume {miss.needed.name}"


def _finding(
    view: View, want: Want, code: str, observed: str, *, waiting: bool = False, **context: str
) -> Finding:
    fact = view.snapshot.instances
    return catalogue.finding(
        code,
        ids.instance(want.id),
        observed,
        source=Source.INCUS,
        age=view.age(fact),
        since=fact.since if fact is not None else None,
        waiting=waiting,
        context={"name": want.id.name, "project": want.id.project} | context,
    )


def _good(want: Want) -> str:
    if want.facts is None:
        return ""
    if want.facts.runs:
        return "runs"
    if want.left:
        return "was made or stopped in this boot: left alone"
    return "stopped, and should not run"
