# SPDX-License-Identifier: Apache-2.0
"""This machine: DRBD's module, programs, the satellite's port, what lies behind storage pools. Reads files only, asks nobody."""

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tidegate.clients import clock as clocks
from tidegate.clients.devices import backing, host, programs
from tidegate.clients.drbd import named
from tidegate.core.evidence import BackingFacts, ClockJump, CommandFacts
from tidegate.core.facts import HostFacts
from tidegate.core.snapshot import Observation, Source
from tidegate.health.host import TOOLS
from tidegate.probes import base

SELDOM: Final = 5.0
"""Seconds between two readings of what changes rarely: programs, mounts, volume groups."""
MODULES_EVERY: Final = 60.0
"""Seconds between two readings of depmod's list, which is long."""
SLOW: Final = 2.0
"""Seconds after which a program that the satellite started is worth telling of."""
JUMP: Final = 2.0
"""Seconds by which the clock has to be set at once to count as a jump; it is slewed all the time."""

_DATABASE: Final = "/var/lib/linstor"
"""Where a controller keeps its data base (facts/linstor.md 2.1)."""
_HIDDEN: Final = ("/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/")  # noqa: S108 - looked at, not used
"""What a sandboxed service does not see as the host does: nothing is said of it."""
_EVENTS: Final = "events2"


class HostProbe:
    """Looks at files under ``root`` ("/" but for tests and the demo)."""

    source = Source.HOST

    def __init__(
        self,
        *,
        root: Path,
        satellite_port: int,
        clock: base.Clock,
        satellite_unit: str = "linstor-satellite.service",
        wall: Callable[[], float] = clocks.wall,
        release: str | None = None,
    ) -> None:
        self._root = root
        self._port = satellite_port
        self._clock = clock
        self._unit = satellite_unit
        self._wall = wall
        self._release = release or os.uname().release
        self._offset: float | None = None
        self._jump: ClockJump | None = None
        self._seldom_at = float("-inf")
        self._modules_at = float("-inf")
        self._storage: Mapping[str, tuple[str, str]] = {}
        self._tools: Mapping[str, bool] = {}
        self._backings: Mapping[str, BackingFacts] = {}
        self._database: str | None = None
        self._drbd_file: str | None = None
        self._named: tuple[str, ...] | None = None

    async def look(self, need: base.Need) -> Observation:
        """Say what is there now. What is read here is the kernel's memory and does not block; what lies on disks is read aside.

        The port is looked up in the kernel's tables: a connection of ours would occupy the satellite.
        """
        now = self._clock()
        version = host.module_version(self._root)
        self._look_at_clock(now)
        if now - self._seldom_at >= SELDOM or need.storage != self._storage:
            await asyncio.to_thread(self._look_seldom, need, now)
        if version is None and now - self._modules_at >= MODULES_EVERY:
            self._modules_at = now
            self._drbd_file = await asyncio.to_thread(programs.drbd_file, self._release, self._root)
        facts = HostFacts(
            drbd_module=version,
            satellite_present=host.satellite_present(self._root),
            satellite_listens=host.port_listening(self._port, self._root),
            drbd_file=self._drbd_file if version is None else None,
            drbd_named=self._named,
            tools=self._tools,
            backings=self._backings,
            satellite_commands=self._commands(now),
            clock_jump=self._jump,
            controller_database=self._database,
        )
        return Observation(source=self.source, at=now, host=facts)

    def _look_seldom(self, need: base.Need, now: float) -> None:
        self._seldom_at, self._storage = now, need.storage
        self._tools = programs.installed(TOOLS, self._root)
        self._named = named.named(self._root)
        mounted = backing.mounts(self._root)
        kinds = {kind for kind, _ in need.storage.values()}
        groups: frozenset[str] = frozenset()
        if any(kind.startswith("LVM") for kind in kinds):
            groups = backing.active_groups(self._root)
        self._backings = {
            name: behind(kind, place, mounted, groups, self._root)
            for name, (kind, place) in sorted(need.storage.items())
        }
        found = backing.mount_of(_DATABASE, mounted)
        self._database = found.device if found and found.point == _DATABASE else None

    def _look_at_clock(self, now: float) -> None:
        offset = self._wall() - now
        before, self._offset = self._offset, offset
        if before is None or abs(offset - before) < JUMP:
            return
        jump = ClockJump(seconds=round(offset - before, 1), at=now)
        if self._jump is None or abs(jump.seconds) > abs(self._jump.seconds):
            self._jump = jump

    def _commands(self, now: float) -> tuple[CommandFacts, ...]:
        running = programs.started_by(self._unit, self._root)
        return tuple(
            CommandFacts(command=one.command, since=one.since)
            for one in running
            if one.command and now - one.since >= SLOW and not is_own(one.command)
        )


def is_own(command: str) -> bool:
    """Return True for what always runs in the satellite's unit: its Java machine and DRBD's stream of events. Pure."""
    program = command.partition(" ")[0].rpartition("/")[2]
    return program == "java" or _EVENTS in command.split()


def behind(
    kind: str,
    place: str,
    mounted: tuple[backing.Mount, ...],
    groups: frozenset[str],
    root: Path = Path("/"),
) -> BackingFacts:
    """Return what lies behind a storage pool of ``kind`` at ``place`` on this host."""
    if kind.startswith("LVM"):
        group = place.partition("/")[0]
        # Without an active volume a group cannot be seen from files: it may be there all the same.
        return BackingFacts(place=group, present=True if group in groups else None)
    if kind.startswith("ZFS"):
        pool = place.partition("/")[0]
        return BackingFacts(place=pool, present=backing.zpool_imported(pool, root))
    mount = backing.mount_of(place, mounted)
    hidden = f"{place}/".startswith(_HIDDEN)
    return BackingFacts(
        place=place,
        present=None if hidden else (root / place.lstrip("/")).is_dir(),
        mount=mount.point if mount is not None and not hidden else None,
        device=mount.device if mount is not None and not hidden else None,
    )
