# SPDX-License-Identifier: Apache-2.0
"""The snapshot as the layers look at it: what can be believed, and indexes made once for a judgement."""

import enum
import functools
from collections.abc import Mapping
from typing import Any, Final

from tidegate.config.policy import HealthPolicy
from tidegate.core.drbd import DrbdResource
from tidegate.core.evidence import JournalFacts, NetworkFacts
from tidegate.core.facts import (
    DefinitionFacts,
    NodeFacts,
    PlacementFacts,
    StoragePoolFacts,
    UnitFacts,
)
from tidegate.core.ids import NodeName, ResourceName, VolumeId
from tidegate.core.snapshot import Fact, Liveness, Snapshot, Source
from tidegate.core.wanted import WantedVolume

ONLINE: Final = "ONLINE"
SATELLITE_UNIT: Final = "linstor-satellite.service"
INCUS_UNIT: Final = "incus.service"


class Belief(enum.StrEnum):
    """What a fact is worth now."""

    FRESH = "fresh"
    STALE = "stale"
    ABSENT = "absent"
    """The source answers, and has not said this yet."""
    NEW = "new"
    """The source has not been heard of yet."""
    STARTING = "starting"
    LOST = "lost"
    OFF = "off"


_OF_LIVENESS: Final = {
    Liveness.NEW: Belief.NEW,
    Liveness.STARTING: Belief.STARTING,
    Liveness.LOST: Belief.LOST,
    Liveness.OFF: Belief.OFF,
}


class View:
    """A snapshot, the policy and what was looked up in it. Made for one judgement, never changed."""

    def __init__(self, snapshot: Snapshot, policy: HealthPolicy) -> None:
        self.snapshot = snapshot
        self.policy = policy
        self.now = snapshot.at
        self.node = snapshot.node
        self._liveness = {source: snapshot.source(source).liveness for source in Source}
        self.definitions_fresh = self.is_fresh(snapshot.definitions, Source.LINSTOR)

    # --- what can be believed ----------------------------------------------------------------

    def belief(self, fact: Fact[Any] | None, source: Source) -> Belief:
        """Return what ``fact`` of ``source`` is worth."""
        belief = _OF_LIVENESS.get(self._liveness[source])
        if belief is not None:
            return belief
        if fact is None:
            return Belief.ABSENT
        return Belief.STALE if self.age(fact) > self.policy.stale_after else Belief.FRESH

    def is_fresh(self, fact: Fact[Any] | None, source: Source) -> bool:
        """Return True when ``fact`` can be believed."""
        return self.belief(fact, source) is Belief.FRESH

    def liveness(self, source: Source) -> Liveness:
        """Return how ``source`` is."""
        return self._liveness[source]

    def age(self, fact: Fact[Any] | None) -> float:
        """Return the age of ``fact`` in seconds, 0 for none."""
        return 0.0 if fact is None else fact.age(self.now)

    def lasts(self, since: float | None) -> float:
        """Return for how many seconds it has been so."""
        return 0.0 if since is None else max(0.0, self.now - since)

    @property
    def linstor_gone(self) -> bool:
        """True when no controller can be asked: local truth has to do."""
        return self._liveness[Source.LINSTOR] in {Liveness.LOST, Liveness.OFF}

    def reachable(self, peer: str) -> bool | None:
        """Return whether the machine of ``peer`` answers; None when nobody tried, or this host's own network is not in order."""
        reach = None if self.network is None else self.network.peers.get(NodeName(peer))
        return None if reach is None else reach.reachable

    # --- looked up once ----------------------------------------------------------------------

    @functools.cached_property
    def nodes(self) -> Mapping[str, NodeFacts] | None:
        """All nodes as the controller shows them; None when that cannot be believed."""
        fact = self.snapshot.nodes
        if fact is None or not self.is_fresh(fact, Source.LINSTOR):
            return None
        return fact.value

    def node_called(self, name: str) -> NodeFacts | None:
        """Return the node that DRBD, or LINSTOR, calls ``name``: the case of the two may differ, LINSTOR takes any for the same."""
        return (self.nodes or {}).get(name) or self._nodes_by_fold.get(name.casefold())

    @functools.cached_property
    def _nodes_by_fold(self) -> Mapping[str, NodeFacts]:
        return {name.casefold(): facts for name, facts in (self.nodes or {}).items()}

    @functools.cached_property
    def is_online(self) -> bool:
        """True when the controller shows this node as ONLINE, and can be believed."""
        this = (self.nodes or {}).get(self.node)
        return this is not None and this.connection_status == ONLINE

    @functools.cached_property
    def drbd(self) -> Mapping[str, DrbdResource] | None:
        """DRBD's resources from this node's kernel; None when that cannot be believed."""
        fact = self.snapshot.drbd
        if fact is None or not self.is_fresh(fact, Source.DRBD):
            return None
        return fact.value

    @functools.cached_property
    def network(self) -> NetworkFacts | None:
        """What was tried of the network; None when that cannot be believed."""
        fact = self.snapshot.network
        return fact.value if fact is not None and self.is_fresh(fact, Source.NETWORK) else None

    @functools.cached_property
    def journal(self) -> JournalFacts:
        """What the journal told in this boot, also some time ago: a line that was written stays written."""
        fact = self.snapshot.journal
        return JournalFacts() if fact is None else fact.value

    @functools.cached_property
    def storage_pools(self) -> Mapping[str, StoragePoolFacts] | None:
        """This node's storage pools; None when that cannot be believed."""
        fact = self.snapshot.storage_pools
        if fact is None or not self.is_fresh(fact, Source.LINSTOR):
            return None
        return fact.value

    @functools.cached_property
    def definitions(self) -> Mapping[str, DefinitionFacts]:
        """Resource definitions, also old ones: what a resource is called never changes."""
        fact = self.snapshot.definitions
        return {} if fact is None else fact.value

    @functools.cached_property
    def by_identity(self) -> Mapping[tuple[str, str, str], tuple[ResourceName, ...]]:
        """Resources by (Aux/Incus/name, Aux/Incus/type, resource group), as Incus looks them up (facts/incus.md L25)."""
        index: dict[tuple[str, str, str], tuple[ResourceName, ...]] = {}
        for name, definition in self.definitions.items():
            if definition.aux_name is None or definition.aux_type is None:
                continue
            key = (definition.aux_name, definition.aux_type, definition.resource_group)
            index[key] = (*index.get(key, ()), ResourceName(name))
        return index

    @functools.cached_property
    def remembered(self) -> Mapping[VolumeId, WantedVolume]:
        """The volumes of the kept map."""
        kept = self.snapshot.wanted
        return {} if kept is None else {volume.id: volume for volume in kept.volumes}

    def placed_here(self, resource: str) -> PlacementFacts | None:
        """Return the placement on this node as last heard, fresh or not; None when there is none."""
        fact = self.snapshot.placements.get(resource)
        if fact is None:
            return None
        return next((place for place in fact.value if place.node == self.node), None)

    def unit(self, name: str) -> UnitFacts | None:
        """Return a unit as systemd shows it now; None when that is not known."""
        fact = self.snapshot.units
        if fact is None or not self.is_fresh(fact, Source.SYSTEMD):
            return None
        return fact.value.get(name)

    @functools.cached_property
    def is_coming_up(self) -> bool:
        """True while trouble with devices is a normal part of coming up: some time after boot or the satellite's connect."""
        if self.now < self.policy.wait_grace or not self.is_online:
            return True
        assert self.snapshot.nodes is not None
        return self.lasts(self.snapshot.nodes.since) < self.policy.wait_grace
