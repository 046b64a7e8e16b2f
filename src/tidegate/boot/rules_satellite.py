# SPDX-License-Identifier: Apache-2.0
"""Why the satellite was not ready when somebody needed it, and what stood still in it.

How it works (facts/linstor.md 2.3 to 2.5, 3.3; linstor-observed.md A1, A7): the satellite's port opens last; it never dials out, the
controller finds it within two rounds of 10 s; then the full sync is answered (the node shows ONLINE at once), and the first run of the
device manager brings the devices, which READY=1 or the WARN about NOTIFY_SOCKET ends.
"""

from typing import Final

from tidegate.boot import satellite
from tidegate.boot.case import Case, secs
from tidegate.boot.facts import SATELLITE_UNIT, Facts
from tidegate.boot.model import Confidence, Event, Kind
from tidegate.boot.satellite import Start

RECONNECT_AT_MOST: Final = 30.0
"""Seconds from open port to controller that are normal: two rounds of 10 s and a margin."""
NEVER_BY: Final = 45.0
"""Seconds without the next step after which it counts as not coming."""
STUCK: Final = 45.0
"""Seconds without a line of the device manager: as long as it waits for one external command (facts/linstor.md 8.2)."""


def why_offline(case: Case, first: float, last: float) -> str:
    """Return the cause for a node that the controller called OFFLINE from ``first`` to ``last``."""
    facts = case.facts
    end = ended(case, last)
    if end:
        return end
    steps = satellite.start(facts)
    if not steps.spoke:
        return _silent(case, steps, first, last)
    if steps.answered is not None and steps.answered.at > first:
        return _late(case, steps, first)
    if steps.answered is not None:
        return _lost_again(case, steps, first, last)
    if steps.connected is not None:
        return never_synced(case, steps) or _coming(case, steps, first)
    if steps.listening is not None:
        return no_controller(case, steps) or _coming(case, steps, first)
    return _coming(case, steps, first)


def ended(case: Case, last: float) -> str:
    """Return the cause if the satellite was ended before ``last`` (or has been since, for good); else empty."""
    facts = case.facts
    timeout = facts.first(Kind.UNIT_TIMEOUT, SATELLITE_UNIT)
    if timeout is not None:
        return _start_timeout(case, timeout)
    exited = [e for e in facts.all(Kind.UNIT_EXITED, SATELLITE_UNIT) if e.at <= last]
    failed = facts.first(Kind.UNIT_FAILED, SATELLITE_UNIT)
    if exited or (failed is not None and failed.at <= last):
        return _died(case, exited, failed)
    stopped = facts.first(Kind.UNIT_STOPPED, SATELLITE_UNIT)
    if stopped is not None and stopped.at <= last and not _back(facts, stopped.at):
        return case.graph.add(
            "satellite.stopped",
            "satellite",
            f"The satellite was stopped at {secs(stopped.at)} and not started again.",
            begin=stopped.at,
            events=[facts.first(Kind.UNIT_STOPPING, SATELLITE_UNIT), stopped],
        )
    return ""


def _back(facts: Facts, after: float) -> bool:
    return any(
        facts.first(kind, SATELLITE_UNIT, after=after) is not None
        for kind in (Kind.UNIT_STARTING, Kind.UNIT_STARTED)
    )


def _start_timeout(case: Case, timeout: Event) -> str:
    facts = case.facts
    steps = satellite.start(facts)
    connected = steps.connected is not None and steps.connected.at < timeout.at
    listened = steps.listening is not None and steps.listening.at < timeout.at
    why = "a controller had connected, but its first run was not over"
    if not connected:
        why = (
            "no controller had connected to it"
            if listened
            else "its JVM had not even opened its port"
        )
    stays = "" if _back(facts, timeout.at) else " It stays failed: nobody starts it again."
    return case.graph.add(
        "satellite.start-timeout",
        "satellite",
        f"systemd killed the satellite by its start time-out after {secs(timeout.at - (facts.begun(SATELLITE_UNIT) or 0.0))}: "
        f"with Type=notify it counts as started only at the end of its first run, and {why}.{stays}",
        begin=timeout.at,
        events=[
            steps.unit,
            steps.listening,
            timeout,
            facts.first(Kind.UNIT_FAILED, SATELLITE_UNIT, after=timeout.at),
            facts.first(Kind.SATELLITE_STOPPING, after=timeout.at - 1),
        ],
        not_seen=()
        if connected
        else ("“Controller connected and authenticated” before the time-out",),
    )


