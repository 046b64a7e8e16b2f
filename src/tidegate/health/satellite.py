# SPDX-License-Identifier: Apache-2.0
"""This node's satellite: what the controller says of it, and whether that can be believed.

ONLINE means only that a full sync was *accepted* (facts/linstor.md 0.1); devices come later, one by one, and are judged as volumes.
ONLINE without a report on any resource for long is the false ONLINE of facts/linstor-observed.md A1, or a stuck device manager.
"""

from typing import Final

from tidegate.core import ids
from tidegate.core.facts import NodeFacts
from tidegate.core.finding import Finding
from tidegate.core.snapshot import Liveness, Source
from tidegate.health import catalogue, satellite_unit
from tidegate.health import host as host_layer
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
    "HOSTNAME_MISMATCH": "satellite.hostname-mismatch",
    "NO_STLT_CONN": "satellite.no-interface",
}
"""facts/linstor.md 3.1; any other word is kept as text."""
_STARTING: Final = frozenset({"activating", "reloading"})
SYNC_SLOW: Final = 60.0
"""Seconds in CONNECTED after which something is slow: 300 resources take 9 s (facts/linstor-observed.md G)."""
DIALLED_WITHIN: Final = 25.0
"""Seconds within which a controller that knows the node connects to an open port; 20 were seen (facts/linstor-observed.md A7)."""
FIRST_WITHIN: Final = 10.0
"""Seconds after ONLINE from which on it is worth telling what the satellite's log says, if it reported nothing at all."""
_TOGETHER: Final = 1.0


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
        return [
            _finding(view, "satellite.not-known", text, waiting=True),
            *satellite_unit.judge(view),
        ]
    node = view.nodes.get(view.node)
    if node is None:
        text = f"LINSTOR has no node {view.node}"
        return [_finding(view, "satellite.unknown-node", text)]
    findings = _flags(view, node)
    if node.connection_status != ONLINE:
        return [*findings, _status(view, node.connection_status), *satellite_unit.judge(view)]
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
        observed = f"CONNECTED, full sync going on for {lasts:.0f} s{_busy(view)}"
        code = "satellite.sync-slow" if lasts > SYNC_SLOW else code
    elif code == "satellite.offline":
        observed += _evidence(view)
        code = "satellite.not-contacted" if _is_left_alone(view, lasts) else code
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
        opened = _open_since(view)
        fresh = opened is not None and view.lasts(opened) < DIALLED_WITHIN
        if host.value.satellite_listens and fresh:
            words.append("the controller's next round is waited for, 20 s at most")
    return f" ({', '.join(words)})" if words else ""


def _open_since(view: View) -> float | None:
    """Return since when the port has been open at the earliest, from the journal, else from the unit."""
    if view.journal.satellite.port_at is not None:
        return view.journal.satellite.port_at
    unit = view.unit(SATELLITE_UNIT)
    return None if unit is None else unit.active_since


def _is_left_alone(view: View, lasts: float) -> bool:
    """Return True when the satellite listens for longer than a controller that dials would take (facts/linstor-observed.md A7)."""
    host = view.snapshot.host
    listens = host is not None and host.value.satellite_listens is True
    if not listens or not view.is_fresh(host, Source.HOST):
        return False
    opened, log = _open_since(view), view.journal.satellite
    if opened is None or log.authenticated_at is not None:
        return False
    return min(lasts, view.lasts(opened)) > DIALLED_WITHIN


def _busy(view: View) -> str:
    """Return which program the satellite waits for, the oldest one."""
    host = view.snapshot.host
    if host is None or not host.value.satellite_commands:
        return ""
    oldest = min(host.value.satellite_commands, key=lambda command: command.since)
    return f"; it waits for `{oldest.command}` for {view.lasts(oldest.since):.0f} s"


