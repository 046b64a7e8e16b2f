# SPDX-License-Identifier: Apache-2.0
"""The event stream of one incusd process (facts/incus.md 5.8)."""

from collections.abc import Callable
from datetime import UTC, datetime

from tidegate.sim.incus.journal import Level, LogLine
from tidegate.sim.incus.world import World

EventBody = dict[str, object]
"""An event as it is sent: type, timestamp, metadata, location, project (R72)."""

TYPES = frozenset({"lifecycle", "logging", "operation", "network-acl"})


def timestamp(seconds: float) -> str:
    """Return RFC 3339 text, UTC, with nanoseconds, of seconds since the epoch."""
    whole = int(seconds)
    nanos = round((seconds - whole) * 1e9)
    return datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{nanos:09d}Z"


class Events:
    """Listeners of the event stream; gone with the process."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._listeners: list[tuple[frozenset[str], Callable[[EventBody], None]]] = []
        self._unlisten = world.journal.listen(self._log)

    def subscribe(
        self, types: frozenset[str], listener: Callable[[EventBody], None]
    ) -> Callable[[], None]:
        """Call ``listener`` with every event of those types. Returns what ends that."""
        entry = (types, listener)
        self._listeners.append(entry)
        return lambda: self._listeners.remove(entry) if entry in self._listeners else None

    def close(self) -> None:
        """The process ends."""
        self._unlisten()
        self._listeners.clear()

    def lifecycle(
        self, action: str, name: str, project: str, *, by_api: bool, source: str = ""
    ) -> None:
        """Send a lifecycle event; only one that the API caused has a requestor (R76)."""
        metadata: EventBody = {
            "action": action,
            "source": source or f"/1.0/instances/{name}",
            "name": name,
            "project": project,
        }
        if by_api:
            metadata["requestor"] = {"username": "root", "protocol": "unix", "address": "@"}
        self._send("lifecycle", metadata, project)

    def operation(self, metadata: EventBody, project: str) -> None:
        """Send the present state of an operation."""
        self._send("operation", metadata, project)

    def _log(self, line: LogLine) -> None:
        if line.level is not Level.RAW:
            metadata: EventBody = {
                "message": line.msg,
                "level": str(line.level),
                "context": line.context,
            }
            self._send("logging", metadata, "")

    def _send(self, kind: str, metadata: EventBody, project: str) -> None:
        if not self._listeners:
            return
        world = self._world
        body: EventBody = {
            "type": kind,
            "timestamp": timestamp(world.server.epoch + world.clock.now),
            "metadata": metadata,
            "location": world.server.location,
        }
        if project:
            body["project"] = project
        for types, listener in tuple(self._listeners):
            if kind in types:
                listener(body)
