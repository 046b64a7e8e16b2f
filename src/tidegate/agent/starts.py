# SPDX-License-Identifier: Apache-2.0
"""What Incus logs of starts and mounts, for the metrics: nothing else tells when the start of an instance began (facts/incus.md M7).

It decides nothing and wakes nobody. Logging events tell of every call to Incus, ours included, so what they may cost is bounded as for
every listener (``agent.listening``).
"""

import contextlib
from collections.abc import Callable, Mapping
from typing import Final

from tidegate.clients.incus import events, wire
from tidegate.clients.incus.client import IncusClient
from tidegate.core.facts import IncusPhase
from tidegate.core.snapshot import Liveness, Snapshot, Source
from tidegate.metrics.tally import Told
from tidegate.probes import incus as probe
from tidegate.probes.hints import base
from tidegate.probes.hints.incus import OPENS_WITHIN

_RUNS: Final = frozenset({IncusPhase.STARTING, IncusPhase.AUTOSTART, IncusPhase.READY})
_WORK: Final = 3
_OF_INSTANCES: Final = {
    "Starting instance": "starting",
    "Started instance": "started",
    "Failed starting instance": "start-failed",
    "Failed auto start instance attempt": "start-failed",
    "Failed to auto start instance": "start-failed",
}
_OF_POOLS: Final = {"Failed mounting storage pool": "pool-failed"}


class StartsListener:
    """Listens to ``client``, but only while ``unit`` says that the daemon runs, and calls ``told``."""

    name: Final = "Incus's log"
    wakes: Final[frozenset[Source]] = frozenset()

    def __init__(
        self, client: IncusClient, *, unit: probe.AskUnit | None, began: Callable[[], float]
    ) -> None:
        self._client = client
        self._unit = unit
        self._began = began
        self.told: Callable[[Told], None] = lambda _told: None

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
        stream = events.stream(self._client, connect_deadline=OPENS_WITHIN, types=("logging",))
        async with contextlib.aclosing(stream):
            async for event in stream:
                hear(base.Heard(work=_WORK))
                if isinstance(event.metadata, wire.Logging) and event.at is not None:
                    found = read(event.metadata, event.at - self._began())
                    if found is not None:
                        self.told(found)


def read(line: wire.Logging, at: float) -> Told | None:
    """Return what ``line``, said at ``at`` (seconds since boot), tells of starts and mounts; None for everything else. Pure."""
    context: Mapping[str, str] = line.context or {}
    if (what := _OF_INSTANCES.get(line.message)) is not None and context.get("instance"):
        name = f"{context.get('project') or 'default'}/{context['instance']}"
        return Told(what=what, name=name, at=at)
    if (what := _OF_POOLS.get(line.message)) is not None and context.get("pool"):
        return Told(what=what, name=context["pool"], at=at)
    return None
