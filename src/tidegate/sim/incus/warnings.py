# SPDX-License-Identifier: Apache-2.0
"""Incus's warnings: rows in its database that outlive the daemon (facts/incus.md R60-R65, D14, A8, A9)."""

import enum
from collections.abc import Callable, Iterable, Iterator

import msgspec

POOL_UNAVAILABLE = "Storage pool unavailable"
AUTOSTART_FAILURE = "Failed to autostart instance"

_SEVERITY = {POOL_UNAVAILABLE: "high", AUTOSTART_FAILURE: "low"}


class WarningStatus(enum.StrEnum):
    """States of a warning."""

    NEW = "new"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class IncusWarning(msgspec.Struct, kw_only=True):
    """One row; there is one per type, project and entity (R63). Times are seconds of the wall clock after the scenario's epoch.

    ``entity`` tells rows apart; ``entity_url`` is what the API shows, which is empty for a pool (R62).
    """

    uuid: str
    type: str
    entity: str
    entity_url: str
    project: str
    status: WarningStatus = WarningStatus.NEW
    count: int = 1
    first_seen: float
    last_seen: float
    last_message: str

    @property
    def severity(self) -> str:
        """Return low, moderate or high (R61)."""
        return _SEVERITY.get(self.type, "moderate")


class Warnings:
    """All warnings of this server.

    Args:
        now: the virtual clock's present moment.
        new_uuid: makes the next identifier.
    """

    def __init__(self, now: Callable[[], float], new_uuid: Callable[[], str]) -> None:
        self._now = now
        self._new_uuid = new_uuid
        self._rows: dict[tuple[str, str, str], IncusWarning] = {}

    def __iter__(self) -> Iterator[IncusWarning]:
        return iter(tuple(self._rows.values()))

    def upsert(
        self, kind: str, entity: str, message: str, *, entity_url: str = "", project: str = ""
    ) -> None:
        """Raise a warning, or count it once more: acknowledged stays so, resolved becomes new again (R63)."""
        now, key = self._now(), (kind, project, entity)
        row = self._rows.get(key)
        if row is None:
            self._rows[key] = IncusWarning(
                uuid=self._new_uuid(),
                type=kind,
                entity=entity,
                entity_url=entity_url,
                project=project,
                first_seen=now,
                last_seen=now,
                last_message=message,
            )
            return
        row.count += 1
        row.last_seen = now
        row.last_message = message
        if row.status is WarningStatus.RESOLVED:
            row.status = WarningStatus.NEW

    def resolve(self, kind: str, entity: str, *, project: str = "") -> None:
        """Mark the warning about ``entity`` as resolved, if there is one."""
        row = self._rows.get((kind, project, entity))
        if row is not None:
            row.status = WarningStatus.RESOLVED

    def resolve_older_than(self, moment: float) -> None:
        """Mark as resolved what was last seen before ``moment`` (D14)."""
        for row in self._rows.values():
            if row.last_seen < moment:
                row.status = WarningStatus.RESOLVED

    def kept(self, rows: Iterable[IncusWarning], *, ago: float) -> None:
        """Take over the ``rows`` of a server whose clock showed ``ago`` seconds when this one's shows 0: the database outlives a boot."""
        for row in rows:
            moved = msgspec.structs.replace(
                row, first_seen=row.first_seen - ago, last_seen=row.last_seen - ago
            )
            self._rows[(row.type, row.project, row.entity)] = moved

    def get(self, uuid: str) -> IncusWarning | None:
        """Return the warning with that identifier."""
        return next((row for row in self._rows.values() if row.uuid == uuid), None)

    def remove(self, uuid: str) -> None:
        """Delete the row (DELETE /1.0/warnings/UUID)."""
        self._rows = {key: row for key, row in self._rows.items() if row.uuid != uuid}
