# SPDX-License-Identifier: Apache-2.0
"""For each kind of error that Incus tells: the cause that stands before it."""

from tidegate.boot import rules_controller, rules_devices, rules_held, rules_satellite
from tidegate.boot.case import Case, secs, span
from tidegate.boot.errors import CONTROLLER, Wrong
from tidegate.boot.model import Event


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
    if wrong is Wrong.NODE_UNKNOWN:
        return case.graph.add(
            "controller.node-unknown",
            "controller",
            f"The controller did not know this node under the name that Incus uses: “{events[0].detail[:160]}”.",
            begin=first,
            events=events[:3],
        )
    if wrong is Wrong.SATELLITE_MISSING:
        return case.graph.add(
            "satellite.not-installed",
            "satellite",
            f"Incus did not find the satellite's program: “{events[0].detail[:160]}”.",
            begin=first,
            events=events[:3],
        )
    if wrong is Wrong.DISK_FULL:
        return case.graph.add(
            "host.disk-full",
            "host",
            f"A file system was full at {secs(first)}: “{events[0].detail[:160]}”.",
            begin=first,
            events=events[:3],
        )
    if wrong is Wrong.POOL_UNAVAILABLE:
        return next((key for key in case.graph.nodes if key.startswith("pool.unavailable:")), "")
    if wrong in {Wrong.NOT_STORAGE, Wrong.OTHER}:
        return ""
    return rules_devices.why(case, wrong, events, end)
