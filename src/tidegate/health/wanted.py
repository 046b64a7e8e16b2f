# SPDX-License-Identifier: Apache-2.0
"""The map of what should run here, drawn at a good moment and kept for the next boot (core.wanted).

Drawn only while Incus is ready and what it says is fresh: a map drawn while instances are being stopped or moved would forget
them. What a volume holds is remembered only while it is ready; else what was remembered before stays.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import msgspec

from tidegate.config.policy import HealthPolicy
from tidegate.core import ids
from tidegate.core.facts import IncusPhase, OpenResult
from tidegate.core.finding import Report
from tidegate.core.ids import InstanceId, PoolName, VolumeId
from tidegate.core.snapshot import Liveness, Snapshot, Source
from tidegate.core.wanted import (
    Reserved,
    WantedInstance,
    WantedMap,
    WantedPool,
    WantedStorage,
    WantedVolume,
)
from tidegate.health import replica
from tidegate.health.device import NAMELESS
from tidegate.health.view import INCUS_UNIT, View
from tidegate.health.wants import Origin, Want, Wants

CONTROLLER_KEY: Final = "storage.linstor.controller_connection"
_PLAIN_LAYERS: Final = frozenset({"DRBD", "STORAGE"})
"""Layers that are there without LINSTOR once DRBD is up and its backing disk is active."""
_EVACUATED: Final = frozenset({"Evacuating", "Restoring"})


def draw(
    snapshot: Snapshot,
    report: Report,
    previous: WantedMap | None,
    wall: float,
    policy: HealthPolicy | None = None,
) -> WantedMap | None:
    """Return the map to keep, or None when this is no good moment to draw one.

    ``wall`` is the time now in seconds since the epoch. What should run is what Incus would start at the next boot
    (facts/incus.md A1), also what somebody stopped in this boot. The order is always the same.
    """
    view = View(snapshot, policy or HealthPolicy())
    wants = Wants(view)
    if not _is_good(view, wants, report):
        return None
    chosen = [want for want in wants.all if want.facts is not None and want.facts.should_start]
    kept = {instance.id: instance for instance in previous.instances} if previous else {}
    instances = tuple(_instance(want, kept.get(want.id)) for want in chosen)
    if any(want.missing for want in chosen) and not view.definitions_fresh:
        return None
    before = {volume.id: volume for volume in previous.volumes} if previous else {}
    return WantedMap(
        saved_at=wall,
        boot_id=snapshot.boot_id,
        node=snapshot.node,
        controllers=_controllers(snapshot, previous),
        pools=_pools(wants, instances),
        volumes=_volumes(view, wants, report, {i.id: i for i in instances}, before),
        instances=instances,
        storage=_storage(view, wants, previous),
        reserved=_reserved(view),
    )


def _reserved(view: View) -> tuple[Reserved, ...]:
    """Return what must not be brought up without LINSTOR: what it takes away, and what has layers that it sets up."""
    found = {
        name: "LINSTOR was deleting it when it was last asked"
        for name, definition in view.definitions.items()
        if replica.GOING & set(definition.flags)
    }
    for name in view.snapshot.placements:
        here = view.placed_here(name)
        if here is None:
            continue
        if replica.GOING & set(here.flags):
            found[name] = "LINSTOR was taking it from this node when it was last asked"
        elif here.has_drbd and (others := [x for x in here.layers if x not in _PLAIN_LAYERS]):
            found[name] = f"it has layers that LINSTOR sets up: {', '.join(others)}"
    return tuple(Reserved(resource=ids.ResourceName(n), why=w) for n, w in sorted(found.items()))


def _storage(view: View, wants: Wants, previous: WantedMap | None) -> tuple[WantedStorage, ...]:
    """Return what lies behind the storage pools of wanted volumes; where that is in doubt, what lay there before."""
    names = sorted({name for found in wants.storage_pools_of.values() for name in found})
    before = {one.pool: one for one in previous.storage} if previous else {}
    host = view.snapshot.host
    seen = host.value.backings if host is not None and view.is_fresh(host, Source.HOST) else {}
    kept = []
    for name in names:
        pool, backing = (view.storage_pools or {}).get(name), seen.get(name)
        if pool is None or backing is None or not backing.present or name in before:
            # The first sight counts: a mount that is missing must not become what is remembered.
            kept += [before[name]] if name in before else []
            continue
        kept.append(
            WantedStorage(
                pool=name,
                provider=pool.provider,
                place=backing.place,
                mount=backing.mount,
                device=backing.device,
            )
        )
    return tuple(kept)


def is_same(one: WantedMap | None, other: WantedMap | None) -> bool:
    """Return True when two maps say the same, whenever and in whichever boot they were drawn."""
    if one is None or other is None:
        return one is other
    return msgspec.structs.replace(one, saved_at=0.0, boot_id="") == msgspec.structs.replace(
        other, saved_at=0.0, boot_id=""
    )


def _is_good(view: View, wants: Wants, report: Report) -> bool:
    """Return True when Incus is ready, all it says is fresh, and nothing is on its way down."""
    incus = wants.incus
    if wants.origin is not Origin.INCUS or wants.pools is None or incus is None:
        return False
    if incus.phase is not IncusPhase.READY or not report.ready(ids.INCUS):
        return False
    if incus.member_status in _EVACUATED:
        return False
    unit = view.unit(INCUS_UNIT)
    if unit is not None and unit.active_state == "deactivating":
        return False
    return not wants.linstor_pools or view.liveness(Source.LINSTOR) is Liveness.UP


def _instance(want: Want, before: WantedInstance | None) -> WantedInstance:
    volumes = want.volumes
    if want.missing and before is not None:
        # What could not be found now is wanted all the same.
        volumes = tuple(sorted({*volumes, *before.volumes}))
    return WantedInstance(
        id=want.id,
        volumes=volumes,
        pools=want.pools,
        priority=want.facts.priority if want.facts is not None else None,
    )


def _pools(wants: Wants, instances: tuple[WantedInstance, ...]) -> tuple[WantedPool, ...]:
    used = {pool for instance in instances for pool in instance.pools}
    return tuple(
        pool
        for name, pool in sorted(wants.linstor_pools.items())
        if pool.name in used or name in used
    )


def _volumes(
    view: View,
    wants: Wants,
    report: Report,
    instances: Mapping[InstanceId, WantedInstance],
    before: Mapping[VolumeId, WantedVolume],
) -> tuple[WantedVolume, ...]:
    """Return the volumes of all chosen instances, with what they hold."""
    pools: dict[VolumeId, PoolName] = {}
    for want in wants.all:
        for volume in instances[want.id].volumes if want.id in instances else ():
            pool = wants.pool_of(volume, want)
            if pool is None and volume in before:
                pool = before[volume].pool
            if pool is not None:
                pools[volume] = pool
    return tuple(
        WantedVolume(
            id=volume, pool=pool, content=_content(view, report, volume, before.get(volume))
        )
        for volume, pool in sorted(pools.items())
    )


def _content(
    view: View, report: Report, volume: VolumeId, before: WantedVolume | None
) -> str | None:
    """Return what ``volume`` holds, if it is proven well now; else what was remembered."""
    fact = view.snapshot.devices.get(str(volume))
    if (
        fact is not None
        and view.is_fresh(fact, Source.DEVICES)
        and report.ready(ids.volume(volume))
    ):
        seen = fact.value
        if seen.opened is OpenResult.OPENED and seen.content not in NAMELESS:
            return seen.content
    return before.content if before is not None else None


def _controllers(snapshot: Snapshot, previous: WantedMap | None) -> tuple[str, ...]:
    """Return the controllers' addresses, as Incus has them, else the one that answered; user names and passwords cut off."""
    config = snapshot.incus.value.config if snapshot.incus is not None else {}
    listed = [part.strip() for part in config.get(CONTROLLER_KEY, "").split(",")]
    found = [_bare(url) for url in listed if url]
    if not found and snapshot.controller is not None:
        found = [_bare(snapshot.controller.value.url)]
    if not found and previous is not None:
        return previous.controllers
    return tuple(found)


def _bare(url: str) -> str:
    if "@" not in url:
        return url
    if "://" not in url:
        return url.rpartition("@")[2]
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))
