# SPDX-License-Identifier: Apache-2.0
"""The levers that may be pulled only so often: reconnects and starts of the satellite, restarts of Incus (contract.md safety 8).

Each has a fixed budget of pulls on top of the growing waits of :mod:`~tidegate.core.backoff`. A pull counts when it is decided, so that
a crash of ours cannot pull twice; one that came to nothing, because a precondition no longer held, is given back.
"""

import enum
import math
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from tidegate.config.policy import RecoveryPolicy
from tidegate.core import ids
from tidegate.core.action import Action, Reconnect, ReconnectSatellite, RestartUnit, StartUnit
from tidegate.core.facts import NodeFacts
from tidegate.core.finding import Report
from tidegate.core.ids import UnitName
from tidegate.core.snapshot import Fact, Liveness, Snapshot, Source
from tidegate.recovery.state import RecoveryState

SATELLITE_UNIT: Final = UnitName("linstor-satellite.service")
FRESH: Final = 5.0
"""A fact older than this (seconds) pulls no lever."""
_LASTING: Final = 15.0
"""Seconds for which a failed full sync must have been seen: a connection that begins anew passes through it."""


_BARE: Final = frozenset({"storage-pool.mount-missing", "storage-pool.directory-missing"})
"""A satellite that is started on such a storage pool makes its volumes anew, empty (facts/linstor-observed.md A5)."""


class Lever(enum.StrEnum):
    """What may be pulled."""

    WAKE = "wake"
    FALSE_ONLINE = "false-online"
    FULL_SYNC = "full-sync"
    START_SATELLITE = "start-satellite"
    RESTART_INCUS = "restart-incus"


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """At most ``most`` pulls within ``within`` seconds (infinite: per boot), ``apart`` seconds between two."""

    most: int
    within: float = math.inf
    apart: float


LIMITS: Final[Mapping[Lever, Limit]] = {
    Lever.WAKE: Limit(most=3, apart=10.0),
    Lever.FALSE_ONLINE: Limit(most=1, apart=0.0),
    Lever.FULL_SYNC: Limit(most=2, within=3600.0, apart=300.0),
    Lever.START_SATELLITE: Limit(most=5, within=3600.0, apart=10.0),
    Lever.RESTART_INCUS: Limit(most=2, apart=900.0),
}
WHY: Final[Mapping[Lever, str]] = {
    Lever.WAKE: "the satellite listens and is OFFLINE",
    Lever.FALSE_ONLINE: "the satellite is ONLINE and reports nothing",
    Lever.FULL_SYNC: "the full sync did not succeed, and LINSTOR does not try again by itself",
    Lever.START_SATELLITE: f"{SATELLITE_UNIT} failed, and nothing else starts it",
    Lever.RESTART_INCUS: "a pool cannot be mounted in a weaker way",
}
_RECONNECTS: Final = {
    Reconnect.WAKE: Lever.WAKE,
    Reconnect.FALSE_ONLINE: Lever.FALSE_ONLINE,
    Reconnect.FULL_SYNC: Lever.FULL_SYNC,
}
_REASONS: Final = {lever: reason for reason, lever in _RECONNECTS.items()}


class Chance(msgspec.Struct, frozen=True, kw_only=True):
    """A lever whose conditions hold. ``at``: when its budget allows a pull (seconds since boot), infinity for never in this boot."""

    lever: Lever
    at: float


def of(action: Action) -> Lever | None:
    """Return the lever that ``action`` pulls; None for what has no budget of pulls."""
    match action:
        case ReconnectSatellite():
            return _RECONNECTS[action.reason]
        case RestartUnit():
            return Lever.RESTART_INCUS
        case StartUnit() if action.subject == ids.SATELLITE:
            return Lever.START_SATELLITE
        case _:
            return None


def key(lever: Lever) -> str:
    """Return the key of the waits after pulls that came to nothing."""
    return f"lever/{lever}"


def allowed_at(state: RecoveryState, lever: Lever, now: float) -> float:
    """Return from when on (seconds since boot) ``lever`` may be pulled; infinity for never again in this boot."""
    limit = LIMITS[lever]
    pulls = [moment for moment in state.pulls.get(lever, ()) if now - moment < limit.within]
    due = state.budget(key(lever)).not_before
    if pulls:
        due = max(due, pulls[-1] + limit.apart)
    if len(pulls) >= limit.most:
        due = max(due, pulls[-limit.most] + limit.within)
    return due


