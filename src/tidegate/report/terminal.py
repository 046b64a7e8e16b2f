# SPDX-License-Identifier: Apache-2.0
"""The look of text on a terminal: colour where it is wanted, columns that line up, and nothing hostile passed through."""

import enum
import textwrap
from collections.abc import Iterable, Sequence

import msgspec

from tidegate.core.finding import Grade


class Style(enum.StrEnum):
    """What a piece of text is; the escape sequence that shows it."""

    BOLD = "\x1b[1m"
    DIM = "\x1b[2m"
    GOOD = "\x1b[32m"
    WARN = "\x1b[33m"
    BAD = "\x1b[31m"
    ASIDE = "\x1b[36m"


_RESET = "\x1b[0m"
GRADE_STYLE = {
    Grade.OK: Style.GOOD,
    Grade.DEGRADED: Style.WARN,
    Grade.UNKNOWN: Style.ASIDE,
    Grade.FAILING: Style.BAD,
}


class Terminal(msgspec.Struct, frozen=True, kw_only=True):
    """What the reader's screen can do: ``width`` in columns, and whether it shows colour (a pipe does not)."""

    width: int = 100
    color: bool = False

    def paint(self, text: str, style: Style) -> str:
        """Return ``text`` in ``style``, or as it is where there is no colour."""
        return f"{style}{text}{_RESET}" if self.color and text else text

    def grade(self, grade: Grade, *, width: int = 0) -> str:
        """Return the grade's name, padded to ``width`` columns, in its colour."""
        return self.paint(f"{grade:<{width}}", GRADE_STYLE[grade])

    def wrap(self, text: str, *, indent: int, first: int | None = None) -> str:
        """Return ``text`` broken at the screen's width, each line indented by ``indent`` columns (the first by ``first``)."""
        return textwrap.fill(
            harmless(text),
            width=max(40, self.width),
            initial_indent=" " * (indent if first is None else first),
            subsequent_indent=" " * indent,
            break_long_words=False,
            break_on_hyphens=False,
        )

    def beside(self, text: str, *, indent: int) -> str:
        """Return ``text`` for a line of which ``indent`` columns are taken already; what is broken hangs below them."""
        return self.wrap(text, indent=indent)[indent:]

    def heading(self, text: str) -> str:
        """Return a section's heading."""
        return self.paint(text, Style.BOLD)


def harmless(text: str) -> str:
    """Return ``text`` with control characters made visible: a peer's message must not command the reader's terminal."""
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)


def columns(rows: Iterable[Sequence[str]]) -> tuple[int, ...]:
    """Return the width each column needs for ``rows`` of plain text, all of the same length."""
    widths: list[int] = []
    for row in rows:
        widths.extend([0] * (len(row) - len(widths)))
        for index, cell in enumerate(row):
            widths[index] = max(widths[index], len(cell))
    return tuple(widths)


def duration(seconds: float) -> str:
    """Return a length of time as a person says it: 0.3 s, 12 s, 4 min 5 s, 2 h 10 min, 3 d 4 h."""
    if seconds < 10:
        return f"{max(seconds, 0.0):.1f} s"
    whole = round(seconds)
    for size, name, rest_size, rest_name in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // rest_size
            return (
                f"{whole // size} {name} {rest} {rest_name}" if rest else f"{whole // size} {name}"
            )
    return f"{whole} s"
