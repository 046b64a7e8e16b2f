# SPDX-License-Identifier: Apache-2.0
"""Who should run here, and which volumes and pools they need.

While Incus answers, it says so itself; before that the map kept from the last good moment does (docs/architecture.md). With
neither nothing is wanted but the satellite.
"""

import enum
import functools
from collections.abc import Mapping
from typing import Final, TypeVar

import msgspec

from tidegate.core.facts import IncusPhase, InstanceFacts, PoolFacts, WarningFacts
from tidegate.core.ids import InstanceId, PoolName, ResourceName, StoragePoolName, VolumeId
from tidegate.core.snapshot import Fact, Source
from tidegate.core.wanted import WantedInstance, WantedPool
from tidegate.health import intent, mapping
from tidegate.health.intent import Will
from tidegate.health.view import View

T = TypeVar("T")

LINSTOR_DRIVER: Final = "linstor"
_WANTED: Final = frozenset({Will.RUNS, Will.START, Will.STARTING, Will.ODD})
_LEFT: Final = frozenset({Will.NEW, Will.STOPPED})
_SILENT: Final = frozenset({IncusPhase.STOPPED, IncusPhase.STARTING})


class Origin(enum.StrEnum):
    """Where it is known from."""

    INCUS = "incus"
    MAP = "map"
    MEMORY = "memory"
    """Incus said it in this boot, too long ago to be believed for more than this; only used without a map."""
    NOWHERE = "nowhere"


class Want(msgspec.Struct, frozen=True, kw_only=True):
    """An instance of this node with what it needs."""

    id: InstanceId
    wanted: bool
    facts: InstanceFacts | None = None
    left: bool = False
    """It was made, or ran and was stopped, in this boot: nobody wants it started (contract.md safety 7)."""
    given_up: str | None = None
    """Why Incus gave up on it after three tries, if its last start was one of those."""
    volumes: tuple[VolumeId, ...] = ()
    missing: tuple[mapping.Missing, ...] = ()
    pools: tuple[PoolName, ...] = ()


