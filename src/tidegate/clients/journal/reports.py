# SPDX-License-Identifier: Apache-2.0
"""LINSTOR's error reports: one file, one entry that tells what failed (facts/linstor.md 9.4)."""

import re
from typing import Final

from tidegate.boot.model import Entry
from tidegate.clients.journal import text

_HEADER: Final = re.compile(r"^ERROR REPORT (?P<id>[0-9A-F]{8}-[0-9A-F]{5}-\d{6})")
_FIELD: Final = re.compile(
    r"^(?P<name>Module|Error time|Node|Thread|Class name|Error message|Category):\s+(?P<value>.*)$",
    re.MULTILINE,
)
_CONTEXT: Final = re.compile(r"ErrorContext:\s*(?P<text>.*?)Call backtrace:", re.DOTALL)
_SPACE: Final = re.compile(r"\s+")


def is_report(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` is an error report."""
    return head.startswith(b"ERROR REPORT ")


def read(content: bytes, source: str) -> Entry | None:
    """Return what an error report says as one entry of the program that wrote it; None when it is none."""
    whole = content.decode("utf-8", errors="replace")
    header = _HEADER.match(whole)
    if header is None:
        return None
    fields: dict[str, str] = {}
    for found in _FIELD.finditer(whole):
        fields.setdefault(found["name"], found["value"].strip())
    context = _CONTEXT.search(whole)
    module = fields.get("Module", "Satellite")
    details = _SPACE.sub(" ", context["text"]).strip()[:600] if context is not None else ""
    day, _, clock = fields.get("Error time", "").partition(" ")
    message = (
        f"ERROR ErrorReport {header['id']} {module} {fields.get('Class name', 'Error')}: "
        f"{fields.get('Error message', '')} {details}"
    ).strip()
    return Entry(
        message=message,
        wall=text.wall_of(day, clock, None) if day and clock else None,
        unit="linstor-controller.service"
        if module == "Controller"
        else "linstor-satellite.service",
        identifier=module,
        priority=3,
        transport="file",
        hostname=fields.get("Node", "") if module == "Satellite" else "",
        line=1,
        source=source,
    )
