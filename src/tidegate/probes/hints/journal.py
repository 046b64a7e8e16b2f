# SPDX-License-Identifier: Apache-2.0
"""``journalctl --follow`` on the satellite, incusd and the kernel: a line that means something wakes those it speaks of.

The line itself is kept as evidence by :class:`tidegate.probes.journal.Told`; what is true is looked at.
"""

import contextlib
from typing import Final

from tidegate.clients.systemd.follow import Journal
from tidegate.core.snapshot import Liveness, Snapshot, Source
from tidegate.probes.hints import base
from tidegate.probes.journal import Told

PAUSE: Final = 0.1
"""Seconds in which what is written together is read together: a satellite that starts writes hundreds of lines."""
_WORK: Final = 3


class JournalListener:
    """Listens to ``journal`` and hands all over to ``told``."""

    name: Final = "the journal"
    wakes: Final = frozenset({Source.JOURNAL, Source.LINSTOR, Source.DRBD, Source.DEVICES})

    def __init__(self, journal: Journal, told: Told) -> None:
        self._journal = journal
        self._told = told

    def worthwhile(self, snapshot: Snapshot) -> bool:
        """Return True on a host that has the satellite's program, unless its journal cannot be read."""
        present = snapshot.host is not None and snapshot.host.value.satellite_present
        return present and snapshot.source(Source.JOURNAL).liveness is Liveness.UP

    async def listen(self, hear: base.Hear) -> None:
        """Listen until journalctl ends."""
        stream = self._journal.follow(pause=PAUSE)
        self._told.begin()
        self._told.listens = True
        try:
            async with contextlib.aclosing(stream):
                async for lines in stream:
                    news = self._told.take(lines)
                    wakes = self.wakes if news else frozenset[Source]()
                    hear(base.Heard(wakes=wakes, work=_WORK * len(lines)))
        finally:
            self._told.listens = False
