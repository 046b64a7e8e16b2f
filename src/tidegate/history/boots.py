# SPDX-License-Identifier: Apache-2.0
"""The figures of all boots that the history knows, for a command that only reads: ``tidegate stats``."""

import contextlib
import sqlite3
from pathlib import Path
from urllib.parse import quote

import msgspec

from tidegate.core.trouble import Trouble

READ_WITHIN = 2.0
"""Seconds that the agent, which writes meanwhile, may hold us up."""


class BootRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One boot: its id, when it began (seconds since the epoch) and its figures (name, subject or "", seconds)."""

    boot_id: str
    node: str
    began: float
    measures: tuple[tuple[str, str, float], ...] = ()


def read_boots(path: Path, *, most: int) -> tuple[BootRecord, ...] | Trouble:
    """Return the last ``most`` boots, the oldest first, or why they cannot be read. Writes nothing."""
    if not path.exists():
        return Trouble(
            code="history.missing",
            text=f"there is no history at {path}",
            hint="the agent writes it: systemctl enable --now tidegate-agent.service; or name its directory with --state-dir",
        )
    try:
        uri = f"file:{quote(str(path))}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=READ_WITHIN)) as connection:
            return _read(connection, most)
    except sqlite3.Error as error:
        return Trouble(
            code="history.unreadable",
            text=f"{path} cannot be read: {error}",
            hint="run as root, or give this user access to it",
        )


def _read(connection: sqlite3.Connection, most: int) -> tuple[BootRecord, ...]:
    boots = connection.execute(
        "SELECT boot_id, node, began FROM boot ORDER BY began DESC LIMIT ?", (most,)
    ).fetchall()
    if connection.execute("PRAGMA user_version").fetchone()[0] < 2:
        return ()  # of before there were measures
    select = "SELECT name, subject, value FROM measure WHERE boot_id = ? ORDER BY id"
    return tuple(
        BootRecord(
            boot_id=boot_id,
            node=node,
            began=began,
            measures=tuple(tuple(row) for row in connection.execute(select, (boot_id,))),
        )
        for boot_id, node, began in reversed(boots)
    )
