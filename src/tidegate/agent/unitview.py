# SPDX-License-Identifier: Apache-2.0
"""All that a plan of boot order is made from, found on this host, or read from the root of another one.

Below another root only files count. On this host systemd, Incus and LINSTOR are asked too, each within limits, and Incus only while
systemd says that it runs: connecting to its socket would start it.
"""

import asyncio
import os
import posixpath
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from tidegate.actuators import dropins
from tidegate.actuators.dropins import Record
from tidegate.agent import discovery, keeper, unitplace
from tidegate.agent.unitplace import Told
from tidegate.clients import clock, errors, unitfiles
from tidegate.clients.incus import client as incus_client
from tidegate.clients.incus import socket as incus_socket
from tidegate.clients.linstor import wire as linstor_wire
from tidegate.clients.systemd.manager import Manager
from tidegate.config.model import Config
from tidegate.core.wanted import WantedMap
from tidegate.units import host
from tidegate.units.deadlock import Controller, Place
from tidegate.units.host import HostView, IncusView, Known, StoragePool
from tidegate.units.names import kind
from tidegate.units.tree import Index

HOST: Final = Path("/")
_DAEMON_VOLUMES: Final = ("storage.images_volume", "storage.backups_volume", "storage.logs_volume")
"""Keys of volumes that incusd mounts before it serves: fatal while they are away (facts/incus.md D19)."""
_SHARED: Final = re.compile(r"libsystemd-shared-(\d+)")
_LIBRARIES: Final = ("/usr/lib/systemd", "/usr/lib/*/systemd", "/lib/systemd")
_OLDEST: Final = 252
_DIRECTORIES: Final = ("StorDriver/StorPoolName", "StorDriver/FileDir")
"""Where LINSTOR keeps the directory of a file-based pool: seen is the first, the other is older."""


async def look(root: Path, config: Config, place: Place | None = None) -> HostView:
    """Return the host below ``root``; ``place``: where the controller runs, from somebody who knows.

    Raises ClientError ``file.*`` or ``units.too-many`` when the unit files cannot be read; whatever else cannot be found is not known.
    """
    tree = unitfiles.read(root)
    index = Index(tree)
    wanted = kept(root, config)
    told = await _incus(config) if root == HOST else None
    local = await unitplace.look(root)
    urls = unitplace.urls(wanted, told.config if told is not None else {})
    found = unitplace.controller(index, urls, local, told, wanted)
    record = _record(root)
    view = HostView(
        tree=tree,
        systemd=version(root),
        controller=found,
        storage_pools=await _storage_pools(config, wanted, told) if root == HOST else None,
        incus=incus(wanted, told),
        own_links=record.links,
    )
    known = record.known or Known()
    if place is not None:
        known = msgspec.structs.replace(known, controller=Controller())
        said = msgspec.structs.replace(found, place=place)
        view = msgspec.structs.replace(view, controller=said, found=found)
    view = host.recalled(view, known)
    pools = pools_of_map(wanted)
    if pools is not None and root == HOST:
        pools = tuple([await asyncio.to_thread(followed, pool) for pool in pools])
    return host.recalled(view, Known(storage_pools=pools))


def _record(root: Path) -> Record:
    """Return what we wrote; nothing where the record cannot be read, which whoever writes is told of."""
    try:
        return dropins.load(root) or Record()
    except errors.ClientError:
        return Record()


def pools_of_map(wanted: WantedMap | None) -> tuple[StoragePool, ...] | None:
    """Return the storage pools that the kept map knows, which are those that something wanted lies in; None when it knows of none."""
    rows = wanted.storage if wanted is not None else ()
    pools = (
        StoragePool(
            name=row.pool,
            provider=row.provider,
            directory=row.place if row.provider.startswith("FILE") else "",
        )
        for row in rows
    )
    return tuple(pools) or None


def kept(root: Path, config: Config) -> WantedMap | None:
    """Return the map of what is wanted, as the agent kept it below ``root``."""
    return keeper.Keeper(unitfiles.inside(root, config.agent.state_dir)).load()[0]