def _died(case: Case, exited: list[Event], failed: Event | None) -> str:
    facts = case.facts
    first = min((e for e in (*exited, failed) if e is not None), key=lambda e: e.at)
    killed = any(e.data.get("code") in {"killed", "dumped"} or "signal" in e.data for e in exited)
    how = next((e.data.get("status") or e.data.get("signal", "") for e in reversed(exited)), "")
    back = _back(facts, first.at)
    stays = "" if back else " It stays failed: nobody starts it again."
    by = "on somebody's request (systemctl kill)" if any("signal" in e.data for e in exited) else ""
    verb = f"was killed {by}".strip() if killed else "ended"
    key = case.graph.add(
        "satellite.killed" if killed else "satellite.failed",
        "satellite",
        f"The satellite {verb} at {secs(first.at)}{f' ({how})' if how else ''}.{stays}",
        begin=first.at,
        events=[*exited, failed, *facts.all(Kind.UNIT_RESTART, SATELLITE_UNIT)[:1]],
    )
    link_memory(case, key, "unit/linstor-satellite.service", first.at)
    return key


def link_memory(case: Case, key: str, unit: str, at: float) -> None:
    """Link a process that ended at ``at`` to the kernel's lack of memory, where a line says so within a few seconds."""
    for event in case.facts.all(Kind.OOM_KILL):
        near = abs(event.at - at) < 10
        if near and (event.subject == unit or event.data.get("name") in {"java", "incusd"}):
            cause = case.graph.add(
                "host.out-of-memory",
                "host",
                f"Memory ran out at {secs(event.at)}: the kernel killed {event.data.get('name', unit.partition('/')[2])}.",
                begin=event.at,
                events=[event],
            )
            case.graph.link(cause, key, "the process was killed for its memory", [event])


def _silent(case: Case, steps: Start, first: float, last: float) -> str:
    facts = case.facts
    told = next(
        (
            e
            for e in facts.all(Kind.FINDING, "satellite")
            if e.data.get("code") == "satellite.offline" or "OFFLINE" in e.data.get("text", "")
        ),
        None,
    )
    if steps.unit is None and facts.first(Kind.UNIT_STARTED) is not None:
        return case.graph.add(
            "satellite.not-started",
            "satellite",
            f"The controller called this node OFFLINE from {secs(first)} on, and no line tells that its satellite was started.",
            begin=first,
            confidence=Confidence.LIKELY,
            events=[told],
            not_seen=(
                "“Starting” or “Started linstor-satellite.service”",
                "any line of the satellite",
            ),
            alternatives=("satellite.offline",),
            tell="systemctl status linstor-satellite.service on that boot's host",
        )
    until = f" until about {secs(last)}" if last > first else ""
    return case.graph.add(
        "satellite.offline",
        "satellite",
        f"The controller called this node OFFLINE from {secs(first)}{until}; "
        f"{f'the unit of the satellite counted as started since {secs(steps.unit.at)}, but ' if steps.unit is not None else ''}"
        "the satellite's own log is not in what was read.",
        begin=first,
        events=[steps.unit, told],
        confidence=Confidence.CERTAIN if told is not None else Confidence.LIKELY,
        not_seen=("“NetComService started”, “Controller connected”, “FullSync” of the satellite",),
        alternatives=("satellite.late", "satellite.no-controller"),
        tell="the satellite's own lines: “NetComService started on port” says that it listened, “Controller connected” that a controller came",
    )


def _late(case: Case, steps: Start, first: float) -> str:
    assert steps.answered is not None
    facts = case.facts
    begun = steps.unit or steps.jvm or steps.answered
    parts = _parts(steps, begun)
    key = case.graph.add(
        "satellite.late",
        "satellite",
        f"The satellite was ready {secs(steps.answered.at - first)} after Incus asked: started at {secs(begun.at)}, "
        f"it answered the full sync (then the node shows ONLINE) at {secs(steps.answered.at)}: {parts}.",
        begin=begun.at,
        end=steps.answered.at,
        events=[steps.unit, steps.jvm, steps.listening, steps.connected, steps.answered],
    )
    _controller_late(case, steps, key)
    order(case, steps, key, facts)
    return key


def _parts(steps: Start, begun: Event) -> str:
    """Say what the time of a start went into."""
    said, before = [], begun.at
    for event, text in (
        (steps.listening, "until its port was open"),
        (steps.connected, "until a controller connected"),
        (steps.answered, "for the full sync"),
    ):
        if event is not None:
            said.append(f"{secs(event.at - before)} {text}")
            before = event.at
    return ", ".join(said)


def _controller_late(case: Case, steps: Start, key: str) -> None:
    if steps.listening is None or steps.connected is None:
        return
    waited = steps.connected.at - steps.listening.at
    if waited <= RECONNECT_AT_MOST:
        return
    cause = case.graph.add(
        "controller.late",
        "controller",
        f"No controller connected for {secs(waited)} after the satellite's port was open; two rounds of reconnecting take at most 20 s.",
        begin=steps.listening.at,
        end=steps.connected.at,
        confidence=Confidence.LIKELY,
        events=[steps.listening, steps.connected, case.facts.first(Kind.CONTROLLER_STARTED)],
        not_seen=("“Controller connected and authenticated” within 20 s of the open port",),
    )
    case.graph.link(
        cause, key, "the satellite never dials out: it waits for the controller", [steps.connected]
    )


