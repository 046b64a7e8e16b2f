# SPDX-License-Identifier: Apache-2.0
"""For each kind of error that Incus tells: the cause that stands before it."""

from typing import Final

from tidegate.boot import rules_controller, rules_devices, rules_held, rules_satellite
from tidegate.boot.case import Case, secs, span
from tidegate.boot.errors import CONTROLLER, Wrong
from tidegate.boot.model import Event

_PLAIN: Final = {
    Wrong.NODE_UNKNOWN: (
        "controller.node-unknown",
        "controller",
        "The controller did not know this node under the name that Incus uses",
    ),
    Wrong.SATELLITE_MISSING: (
        "satellite.not-installed",
        "satellite",
        "Incus did not find the satellite's program",
    ),
    Wrong.DISK_FULL: ("host.disk-full", "host", "A file system was full"),
}
"""Errors that say themselves what it is."""


def root(case: Case, wrong: Wrong, events: list[Event], end: float | None) -> str:
    """Return the cause that stands before errors of one kind; empty where the error is all that is known."""
    first, last = span(events)
    held = rules_held.by_guard(case, events, end)
    if held:
        return held
    if wrong is Wrong.NODE_OFFLINE:
        return rules_satellite.why_offline(case, first, last)
    if wrong in CONTROLLER:
        return rules_controller.why(case, wrong, events, end)
    if wrong in _PLAIN:
        code, subject, text = _PLAIN[wrong]
        said = f"“{events[0].detail[:160]}”"
        sentence = f"{text} ({secs(first)}): {said}."
        return case.graph.add(code, subject, sentence, begin=first, events=events[:3])
    if wrong is Wrong.POOL_UNAVAILABLE:
        return next((key for key in case.graph.nodes if key.startswith("pool.unavailable:")), "")
    if wrong in {Wrong.NOT_STORAGE, Wrong.OTHER}:
        return ""
    return rules_devices.why(case, wrong, events, end)
