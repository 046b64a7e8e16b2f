# SPDX-License-Identifier: Apache-2.0
"""Incus's way to LINSTOR with our guard on it, as far as local truth goes: what it answers while no controller can be asked.

The product's own decisions (:mod:`tidegate.recovery.local_truth`) on what the simulated agent knows at that moment.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from tidegate.core.facts import GuardFacts
from tidegate.core.finding import Report
from tidegate.core.ids import ResourceName
from tidegate.core.snapshot import Liveness, Observation, Snapshot, Source
from tidegate.recovery import local_truth
from tidegate.sim.linstor.front import LinstorFront
from tidegate.sim.linstor.world import LinstorWorld
from tidegate.sim.storage import ContentType, Done, IncusVolume, Reply, VolumeKind

ANSWERS: Final = GuardFacts(answers=True, local_truth=True)


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What the agent knows when the guard asks it."""

    snapshot: Snapshot
    report: Report
    leased: bool
    """Recovery wants a pool mounted."""

    @property
    def is_alone(self) -> bool:
        """No controller can be asked."""
        return self.snapshot.source(Source.LINSTOR).liveness is Liveness.LOST


class GuardedFront(LinstorFront):
    """A pool whose Incus asks the guard first. ``ask`` gives what the agent knows; None while there is no agent."""

    def __init__(self, world: LinstorWorld, ask: Callable[[], Known | None], *, pool: str) -> None:
        super().__init__(world, pool=pool)
        self._ask_agent = ask

    def mount_pool(self) -> Reply:
        """Answer for the node if it may be mounted, and have all go its way otherwise."""
        known = self._known("pool")
        if known is None:
            return super().mount_pool()
        ready = local_truth.may_mount(known.snapshot, known.report, leased=known.leased)
        return self.load_driver() or (Done() if ready else super().mount_pool())

    def list_volumes(self) -> Reply:
        """Show all resource definitions as they were kept."""
        return super().list_volumes() if self._known("list") is None else Done()

    def prepare_volume(self, volume: IncusVolume) -> Reply:
        """Name the kernel's device if it may be used, and have all go its way otherwise."""
        known = self._known(f"{volume.kind}/{volume.name}/{volume.content}")
        if known is None:
            return super().prepare_volume(volume)
        found = (
            local_truth.devices(known.snapshot, known.report, ResourceName(definition.name))
            for definition in self.world.store.data.definitions.values()
            if definition.props.get("Aux/Incus/name") == f"{self.prefix}{volume.name}"
            and definition.props.get("Aux/Incus/type") == volume.kind
        )
        is_config = volume.kind is VolumeKind.VIRTUAL_MACHINES
        number = int(is_config and volume.content is ContentType.FILESYSTEM)
        path = next(found, {}).get(str(number))
        return super().prepare_volume(volume) if path is None else self._use(volume, path)

    def _known(self, key: str) -> Known | None:
        """Return what the agent knows, where that decides; a call that is on its way already ends as it may."""
        known = self._ask_agent()
        return known if known is not None and known.is_alone and key not in self._pending else None


def seen(at: float) -> Observation:
    """Return what the agent's probe says of the guard."""
    return Observation(source=Source.GUARD, at=at, guard=ANSWERS)
