# SPDX-License-Identifier: Apache-2.0
"""The devices of wanted volumes, each looked at by opening it: nothing else proves one (facts/drbd-observed.md)."""

import asyncio
from collections.abc import Mapping
from typing import Final

import msgspec

from tidegate.clients.devices.client import DeviceClient, DeviceReport
from tidegate.core.facts import DeviceFacts, OpenResult
from tidegate.core.snapshot import Liveness, Observation, Source
from tidegate.probes import base

AGAIN: Final = 5.0
"""Seconds between two openings of a device that opened, or hung, the last time; any other is tried at every look."""
IN_TURN: Final = 16
"""At rest a look opens so large a part of the devices that DRBD says are open and work, one part after another; what they are is
confirmed by that word meanwhile. DRBD and ``/dev`` tell of changes, and then all are opened."""
AT_ONCE: Final = 4
LIMIT: Final = 9.0

_SETTLED: Final = frozenset({OpenResult.OPENED, OpenResult.TIMED_OUT})


class _Last(msgspec.Struct, frozen=True):
    """What was found at a path, and when."""

    facts: DeviceFacts
    at: float


class DevicesProbe:
    """Examines with ``client``."""

    source = Source.DEVICES

    def __init__(self, client: DeviceClient, *, clock: base.Clock) -> None:
        self._client = client
        self._clock = clock
        self._last: Mapping[str, _Last] = {}

    async def look(self, need: base.Need) -> Observation:
        """Open every wanted device whose path is known and which is due; LOST only when the helper does not work.

        A device that is open for somebody and whose turn it is not is told of as it was last seen.
        """
        return await base.bounded(self.source, self._clock, self._look(need))

    async def _look(self, need: base.Need) -> Observation:
        confirmed = self._confirmed(need)
        due = {
            volume: path
            for volume, path in need.volumes.items()
            if path is not None
            and volume not in confirmed
            and self._is_due(volume, path, need.urgency)
        }
        calls = base.Calls(self.source, at_once=AT_ONCE, limit=LIMIT)
        async with asyncio.TaskGroup() as group:
            tasks = {
                volume: group.create_task(calls.ask(self._client.examine(path)))
                for volume, path in due.items()
            }
        at = self._clock()
        reports = {volume: report for volume, task in tasks.items() if (report := task.result())}
        devices = {volume: facts(report) for volume, report in reports.items()}
        fresh = {volume: _Last(found, at) for volume, found in devices.items()}
        kept = {volume: last for volume, last in self._last.items() if volume in need.volumes}
        self._last = kept | fresh
        trouble = calls.troubles[0] if calls.troubles else None
        if trouble is not None and not reports:
            return base.silent(self.source, at, Liveness.LOST, trouble)
        return Observation(source=self.source, at=at, trouble=trouble, devices=confirmed | devices)

    def _is_due(self, volume: str, path: str, urgency: base.Urgency) -> bool:
        """Every opening makes DRBD work and tell of it; a device that hangs would hold each look up."""
        last = self._last.get(volume)
        if last is None or last.facts.path != path or last.facts.opened not in _SETTLED:
            return True
        return urgency is base.Urgency.REST or self._clock() - last.at >= AGAIN

    def _confirmed(self, need: base.Need) -> dict[str, DeviceFacts]:
        """Return what is known of the devices that are not opened now because they are open, and work, by DRBD's word."""
        if need.told or need.urgency is not base.Urgency.REST:
            return {}
        known = {
            volume: last
            for volume, last in self._last.items()
            if volume in need.held
            and last.facts.path == need.volumes.get(volume)
            and last.facts.opened is OpenResult.OPENED
        }
        by_age = sorted(known, key=lambda volume: known[volume].at)
        part = -(-len(need.held) // IN_TURN)
        return {volume: known[volume].facts for volume in by_age[part:]}


def facts(report: DeviceReport) -> DeviceFacts:
    """Return what a device turned out to be. Pure.

    A regular file is one where the client opens such: under a folder that stands for ``/``, in tests and in the demo.
    """
    stands_for_one = report.is_regular and report.opened is not OpenResult.NOT_TRIED
    return DeviceFacts(
        path=report.path,
        exists=report.exists,
        is_device=report.is_block or stands_for_one,
        rdev=report.rdev,
        opened=report.opened,
        errno=report.errno,
        content=report.content,
        size=report.size,
        backing_file=report.backing_file,
    )
