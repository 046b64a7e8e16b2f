# SPDX-License-Identifier: Apache-2.0
"""Incus's event stream, while the daemon runs. Its beginning is news in itself: the API has opened (facts/incus.md R70).

Logging events are not asked for: every call of ours would be one.
"""

import contextlib
from typing import Final

from tidegate.clients.incus import events, wire
from tidegate.clients.incus.client import IncusClient
from tidegate.core.facts import IncusPhase
from tidegate.core.snapshot import Liveness, Snapshot, Source
from tidegate.probes import incus as probe
from tidegate.probes.hints import base

OPENS_WITHIN: Final = 300.0
"""Seconds that a starting daemon may take to open its API; it takes longer only when it hangs, and then the stream is asked for anew."""

_WORK: Final = 10
_TYPES: Final = ("lifecycle", "operation")
_RUNS: Final = frozenset({IncusPhase.STARTING, IncusPhase.AUTOSTART, IncusPhase.READY})
_CONCERN: Final = (
    "instance-",
    "storage-pool-",
    "cluster-member-",
    "project-",
    "config-",
    "warning-",
)
_HARMLESS: Final = (
    "instance-exec",
    "instance-console",
    "instance-file-",
    "instance-log-",
    "instance-metadata-",
    "instance-snapshot-",
    "instance-backup-",
)
"""What people and monitoring do all day long to running instances, and no look would show."""


class IncusListener:
    """Listens to ``client``, but only while ``unit`` says that the daemon runs; None: no systemd starts it by its socket."""

    name: Final = "Incus's events"
    wakes: Final = frozenset({Source.INCUS})

    def __init__(self, client: IncusClient, *, unit: probe.AskUnit | None) -> None:
        self._client = client
        self._unit = unit

    def worthwhile(self, snapshot: Snapshot) -> bool:
        """Return True while the daemon runs and is not known to hang."""
        answers = snapshot.source(Source.INCUS).liveness in {Liveness.UP, Liveness.STARTING}
        return answers and snapshot.incus is not None and snapshot.incus.value.phase in _RUNS

    async def listen(self, hear: base.Hear) -> None:
        """Listen until the daemon goes away; at the last moment systemd is asked whether it is there: its socket starts it."""
        if self._unit is not None:
            unit = await self._unit()
            if probe.halted(unit) is not None:
                return
        stream = events.stream(
            self._client,
            connect_deadline=OPENS_WITHIN,
            types=_TYPES,
            opened=lambda: hear(base.Heard(wakes=self.wakes, work=_WORK)),
        )
        async with contextlib.aclosing(stream):
            async for event in stream:
                wakes = self.wakes if concerns(event.metadata) else frozenset()
                hear(base.Heard(wakes=wakes, work=_WORK))


def concerns(told: events.Metadata) -> bool:
    """Return True when a look at Incus could show something else than before. Pure.

    Of an operation only the end counts: while it goes on it tells of its progress many times a second.
    """
    match told:
        case wire.Lifecycle(action=action):
            return action.startswith(_CONCERN) and not action.startswith(_HARMLESS)
        case wire.Operation():
            return told.is_over
        case wire.Logging():
            return False