def _believed(view: View, wants: Wants, node: NodeFacts) -> list[Finding]:
    findings = []
    since = _silent_since(view)
    if since is not None and view.lasts(since) > view.policy.false_online_after:
        text = f"ONLINE, and no resource of {view.node} reported for {view.lasts(since):.0f} s"
        text += _sign(view) + _busy(view)
        findings.append(_finding(view, "satellite.false-online", text, since=since))
    findings += _first_run(view, wants)
    findings += _providers(view, wants, node)
    if "DRBD" not in node.resource_layers and needs_drbd(view, wants):
        text = f"layers of {view.node}: {', '.join(node.resource_layers) or 'none'}"
        findings.append(_finding(view, "satellite.no-drbd", text))
    return findings


def _sign(view: View) -> str:
    """Return what the satellite's own lines say of an ONLINE that is not true (facts/linstor-observed.md A1, c8)."""
    log = view.journal.satellite
    if log.outdated_at is not None and log.outdated_at >= (log.synced_at or 0.0) - _TOGETHER:
        return "; its journal says that it ignored an outdated full sync"
    if log.waiting:
        return "; its journal says that the device manager waits for its service-condition"
    # Between two runs the log says "Begin" too: only the first one's end tells something.
    if log.run_began_at is not None and log.run_ended_at is None:
        lasts = view.lasts(log.run_began_at)
        return f"; its journal says that a run of the device manager began {lasts:.0f} s ago and has not ended"
    return ""


def _first_run(view: View, wants: Wants) -> list[Finding]:
    """Say how far the satellite has come since it connected: n of m, and how long the rest takes at this pace."""
    places = [view.placed_here(resource) for resource in wants.wanted_resources]
    here = [place for place in places if place is not None]
    done = sum(place.state_reported for place in here)
    if not here or done == len(here):
        return []
    assert view.snapshot.nodes is not None
    since = view.snapshot.nodes.since
    lasts = view.lasts(since)
    text = f"{done} of {len(here)} wanted resources reported, ONLINE for {lasts:.0f} s"
    if done and lasts > 1.0 and view.is_coming_up:
        text += f"; at this pace {lasts * (len(here) - done) / done:.0f} s more"
    if not done and lasts > FIRST_WITHIN:
        text += _sign(view)
    found = [_finding(view, "satellite.first-run", text, waiting=view.is_coming_up, since=since)]
    log = view.journal.satellite
    if log.reports:
        text = f"{log.reports} since it started, the last: {log.last_report}"
        found.append(_finding(view, "satellite.error-reports", text, source=Source.JOURNAL))
    return found


def _providers(view: View, wants: Wants, node: NodeFacts) -> list[Finding]:
    """Compare the kinds of storage that wanted volumes lie on with what the satellite found tools for (facts/linstor-observed.md A17)."""
    if not node.storage_providers:
        return []
    names = {
        place.storage_pool
        for resource in wants.wanted_resources
        if (place := view.placed_here(resource)) is not None
    }
    pools = [pool for name, pool in (view.storage_pools or {}).items() if name in names]
    missing = sorted({pool.provider for pool in pools} - set(node.storage_providers))
    host = view.snapshot.host
    tools = host.value.tools if host is not None else {}
    findings = []
    for provider in missing:
        why = "; ".join(node.unsupported.get(provider, ()))
        text = f"{provider} is not among what {view.node} can do{f' ({why})' if why else ''}"
        needed = host_layer.tools_of(provider)
        if needed and all(tools.get(tool) for tool in needed):
            text += f"; {', '.join(needed)} is installed now: it was not when the satellite looked"
        findings.append(_finding(view, "satellite.no-provider", text, provider=provider))
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
    view: View,
    code: str,
    observed: str,
    *,
    waiting: bool = False,
    since: float | None = None,
    source: Source = Source.LINSTOR,
    **context: str,
) -> Finding:
    return catalogue.finding(
        code,
        ids.SATELLITE,
        observed,
        source=source,
        age=view.age(view.snapshot.nodes),
        since=since,
        waiting=waiting,
        context={"node": view.node} | context,
    )
