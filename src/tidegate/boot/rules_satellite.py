# SPDX-License-Identifier: Apache-2.0
"""Why the satellite was not ready when somebody needed it, and what stood still in it.

How it works (facts/linstor.md 2.3 to 2.5, 3.3; linstor-observed.md A1, A7): the satellite's port opens last; it never dials out, the
controller finds it within two rounds of 10 s; then the full sync is answered (the node shows ONLINE at once), and the first run of the
device manager brings the devices, which READY=1 or the WARN about NOTIFY_SOCKET ends.
"""

from typing import Final

from tidegate.boot import rules_exit, satellite
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
    end = rules_exit.ended(case, last)
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


def _not_started(case: Case, first: float, events: list[Event | None]) -> str:
    return case.graph.add(
        "satellite.not-started",
        "satellite",
        f"The controller called this node OFFLINE from {secs(first)} on, and no line tells that its satellite was started.",
        begin=first,
        confidence=Confidence.LIKELY,
        events=events,
        not_seen=(
            "“Starting” or “Started linstor-satellite.service”",
            "any line of the satellite",
        ),
        alternatives=("satellite.offline",),
        tell="systemctl status linstor-satellite.service on that boot's host",
    )


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
    asked = [
        e
        for e in facts.of(Kind.POOL_MOUNT_FAILED, Kind.INSTANCE_ATTEMPT_FAILED)
        if first <= e.at <= last and "offline" in e.detail
    ]
    if steps.unit is None and facts.first(Kind.UNIT_STARTED) is not None:
        return _not_started(case, first, [told, *asked[:3]])
    until = f" until about {secs(last)}" if last > first else ""
    return case.graph.add(
        "satellite.offline",
        "satellite",
        f"The controller called this node OFFLINE from {secs(first)}{until}; "
        f"{f'the unit of the satellite counted as started since {secs(steps.unit.at)}, but ' if steps.unit is not None else ''}"
        "the satellite's own log is not in what was read.",
        begin=first,
        events=[steps.unit, told, *asked[:3]],
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
    _started_again(case, begun, key)
    order(case, steps, key, facts)
    return key


def _started_again(case: Case, begun: Event, key: str) -> None:
    """Link the end of the process before, where the one that answered was started in its place."""
    exits = [e for e in case.facts.all(Kind.UNIT_EXITED, SATELLITE_UNIT) if e.at <= begun.at]
    if exits:
        gone = rules_exit.ended(case, begun.at)
        case.graph.link(gone, key, "it had to start again", exits[-1:])


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
    again = facts.all(Kind.SATELLITE_CONNECTED)
    times = f", {len(again)} times until {secs(again[-1].at)}" if len(again) > 2 else ""
    key = case.graph.add(
        "satellite.never-synced",
        "satellite",
        f"A controller connected at {secs(connected.at)}{times}, and the satellite never had its full sync{said}.",
        begin=connected.at,
        events=[steps.listening, *again[:3], failed, *facts.all(Kind.SATELLITE_ERROR)[:3]],
        not_seen=("“FullSync successful”", "“FullSync sending response”"),
        alternatives=("controller.version-mismatch", "controller.turns-away") if times else (),
        tell="the controller's log, and linstor node list: VERSION_MISMATCH or another state"
        if times
        else "",
    )
    _tools_absent(case, key, failed)
    return key


def _tools_absent(case: Case, key: str, failed: Event | None) -> None:
    """Name the tools that a full sync was refused for (facts/linstor.md 3.1, MISSING_EXT_TOOLS)."""
    if failed is None or "ext tools" not in failed.detail:
        return
    facts = case.facts
    module = next(
        (e for e in facts.all(Kind.MODULE_FAILED) if e.data.get("by") == "satellite"), None
    )
    absent = [e for e in facts.all(Kind.SATELLITE_TOOL_ABSENT) if e.at <= failed.at]
    if module is not None and facts.first(Kind.MODULE_LOADED) is None:
        known = next((one for one in case.graph.nodes if one.startswith("drbd.module-")), "")
        cause = known or case.graph.add(
            "drbd.module-missing",
            "host",
            f"The DRBD module was not there when the satellite looked for it ({secs(module.at)}).",
            begin=module.at,
            events=[module, failed],
            not_seen=("“drbd: initialized” of the kernel",),
        )
        case.graph.link(cause, key, "the satellite refuses a full sync without it", [failed])
        return
    if not absent:
        return
    names = ", ".join(dict.fromkeys(e.data.get("tool", "?") for e in absent))
    sure = any(e.data.get("tool") == "DRBD9_UTILS" for e in absent)
    cause = case.graph.add(
        "satellite.tool-missing",
        "satellite",
        f"Programs that volumes on this node need were not there when the satellite looked ({secs(absent[0].at)}): {'DRBD9_UTILS (drbd-utils)' if sure else f'one of {names}'}.",
        begin=absent[0].at,
        events=[*absent[:4], failed],
        confidence=Confidence.CERTAIN if sure else Confidence.LIKELY,
    )
    case.graph.link(cause, key, "the satellite refuses a full sync without them", [failed])


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


def false_online(case: Case) -> str:
    """Return the cause if a full sync was dropped as outdated and no run of the device manager followed; else empty (linstor-observed.md A1)."""
    facts = case.facts
    stale = facts.first(Kind.SATELLITE_STALE_SYNC)
    if stale is None or facts.first(Kind.SATELLITE_RUN_BEGAN, after=stale.at) is not None:
        return ""
    return case.graph.add(
        "satellite.false-online",
        "satellite",
        f"The satellite dropped a full sync as outdated at {secs(stale.at)} ({stale.data.get('got', '?')}, expected {stale.data.get('expected', '?')}): "
        "the node shows ONLINE, and its device manager does not run.",
        begin=stale.at,
        events=[
            *facts.all(Kind.SATELLITE_CONNECTED)[-3:],
            stale,
            facts.last(Kind.SATELLITE_WAITING),
        ],
        not_seen=("“Begin DeviceManager cycle” after it",),
    )


def facts_waiting(case: Case) -> Event | None:
    """Return the line in which the device manager says that it waits."""
    return case.facts.first(Kind.SATELLITE_WAITING)