def version(root: Path) -> int:
    """Return the version of the systemd that is installed below ``root``; of the oldest that we know when there is none."""
    for pattern in _LIBRARIES:
        for place in sorted(root.glob(f"{pattern.lstrip('/')}/libsystemd-shared-*.so")):
            if match := _SHARED.match(place.name):
                return int(match[1])
    return _OLDEST


def incus(wanted: WantedMap | None, told: Told | None) -> IncusView:
    """Return what is known of Incus, from its own words and from the kept map."""
    others = None
    if wanted is not None:
        linstor = {pool.name for pool in wanted.pools}
        others = any(not linstor.issuperset(one.pools) for one in wanted.instances)
    if told is None:
        return IncusView(other_pools_wanted=others)
    config, pools = told.config, told.on_linstor
    return IncusView(
        listens=bool(config.get("core.https_address")),
        clustered=told.server.environment.server_clustered,
        volumes_on_linstor=tuple(
            key for key in _DAEMON_VOLUMES if config.get(key, "").partition("/")[0] in pools
        ),
        other_pools_wanted=others,
    )


async def _incus(config: Config) -> Told | None:
    """Ask Incus what it is set to, if it runs."""
    unit = config.systemd.incus_unit
    try:
        async with Manager(deadline=config.systemd.deadline) as manager:
            if (await manager.unit(unit)).active_state != "active":
                return None
        place = Path(config.incus.socket) if config.incus.socket else incus_socket.find({})
        async with incus_client.IncusClient(place, deadline=config.incus.deadline) as client:
            return Told(
                server=await client.server(),
                pools=tuple(await client.pools()),
                instances=await client.instances(),
            )
    except errors.ClientError:
        return None


async def _storage_pools(
    config: Config, wanted: WantedMap | None, told: Told | None
) -> tuple[StoragePool, ...] | None:
    """Ask LINSTOR which storage pools this node has; None when no controller answers."""
    linstor = discovery.Linstor(config, wanted, clock.boottime)
    try:
        if told is not None:
            linstor.learn(
                incus_config=told.config,
                incus_member=told.server.environment.server_name
                if told.server.environment.server_clustered
                else None,
                incus_has_linstor=bool(told.on_linstor),
            )
        if linstor.found.trouble is not None:
            return None
        rows = await linstor.client.storage_pools(nodes=[linstor.node])
    except errors.ClientError:
        return None
    finally:
        await linstor.aclose()
    pools = (storage_pool(row) for row in rows if row.provider_kind != "DISKLESS")
    return tuple([await asyncio.to_thread(followed, pool) for pool in pools])


def storage_pool(row: linstor_wire.StoragePool) -> StoragePool:
    """Return a storage pool as a plan wants it."""
    values = (row.props.get(key, "") for key in _DIRECTORIES)
    directory = next((value for value in values if value.startswith("/")), "")
    return StoragePool(
        name=row.storage_pool_name,
        provider=row.provider_kind,
        directory=directory if row.provider_kind.startswith("FILE") else "",
    )


def followed(pool: StoragePool) -> StoragePool:
    """Return ``pool`` with the place its directory really is, where links lead elsewhere."""
    if not pool.directory:
        return pool
    real = os.path.realpath(pool.directory)
    return pool if real == pool.directory else msgspec.structs.replace(pool, target=real)


async def reload(names: Iterable[str], *, changed: bool) -> bool:
    """Have systemd read its unit files anew if they ``changed``, or it says itself that one of ``names`` did; returns whether it did.

    Raises ClientError ``bus.*`` and ``systemd.*``.
    """
    async with Manager() as manager:
        stale = changed
        for name in names:
            stale = stale or (await manager.unit(name)).need_daemon_reload
        if stale:
            await manager.reload()
        return stale


def is_booted() -> bool:
    """Return whether systemd runs this host (man 3 sd_booted)."""
    return Path("/run/systemd/system").is_dir()


def units_of(paths: Iterable[str]) -> tuple[str, ...]:
    """Return the units that the drop-ins at ``paths`` belong to, once each."""
    names = (posixpath.basename(posixpath.dirname(path)).removesuffix(".d") for path in paths)
    return tuple(sorted({name for name in names if kind(name)}))
