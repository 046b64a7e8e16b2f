# SPDX-License-Identifier: Apache-2.0
"""The events of a boot, found by kind and subject: what the rules ask."""

from collections.abc import Iterable, Iterator

from tidegate.boot.model import Event, Hints, Kind
from tidegate.boot.timeline import Timeline

SATELLITE_UNIT = "unit/linstor-satellite.service"
CONTROLLER_UNIT = "unit/linstor-controller.service"
INCUS_UNIT = "unit/incus.service"
STARTUP_UNIT = "unit/incus-startup.service"
GATE_UNIT = "unit/tidegate-ready.service"
DEVICES_UNIT = "unit/tidegate-devices.service"


class Facts:
    """Events by kind, in order of time, up to the moment at which the machine began to shut down."""

    def __init__(self, timeline: Timeline, hints: Hints, before: "Facts | None" = None) -> None:
        self.timeline = timeline
        self.before = before
        """The boot before this one, where it was read too."""
        self.ran_before: bool = before is not None and (
            before.ran_before or before.begun(INCUS_UNIT) is not None
        )
        """Whether Incus was started in any of the boots before that were read."""
        self.hints = hints
        self.shutdown = next((e.at for e in timeline.events if e.kind is Kind.SHUTDOWN_BEGAN), None)
        self.end = timeline.length if self.shutdown is None else self.shutdown
        self._by_kind: dict[Kind, list[Event]] = {}
        self._by_key: dict[tuple[Kind, str], list[Event]] = {}
        for event in timeline.events:
            if self.shutdown is None or event.at < self.shutdown:
                self._by_kind.setdefault(event.kind, []).append(event)
                self._by_key.setdefault((event.kind, event.subject), []).append(event)

    def all(self, kind: Kind, subject: str | None = None) -> list[Event]:
        """Return the events of ``kind`` (about ``subject``), earliest first."""
        if subject is None:
            return self._by_kind.get(kind, [])
        return self._by_key.get((kind, subject), [])

    def of(self, *kinds: Kind) -> list[Event]:
        """Return the events of several kinds, earliest first."""
        found = [event for kind in kinds for event in self.all(kind)]
        return sorted(found, key=lambda event: event.at)

    def first(
        self, kind: Kind, subject: str | None = None, *, after: float | None = None
    ) -> Event | None:
        """Return the earliest event of ``kind``, not before ``after``."""
        for event in self.all(kind, subject):
            if after is None or event.at >= after:
                return event
        return None

    def last(
        self, kind: Kind, subject: str | None = None, *, before: float | None = None
    ) -> Event | None:
        """Return the latest event of ``kind``, not after ``before``."""
        found = None
        for event in self.all(kind, subject):
            if before is not None and event.at > before:
                break
            found = event
        return found

    def at(self, kind: Kind, subject: str | None = None) -> float | None:
        """Return when the first event of ``kind`` was."""
        event = self.first(kind, subject)
        return None if event is None else event.at

    def subjects(self, *kinds: Kind) -> list[str]:
        """Return the subjects that events of these kinds are about, in order of appearance."""
        return list(dict.fromkeys(event.subject for event in self.of(*kinds)))

    def begun(self, unit: str) -> float | None:
        """Return when ``unit`` (``unit/NAME``) was first started: its job began, or, for one of Type=simple, was done."""
        times = [
            at
            for at in (self.at(Kind.UNIT_STARTING, unit), self.at(Kind.UNIT_STARTED, unit))
            if at is not None
        ]
        return min(times, default=None)

    def devices(self) -> dict[str, str]:
        """Return devices (``drbd1002``) and the resource that the kernel names with each."""
        known = dict(self.hints.devices)
        for event in self.of(Kind.DRBD_DISK, Kind.DRBD_QUORUM_LOST, Kind.DRBD_QUORUM_BACK):
            device = event.data.get("device")
            if device:
                known.setdefault(device, event.data.get("resource", ""))
        return known


def lines(events: Iterable[Event | None], limit: int = 6) -> Iterator[Event]:
    """Yield those of ``events`` that are there, at most ``limit``."""
    number = 0
    for event in events:
        if event is not None and number < limit:
            number += 1
            yield event
