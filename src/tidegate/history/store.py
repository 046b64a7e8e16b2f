# SPDX-License-Identifier: Apache-2.0
"""The SQLite file: boots, events, actions, measures. Small writes, bounded size, never fatal."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tidegate.core.action import Outcome
from tidegate.core.trouble import Trouble

SCHEMA = 2
MOST_ROWS = 100_000
"""Rows kept per table; the oldest go first."""

_TABLES = """
CREATE TABLE boot (boot_id TEXT PRIMARY KEY, node TEXT NOT NULL, began REAL NOT NULL);
CREATE TABLE event (
  id INTEGER PRIMARY KEY, boot_id TEXT NOT NULL, at REAL NOT NULL, kind TEXT NOT NULL, code TEXT NOT NULL,
  subject TEXT NOT NULL, text TEXT NOT NULL);
CREATE INDEX event_boot ON event (boot_id, at);
CREATE TABLE action (
  id INTEGER PRIMARY KEY, boot_id TEXT NOT NULL, started REAL NOT NULL, ended REAL NOT NULL, action TEXT NOT NULL,
  subject TEXT NOT NULL, cause TEXT NOT NULL, outcome TEXT NOT NULL, code TEXT NOT NULL, text TEXT NOT NULL,
  detail BLOB NOT NULL);
CREATE INDEX action_boot ON action (boot_id, started);
"""
# By form of the file: what leads from the one before it to this one.
_STEPS = {
    1: _TABLES,
    2: """
CREATE TABLE measure (
  id INTEGER PRIMARY KEY, boot_id TEXT NOT NULL, name TEXT NOT NULL, subject TEXT NOT NULL, value REAL NOT NULL);
CREATE INDEX measure_boot ON measure (boot_id, name);
""",
}

_CUTS = (
    "DELETE FROM event WHERE id <= (SELECT max(id) FROM event) - ?",
    "DELETE FROM action WHERE id <= (SELECT max(id) FROM action) - ?",
    "DELETE FROM measure WHERE id <= (SELECT max(id) FROM measure) - ?",
)


class HistoryEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something worth remembering: ``at`` in seconds since boot; ``kind`` is finding, cleared, sentence, verdict, source, agent."""

    at: float
    kind: str
    code: str
    subject: str
    text: str