def order(case: Case, steps: Start, key: str, facts: Facts) -> None:
    """Say that nothing held Incus back, or that what should have did not."""
    begun = facts.first(Kind.UNIT_STARTING, "unit/incus.service")
    if begun is None:
        return
    if satellite.notifies(facts):
        active = facts.first(Kind.UNIT_STARTED, SATELLITE_UNIT)
        if active is None or active.at <= begun.at:
            return
        cause = case.graph.add(
            "order.broken",
            "unit/incus.service",
            f"incus.service began at {secs(begun.at)}, {secs(active.at - begun.at)} before the satellite's unit said that it is ready "
            f"({secs(active.at)}): an order was meant, and does not act on incus.service.",
            begin=begun.at,
            events=[facts.first(Kind.UNIT_STARTING, SATELLITE_UNIT), begun, active],
            not_seen=("a wait of incus.service for linstor-satellite.service",),
        )
        case.graph.link(cause, key, "Incus would have waited if the order acted", [begun, active])
        return
    case.graph.add(
        "order.absent",
        "unit/incus.service",
        f"Nothing held incus.service ({secs(begun.at)}) until the satellite was ready: the satellite's unit counts as started at fork"
        f"{f' ({secs(steps.unit.at)})' if steps.unit is not None else ''}.",
        begin=begun.at,
        events=[begun, steps.unit],
        note=True,
    )


def _coming(case: Case, steps: Start, first: float) -> str:
    far = "its JVM was starting"
    if steps.connected is not None:
        far = "a controller had connected, the full sync was not answered"
    elif steps.listening is not None:
        far = "it listened, no controller had connected"
    begun = steps.unit or steps.jvm or steps.listening
    return case.graph.add(
        "satellite.late",
        "satellite",
        f"The satellite was not ready when Incus asked at {secs(first)}, nor when the lines end: {far}.",
        begin=begun.at if begun is not None else first,
        events=[steps.unit, steps.jvm, steps.listening, steps.connected],
        not_seen=("“FullSync sending response”",),
    )


def _lost_again(case: Case, steps: Start, first: float, last: float) -> str:
    facts = case.facts
    assert steps.answered is not None
    stopping = facts.last(Kind.SATELLITE_STOPPING, before=last)
    closed = facts.last(Kind.CONTROLLER_NODE, before=last)
    return case.graph.add(
        "satellite.offline",
        "satellite",
        f"The satellite had answered its full sync at {secs(steps.answered.at)}, and at {secs(first)} the controller called its node OFFLINE: "
        f"{'it was stopped in between' if stopping is not None else 'the connection was lost in between'}.",
        begin=first,
        end=None,
        events=[steps.answered, stopping, closed],
        confidence=Confidence.LIKELY,
        alternatives=() if stopping is not None else ("controller.late", "network.late"),
        tell=""
        if stopping is not None
        else "the controller's log: “Changing connection state of node” and “has closed the connection”",
    )


def never_synced(case: Case, steps: Start) -> str:
    """Return the cause if a controller connected and the full sync never worked, for long enough to say so; else empty."""
    facts = case.facts
    failed = facts.first(Kind.SATELLITE_SYNC_FAILED)
    connected = steps.connected
    if connected is None or steps.answered is not None:
        return ""
    if failed is None and steps.until - connected.at < NEVER_BY:
        return ""
    said = f": {failed.detail}" if failed is not None else ""
    return case.graph.add(
        "satellite.never-synced",
        "satellite",
        f"A controller connected at {secs(connected.at)}, and the satellite never had its full sync{said}.",
        begin=connected.at,
        events=[steps.listening, connected, failed, *facts.all(Kind.SATELLITE_ERROR)[:3]],
        not_seen=("“FullSync successful”", "“FullSync sending response”"),
    )


def no_controller(case: Case, steps: Start) -> str:
    """Return the cause if the satellite listened for long and no controller came; else empty."""
    listening = steps.listening
    if listening is None:
        return ""
    until = steps.connected.at if steps.connected is not None else steps.until
    waited = until - listening.at
    if waited <= RECONNECT_AT_MOST:
        return ""
    came = steps.connected is not None
    return case.graph.add(
        "satellite.no-controller",
        "satellite",
        f"The satellite listened from {secs(listening.at)} on, and no controller connected "
        f"{f'for {secs(waited)}' if came else 'until the lines end'}; it never dials out itself.",
        begin=listening.at,
        end=steps.connected.at if steps.connected is not None else None,
        events=[listening, facts_waiting(case), steps.connected],
        confidence=Confidence.LIKELY,
        not_seen=("“Controller connected and authenticated” within 20 s of the open port",),
        alternatives=("controller.unreachable", "controller.refused"),
        tell="the controller's log: “Establishing connection to node” says that it tried",
    )


def facts_waiting(case: Case) -> Event | None:
    """Return the line in which the device manager says that it waits."""
    return case.facts.first(Kind.SATELLITE_WAITING)
