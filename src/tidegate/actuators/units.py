# SPDX-License-Identifier: Apache-2.0
"""Start a unit that should run and was never started in this boot (facts/incus.md U2-U5)."""

from tidegate.actuators import attempt
from tidegate.actuators.attempt import Attempt
from tidegate.clients import errors
from tidegate.clients.systemd.manager import Manager, ManagerState
from tidegate.core.action import StartUnit


class UnitActuator:
    """Starts units through systemd's manager; None where this host has no systemd."""

    def __init__(self, manager: Manager | None) -> None:
        self._manager = manager

    async def start(self, action: StartUnit) -> Attempt:
        """Do ``action``, if the unit is still inactive and no shutdown has begun."""
        if self._manager is None:
            return attempt.void("unit.no-systemd", "this host has no systemd to ask")
        try:
            if await self._manager.state() is ManagerState.STOPPING:
                return attempt.void(
                    "unit.shutdown", "the host is shutting down; nothing is started"
                )
            unit = await self._manager.unit(action.unit)
            if unit.active_state != "inactive":
                return attempt.void(
                    "unit.not-inactive", f"{action.unit} is {unit.active_state} by now"
                )
            await self._manager.start_unit(action.unit)
        except errors.ClientError as error:
            return attempt.of_trouble(error, sent=True)
        return attempt.done("unit.start-queued", f"systemd was asked to start {action.unit}")
