# SPDX-License-Identifier: Apache-2.0
"""All that is known at one moment: every fact with its source and age, and which sources are alive.

A :class:`Snapshot` is never changed; :func:`apply` returns the next one. It can be written as JSON and judged elsewhere.
"""

import enum
from collections.abc import Mapping
from typing import Generic, TypeVar

import msgspec

from tidegate.core import wanted as wanted_map
from tidegate.core.drbd import DrbdResource
from tidegate.core.evidence import JournalFacts, NetworkFacts
from tidegate.core.facts import (
    ControllerFacts,
    DefinitionFacts,
    DeviceFacts,
    GuardFacts,
    HostFacts,
    IncusFacts,
    InstanceFacts,
    NodeFacts,
    PlacementFacts,
    PoolFacts,
    StoragePoolFacts,
    UnitFacts,
    WarningFacts,
)
from tidegate.core.ids import BootId, NodeName
from tidegate.core.trouble import Trouble

T = TypeVar("T")


class Source(enum.StrEnum):
    """Where facts come from. Each is observed on its own; a hung one delays no other."""

    HOST = "host"
    SYSTEMD = "systemd"
    LINSTOR = "linstor"
    DRBD = "drbd"
    DEVICES = "devices"
    INCUS = "incus"
    NETWORK = "network"
    """Whether peers that are not connected can be reached."""
    JOURNAL = "journal"
    """The satellite's own lines, and the kernel's about DRBD."""
    GUARD = "guard"
    """Our own guard between Incus and the controllers."""

    @property
    def is_optional(self) -> bool:
        """True for sources that only explain: without them every other fact is worth as much."""
        return self in {Source.NETWORK, Source.JOURNAL, Source.GUARD}


class Liveness(enum.StrEnum):
    """Whether a source can be believed now."""

    NEW = "new"
    """Nothing was heard of it yet."""
    UP = "up"
    STARTING = "starting"
    """It is there and does not answer yet, as it should be (Incus while incusd starts: facts/incus.md C3)."""
    LOST = "lost"
    OFF = "off"
    """This host does not have it, or it was switched off by configuration."""


class SourceState(msgspec.Struct, frozen=True, kw_only=True):
    """How a source is, since when, and when it last answered (seconds since boot)."""

    liveness: Liveness = Liveness.NEW
    since: float = 0.0
    answered_at: float | None = None
    trouble: Trouble | None = None


class Fact(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A value, who said so, when it was last confirmed, and since when it has been like this (seconds since boot)."""

    value: T
    source: Source
    at: float
    since: float

    def age(self, now: float) -> float:
        """Return the seconds since it was last confirmed."""
        return max(0.0, now - self.at)


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What one source said at one moment. None means "not looked at this time", an empty mapping "nothing there".

    ``placements`` and ``devices`` are added to what is known, entry by entry (an empty tuple of placements: the resource is
    gone); every other section replaces what was known.
    """

    source: Source
    at: float
    liveness: Liveness = Liveness.UP
    trouble: Trouble | None = None
    host: HostFacts | None = None
    units: Mapping[str, UnitFacts] | None = None
    controller: ControllerFacts | None = None
    nodes: Mapping[str, NodeFacts] | None = None
    storage_pools: Mapping[str, StoragePoolFacts] | None = None
    definitions: Mapping[str, DefinitionFacts] | None = None
    placements: Mapping[str, tuple[PlacementFacts, ...]] | None = None
    drbd: Mapping[str, DrbdResource] | None = None
    devices: Mapping[str, DeviceFacts] | None = None
    incus: IncusFacts | None = None
    pools: Mapping[str, PoolFacts] | None = None
    instances: Mapping[str, InstanceFacts] | None = None
    warnings: tuple[WarningFacts, ...] | None = None
    network: NetworkFacts | None = None
    journal: JournalFacts | None = None
    guard: GuardFacts | None = None


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything known at ``at``. Sections are None until first observed.

    Keys: ``units`` by unit name; ``nodes`` by node; ``storage_pools`` of this node by name; ``definitions``, ``placements``
    (of all nodes) and ``drbd`` by resource; ``devices`` by ``RD/NR``; ``pools`` by name; ``instances`` by ``PROJECT/NAME``.
    """

    at: float
    boot_id: BootId
    boot_wall: float
    """Seconds since the epoch at which this boot began, as the wall clock says now."""
    node: NodeName
    """This node, in LINSTOR's naming."""
    sources: Mapping[str, SourceState] = {}
    host: Fact[HostFacts] | None = None
    units: Fact[Mapping[str, UnitFacts]] | None = None
    controller: Fact[ControllerFacts] | None = None
    nodes: Fact[Mapping[str, NodeFacts]] | None = None
    storage_pools: Fact[Mapping[str, StoragePoolFacts]] | None = None
    definitions: Fact[Mapping[str, DefinitionFacts]] | None = None
    placements: Mapping[str, Fact[tuple[PlacementFacts, ...]]] = {}
    drbd: Fact[Mapping[str, DrbdResource]] | None = None
    devices: Mapping[str, Fact[DeviceFacts]] = {}
    incus: Fact[IncusFacts] | None = None
    pools: Fact[Mapping[str, PoolFacts]] | None = None
    instances: Fact[Mapping[str, InstanceFacts]] | None = None
    warnings: Fact[tuple[WarningFacts, ...]] | None = None
    network: Fact[NetworkFacts] | None = None
    journal: Fact[JournalFacts] | None = None
    guard: Fact[GuardFacts] | None = None
    wanted: wanted_map.WantedMap | None = None
    """The map kept from the last good moment: what is wanted before incusd can be asked."""

    def source(self, source: Source) -> SourceState:
        """Return the state of a source; NEW when nothing was heard of it."""
        return self.sources.get(source) or SourceState()


SECTIONS = (
    "host",
    "units",
    "controller",
    "nodes",
    "storage_pools",
    "definitions",
    "drbd",
    "incus",
    "pools",
    "instances",
    "warnings",
    "network",
    "journal",
    "guard",
)
"""The sections that hold one fact each, in the order of the chain."""


def apply(snapshot: Snapshot, seen: Observation) -> Snapshot:
    """Return the snapshot after ``seen``. ``since`` of a fact survives as long as its value stays the same."""
    changes: dict[str, object] = {"at": max(snapshot.at, seen.at)}
    for section in SECTIONS:
        value = getattr(seen, section)
        if value is not None:
            changes[section] = _fact(getattr(snapshot, section), value, seen)
    if seen.placements is not None:
        merged = dict(snapshot.placements)
        for resource, placements in seen.placements.items():
            if placements:
                merged[resource] = _fact(merged.get(resource), placements, seen)
            else:
                merged.pop(resource, None)
        changes["placements"] = merged
    if seen.devices is not None:
        changes["devices"] = dict(snapshot.devices) | {
            key: _fact(snapshot.devices.get(key), device, seen)
            for key, device in seen.devices.items()
        }
    changes["sources"] = dict(snapshot.sources) | {
        seen.source: _state(snapshot.source(seen.source), seen)
    }
    return msgspec.structs.replace(snapshot, **changes)


def _fact(before: Fact[T] | None, value: T, seen: Observation) -> Fact[T]:
    since = before.since if before is not None and before.value == value else seen.at
    return Fact(value=value, source=seen.source, at=seen.at, since=since)


def _state(before: SourceState, seen: Observation) -> SourceState:
    same = before.liveness is seen.liveness
    return SourceState(
        liveness=seen.liveness,
        since=before.since if same else seen.at,
        answered_at=seen.at if seen.liveness is Liveness.UP else before.answered_at,
        trouble=seen.trouble,
    )
