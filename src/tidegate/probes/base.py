# SPDX-License-Identifier: Apache-2.0
"""What a probe is, what it is told to look at, and the limit that every look has."""

import asyncio
import enum
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, Final, Protocol, Self, TypeVar

import msgspec

from tidegate.clients import errors
from tidegate.core.drbd import DrbdConnection
from tidegate.core.ids import InstanceId, NodeName, ResourceName, VolumeId
from tidegate.core.snapshot import Liveness, Observation, Snapshot, Source
from tidegate.core.trouble import Trouble

Clock = Callable[[], float]
"""Seconds since boot, as :func:`tidegate.clients.clock.boottime` gives them."""

T = TypeVar("T")

LIMIT: Final = 10.0
"""Seconds after which any look is given up, whatever the calls within it are allowed."""


class Urgency(enum.StrEnum):
    """How eagerly the caller waits."""

    ATTENDED = "attended"
    """Somebody waits at this moment: nothing is put off."""
    FAST = "fast"
    """Something is waited for: what changes quickly is looked at."""
    REST = "rest"
    """All is well: what changes rarely is looked at too."""


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """A peer that DRBD is not connected to, and how it may be reached."""

    addresses: tuple[str, ...] = ()
    drbd: tuple[tuple[str, int], ...] = ()
    """Address and port of its DRBD, for each resource that is not connected."""
    satellite_port: int | None = None
    since: float = 0.0
    """Seconds since boot from which on none of its connections has been better."""


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller wants looked at. A probe takes from it what concerns its source."""

    resources: tuple[ResourceName, ...] = ()
    """Wanted resources, whose placements are looked at."""
    certain: frozenset[ResourceName] = frozenset()
    """Of these, those of which this kernel knows all: DRBD is connected to every peer."""
    held: frozenset[str] = frozenset()
    """Wanted volumes ``RD/NR`` that by this kernel's word are open for somebody, with nothing in the way of reads."""
    volumes: Mapping[str, str | None] = {}
    """Wanted volumes ``RD/NR`` -> the device path that LINSTOR or DRBD names, None while unknown."""
    instances: tuple[InstanceId, ...] = ()
    """Instances of this node as last known, for when Incus cannot list them."""
    storage: Mapping[str, tuple[str, str]] = {}
    """Storage pools of this node -> kind and place of what lies behind them."""
    own_addresses: tuple[str, ...] = ()
    """Addresses of this host that DRBD is set to use."""
    peers: Mapping[NodeName, Peer] = {}
    """Peers that DRBD is not connected to."""
    urgency: Urgency = Urgency.FAST
    told: bool = False
    """The look was asked for, because something was told; else its time has come."""

    @classmethod
    def of(
        cls, snapshot: Snapshot, volumes: Iterable[VolumeId], urgency: Urgency = Urgency.FAST
    ) -> Self:
        """Return what must be looked at to judge ``volumes``, with the device paths that are known now."""
        wanted = sorted(set(volumes))
        resources = tuple(dict.fromkeys(volume.resource for volume in wanted))
        return cls(
            resources=resources,
            certain=frozenset(name for name in resources if _is_certain(snapshot, name)),
            held=frozenset(str(volume) for volume in wanted if _is_held(snapshot, volume)),
            volumes={str(volume): device_path(snapshot, volume) for volume in wanted},
            instances=_known_instances(snapshot),
            storage=_storage(snapshot),
            own_addresses=_own_addresses(snapshot),
            peers=_peers(snapshot),
            urgency=urgency,
        )


def device_path(snapshot: Snapshot, volume: VolumeId) -> str | None:
    """Return the device of ``volume`` on this node: as LINSTOR names it, else as DRBD's kernel state does.

    LINSTOR forgets the path when its controller restarts and does not know it again before the satellite's first run is over
    (facts/linstor.md 6.2); a DRBD minor never changes.
    """
    placed = snapshot.placements.get(volume.resource)
    for placement in placed.value if placed else ():
        for found in placement.volumes if placement.node == snapshot.node else ():
            if found.number == volume.number and found.device_path:
                return found.device_path
    resource = snapshot.drbd.value.get(volume.resource) if snapshot.drbd else None
    for device in resource.devices if resource else ():
        if device.number == volume.number and device.minor >= 0:
            return f"/dev/drbd{device.minor}"
    return None


def _known_instances(snapshot: Snapshot) -> tuple[InstanceId, ...]:
    if snapshot.instances is not None:
        return tuple(instance.id for instance in snapshot.instances.value.values())
    return tuple(kept.id for kept in snapshot.wanted.instances) if snapshot.wanted else ()


def _is_certain(snapshot: Snapshot, name: ResourceName) -> bool:
    found = snapshot.drbd.value.get(name) if snapshot.drbd else None
    return found is not None and found.knows_all


