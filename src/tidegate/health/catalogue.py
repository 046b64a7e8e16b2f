# SPDX-License-Identifier: Apache-2.0
"""Every finding code as data: what it means, what would be right, and what to do. ``docs/findings.md`` is made of it.

Codes are stable once released: people search for them, scripts compare them.
"""

import functools
from collections.abc import Mapping
from typing import Final

from tidegate.core.finding import Finding, Grade
from tidegate.core.ids import Subject
from tidegate.core.snapshot import Source
from tidegate.health import codes_ground, codes_host, codes_incus, codes_volume
from tidegate.health.code import Code

CODES: Final[Mapping[str, Code]] = {
    code.code: code
    for code in (*codes_host.CODES, *codes_ground.CODES, *codes_volume.CODES, *codes_incus.CODES)
}
"""All codes, by their text, in the order of the chain."""


class _Context(dict[str, str]):
    """Values for a template; a missing one shows as an ellipsis: a remedy must never fail."""

    def __missing__(self, key: str) -> str:
        return "…"


def finding(
    code: str,
    subject: Subject,
    observed: str,
    *,
    source: Source,
    age: float = 0.0,
    since: float | None = None,
    waiting: bool = False,
    grade: Grade | None = None,
    remedy: str = "",
    context: Mapping[str, str] | None = None,
) -> Finding:
    """Make a finding of ``code``.

    ``context`` fills the placeholders of its texts; ``remedy`` replaces the catalogue's where the source knows better; ``age``
    in seconds, ``since`` in seconds since boot. Raises KeyError for a code that is not in the catalogue.
    """
    entry = CODES[code]
    values = _Context(context or {})
    return Finding(
        code=code,
        grade=entry.grade if grade is None else grade,
        subject=subject,
        observed=observed,
        expected=_fill(entry.expected, values),
        remedy=remedy or _fill(entry.remedy, values),
        source=source,
        age=age,
        since=since,
        waiting=waiting,
    )


def needs_person(code: str) -> bool:
    """Return True when waiting cannot cure what ``code`` says: somebody has to do something first."""
    entry = CODES.get(code)
    return entry is not None and entry.needs_person


def _fill(template: str, values: _Context) -> str:
    text = template.format_map(values) if "{" in template else template
    # A value may be a template itself: the advice that fits one error number.
    return text.format_map(values) if "{" in text and template == "{advice}" else text


@functools.cache
def document() -> str:
    """Return the text of ``docs/findings.md``."""
    lines = [
        "# Findings",
        "",
        "Made from `tidegate.health.catalogue`; do not edit. A code never changes its meaning.",
        "",
        "*Grade* is the usual one; a finding may be milder or graver by its evidence. *Person*: waiting cannot cure it.",
    ]
    layer = ""
    for code in CODES.values():
        if code.layer != layer:
            layer = code.layer
            lines += ["", f"## {layer}"]
        who = ", person" if code.needs_person else ""
        lines += ["", f"### `{code.code}` ({code.grade}{who})", "", code.means]
        lines += ["", f"- Expected: {code.expected}", f"- What to do: {code.remedy}"]
    return "\n".join(lines) + "\n"
