# SPDX-License-Identifier: Apache-2.0
"""Start a unit that should run, and restart Incus (facts/incus.md U2-U5, U43-U45)."""

import asyncio
from collections.abc import Callable
from typing import Final

from tidegate.actuators import attempt
from tidegate.actuators.attempt import Attempt
from tidegate.clients import errors
from tidegate.clients.incus.client import IncusClient, Ready
from tidegate.clients.linstor.client import LinstorClient
from tidegate.clients.systemd.manager import Manager, ManagerState, Unit
from tidegate.core import ids
from tidegate.core.action import RestartUnit, StartUnit
from tidegate.core.ids import NodeName, UnitName
from tidegate.probes import systemd

STARTS_WITHIN: Final = 5.0
"""Seconds in which a unit must have left the state that it was started from."""
RESTARTS_WITHIN: Final = 330.0
"""Seconds for a restart of Incus: its daemon may wait 300 s for what goes on, and be killed after 330 (facts/incus.md U41, U43)."""
LOOK_EVERY: Final = 0.25
_DOWN: Final = frozenset({"inactive", "failed"})


class UnitActuator:
    """Starts and restarts units through systemd's manager; None where this host has no systemd."""

    def __init__(
        self,
        manager: Manager | None,
        *,
        incus: IncusClient | None = None,
        linstor: Callable[[], LinstorClient] | None = None,
        node: Callable[[], NodeName] | None = None,
        starts_within: float = STARTS_WITHIN,
        pause: float = LOOK_EVERY,
    ) -> None:
        self._manager = manager
        self._incus = incus
        self._linstor = linstor
        self._node = node
        self._starts_within = starts_within
        self._pause = pause

    async def start(self, action: StartUnit) -> Attempt:
        """Do ``action``, if the unit is still down in the same way and no shutdown has begun."""
        if self._manager is None:
            return attempt.void("unit.no-systemd", "this host has no systemd to ask")
        try:
            if await self._manager.state() is ManagerState.STOPPING:
                return _SHUTDOWN
            unit = await self._manager.unit(action.unit)
        except errors.ClientError as error:
            return attempt.of_trouble(error, sent=False)
        before = unit.active_state
        # Incus is started if nothing ever did; a satellite that somebody stopped is inactive, and stays so.
        lost = systemd.facts(unit, shift=0.0).lost_its_start
        startable = "failed" if action.subject == ids.SATELLITE and not lost else "inactive"
        if before != startable:
            text = f"{action.unit} is {before} by now"
            return attempt.seen(attempt.void(f"unit.not-{startable}", text), before=before)
        try:
            await self._manager.start_unit(action.unit)
        except errors.ClientError as error:
            return attempt.seen(attempt.of_trouble(error, sent=True), before=before)
        after = await self._until(action.unit, lambda now: now.active_state not in _DOWN)
        if after is None:
            text = f"systemd was asked to start {action.unit}, and it is still down: journalctl -b -u {action.unit}"
            return attempt.seen(attempt.failed("unit.not-started", text), before=before)
        done = attempt.done("unit.started", f"systemd starts {action.unit}")
        return attempt.seen(done, before=before, after=after.active_state)

    async def restart(self, action: RestartUnit) -> Attempt:
        """Do ``action``, if Incus is ready, does nothing, and has its controller; wait for its new process."""
        if self._manager is None or self._incus is None:
            return attempt.void("unit.no-systemd", "this host has no systemd to ask")
        try:
            if await self._manager.state() is ManagerState.STOPPING:
                return _SHUTDOWN
            unit = await self._manager.unit(action.unit)
            refusal = await self._in_the_way(unit, self._incus)
            if refusal is not None:
                return attempt.seen(refusal, before=unit.active_state)
        except errors.ClientError as error:
            return attempt.of_trouble(error, sent=False)
        before = f"{unit.active_state}, pid {unit.main_pid}"
        try:
            await self._manager.restart_unit(action.unit)
        except errors.ClientError as error:
            return attempt.seen(attempt.of_trouble(error, sent=True), before=before)
        after = await self._until(
            action.unit,
            lambda now: now.main_pid not in {0, unit.main_pid},
            within=RESTARTS_WITHIN,
        )
        if after is None:
            text = f"systemd was asked to restart {action.unit}, and no new process was seen"
            return attempt.seen(attempt.failed("unit.not-restarted", text), before=before)
        done = attempt.done("incus.restarted", f"{action.unit} was restarted")
        return attempt.seen(
            done, before=before, after=f"{after.active_state}, pid {after.main_pid}"
        )

    async def _in_the_way(self, unit: Unit, incus: IncusClient) -> Attempt | None:
        """Return why Incus must not be restarted now, or None (facts/incus.md U43, U45)."""
        if unit.active_state != "active" or unit.job is not None:
            return attempt.void("unit.not-active", f"{unit.name} is {unit.active_state} by now")
        if await incus.ready() is not Ready.READY:
            return attempt.void("incus.not-ready", "Incus is still in its own first pass")
        if self._linstor is not None and self._node is not None:
            node = await self._linstor().node(self._node())
            if node.connection_status != "ONLINE":
                text = f"the satellite is {node.connection_status} again"
                return attempt.void("satellite.not-online", text)
        if going := await incus.operations():
            text = f"{going} of Incus's operations go on; a restart would cut them off"
            return attempt.void("incus.busy", text)
        return None

    async def _until(
        self, name: UnitName, reached: Callable[[Unit], bool], *, within: float | None = None
    ) -> Unit | None:
        """Return the unit once ``reached``; None when that does not come in time."""
        assert self._manager is not None
        try:
            async with asyncio.timeout(within or self._starts_within):
                while True:
                    try:
                        unit = await self._manager.unit(name)
                    except errors.ClientError:
                        unit = None
                    if unit is not None and reached(unit):
                        return unit
                    await asyncio.sleep(self._pause)
        except TimeoutError:
            return None


_SHUTDOWN: Final = attempt.void("unit.shutdown", "the host is shutting down; nothing is started")
