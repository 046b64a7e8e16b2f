# SPDX-License-Identifier: Apache-2.0
"""One line of ``journalctl -o json`` → an entry. The usual line is decoded straight into a struct; odd ones take a slower way.

Source of the odd ones: journalctl(1), output ``json``: a field that is not UTF-8 is an array of numbers, one longer than 4096 bytes is
null, one that occurs several times is an array.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from tidegate.boot.model import Entry
from tidegate.clients.journal.notes import Notes

FIELDS: Final = (
    "MESSAGE",
    "PRIORITY",
    "SYSLOG_IDENTIFIER",
    "_SYSTEMD_UNIT",
    "UNIT",
    "_PID",
    "_TRANSPORT",
    "_HOSTNAME",
    "JOB_TYPE",
    "JOB_RESULT",
    "TIDEGATE_EVENT",
    "TIDEGATE_CODE",
    "TIDEGATE_SUBJECT",
    "TIDEGATE_CAUSE",
)
"""What is asked of journalctl; it always adds cursor, both times and the boot id."""
_RARE: Final = FIELDS[8:]
_BIGGEST: Final = 10**17
"""Microseconds; more is damage."""
_NOTHING: Final[Mapping[str, str]] = {}
_PROOF: Final = frozenset({"MESSAGE", "__REALTIME_TIMESTAMP", "__MONOTONIC_TIMESTAMP"})
TOO_LONG: Final = "(a message longer than 4096 bytes, which journalctl leaves out)"


class _Raw(msgspec.Struct, gc=False):
    message: str = msgspec.field(name="MESSAGE", default="")
    priority: int = msgspec.field(name="PRIORITY", default=-1)
    identifier: str = msgspec.field(name="SYSLOG_IDENTIFIER", default="")
    own_unit: str = msgspec.field(name="_SYSTEMD_UNIT", default="")
    unit: str = msgspec.field(name="UNIT", default="")
    pid: int = msgspec.field(name="_PID", default=-1)
    transport: str = msgspec.field(name="_TRANSPORT", default="")
    hostname: str = msgspec.field(name="_HOSTNAME", default="")
    boot: str = msgspec.field(name="_BOOT_ID", default="")
    cursor: str = msgspec.field(name="__CURSOR", default="")
    wall: int = msgspec.field(name="__REALTIME_TIMESTAMP", default=-1)
    at: int = msgspec.field(name="__MONOTONIC_TIMESTAMP", default=-1)
    job_type: str = msgspec.field(name="JOB_TYPE", default="")
    job_result: str = msgspec.field(name="JOB_RESULT", default="")
    event: str = msgspec.field(name="TIDEGATE_EVENT", default="")
    code: str = msgspec.field(name="TIDEGATE_CODE", default="")
    subject: str = msgspec.field(name="TIDEGATE_SUBJECT", default="")
    cause: str = msgspec.field(name="TIDEGATE_CAUSE", default="")


_DECODER: Final = msgspec.json.Decoder(_Raw, strict=False)
_ANY: Final = msgspec.json.Decoder()


def json_line(line: bytes, number: int, source: str, notes: Notes) -> Entry | None:
    """Return the entry of one line; None, with a note, for what is none. ``number`` counts from 1."""
    try:
        raw = _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, OverflowError):
        return _odd(line, number, source, notes)
    at, wall, pid, priority = raw.at, raw.wall, raw.pid, raw.priority
    if at < 0 and wall < 0 and not raw.message:
        notes.add(f"{source}: a line that is no entry of a journal was passed over")
        return None
    fields = _NOTHING
    if raw.job_type or raw.event or raw.code:
        fields = {
            name: text
            for name, text in zip(
                _RARE,
                (raw.job_type, raw.job_result, raw.event, raw.code, raw.subject, raw.cause),
                strict=True,
            )
            if text
        }
    return Entry(
        message=raw.message,
        at=at / 1e6 if 0 <= at <= _BIGGEST else None,
        wall=wall / 1e6 if 0 <= wall <= _BIGGEST else None,
        unit=raw.unit or raw.own_unit,
        identifier=raw.identifier,
        pid=pid if pid >= 0 else None,
        priority=priority if priority >= 0 else None,
        transport=raw.transport,
        boot=raw.boot,
        hostname=raw.hostname,
        cursor=raw.cursor,
        line=number,
        source=source,
        fields=fields,
    )


def _odd(line: bytes, number: int, source: str, notes: Notes) -> Entry | None:
    try:
        fields = _ANY.decode(line.decode("utf-8", errors="replace"))
    except (msgspec.DecodeError, RecursionError):
        notes.add(f"{source}: a line that is no JSON was passed over")
        return None
    if not isinstance(fields, dict) or not (fields.keys() & _PROOF):
        notes.add(f"{source}: a line that is no entry of a journal was passed over")
        return None
    return from_fields({str(name): text(value) for name, value in fields.items()}, number, source)


def text(value: Any) -> str:
    """Return a field's value as text: arrays of bytes are decoded, of several values the first counts, null is a long one left out."""
    if isinstance(value, str):
        return value
    if value is None:
        return TOO_LONG
    if isinstance(value, list):
        if value and all(isinstance(one, int) and 0 <= one < 256 for one in value):
            return bytes(value).decode("utf-8", errors="replace")
        return text(value[0]) if value and not isinstance(value[0], list) else ""
    return str(value)


def from_fields(fields: Mapping[str, str], number: int, source: str) -> Entry:
    """Return the entry of fields by their names in the journal, whose values may be anything."""
    at, wall = _micro(fields, "__MONOTONIC_TIMESTAMP"), _micro(fields, "__REALTIME_TIMESTAMP")
    return Entry(
        message=fields.get("MESSAGE", ""),
        at=at,
        wall=wall,
        unit=fields.get("UNIT") or fields.get("_SYSTEMD_UNIT", ""),
        identifier=fields.get("SYSLOG_IDENTIFIER", ""),
        pid=_number(fields, "_PID"),
        priority=_number(fields, "PRIORITY"),
        transport=fields.get("_TRANSPORT", ""),
        boot=fields.get("_BOOT_ID", ""),
        hostname=fields.get("_HOSTNAME", ""),
        cursor=fields.get("__CURSOR", ""),
        line=number,
        source=source,
        fields={name: fields[name] for name in _RARE if fields.get(name)} or _NOTHING,
    )


def _number(fields: Mapping[str, str], name: str) -> int | None:
    found = fields.get(name, "")
    if not found.isascii() or not found.isdecimal() or len(found) > 18:
        return None
    return int(found)


def _micro(fields: Mapping[str, str], name: str) -> float | None:
    found = _number(fields, name)
    return None if found is None or found > _BIGGEST else found / 1e6
