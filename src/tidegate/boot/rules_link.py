# SPDX-License-Identifier: Apache-2.0
"""The connection between controller and satellite: lost while the satellite ran, and found again; a process that was gone without a word.

How it works (facts/linstor.md 2.4, 2.5, 3.3): a satellite numbers its full syncs from 3 on, so a higher one is of a controller that came
back to a process that ran; its device manager waits again while no controller is connected, and the controller dials every 10 s.
"""

from typing import Final

from tidegate.boot.case import Case, secs
from tidegate.boot.facts import INCUS_UNIT
from tidegate.boot.model import Confidence, Event, Kind

_FIRST_SYNC: Final = 3
_AWAY: Final = 10.0
"""Seconds without a controller that are more than a reconnect that somebody asked for."""
_SIGNS: Final = (Kind.SATELLITE_WAITING, Kind.CONTROLLER_NODE, Kind.CONTROLLER_DIALS)
_STOPS: Final = 5.0


def examine(case: Case) -> None:
    """Add what happened to the connection."""
    _away(case)
    _gone(case)


def _away(case: Case) -> None:
    """Say that the controller, or the way to it, was away while the satellite ran."""
    facts = case.facts
    for synced in facts.all(Kind.SATELLITE_SYNCED):
        number = synced.data.get("id", "")
        if not number.isdecimal() or len(number) > 9 or int(number) <= _FIRST_SYNC:
            continue
        connected = facts.last(Kind.SATELLITE_CONNECTED, before=synced.at)
        if connected is None:
            continue
        before = facts.last(Kind.SATELLITE_ANSWERED, before=connected.at)
        since = before.at if before is not None else 0.0
        signs = [e for e in facts.of(*_SIGNS) if since <= e.at < connected.at and _is_sign(e)]
        if not signs or connected.at - signs[0].at < _AWAY:
            continue
        begin = signs[0]
        again = facts.first(Kind.CONTROLLER_STARTING, after=begin.at - _AWAY)
        restarted = again is not None and again.at < connected.at
        up = facts.first(Kind.UNIT_STARTED, INCUS_UNIT)
        case.graph.add(
            "controller.away",
            "controller",
            f"The controller lost this node, or was away itself, for {secs(connected.at - begin.at)} (from {secs(begin.at)}) while the satellite ran"
            f"{f': the controller was started again at {secs(again.at)}' if restarted and again is not None else ''}; what was up stayed up, nothing new could start.",
            begin=begin.at,
            end=synced.at,
            events=[*signs[:2], again if restarted else None, connected, synced],
            note=up is not None and up.at < begin.at,  # the boot was over
        )
        return


def _is_sign(event: Event) -> bool:
    """Return whether an event shows a connection that is not there (the controller's states tell both)."""
    return event.kind is not Kind.CONTROLLER_NODE or event.data.get("to") in {"closed", "OFFLINE"}


def _gone(case: Case) -> None:
    """Say that a satellite's process ended without a word: its connection closed, it had not said that it stops, and it starts anew."""
    facts = case.facts
    for closed in facts.all(Kind.CONTROLLER_NODE):
        if closed.data.get("to") != "closed":
            continue
        again = facts.first(Kind.SATELLITE_JVM, after=closed.at)
        stops = facts.last(Kind.SATELLITE_STOPPING, before=closed.at + _STOPS)
        said = stops is not None and stops.at >= closed.at - _STOPS
        spoke = facts.first(Kind.SATELLITE_CONNECTED, after=closed.at)
        if again is None or said or (spoke is not None and spoke.at < again.at):
            continue
        if again.data.get("host", closed.data.get("node")) != closed.data.get("node"):
            continue
        case.graph.add(
            "satellite.killed",
            "satellite",
            f"The satellite's process was gone at {secs(closed.at)} without a word (killed, or its machine lost power), and started again at {secs(again.at)}.",
            begin=closed.at,
            end=again.at,
            events=[closed, again, facts.first(Kind.SATELLITE_ANSWERED, after=again.at)],
            confidence=Confidence.LIKELY,
            not_seen=("“Shutdown in progress” of the satellite",),
            alternatives=("host.power-loss",),
            tell="the host's own journal of that moment",
        )
        return
