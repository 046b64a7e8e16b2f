# SPDX-License-Identifier: Apache-2.0
"""The satellite's unit: what systemd knows of it, where that explains why the satellite is not there."""

from typing import Final

from tidegate.core import ids
from tidegate.core.facts import UnitFacts
from tidegate.core.finding import Finding
from tidegate.core.snapshot import Source
from tidegate.health import catalogue
from tidegate.health.view import SATELLITE_UNIT, View

_FAILED: Final = {
    "timeout": "satellite.start-timeout",
    "start-limit-hit": "satellite.start-limit",
}
"""systemd's word for how the last run ended (man org.freedesktop.systemd1, Result)."""
_MANY: Final = 3
"""Restarts after which waiting for the next is no hope any more."""


def judge(view: View) -> list[Finding]:
    """Return what systemd knows of the unit, where it explains why the satellite is not there."""
    unit = view.unit(SATELLITE_UNIT)
    if unit is None:
        return []
    if not unit.is_installed:
        return [_of_unit(view, unit, "satellite.not-installed", f"{unit.name}: {unit.load_state}")]
    if unit.active_state == "failed":
        text = f"{unit.name} failed ({unit.result})"
        return [_of_unit(view, unit, _FAILED.get(unit.result, "satellite.unit-failed"), text)]
    if unit.sub_state.startswith("auto-restart"):
        text = (
            f"{unit.name} ended ({unit.result}) and is started again; {unit.restarts} times so far"
        )
        waiting = unit.restarts < _MANY
        return [_of_unit(view, unit, "satellite.restarting", text, waiting=waiting)]
    if unit.active_state == "inactive":
        waiting = unit.inactive_since is None and view.now < view.policy.wait_grace
        why = (
            ": its start came to nothing, what it requires had failed"
            if unit.lost_its_start
            else ""
        )
        text = f"{unit.name} is inactive{why}"
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
