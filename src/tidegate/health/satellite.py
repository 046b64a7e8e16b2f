# SPDX-License-Identifier: Apache-2.0
"""This node's satellite: what the controller says of it, and whether that can be believed.

ONLINE means only that a full sync was *accepted* (facts/linstor.md 0.1); devices come later, one by one, and are judged as volumes.
ONLINE without a report on any resource for long is the false ONLINE of facts/linstor-observed.md A1, or a stuck device manager.
"""

from typing import Final

from tidegate.core import ids
from tidegate.core.facts import NodeFacts, UnitFacts
from tidegate.core.finding import Finding
from tidegate.core.snapshot import Liveness, Source
from tidegate.health import catalogue
from tidegate.health.host import needs_drbd
from tidegate.health.opinion import Opinion
from tidegate.health.view import ONLINE, SATELLITE_UNIT, View
from tidegate.health.wants import Wants

_STATUS_CODES: Final = {
    "OFFLINE": "satellite.offline",
    "CONNECTED": "satellite.connected",
    "VERSION_MISMATCH": "satellite.version-mismatch",
    "FULL_SYNC_FAILED": "satellite.full-sync-failed",
    "AUTHENTICATION_ERROR": "satellite.authentication-error",
    "OTHER_CONTROLLER": "satellite.other-controller",
    "MISSING_EXT_TOOLS": "satellite.missing-ext-tools",
    "DUPLICATE_UNAME": "satellite.duplicate-uname",
}
"""facts/linstor.md 3.1; any other word is kept as text."""
_STARTING: Final = frozenset({"activating", "reloading"})


def judge(view: View, wants: Wants) -> Opinion:
    """Return the opinion on the satellite."""
    liveness = view.liveness(Source.LINSTOR)
    wanted = liveness is not Liveness.OFF or bool(wants.wanted_resources or wants.missing)
    return Opinion(
        subject=ids.SATELLITE,
        findings=tuple(_findings(view, wants)),
        rests_on=(ids.HOST, ids.CONTROLLER),
        wanted=wanted,
        good=f"{view.node} is ONLINE",
    )


def _findings(view: View, wants: Wants) -> list[Finding]:
    if view.nodes is None:
        text = f"no controller says how node {view.node} is"
        return [_finding(view, "satellite.not-known", text, waiting=True), *_unit(view)]
    node = view.nodes.get(view.node)
    if node is None:
        text = f"LINSTOR has no node {view.node}"
        return [_finding(view, "satellite.unknown-node", text)]
    findings = _flags(view, node)
    if node.connection_status != ONLINE:
        return [*findings, _status(view, node.connection_status), *_unit(view)]
    return findings + _believed(view, wants, node)


def _flags(view: View, node: NodeFacts) -> list[Finding]:
    if "EVICTED" in node.flags:
        return [_finding(view, "satellite.evicted", f"node {view.node} is evicted")]
    if "EVACUATE" in node.flags:
        return [_finding(view, "satellite.evacuating", f"node {view.node} is being evacuated")]
    return []


def _status(view: View, status: str) -> Finding:
    code = _STATUS_CODES.get(status, "satellite.other-status")
    since = view.snapshot.nodes.since if view.snapshot.nodes is not None else None
    lasts = view.lasts(since)
    observed = f"{status or 'no status'} for {lasts:.0f} s"
    if code == "satellite.connected":
        observed = f"CONNECTED, full sync going on for {lasts:.0f} s"
    elif code == "satellite.offline":
        observed += _evidence(view)
    unit = view.unit(SATELLITE_UNIT)
    comes = unit is None or unit.active_state in {"active", *_STARTING}
    waiting = not catalogue.needs_person(code) and comes and lasts < view.policy.wait_grace
    return _finding(view, code, observed, waiting=waiting, since=since)


def _evidence(view: View) -> str:
    """Return what this host itself shows of the satellite."""
    words = []
    unit = view.unit(SATELLITE_UNIT)
    if unit is not None:
        words.append(f"unit {unit.active_state}")
    host = view.snapshot.host
    if (
        host is not None
        and view.is_fresh(host, Source.HOST)
        and host.value.satellite_listens is not None
    ):
        words.append("port open" if host.value.satellite_listens else "port closed")
    return f" ({', '.join(words)})" if words else ""


def _unit(view: View) -> list[Finding]:
    """Return what systemd knows of the unit, where it explains why the satellite is not there."""
    unit = view.unit(SATELLITE_UNIT)
    if unit is None:
        return []
    if not unit.is_installed:
        return [_of_unit(view, unit, "satellite.not-installed", f"{unit.name}: {unit.load_state}")]
    if unit.active_state == "failed":
        text = f"{unit.name} failed ({unit.result})"
        return [_of_unit(view, unit, "satellite.unit-failed", text)]
    if unit.active_state == "inactive":
        waiting = unit.inactive_since is None and view.now < view.policy.wait_grace
        text = f"{unit.name} is inactive"
        return [_of_unit(view, unit, "satellite.unit-inactive", text, waiting=waiting)]
    return []


def _of_unit(
    view: View, unit: UnitFacts, code: str, observed: str, *, waiting: bool = False
) -> Finding:
    return catalogue.finding(
        code,
        ids.SATELLITE,
        observed,
        source=Source.SYSTEMD,
        age=view.age(view.snapshot.units),
        since=unit.inactive_since,
        waiting=waiting,
        context={"unit": unit.name, "node": view.node},
    )


def _believed(view: View, wants: Wants, node: NodeFacts) -> list[Finding]:
    findings = []
    since = _silent_since(view)
    if since is not None and view.lasts(since) > view.policy.false_online_after:
        text = f"ONLINE, and no resource of {view.node} reported for {view.lasts(since):.0f} s"
        findings.append(_finding(view, "satellite.false-online", text, since=since))
    if "DRBD" not in node.resource_layers and needs_drbd(view, wants):
        text = f"layers of {view.node}: {', '.join(node.resource_layers) or 'none'}"
        findings.append(_finding(view, "satellite.no-drbd", text))
    return findings


def _silent_since(view: View) -> float | None:
    """Return since when the node is ONLINE without a report on any of its resources; None when there is one, or none to report."""
    assert view.snapshot.nodes is not None
    since = view.snapshot.nodes.since
    silent = False
    for fact in view.snapshot.placements.values():
        for place in fact.value:
            if place.node != view.node:
                continue
            if place.state_reported:
                return None
            if view.is_fresh(fact, Source.LINSTOR):
                silent = True
                since = max(since, fact.since)
    return since if silent else None


def _finding(
    view: View, code: str, observed: str, *, waiting: bool = False, since: float | None = None
) -> Finding:
    return catalogue.finding(
        code,
        ids.SATELLITE,
        observed,
        source=Source.LINSTOR,
        age=view.age(view.snapshot.nodes),
        since=since,
        waiting=waiting,
        context={"node": view.node},
    )