class Wants:
    """All instances of this node, and what follows from them for volumes and pools."""

    def __init__(self, view: View) -> None:
        self.view = view
        snapshot = view.snapshot
        self.incus = _value(view, snapshot.incus)
        # What a daemon said that does not run any more, or starts anew, is not so now.
        speaks = self.incus is None or self.incus.phase not in _SILENT
        self.pools: Mapping[str, PoolFacts] | None = _value(
            view, snapshot.pools if speaks else None
        )
        self._known_pools = snapshot.pools.value if snapshot.pools is not None else {}
        instances = _value(view, snapshot.instances if speaks else None)
        if instances is not None:
            self.origin = Origin.INCUS
            self.all = tuple(
                self._of_incus(facts)
                for facts in sorted(instances.values(), key=lambda facts: facts.id)
                if intent.is_here(facts.location, self.incus)
            )
        elif snapshot.wanted is not None:
            self.origin = Origin.MAP
            self.all = tuple(_of_map(kept) for kept in snapshot.wanted.instances)
        elif snapshot.instances is not None:
            # Incus spoke in this boot and is silent now: who is wanted is remembered, how they are is not known.
            self.origin = Origin.MEMORY
            self.all = tuple(
                msgspec.structs.replace(self._of_incus(facts), facts=None, left=False)
                for facts in sorted(snapshot.instances.value.values(), key=lambda facts: facts.id)
                if intent.is_here(
                    facts.location, snapshot.incus.value if snapshot.incus is not None else None
                )
            )
        else:
            self.origin = Origin.NOWHERE
            self.all = ()

    @functools.cached_property
    def linstor_pools(self) -> Mapping[PoolName, WantedPool]:
        """Pools of Incus that lie on LINSTOR, as far as known: from Incus, else from the map."""
        kept = self.view.snapshot.wanted
        known = {pool.name: pool for pool in kept.pools} if kept else {}
        for pool in self._known_pools.values():
            if pool.driver == LINSTOR_DRIVER and pool.resource_group is not None:
                known[pool.name] = WantedPool(
                    name=pool.name,
                    resource_group=pool.resource_group,
                    volume_prefix=pool.volume_prefix,
                )
        return known

    @functools.cached_property
    def volumes(self) -> Mapping[VolumeId, bool]:
        """Every volume an instance of this node needs, and whether something wanted needs it, in order of id."""
        found: dict[VolumeId, bool] = {}
        for want in self.all:
            for volume in want.volumes:
                found[volume] = found.get(volume, False) or want.wanted
        return dict(sorted(found.items(), key=lambda item: item[0]))

    @functools.cached_property
    def missing(self) -> Mapping[VolumeId, tuple[mapping.Missing, bool]]:
        """Needed volumes that were not found, by their stand-in, and whether something wanted needs them."""
        found: dict[VolumeId, tuple[mapping.Missing, bool]] = {}
        for want in self.all:
            for miss in want.missing:
                before = found.get(miss.stand_in)
                found[miss.stand_in] = (miss, want.wanted or (before is not None and before[1]))
        return found

    @functools.cached_property
    def wanted_resources(self) -> frozenset[ResourceName]:
        """Resources of wanted volumes."""
        return frozenset(volume.resource for volume, wanted in self.volumes.items() if wanted)

    @functools.cached_property
    def wanted_pools(self) -> frozenset[PoolName]:
        """Pools of Incus that something wanted needs."""
        return frozenset(pool for want in self.all if want.wanted for pool in want.pools)

    @functools.cached_property
    def storage_pools_of(self) -> Mapping[PoolName, tuple[StoragePoolName, ...]]:
        """LINSTOR's storage pools under the wanted volumes of each pool of Incus."""
        found: dict[PoolName, set[StoragePoolName]] = {}
        for want in self.all:
            if not want.wanted:
                continue
            for volume in want.volumes:
                pool, place = self.pool_of(volume, want), self.view.placed_here(volume.resource)
                if pool is not None and place is not None and place.storage_pool is not None:
                    found.setdefault(pool, set()).add(place.storage_pool)
        return {pool: tuple(sorted(names)) for pool, names in found.items()}

    def pool_of(self, volume: VolumeId, want: Want) -> PoolName | None:
        """Return the pool of Incus in which ``volume``, needed by ``want``, lies."""
        definition = self.view.definitions.get(volume.resource)
        if definition is not None:
            for name in want.pools:
                pool = self.linstor_pools.get(name)
                if pool is not None and pool.resource_group == definition.resource_group:
                    return name
        kept = self.view.remembered.get(volume)
        return kept.pool if kept is not None else None

    def _of_incus(self, facts: InstanceFacts) -> Want:
        clock = intent.clock_of(self.view.snapshot)
        will = intent.will(facts, incus=self.incus, clock=clock, failures=self._failures)
        wanted = will in _WANTED
        pools = tuple(sorted({need.pool for need in facts.needs if need.required}))
        volumes: list[VolumeId] = []
        missing: list[mapping.Missing] = []
        if wanted or facts.autostart != "false":
            self._resolve(facts, volumes, missing)
        return Want(
            id=facts.id,
            wanted=wanted,
            facts=facts,
            left=will in _LEFT,
            given_up=intent.start_failed(facts, clock=clock, failures=self._failures),
            volumes=tuple(sorted(set(volumes))),
            missing=tuple(missing),
            pools=pools,
        )

    def _resolve(
        self, facts: InstanceFacts, volumes: list[VolumeId], missing: list[mapping.Missing]
    ) -> None:
        """Add the volumes of ``facts`` that were found, from the map where LINSTOR could not be asked, and the others."""
        kept = self._kept.get(facts.id)
        for need in facts.needs:
            pool = self.linstor_pools.get(need.pool)
            if pool is None or not need.required:
                continue
            found = mapping.resolve(need, pool, self.view)
            if not isinstance(found, mapping.Missing):
                volumes.extend(found.volumes)
            elif found.miss is mapping.Miss.NOT_KNOWN and kept is not None and kept.volumes:
                volumes.extend(kept.volumes)
            else:
                missing.append(found)

    @functools.cached_property
    def _kept(self) -> Mapping[InstanceId, WantedInstance]:
        kept = self.view.snapshot.wanted
        return {instance.id: instance for instance in kept.instances} if kept else {}

    @functools.cached_property
    def _failures(self) -> Mapping[InstanceId, WarningFacts]:
        """What Incus gave up on in its own pass, on this member (facts/incus.md A8)."""
        fact = self.view.snapshot.warnings
        return {} if fact is None else intent.failures_of(fact.value, self.incus)


def _of_map(kept: WantedInstance) -> Want:
    return Want(id=kept.id, wanted=True, volumes=kept.volumes, pools=kept.pools)


def _value(view: View, fact: Fact[T] | None) -> T | None:
    return fact.value if fact is not None and view.is_fresh(fact, Source.INCUS) else None
