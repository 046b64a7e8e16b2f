# SPDX-License-Identifier: Apache-2.0
"""How the boot before this one ended, from the last lines of its journal."""

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from tidegate.tuning.facts import Shutdown

_ASKED: Final = re.compile(
    r"^(System is (powering|shutting) down|System is rebooting|The system will (power off|reboot|halt) now)"
)
_KILLED: Final = re.compile(r"^(?P<unit>\S+\.\w+): State '[\w-]+' timed out\. Killing\.")
_FORCED: Final = "Timed out stopping instance, forcefully stopping it"
_INSTANCE: Final = re.compile(r"instance=\"?([^\s\"]+)")


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the journal; ``at``: seconds of that boot's clock."""

    at: float
    text: str


def read(lines: Iterable[Line]) -> Shutdown | None:
    """Return how it ended; None when there are no lines. logind says that a shutdown was asked for, systemd and Incus what they killed."""
    asked, last, forced = None, None, []
    for line in lines:
        last = line.at
        if _ASKED.match(line.text):
            asked = line.at
        elif match := _KILLED.match(line.text):
            forced.append(match["unit"])
        elif _FORCED in line.text:
            named = _INSTANCE.search(line.text)
            forced.append(f"instance {named[1]}" if named else "an instance")
    if last is None:
        return None
    if asked is None:
        return Shutdown(took=None)
    return Shutdown(took=last - asked, forced=tuple(dict.fromkeys(forced)))