def _is_held(snapshot: Snapshot, volume: VolumeId) -> bool:
    """Return True when DRBD says that the device works at this moment: a Primary is open, or was promoted to be.

    Its own state alone, with local data and quorum: what rests on a peer may hang, and is looked at.
    """
    if snapshot.drbd is None or snapshot.source(Source.DRBD).liveness is not Liveness.UP:
        return False
    found = snapshot.drbd.value.get(volume.resource)
    if found is None or found.role != "Primary" or found.suspended != "no":
        return False
    device = next((one for one in found.devices if one.number == volume.number), None)
    return device is not None and device.disk == "UpToDate" and device.quorum


def _storage(snapshot: Snapshot) -> dict[str, tuple[str, str]]:
    """Return what lies behind the storage pools, as LINSTOR told in this boot, else as it was at the last good moment."""
    kept = snapshot.wanted.storage if snapshot.wanted else ()
    found = {str(one.pool): (one.provider, one.place) for one in kept}
    for name, pool in (snapshot.storage_pools.value if snapshot.storage_pools else {}).items():
        if pool.backing:
            found[name] = (pool.provider, pool.backing)
    return found


def _own_addresses(snapshot: Snapshot) -> tuple[str, ...]:
    resources = snapshot.drbd.value.values() if snapshot.drbd else ()
    links = (link for resource in resources for link in resource.connections)
    return tuple(sorted({path.local[0] for link in links for path in link.paths}))


def _peers(snapshot: Snapshot) -> dict[NodeName, Peer]:
    """Return the peers to try: by DRBD's own paths, and by what LINSTOR knew of them in this boot."""
    away: dict[NodeName, list[DrbdConnection]] = {}
    for resource in snapshot.drbd.value.values() if snapshot.drbd else ():
        for link in resource.connections:
            if link.state != "Connected":
                away.setdefault(link.peer, []).append(link)
    known_nodes = snapshot.nodes.value.values() if snapshot.nodes else ()
    nodes = {node.name.casefold(): node for node in known_nodes}
    peers = {}
    for name, links in sorted(away.items()):
        node = nodes.get(
            name.casefold()
        )  # DRBD calls a peer as its host does, LINSTOR as people do
        drbd = tuple(dict.fromkeys(path.peer for link in links for path in link.paths))
        known = (*(address for address, _ in drbd), *(node.addresses if node else ()))
        peers[name] = Peer(
            addresses=tuple(dict.fromkeys(known)),
            drbd=drbd,
            satellite_port=node.satellite_port if node else None,
            since=max(link.since for link in links),
        )
    return peers


class Probe(Protocol):
    """One source, looked at again and again. Not re-entrant: a look ends before the next begins."""

    @property
    def source(self) -> Source:
        """Which source this is."""
        ...

    async def look(self, need: Need) -> Observation:
        """Say how things are now, within :data:`LIMIT`; trouble of the source is part of the answer."""
        ...


def silent(
    source: Source, at: float, liveness: Liveness, trouble: Trouble | None = None
) -> Observation:
    """Return an observation without facts: the source is lost, starting or off."""
    return Observation(source=source, at=at, liveness=liveness, trouble=trouble)


async def bounded(
    source: Source,
    clock: Clock,
    look: Coroutine[Any, Any, Observation],
    *,
    limit: float = LIMIT,
) -> Observation:
    """Await ``look`` for at most ``limit`` seconds; what goes wrong makes the source LOST, with the trouble."""
    try:
        async with asyncio.timeout(limit):
            return await look
    except errors.ClientError as error:
        return silent(source, clock(), Liveness.LOST, error.trouble)
    except TimeoutError:
        return silent(source, clock(), Liveness.LOST, _late(source, limit))


class Calls:
    """The calls of one look: some at once, one end for all, trouble kept as values so that none takes another along."""

    def __init__(self, source: Source, *, at_once: int, limit: float) -> None:
        self._source = source
        self._limit = limit
        self._end = asyncio.get_running_loop().time() + limit
        self._gate = asyncio.Semaphore(at_once)
        self.troubles: list[Trouble] = []

    async def ask(self, call: Coroutine[Any, Any, T]) -> T | None:
        """Await ``call`` when there is room; None, and a trouble more, when it fails or the time of all is over."""
        try:
            async with asyncio.timeout_at(self._end), self._gate:
                return await call
        except errors.ClientError as error:
            self.troubles.append(error.trouble)
        except TimeoutError:
            self.troubles.append(_late(self._source, self._limit))
        finally:
            call.close()
        return None


def _late(source: Source, limit: float) -> Trouble:
    return Trouble(
        code=f"{source}.timeout",
        text=f"{source}: no complete answer within {limit:.1f} s",
        hint="the service or this machine is very busy, or hangs",
    )
