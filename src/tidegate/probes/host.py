# SPDX-License-Identifier: Apache-2.0
"""This machine: DRBD's module, the satellite's program, the satellite's port. Reads files only, asks nobody."""

from pathlib import Path
from typing import Final

from tidegate.core.facts import HostFacts
from tidegate.core.snapshot import Observation, Source
from tidegate.probes import base

SATELLITE: Final = "usr/share/linstor-server/bin/Satellite"
"""The only place where Incus looks for it (facts/incus.md D53)."""
MODULE: Final = "sys/module/drbd/version"
_LISTEN: Final = "0A"


class HostProbe:
    """Looks at files under ``root`` ("/" but for tests and the demo)."""

    source = Source.HOST

    def __init__(self, *, root: Path, satellite_port: int, clock: base.Clock) -> None:
        self._root = root
        self._port = satellite_port
        self._clock = clock

    async def look(self, need: base.Need) -> Observation:  # noqa: ARG002 - a probe's signature
        """Say what is there now. These are reads of kernel memory: they do not block."""
        facts = HostFacts(
            drbd_module=self._module(),
            satellite_present=(self._root / SATELLITE).exists(),
            satellite_listens=self._listens(),
        )
        return Observation(source=self.source, at=self._clock(), host=facts)

    def _module(self) -> str | None:
        try:
            return (self._root / MODULE).read_text(encoding="ascii", errors="replace").strip()
        except OSError:
            return None

    def _listens(self) -> bool | None:
        """Look the port up in the kernel's tables: a connection of ours would occupy the satellite."""
        tables = []
        for name in ("tcp", "tcp6"):
            try:
                tables.append((self._root / "proc/net" / name).read_text(encoding="ascii"))
            except OSError:
                continue
        return any(listens(table, self._port) for table in tables) if tables else None


def listens(table: str, port: int) -> bool:
    """Return True when ``/proc/net/tcp`` or ``tcp6`` shows a listening socket on ``port``. Pure."""
    suffix = f":{port:04X}"
    for line in table.splitlines()[1:]:
        words = line.split(None, 4)
        if len(words) > 3 and words[3] == _LISTEN and words[1].endswith(suffix):
            return True
    return False
