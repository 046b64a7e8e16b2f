# SPDX-License-Identifier: Apache-2.0
"""From an action to the actuator that does it, with the times of both ends."""

from collections.abc import Callable
from typing import assert_never

from tidegate.actuators.attempt import Attempt
from tidegate.actuators.instances import InstanceActuator
from tidegate.actuators.pools import PoolActuator
from tidegate.actuators.satellite import SatelliteActuator
from tidegate.actuators.units import UnitActuator
from tidegate.core.action import (
    AcknowledgeWarning,
    Action,
    Outcome,
    ReconnectSatellite,
    RestartUnit,
    StartInstance,
    StartUnit,
    ValidatePool,
)


class Actuators:
    """Everything that can be done on this host. ``boottime`` gives seconds since boot."""

    def __init__(
        self,
        *,
        pools: PoolActuator,
        instances: InstanceActuator,
        units: UnitActuator,
        satellite: SatelliteActuator,
        boottime: Callable[[], float],
    ) -> None:
        self._pools = pools
        self._instances = instances
        self._units = units
        self._satellite = satellite
        self._boottime = boottime

    async def perform(self, action: Action) -> Outcome:
        """Do ``action`` and return what came of it."""
        began = self._boottime()
        attempt = await self._do(action)
        return Outcome(
            action=action,
            kind=attempt.kind,
            code=attempt.code,
            text=attempt.text,
            started_at=began,
            ended_at=self._boottime(),
            before=attempt.before,
            after=attempt.after,
        )

    async def _do(self, action: Action) -> Attempt:
        match action:
            case ValidatePool():
                return await self._pools.validate(action)
            case StartInstance():
                return await self._instances.start(action)
            case AcknowledgeWarning():
                return await self._instances.acknowledge(action)
            case StartUnit():
                return await self._units.start(action)
            case RestartUnit():
                return await self._units.restart(action)
            case ReconnectSatellite():
                return await self._satellite.reconnect(action)
            case _:
                assert_never(action)
