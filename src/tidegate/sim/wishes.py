# SPDX-License-Identifier: Apache-2.0
"""Who should run on the simulated node, by the models' truth: what Incus would start at boot, less what people have said since."""

from typing import Final

from tidegate.core.ids import InstanceId
from tidegate.sim.incus.model import IncusModel
from tidegate.sim.incus.world import should_autostart

HOPELESS: Final = 10
"""So many late failures in store: it never starts by its own fault, and nobody is blamed for that."""


class Wishes:
    """What people want, as it changes."""

    def __init__(self, incus: IncusModel) -> None:
        self._incus = incus
        self.stopped: set[InstanceId] = set()
        """A user, or the guest, has stopped it."""
        self.forbidden: set[InstanceId] = set()
        """A user has said that it shall not start by itself."""
        self.tried: set[InstanceId] = set()
        """A user has tried to start it: how that ended is the user's matter."""
        self.memory_lost = False
        """Whoever knew that a start of this boot had failed, and was no stop, is gone."""

    def expected(self) -> list[InstanceId]:
        """Return who should run here and was not stopped by somebody's will."""
        return [
            record.id
            for record in self._incus.world.local_instances
            if record.id not in self.stopped | self.forbidden
            and record.spec.late_failures < HOPELESS
            and should_autostart({**record.spec.profile_config, **record.at_boot})
        ]

    def is_forgotten(self, who: InstanceId) -> bool:
        """What fails late looks as if a user had stopped it (facts/incus.md A21), once whoever knew better is gone."""
        # Incus's own attempt failed late, and the next one was dropped without a warning (A7), or incusd died before it could
        # leave one: nothing is left that tells.
        dropped = who in self._incus.world.dropped
        died = self._incus.units.service.restarts > 0
        lost = self.memory_lost or who in self.tried or dropped or died
        return lost and self._incus.instance(who).spec.late_failures > 0
