# SPDX-License-Identifier: Apache-2.0
"""The units that Incus and LINSTOR run in, as systemd's manager shows them. Asking starts nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from tidegate.clients import clock as clocks
from tidegate.clients import errors, files
from tidegate.clients.systemd.manager import Manager, Unit
from tidegate.config import environment
from tidegate.core.facts import UnitFacts
from tidegate.core.ids import UnitName
from tidegate.core.snapshot import Liveness, Observation, Source
from tidegate.probes import base

LIMIT: Final = 5.0
BOOTED: Final = Path("/run/systemd/system")
"""Exists where systemd is the manager (``man sd_booted``)."""

_RUNNING: Final = frozenset({"active", "reloading", "refreshing"})
_ENABLED: Final = frozenset({"enabled", "enabled-runtime", "alias", "generated"})
"""What ``UnitFileState`` is of a unit that somebody wants at every boot."""


class SystemdProbe:
    """Asks ``manager`` for ``units``; with None this host has no systemd, or it is switched off.

    ``on_units`` is told each answer whole: the environment of ``incus.service`` is configuration for us.
    """

    source = Source.SYSTEMD

    def __init__(
        self,
        manager: Manager | None,
        *,
        units: Sequence[str],
        clock: base.Clock,
        on_units: Callable[[Mapping[str, Unit]], None] = lambda units: None,  # noqa: ARG005
    ) -> None:
        self._manager = manager
        self._units = tuple(dict.fromkeys(units))
        self._clock = clock
        self._on_units = on_units

    async def look(self, need: base.Need) -> Observation:  # noqa: ARG002 - a probe's signature
        """Say how every unit is now. A unit that does not exist is one of the answers."""
        if self._manager is None:
            return base.silent(self.source, self._clock(), Liveness.OFF)
        look = self._look(self._manager)
        return await base.bounded(self.source, self._clock, look, limit=LIMIT)

    async def _look(self, manager: Manager) -> Observation:
        calls = base.Calls(self.source, at_once=len(self._units), limit=LIMIT)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(calls.ask(_unit(manager, name))) for name in self._units]
        if calls.troubles:
            # Half an answer is none: a unit left out would look as if it were not known to systemd.
            trouble = calls.troubles[0]
            off = trouble.code == "systemd.absent"
            liveness = Liveness.OFF if off else Liveness.LOST
            return base.silent(self.source, self._clock(), liveness, trouble)
        told = {unit.name: unit for task in tasks if (unit := task.result()) is not None}
        self._on_units(told)
        shift = _shift(self._clock)
        units = {name: facts(unit, shift=shift) for name, unit in told.items()}
        return Observation(source=self.source, at=self._clock(), units=units)


def asker(manager: Manager, name: str, *, clock: base.Clock) -> Callable[[], Awaitable[UnitFacts]]:
    """Return what asks for the unit ``name`` as it is at the moment of the call. It raises ClientError."""

    async def ask() -> UnitFacts:
        return facts(await _unit(manager, name), shift=_shift(clock))

    return ask


def facts(unit: Unit, *, shift: float) -> UnitFacts:
    """Return a unit as facts. ``shift`` (seconds) turns systemd's CLOCK_MONOTONIC into seconds since boot. Pure."""
    started = unit.active_enter if unit.active_state in _RUNNING else None
    ended = max((at for at in (unit.active_exit, unit.inactive_enter) if at), default=None)
    return UnitFacts(
        name=UnitName(unit.name),
        load_state=unit.load_state,
        active_state=unit.active_state,
        sub_state=unit.sub_state,
        result=unit.result or "success",
        restarts=unit.restarts,
        type=unit.type,
        active_since=None if started is None else started + shift,
        inactive_since=None if ended is None else ended + shift,
        enabled=unit.unit_file_state in _ENABLED,
        has_job=unit.job is not None,
    )


def variables(unit: Unit) -> dict[str, str]:
    """Return the environment that systemd gives a service: ``Environment=``, then each ``EnvironmentFile=`` over it.

    Reads the files; one that cannot be read is left out, as systemd does with those marked by "-".
    """
    found = environment.parse_assignments(unit.environment)
    for pattern, _ in unit.environment_files:
        path = Path(pattern)
        paths = sorted(path.parent.glob(path.name)) if "*" in path.name else [path]
        for file in paths:
            try:
                found |= environment.parse_file(files.read_text(file))
            except errors.ClientError:
                continue
    return found


async def _unit(manager: Manager, name: str) -> Unit:
    try:
        return await manager.unit(name)
    except errors.ClientError as error:
        if error.code != "systemd.no-such-unit":
            raise
        return Unit(name=name, load_state="not-found", active_state="inactive", sub_state="dead")


def _shift(clock: base.Clock) -> float:
    """Return what must be added to CLOCK_MONOTONIC: it stands still while the machine sleeps."""
    return clock() - clocks.monotonic_usec() / 1e6
