# SPDX-License-Identifier: Apache-2.0
"""systemd's signals about our units: a unit that changes wakes systemd and whoever runs in that unit."""

import contextlib
from collections.abc import Mapping
from typing import Final

from tidegate.clients.systemd.manager import HintKind, Manager
from tidegate.core.snapshot import Liveness, Snapshot, Source
from tidegate.probes.hints import base

_WORK: Final = 20  # a D-Bus message is taken apart in Python


class SystemdListener:
    """Listens to ``manager`` about ``units``: name -> the sources that run there."""

    name: Final = "systemd's signals"

    def __init__(self, manager: Manager, units: Mapping[str, frozenset[Source]]) -> None:
        self._manager = manager
        self._units = units
        self.wakes = frozenset({Source.SYSTEMD}).union(*units.values())

    def worthwhile(self, snapshot: Snapshot) -> bool:
        """Return True while systemd answers."""
        return snapshot.source(Source.SYSTEMD).liveness is Liveness.UP

    async def listen(self, hear: base.Hear) -> None:
        """Listen until the bus is lost."""
        async with contextlib.aclosing(self._manager.hints(tuple(self._units))) as hints:
            async for hint in hints:
                to_all = hint.kind in {HintKind.MISSED, HintKind.RELOADED}
                runs = self.wakes if to_all else self._units.get(hint.unit, frozenset())
                # The end of Incus's own first pass is told by its unit alone, and incusd answers slowly until then.
                hear(base.Heard(wakes=runs | {Source.SYSTEMD}, work=_WORK, at_once=True))
