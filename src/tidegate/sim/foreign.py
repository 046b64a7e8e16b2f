# SPDX-License-Identifier: Apache-2.0
"""Incus's pool on a storage that is not LINSTOR's and may be away (Ceph first): Incus's own minute mounts it again (facts/incus.md D35)."""

from tidegate.sim.faults import FaultKind
from tidegate.sim.linstor.world import LinstorWorld
from tidegate.sim.storage import Done, Failed, IncusVolume, Reply


class ForeignFront:
    """One pool of another driver, as Incus meets it."""

    def __init__(self, world: LinstorWorld, pool: str) -> None:
        self._world = world
        self._pool = pool

    def restarted(self) -> None:
        """Keep nothing: there is nothing to keep."""

    def load_driver(self) -> Failed | None:
        """Load it: its programs are there."""
        return None

    def mount_pool(self) -> Reply:
        """Ask the monitors."""
        return self._asked("Failed to run: ceph --name client.admin --cluster ceph osd pool get")

    def list_volumes(self) -> Reply:
        """Never asked: only LINSTOR's pools are validated by us."""
        return Done()

    def prepare_volume(self, volume: IncusVolume) -> Reply:
        """Map the volume's image."""
        return self._asked(f"Failed to run: rbd --id admin --pool {volume.pool} map {volume.name}")

    def _asked(self, text: str) -> Reply:
        if self._world.fault(FaultKind.FOREIGN_AWAY, self._pool) is None:
            return Done(took=0.1)
        return Failed(text=f"{text}: exit status 110 (Connection timed out)", unavailable=True)