def pulled(state: RecoveryState, action: Action, now: float) -> RecoveryState:
    """Return the state after ``action`` was decided at ``now``."""
    lever = of(action)
    if lever is None:
        return state
    kept = (*state.pulls.get(lever, ()), now)[-LIMITS[lever].most :]
    return msgspec.structs.replace(state, pulls={**state.pulls, lever: kept})


def given_back(state: RecoveryState, lever: Lever) -> RecoveryState:
    """Return the state when the last pull of ``lever`` turned out to be void: nothing was done."""
    kept = state.pulls.get(lever, ())[:-1]
    return msgspec.structs.replace(state, pulls={**state.pulls, lever: kept})


def satellite(
    state: RecoveryState, snapshot: Snapshot, report: Report, policy: RecoveryPolicy
) -> Chance | None:
    """Return the lever on the satellite that would help now; None when there is none, or nothing wanted needs it."""
    about = report.state(ids.SATELLITE)
    if about is None or not about.wanted or about.ready:
        return None
    for lever in _fitting(state, snapshot, report, policy):
        return Chance(lever=lever, at=allowed_at(state, lever, snapshot.at))
    return None


def action(lever: Lever, snapshot: Snapshot, named: Mapping[str, str]) -> Action:
    """Return the action that pulls ``lever``; ``named`` holds its id and cause."""
    if lever is Lever.START_SATELLITE:
        return StartUnit(
            id=named["id"], cause=named["cause"], unit=SATELLITE_UNIT, subject=ids.SATELLITE
        )
    if lever is Lever.RESTART_INCUS:
        return RestartUnit(id=named["id"], cause=named["cause"], unit=UnitName("incus.service"))
    return ReconnectSatellite(
        id=named["id"], cause=named["cause"], node=snapshot.node, reason=_REASONS[lever]
    )


def _fitting(
    state: RecoveryState, snapshot: Snapshot, report: Report, policy: RecoveryPolicy
) -> Iterator[Lever]:
    bare = any(finding.code in _BARE for finding in report.findings)
    if policy.start_satellite and not bare and _unit_failed(state, snapshot):
        yield Lever.START_SATELLITE
    seen = _node(state, snapshot)
    if seen is None:
        return
    fact, node = seen
    status, lasts = node.connection_status, snapshot.at - fact.since
    if policy.wake_controller and status == "OFFLINE" and _listens(snapshot):
        yield Lever.WAKE
    codes = {finding.code for finding in report.about(ids.SATELLITE)}
    if policy.cure_false_online and "satellite.false-online" in codes:
        yield Lever.FALSE_ONLINE
    tools_late = status == "MISSING_EXT_TOOLS" or "satellite.no-drbd" in codes
    failed = status == "FULL_SYNC_FAILED" or (tools_late and _has_module(snapshot))
    if policy.cure_full_sync and failed and lasts >= _LASTING:
        yield Lever.FULL_SYNC


def _unit_failed(state: RecoveryState, snapshot: Snapshot) -> bool:
    """Only a unit that failed, or lost its start at boot: one that somebody stopped is inactive, and stays so.

    systemd tries neither again: ``Restart=`` counts for runs, and what a failed mount took with it had none.
    """
    fact = snapshot.units
    if fact is None or snapshot.source(Source.SYSTEMD).liveness is not Liveness.UP:
        return False
    unit = fact.value.get(SATELLITE_UNIT)
    known = state.knows(str(ids.SATELLITE), fact.at)
    if not known or unit is None or not unit.is_installed:
        return False
    return unit.active_state == "failed" or unit.lost_its_start


def _node(
    state: RecoveryState, snapshot: Snapshot
) -> tuple[Fact[Mapping[str, NodeFacts]], NodeFacts] | None:
    """Return this node as the controller shows it now; None when that is not known, or LINSTOR was told to leave it alone."""
    fact = snapshot.nodes
    if fact is None or snapshot.source(Source.LINSTOR).liveness is not Liveness.UP:
        return None
    node = fact.value.get(snapshot.node)
    is_news = snapshot.at - fact.at <= FRESH and state.knows(str(ids.SATELLITE), fact.at)
    if node is None or not is_news or "EVICTED" in node.flags:
        return None
    return fact, node


def _listens(snapshot: Snapshot) -> bool:
    host = snapshot.host
    return host is not None and host.value.satellite_listens is True


def _has_module(snapshot: Snapshot) -> bool:
    host = snapshot.host
    return host is not None and host.value.drbd_module is not None
