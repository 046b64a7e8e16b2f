# SPDX-License-Identifier: Apache-2.0
"""``drbdsetup events2``: what changes in this kernel's DRBD wakes DRBD and the devices.

DRBD tells much that no look would show: every opening and closing of a device sends a ``change device`` line, also those of our own
looks (clients/devices/client.py), and ``--full`` lines carry counters. So the words that we judge by are remembered per object, and
only a line that changes one of them wakes.
"""

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from tidegate.clients.drbd.client import DrbdClient
from tidegate.clients.drbd.events2 import Action, Event, Kind
from tidegate.core.snapshot import Liveness, Snapshot, Source
from tidegate.probes.hints import base

MOST_OBJECTS: Final = 200_000
"""Objects remembered; a node with 5,000 volumes on three peers has 60,000. Beyond that all is forgotten, which only wakes once more."""

_NAMED_BY: Final[Mapping[str, tuple[str, ...]]] = {
    Kind.RESOURCE: ("name",),
    Kind.DEVICE: ("name", "volume"),
    Kind.CONNECTION: ("name", "peer-node-id"),
    Kind.PEER_DEVICE: ("name", "peer-node-id", "volume"),
    Kind.PATH: ("name", "peer-node-id", "local", "peer"),
}
_JUDGED_BY: Final[Mapping[str, tuple[str, ...]]] = {
    Kind.RESOURCE: ("role", "suspended", "force-io-failures", "may_promote", "promotion_score"),
    Kind.DEVICE: ("minor", "disk", "client", "quorum", "size", "backing_dev"),
    Kind.CONNECTION: ("conn-name", "connection", "role"),
    Kind.PEER_DEVICE: ("replication", "peer-disk", "peer-client", "resync-suspended"),
    Kind.PATH: ("established",),
}
"""Not how far a resync is (``out-of-sync``, ``done``): its end changes ``replication``."""


class Essence:
    """What is remembered of each object: the words that we judge by."""

    def __init__(self) -> None:
        self._objects: dict[tuple[str, ...], dict[str, str]] = {}

    def changed_by(self, events: Iterable[Event]) -> bool:
        """Take in ``events``; returns True when one of them changes what a look would show."""
        changes = [self._takes(event) for event in events]
        if len(self._objects) > MOST_OBJECTS:
            self._objects.clear()
        return any(changes)

    def _takes(self, event: Event) -> bool:
        named_by = _NAMED_BY.get(event.kind)
        if named_by is None:
            return event.is_end_of_initial_state
        if event.action == Action.RENAME:
            return True
        key = (event.kind, *(event.keys.get(word, "") for word in named_by))
        if event.action == Action.DESTROY:
            self._objects.pop(key, None)
            return True
        told = {word: event.keys[word] for word in _JUDGED_BY[event.kind] if word in event.keys}
        before = self._objects.get(key)
        if before is not None and told.items() <= before.items():
            return False
        self._objects[key] = told if before is None else before | told
        # How things stand at the start is told to its end first, and is one piece of news.
        return event.action != Action.EXISTS


class DrbdListener:
    """Listens to ``client``."""

    name: Final = "drbdsetup events2"
    wakes: Final = frozenset({Source.DRBD, Source.DEVICES})

    def __init__(
        self, client: DrbdClient, *, wedged: Callable[[], str | None] = lambda: None
    ) -> None:
        self._client = client
        self._wedged = wedged

    def worthwhile(self, snapshot: Snapshot) -> bool:
        """Return True while the module is loaded, which drbdsetup would do by itself, and the tools are there and may be run."""
        if self._wedged() is not None:
            return False
        loaded = snapshot.host is not None and snapshot.host.value.drbd_module is not None
        return loaded and snapshot.source(Source.DRBD).liveness is not Liveness.OFF

    async def listen(self, hear: base.Hear) -> None:
        """Listen until ``drbdsetup`` ends."""
        essence = Essence()
        async with contextlib.aclosing(self._client.stream(pause=base.TOGETHER)) as stream:
            async for events in stream:
                changed = essence.changed_by(events)
                hear(base.Heard(wakes=self.wakes if changed else frozenset(), work=len(events)))
