# SPDX-License-Identifier: Apache-2.0
"""Where a figure comes from. Nothing is printed without one of these: recorded boots, a measurement with its date, an estimate with its formula."""

from datetime import UTC, datetime
from typing import Final

import msgspec

PREFIXES: Final = ("recorded: ", "this boot: ", "measured ", "read ", "estimate: ")
"""How every source begins."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was found here, and where it was found."""

    text: str
    source: str


def counted(count: int) -> str:
    """Return ``count`` boots in words."""
    return "one recorded boot" if count == 1 else f"{count} recorded boots"


def boots(count: int) -> str:
    """Return the source of a median over ``count`` recorded boots."""
    return f"recorded: {'one boot' if count == 1 else f'median of {count} boots'}"


def this_boot(at: float) -> str:
    """Return the source of what systemd or the kernel says of the boot that is running; ``at``: when it was asked, seconds since the epoch."""
    return f"this boot: asked {day(at)}"


def measured(at: float, runs: int = 1) -> str:
    """Return the source of a measurement of ours at ``at``, seconds since the epoch."""
    return f"measured {day(at)}" + (f", median of {runs} runs" if runs > 1 else "")


def read(at: float, where: str) -> str:
    """Return the source of a setting that was read at ``at`` from ``where``."""
    return f"read {day(at)} from {where}"


def estimate(formula: str) -> str:
    """Return the source of a figure that was computed; ``formula`` holds its numbers and where these come from."""
    return f"estimate: {formula}"


def day(at: float) -> str:
    """Return a date that everybody reads the same way."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def span(seconds: float) -> str:
    """Return a span of time for people: milliseconds where seconds would show nothing."""
    return f"{seconds * 1000:.1f} ms" if seconds < 0.1 else f"{seconds:.1f} s"


def size(amount: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"
