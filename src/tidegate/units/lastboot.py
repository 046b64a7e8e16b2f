# SPDX-License-Identifier: Apache-2.0
"""When units started in one boot, as values, and how a journal tells it.

Only what systemd's manager writes with its structured fields is believed (``UNIT=``, ``JOB_TYPE=``, ``JOB_RESULT=``, ``UNIT_RESULT=``:
man systemd.journal-fields(7)); texts count for two things that have no field: a job that was deleted to break a cycle, and the
satellite's own word that its first run is over.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from tidegate.units.packaging import SATELLITE_UNIT

FIELDS: Final = (
    "MESSAGE",
    "UNIT",
    "JOB_TYPE",
    "JOB_RESULT",
    "UNIT_RESULT",
    "SYSLOG_IDENTIFIER",
    "_PID",
    "_TRANSPORT",
    "_SYSTEMD_UNIT",
    "_BOOT_ID",
)
"""All that is read of a journal's entry, besides its time."""
_STARTS: Final = frozenset({"start", "restart"})
_DELETED: Final = re.compile(r"Job (\S+)/start deleted to break ordering cycle")
_FIRST_RUN_OVER: Final = "End DeviceManager cycle"
"""The satellite's line after each run over its resources; the first one is where READY=1 would come (facts/linstor.md 2.5)."""


class UnitTimes(msgspec.Struct, frozen=True, kw_only=True):
    """The first start of a unit in a boot; seconds since the kernel started, None for what never happened."""

    begun: float | None = None
    """Its start job began to run."""
    up: float | None = None
    """systemd counted it as started: what is ordered after it may go on."""
    failed: float | None = None
    """Its first start came to nothing, or it died before it was up; what is ordered after it may go on as well."""
    result: str = ""
    """In systemd's words, why it failed: ``timeout``, ``signal``, ``dependency``, ..."""
    ready: float | None = None
    """It said itself that it is ready, where that is later than ``up``: a service of ``Type=simple`` is up at its fork."""
    skipped: bool = False
    """A condition in its file said no."""

    @property
    def is_up_at_fork(self) -> bool:
        """True when systemd did not wait for anything: one moment for both, as with ``Type=simple``, whatever the file says today."""
        return self.up is not None and self.up == self.begun

    @property
    def over(self) -> float | None:
        """When what is ordered after it was let go."""
        return self.up if self.up is not None else self.failed


class BootTimes(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one boot's starts."""

    units: Mapping[str, UnitTimes] = {}
    dropped: tuple[str, ...] = ()
    """Units whose jobs systemd deleted to break a cycle."""
    boot: str = ""
    """The boot's id."""


class Reader:
    """Takes a journal in, line by line, oldest first; one boot's."""

    def __init__(self) -> None:
        self._units: dict[str, dict[str, Any]] = {}
        self._dropped: dict[str, None] = {}
        self._boot = ""
        self.last = 0.0
        """Time of the newest entry, seconds since the kernel started."""

    def take(self, line: str) -> None:
        """Take one line of ``journalctl -o json``; what is none, or is of another boot, is passed over."""
        try:
            entry = json.loads(line)
            at = int(entry["__MONOTONIC_TIMESTAMP"]) / 1_000_000
        except (ValueError, TypeError, KeyError):
            return
        boot = _text(entry, "_BOOT_ID")
        self._boot = self._boot or boot
        if boot != self._boot:
            return
        self.last = max(self.last, at)
        message = _text(entry, "MESSAGE")
        if _text(entry, "_SYSTEMD_UNIT") == SATELLITE_UNIT:
            if _FIRST_RUN_OVER in message:
                self._of(SATELLITE_UNIT).setdefault("ready", at)
            return
        if _is_of_manager(entry):
            for name in _DELETED.findall(message):
                self._dropped.setdefault(name)
            self._started(entry, message, at)

    def times(self) -> BootTimes:
        """Return what was read."""
        units = {name: UnitTimes(**known) for name, known in self._units.items()}
        return BootTimes(units=units, dropped=tuple(self._dropped), boot=self._boot)

    def _of(self, name: str) -> dict[str, Any]:
        return self._units.setdefault(name, {})

    def _started(self, entry: Mapping[str, Any], message: str, at: float) -> None:
        name = _text(entry, "UNIT")
        if not name:
            return
        if _text(entry, "UNIT_RESULT"):
            known = self._units.get(
                name
            )  # of a start before journald nothing is known, so neither that it failed
            if known is not None and "begun" in known and "up" not in known:
                known.setdefault("failed", at)
                known.setdefault("result", _text(entry, "UNIT_RESULT"))
            return
        if _text(entry, "JOB_TYPE") not in _STARTS:
            return
        known = self._of(name)
        result = _text(entry, "JOB_RESULT")
        known.setdefault("begun", at)
        if result in {"done", "skipped"} and " skipped" in message:
            known["skipped"] = True
        elif result == "done":
            if "failed" not in known:
                known.setdefault("up", at)
        elif result and "up" not in known:
            known.setdefault("failed", at)
            known.setdefault("result", result)


def of_journal(lines: Iterable[str]) -> BootTimes:
    """Return the starts that a whole recorded journal tells of, ``journalctl -b -o json``."""
    reader = Reader()
    for line in lines:
        reader.take(line)
    return reader.times()


def merged(manager: Mapping[str, UnitTimes | None], journal: BootTimes) -> BootTimes:
    """Return the running boot's starts: from the manager's memory, and from the journal where a unit was started again since.

    ``manager``: None for a unit of which it knows a later start only. A unit that is gone and nobody refers to it forgets.
    """
    units = dict(journal.units)
    for name, told in manager.items():
        found = journal.units.get(name)
        if told is None or (told.begun is None and found is not None):
            continue
        ready = found.ready if found is not None else None
        units[name] = msgspec.structs.replace(told, ready=ready)
    return msgspec.structs.replace(journal, units=units)


def _text(entry: Mapping[str, Any], key: str) -> str:
    """Return a field as text; of one that is there several times the first, of one that is no text nothing."""
    value = entry.get(key)
    if isinstance(value, list) and value and isinstance(value[0], str):
        return value[0]
    return value if isinstance(value, str) else ""


def _is_of_manager(entry: Mapping[str, Any]) -> bool:
    """True for lines of PID 1; before journald runs they come through the kernel's buffer."""
    if _text(entry, "_TRANSPORT") == "kernel":
        return _text(entry, "SYSLOG_IDENTIFIER") == "systemd"
    return _text(entry, "_PID") == "1"
