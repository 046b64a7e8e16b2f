# SPDX-License-Identifier: Apache-2.0
"""The steps of a satellite's start, as its own lines tell them (facts/linstor.md 9.2)."""

from typing import Final

import msgspec

from tidegate.boot.facts import SATELLITE_UNIT, Facts
from tidegate.boot.model import Event, Kind


class Start(msgspec.Struct, kw_only=True):
    """The steps of a satellite's start, as far as lines tell; None where none does."""

    unit: Event | None = None
    jvm: Event | None = None
    listening: Event | None = None
    connected: Event | None = None
    synced: Event | None = None
    answered: Event | None = None
    run: Event | None = None
    ready: Event | None = None
    until: float = 0.0
    """When this process ended, or the lines."""

    @property
    def fresh(self) -> bool:
        """Whether this is the start of a process, not a controller that came back to one that ran: its first full sync has the number 3."""
        if self.jvm is not None or self.listening is not None:
            return True
        return self.synced is not None and self.synced.data.get("id") == "3"

    @property
    def spoke(self) -> bool:
        """Whether the satellite's own log is there at all."""
        return any((self.jvm, self.listening, self.connected, self.answered))


def starts(facts: Facts) -> list[Start]:
    """Return the starts of the satellite's process, in order of time: one where its first line is missing."""
    marks = [event.at for event in facts.all(Kind.SATELLITE_JVM)]
    if not marks:
        return [_start(facts, None, facts.end + 1.0)]
    return [
        _start(facts, begin, end)
        for begin, end in zip(marks, [*marks[1:], facts.end + 1.0], strict=True)
    ]


def start(facts: Facts) -> Start:
    """Return the first start of the satellite's process that was answered; if none was, the last one."""
    found = starts(facts)
    return next((one for one in found if one.answered is not None), found[-1])


def _start(facts: Facts, begin: float | None, end: float) -> Start:
    """Return the steps between the first line of a process and that of the next."""

    def step(kind: Kind, after: float | None = begin) -> Event | None:
        event = facts.first(kind, after=after)
        return event if event is not None and event.at < end else None

    unit = facts.last(Kind.UNIT_STARTING, SATELLITE_UNIT, before=begin) or facts.last(
        Kind.UNIT_STARTED, SATELLITE_UNIT, before=begin
    )
    if unit is None:
        unit = facts.first(Kind.UNIT_STARTING, SATELLITE_UNIT) or facts.first(
            Kind.UNIT_STARTED, SATELLITE_UNIT
        )
    connected = step(Kind.SATELLITE_CONNECTED)
    answered = step(Kind.SATELLITE_ANSWERED) or _answered(facts, connected, end)
    ready = step(Kind.SATELLITE_READY)
    if ready is None and answered is not None:
        ready = _notified(facts, answered.at, end) or step(Kind.SATELLITE_RUN_ENDED, answered.at)
    stopping = step(Kind.SATELLITE_STOPPING)
    return Start(
        unit=unit,
        jvm=step(Kind.SATELLITE_JVM) or step(Kind.SATELLITE_LOADED),
        listening=step(Kind.SATELLITE_LISTENING),
        connected=connected,
        synced=step(Kind.SATELLITE_SYNCED),
        answered=answered,
        run=step(Kind.SATELLITE_RUN_BEGAN),
        ready=ready,
        until=min(facts.end, end, facts.end if stopping is None else stopping.at),
    )


_AFTER_SYNC: Final = (Kind.SATELLITE_SYNCED, Kind.SATELLITE_READY, Kind.RESOURCE_ADJUSTED)
"""What a satellite does only once it has its full sync, for versions and cuts that do not say that it answered."""


def _answered(facts: Facts, connected: Event | None, end: float) -> Event | None:
    """Return the first line that shows that a full sync was there, where the answer itself is not told."""
    if connected is None:
        return None
    found = [facts.first(kind, after=connected.at) for kind in _AFTER_SYNC]
    return min(
        (event for event in found if event is not None and event.at < end),
        key=lambda event: event.at,
        default=None,
    )


def notifies(facts: Facts) -> bool:
    """Return whether the satellite's unit tells systemd when it is ready (Type=notify): it is Starting first, and Started later."""
    return facts.first(Kind.UNIT_STARTING, SATELLITE_UNIT) is not None and (
        facts.first(Kind.SATELLITE_READY) is None
        or facts.at(Kind.UNIT_STARTED, SATELLITE_UNIT) is None
    )


def _notified(facts: Facts, after: float, end: float) -> Event | None:
    if facts.first(Kind.UNIT_STARTING, SATELLITE_UNIT) is None:
        return None
    event = facts.first(Kind.UNIT_STARTED, SATELLITE_UNIT, after=after)
    return event if event is not None and event.at < end else None
