# SPDX-License-Identifier: Apache-2.0
"""Incus's log lines in its own format, kept in a bounded list (facts/incus.md 6.1)."""

import enum
import re
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import msgspec

LIMIT = 10_000
"""Lines kept; the oldest go first."""

_PLAIN = re.compile(r"[A-Za-z0-9\-._/@^+]*")
_ESCAPES = str.maketrans({'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"})


class Level(enum.StrEnum):
    """Levels in logrus's words; RAW is text on stderr that is no log line, as a Go panic (G5)."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    RAW = "raw"


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line. ``at``: seconds of the virtual clock; ``context`` values are shown as text, sorted by key (G1)."""

    at: float
    level: Level
    msg: str
    context: dict[str, str] = {}

    def text(self, epoch: float) -> str:
        """Return the line as logrus writes it, ``epoch`` being seconds since the epoch at virtual time 0."""
        if self.level is Level.RAW:
            return self.msg
        moment = datetime.fromtimestamp(epoch + self.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        fields = [f"time={quoted(moment)}", f"level={self.level}", f"msg={quoted(self.msg)}"]
        fields += [f"{key}={quoted(self.context[key])}" for key in sorted(self.context)]
        return " ".join(fields)


def quoted(value: str) -> str:
    """Return ``value`` as logrus's text formatter writes it: quoted when a character needs it (G1)."""
    return value if _PLAIN.fullmatch(value) else f'"{value.translate(_ESCAPES)}"'


class Journal:
    """What incusd wrote, over all its processes.

    Args:
        epoch: seconds since the epoch at virtual time 0.
        now: the virtual clock's present moment.
    """

    def __init__(self, epoch: float, now: Callable[[], float]) -> None:
        self._epoch = epoch
        self._now = now
        self._lines: deque[LogLine] = deque(maxlen=LIMIT)
        self._listeners: list[Callable[[LogLine], None]] = []

    def write(self, level: Level, msg: str, /, **context: object) -> None:
        """Write one line now; ``context`` values are turned to text as Go does (true, false, numbers)."""
        line = LogLine(
            at=self._now(), level=level, msg=msg, context={k: _text(v) for k, v in context.items()}
        )
        self._lines.append(line)
        for listener in tuple(self._listeners):
            listener(line)

    def listen(self, listener: Callable[[LogLine], None]) -> Callable[[], None]:
        """Call ``listener`` with every further line. Returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def __iter__(self) -> Iterator[LogLine]:
        return iter(tuple(self._lines))

    def shown(self, *, verbose: bool) -> list[str]:
        """Return the lines that reach the system's journal: warnings and worse, with ``verbose`` info too (G3)."""
        hidden = {Level.DEBUG} if verbose else {Level.DEBUG, Level.INFO}
        return [line.text(self._epoch) for line in self._lines if line.level not in hidden]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