class History:
    """One open file. Create it with :func:`open_history`."""

    def __init__(self, connection: sqlite3.Connection, boot_id: str) -> None:
        self._connection = connection
        self._boot_id = boot_id
        self.trouble: Trouble | None = None
        """Why nothing is written any more, or None while all is well."""

    def begin_boot(self, node: str, began: float) -> None:
        """Note that this boot exists; ``began`` in seconds since the epoch."""
        self._write("INSERT OR IGNORE INTO boot VALUES (?, ?, ?)", [(self._boot_id, node, began)])

    def add_events(self, events: list[HistoryEvent]) -> None:
        """Write events, in one transaction."""
        rows = [(self._boot_id, e.at, e.kind, e.code, e.subject, e.text) for e in events]
        self._write(
            "INSERT INTO event (boot_id, at, kind, code, subject, text) VALUES (?, ?, ?, ?, ?, ?)",
            rows,
        )

    def add_outcome(self, outcome: Outcome) -> None:
        """Write what came of one action."""
        action = outcome.action
        row = (
            self._boot_id,
            outcome.started_at,
            outcome.ended_at,
            type(action).__struct_config__.tag,
            str(action.subject),
            action.cause,
            outcome.kind,
            outcome.code,
            outcome.text,
            msgspec.json.encode(outcome),  # the action, and what was seen before and after
        )
        columns = "boot_id, started, ended, action, subject, cause, outcome, code, text, detail"
        self._write(f"INSERT INTO action ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", [row])  # noqa: S608 fixed names

    def add_measures(self, measures: Sequence[tuple[str, str, float]]) -> None:
        """Write figures of this boot, each (name, subject or "", seconds)."""
        rows = [(self._boot_id, *measure) for measure in measures]
        self._write("INSERT INTO measure (boot_id, name, subject, value) VALUES (?, ?, ?, ?)", rows)

    def measures(self) -> list[tuple[str, str, float]]:
        """Return this boot's figures in the order in which they were written."""
        rows = self._connection.execute(
            "SELECT name, subject, value FROM measure WHERE boot_id = ? ORDER BY id",
            (self._boot_id,),
        )
        return [tuple(row) for row in rows]

    def events(self) -> list[HistoryEvent]:
        """Return this boot's events in order of time."""
        rows = self._connection.execute(
            "SELECT at, kind, code, subject, text FROM event WHERE boot_id = ? ORDER BY at, id",
            (self._boot_id,),
        )
        return [HistoryEvent(at=r[0], kind=r[1], code=r[2], subject=r[3], text=r[4]) for r in rows]

    def outcomes(self) -> list[tuple[str, str, str, str]]:
        """Return (action, subject, outcome, code) of this boot in order of their start."""
        rows = self._connection.execute(
            "SELECT action, subject, outcome, code FROM action WHERE boot_id = ? ORDER BY started, id",
            (self._boot_id,),
        )
        return [tuple(row) for row in rows]

    def close(self) -> None:
        """Let the file go, after cutting what is older than :data:`MOST_ROWS`."""
        for statement in _CUTS:
            self._write(statement, [(MOST_ROWS,)])
        self._connection.close()

    def _write(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        if self.trouble is not None or not rows:
            return
        try:
            with self._connection:
                self._connection.executemany(statement, rows)
        except sqlite3.Error as error:
            self.trouble = Trouble(
                code="history.not-written",
                text=f"the history is no longer written: {error}",
                hint="recovery goes on without it; make room on the disk and restart tidegate-agent.service",
            )


def open_history(path: Path, boot_id: str) -> tuple[History, tuple[Trouble, ...]]:
    """Open or make the file at ``path``. A file that is damaged or of a later form is set aside, never deleted.

    Returns the history and what had to be done about it. Where no file can be had at all, it is kept in memory.
    """
    try:
        return History(_connect(str(path)), boot_id), ()
    except (
        sqlite3.OperationalError
    ) as error:  # the place is at fault (missing, full, read-only), not the file
        return History(_connect(":memory:"), boot_id), (_in_memory(path, error),)
    except sqlite3.DatabaseError as error:
        return _begin_anew(path, boot_id, error)


def _begin_anew(
    path: Path, boot_id: str, error: sqlite3.Error
) -> tuple[History, tuple[Trouble, ...]]:
    aside = path.with_name(f"{path.name}.set-aside")
    try:
        path.replace(aside)
        history = History(_connect(str(path)), boot_id)
    except (OSError, sqlite3.Error) as second:
        return History(_connect(":memory:"), boot_id), (_in_memory(path, second),)
    trouble = Trouble(
        code="history.set-aside",
        text=f"{path} could not be used as history ({error}) and was set aside as {aside.name}",
        hint="nothing that recovery needs is in it; keep it for a bug report, or remove it",
    )
    return history, (trouble,)


def _in_memory(path: Path, error: Exception) -> Trouble:
    return Trouble(
        code="history.in-memory",
        text=f"{path} cannot be used ({error}); the history of this boot is kept in memory",
        hint=f"check that {path.parent} exists, has room and can be written, then restart the agent",
    )


def _connect(name: str) -> sqlite3.Connection:
    connection = sqlite3.connect(name, timeout=1.0, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA:
            raise sqlite3.DatabaseError(f"form {version} is later than this program's {SCHEMA}")
        for form in range(version + 1, SCHEMA + 1):
            connection.executescript(f"BEGIN;{_STEPS[form]}PRAGMA user_version = {form};COMMIT;")
    except sqlite3.Error:
        connection.close()
        raise
    return connection
