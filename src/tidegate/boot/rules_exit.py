# SPDX-License-Identifier: Apache-2.0
"""How a satellite (or a controller) ended: by its start time-out, killed, or by itself, and what it said last (facts/linstor.md 2.2)."""

from typing import Final

from tidegate.boot import satellite
from tidegate.boot.case import Case, secs
from tidegate.boot.facts import SATELLITE_UNIT, Facts
from tidegate.boot.model import Event, Kind

_EXITS: Final = {
    "2/INVALIDARGUMENT": "its configuration was not accepted",
    "20/n/a": "a service that it cannot do without could not start, as when its port is taken",
    "70/SOFTWARE": "an error that it calls critical",
    "70/n/a": "an error that it calls critical",
    "199/n/a": "an error that nobody had thought of",
    "203/EXEC": "systemd could not run its program",
}
"""What the exit codes of LINSTOR's programs (and systemd's own) mean."""
_CRASHES: Final = frozenset({"SEGV", "ABRT", "BUS", "ILL", "FPE", "SYS", "TRAP"})
"""Signals that a process earns itself."""
_SAID: Final = {
    "java": ("satellite.java", "Java could not run the satellite"),
    "exec": ("satellite.not-installed", "systemd could not run the satellite's program"),
    "memory": ("satellite.java-memory", "the satellite's Java had no memory left"),
    "port": ("satellite.port-taken", "the satellite could not have its port"),
    "config": ("satellite.configuration", "the satellite's configuration could not be read"),
}
"""By the sort of its last words: the cause that stands before its end, and how a person says it."""
_BEFORE: Final = 20.0
"""Seconds before its end in which a process said why."""


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
    limit = facts.last(Kind.UNIT_START_LIMIT, SATELLITE_UNIT)
    last = max(e.at for e in (*exited, failed, limit) if e is not None)
    stays = "" if _back(facts, last) else " It stays failed: nobody starts it again."
    by = "on somebody's request (systemctl kill)" if any("signal" in e.data for e in exited) else ""
    never = not killed and all(e.data.get("which") == "Control" for e in exited) and exited
    verb = f"was killed {by}".strip() if killed else "ended"
    if killed and not by and how.rpartition("/")[2] in _CRASHES:
        verb = "crashed"
    if never:
        verb = "was not begun: a command of its unit before it failed"
    meant = f": {_EXITS[how]}" if how in _EXITS else ""
    ends = sum(1 for e in exited if e.data.get("which") == "Main")
    again = f", {ends} times until {secs(last)}" if ends > 1 else ""
    given_up = " systemd gave it up: started too often." if limit is not None else ""
    words = last_words(case, first.at, controller=False)
    said = f": it said “{words[0].detail[:160]}”" if words else ""
    key = case.graph.add(
        "satellite.killed" if killed else "satellite.failed",
        "satellite",
        f"The satellite {verb} at {secs(first.at)}{again}{f' ({how}{meant})' if how else ''}{said}.{given_up}{stays}",
        begin=first.at,
        events=[
            *words[:2],
            *exited[:3],
            failed,
            limit,
            *facts.all(Kind.UNIT_RESTART, SATELLITE_UNIT)[:1],
        ],
    )
    _why(case, key, words)
    link_memory(case, key, SATELLITE_UNIT, first.at)
    return key


def last_words(case: Case, at: float, *, controller: bool) -> list[Event]:
    """Return the lines in which a process that ended at ``at`` said why."""
    return [
        event
        for event in case.facts.all(Kind.SATELLITE_FATAL)
        if (event.data.get("component") == "Controller") is controller
        and at - _BEFORE <= event.at <= at + 1.0
    ]


def _why(case: Case, key: str, words: list[Event]) -> None:
    """Put what the process said last before its end, where it tells a cause of its own."""
    for word in words:
        code, text = _SAID.get(word.data.get("class", ""), ("", ""))
        if code:
            cause = case.graph.add(
                code,
                "satellite",
                f"{text[0].upper()}{text[1:]} at {secs(word.at)}: “{word.detail[:200]}”.",
                begin=word.at,
                events=words[:4],
            )
            case.graph.link(cause, key, "it said so when it ended", words[:1])
            return


def link_memory(case: Case, key: str, unit: str, at: float) -> None:
    """Link a process that ended at ``at`` to the kernel's lack of memory, where a line says so within a few seconds."""
    for event in case.facts.all(Kind.OOM_KILL):
        near = abs(event.at - at) < 10
        if near and (event.subject == unit or event.data.get("name") in {"java", "incusd"}):
            limit = any("Memory cgroup" in line.text for line in event.evidence)
            what = "The memory limit of its unit was reached" if limit else "Memory ran out"
            cause = case.graph.add(
                "host.out-of-memory",
                "host",
                f"{what} at {secs(event.at)}: the kernel killed {event.data.get('name', unit.partition('/')[2])}.",
                begin=event.at,
                events=[event],
            )
            case.graph.link(cause, key, "the process was killed for its memory", [event])
