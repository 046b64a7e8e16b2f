# SPDX-License-Identifier: Apache-2.0
"""Device files that appear and vanish, by inotify, with or without udev.

Watched are the directories in which the devices lie that are looked at, as LINSTOR names them (``/dev/drbdMINOR``, ``/dev/vg/lv``). Not
udev's own messages: they tell of every block device of the host, and nothing of ours but what the directory tells too. The links in
``/dev/drbd/by-res`` prove nothing (facts/drbd-observed.md) and are not looked at.
"""

import asyncio
from collections.abc import Callable, Collection
from pathlib import PurePosixPath
from typing import Final

from tidegate.clients.inotify import Change, Inotify
from tidegate.core.snapshot import Snapshot, Source
from tidegate.probes.hints import base

REFRESH: Final = 5.0
"""Seconds after which it is looked whether there are new directories to watch."""
TOP: Final = "/dev"

_WORK: Final = 10


class DevicesListener:
    """Listens below ``root`` to the directories of ``paths``, the devices that are looked at at the moment."""

    name: Final = "changes in /dev"
    wakes: Final = frozenset({Source.DEVICES, Source.HOST})

    def __init__(self, root: str, paths: Callable[[], Collection[str]]) -> None:
        self._root = root.rstrip("/")
        self._paths = paths
        self._known: frozenset[str] = frozenset()
        self._directories = frozenset({TOP})

    def worthwhile(self, snapshot: Snapshot) -> bool:  # noqa: ARG002 - a listener's signature
        """Return True: there is always a ``/dev``."""
        return True

    async def listen(self, hear: base.Hear) -> None:
        """Listen; ends only when the kernel refuses."""
        with Inotify() as inotify:
            self._watch(inotify)
            hear(base.Heard(wakes=self.wakes))
            while True:
                changes = await self._changes(inotify)
                # What was made in a new directory before it was watched is not told.
                relevant = self._watch(inotify) or any(map(self._concerns, changes))
                wakes = self.wakes if relevant else frozenset[Source]()
                hear(base.Heard(wakes=wakes, work=_WORK + len(changes)))
                await asyncio.sleep(base.TOGETHER)

    async def _changes(self, inotify: Inotify) -> list[Change]:
        try:
            async with asyncio.timeout(REFRESH):
                return await inotify.changes()
        except TimeoutError:
            return []

    def _watch(self, inotify: Inotify) -> bool:
        """Watch what is to be watched now; True when a directory is new."""
        paths = frozenset(self._paths())
        if paths != self._known:
            self._known = paths
            self._directories = ancestors(paths) | {TOP}
        fresh = [inotify.watch(self._root + one) for one in sorted(self._directories)]
        return any(fresh)

    def _concerns(self, change: Change) -> bool:
        path = change.path.removeprefix(self._root)
        return not path or path in self._known or path in self._directories


def ancestors(paths: Collection[str]) -> frozenset[str]:
    """Return the directories that ``paths`` lie in, and those that these lie in, without ``/``. Pure."""
    above = (PurePosixPath(path).parents for path in paths)
    return frozenset(str(one) for parents in above for one in parents) - {"/", "."}
