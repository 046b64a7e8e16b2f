# SPDX-License-Identifier: Apache-2.0
"""Tidegate's guard as a cause: where it hung or failed, what Incus met was the guard, and no controller's fault."""

import re
from typing import Final

from tidegate.boot.case import Case, secs
from tidegate.boot.model import Event, Kind

UNIT: Final = "unit/tidegate-guard.service"
_HERE: Final = re.compile(r"(?:127\.0\.0\.1|\[::1\]|localhost):(?!337[01]\b)\d+")
"""An address of this host that is no controller's own port: where the guard listens (contract: 13370)."""
_TROUBLES: Final = (Kind.UNIT_WATCHDOG, Kind.UNIT_FAILED, Kind.UNIT_TIMEOUT, Kind.UNIT_START_LIMIT)


def failed(case: Case, begin: float, end: float, events: list[Event]) -> str:
    """Return the cause if the guard hung or failed between ``begin`` and ``end``, or if ``events`` say that it did not answer; else empty.

    ``events`` are Incus's errors of asking; what the guard itself answers carries its name and is no failure of it.
    """
    facts = case.facts
    asked = [e for e in events if _HERE.search(e.detail) and "Tidegate: " not in e.detail]
    troubles = [
        event
        for kind in _TROUBLES
        for event in facts.all(kind, UNIT)
        if begin - 1.0 <= event.at <= end + 1.0
    ]
    if facts.begun(UNIT) is None or not (troubles or asked) or (events and not asked):
        return ""
    troubles.sort(key=lambda event: event.at)
    hung = any(event.kind is Kind.UNIT_WATCHDOG for event in troubles)
    when = f" ({secs(troubles[0].at)})" if troubles else ""
    how = f"hung, and systemd's watchdog ended it{when}" if hung else f"failed{when}"
    if not troubles:
        how = "did not answer"
    last = max((e.last or e.at for e in (*asked, *troubles)), default=end)
    return case.graph.add(
        "guard.failed",
        "host",
        f"Tidegate's guard {how}: what Incus asked it came to nothing.",
        begin=min(event.at for event in (*troubles, *asked)),
        end=last,
        events=[*troubles[:3], *asked[:3]],
    )
