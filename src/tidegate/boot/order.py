# SPDX-License-Identifier: Apache-2.0
"""The units of the chain in the order in which they really started, beside the order that they need."""

from typing import Final

from tidegate.boot import satellite
from tidegate.boot.case import Case
from tidegate.boot.facts import (
    CONTROLLER_UNIT,
    GATE_UNIT,
    INCUS_UNIT,
    SATELLITE_UNIT,
    STARTUP_UNIT,
    Facts,
)
from tidegate.boot.model import Kind, StartOrder

_NEEDS: Final = (
    ("unit/systemd-modules-load.service", ()),
    ("unit/network-online.target", ()),
    ("unit/zfs-import.target", ()),
    ("unit/lxcfs.service", ()),
    (CONTROLLER_UNIT, ("network-online.target",)),
    (
        SATELLITE_UNIT,
        ("network-online.target", "systemd-modules-load.service", "zfs-import.target"),
    ),
    ("unit/tidegate-agent.service", ()),
    (GATE_UNIT, ("linstor-satellite.service",)),
    (INCUS_UNIT, ("linstor-satellite.service", "network-online.target", "lxcfs.service")),
    (STARTUP_UNIT, ()),
)
"""What each unit should find ready (facts/incus.md 1.5, facts/linstor.md 2.3 and 8.1)."""


def make(case: Case) -> tuple[StartOrder, ...]:
    """Return a row per unit of the chain that the journal names, by its start."""
    facts = case.facts
    readiness = {unit.partition("/")[2]: _ready(facts, unit) for unit, _ in _NEEDS}
    rows = [
        _row(facts, unit, needs, readiness)
        for unit, needs in _NEEDS
        if facts.begun(unit) is not None or facts.first(Kind.UNIT_FAILED, unit) is not None
    ]
    return tuple(sorted(rows, key=lambda row: row.starting or 0.0))


def _ready(facts: Facts, unit: str) -> float | None:
    if unit == SATELLITE_UNIT:
        steps = satellite.start(facts)
        if steps.spoke:
            return steps.ready.at if steps.ready is not None else None
        return None
    if unit == CONTROLLER_UNIT:
        return facts.at(Kind.CONTROLLER_STARTED) or facts.at(Kind.UNIT_STARTED, unit)
    return facts.at(Kind.UNIT_STARTED, unit)


def _row(
    facts: Facts, unit: str, needs: tuple[str, ...], readiness: dict[str, float | None]
) -> StartOrder:
    own = unit.partition("/")[2]
    starting = facts.begun(unit)
    known = [(one, readiness[one]) for one in needs if _seen(facts, one)]
    late = [
        (one, at) for one, at in known if at is not None and starting is not None and at > starting
    ]
    worst = max(late, key=lambda pair: pair[1], default=None)
    return StartOrder(
        unit=own,
        starting=starting,
        active=facts.at(Kind.UNIT_STARTED, unit),
        ready=readiness[own],
        result=_result(facts, unit),
        needs=tuple(one for one, _ in known),
        too_early_by=None
        if worst is None or starting is None or worst[1] is None
        else worst[1] - starting,
        note="" if worst is None else f"started before {worst[0]} was ready",
    )


def _seen(facts: Facts, unit: str) -> bool:
    return facts.begun(f"unit/{unit}") is not None


def _result(facts: Facts, unit: str) -> str:
    failed = facts.last(Kind.UNIT_FAILED, unit)
    started = facts.last(Kind.UNIT_STARTED, unit)
    if failed is not None and (started is None or failed.at >= started.at):
        return "failed"
    stopped = facts.last(Kind.UNIT_STOPPED, unit)
    if stopped is not None and (started is None or stopped.at > started.at):
        return "stopped"
    if started is not None:
        return "active"
    return "activating" if facts.first(Kind.UNIT_STARTING, unit) is not None else "not started"
