# SPDX-License-Identifier: Apache-2.0
"""All that a plan of boot order is made from, found on this host, or read from the root of another one.

Below another root only files count. On this host systemd, Incus and LINSTOR are asked too, each within limits, and Incus only while
systemd says that it runs: connecting to its socket would start it.
"""

import contextlib
import ipaddress
import posixpath
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from tidegate.actuators import dropins
from tidegate.agent import discovery, keeper
from tidegate.clients import clock, errors, files, unitfiles
from tidegate.clients.incus import client as incus_client
from tidegate.clients.incus import socket as incus_socket
from tidegate.clients.incus import wire
from tidegate.clients.linstor import wire as linstor_wire
from tidegate.clients.systemd.manager import Manager
from tidegate.config import controllers
from tidegate.config.model import Config
from tidegate.core.wanted import WantedMap
from tidegate.health.wants import LINSTOR_DRIVER
from tidegate.units.deadlock import BroughtUpBy, Controller, Place
from tidegate.units.host import HostView, IncusView, StoragePool
from tidegate.units.names import kind
from tidegate.units.tree import Index, Load

HOST: Final = Path("/")
_DAEMON_VOLUMES: Final = ("storage.images_volume", "storage.backups_volume", "storage.logs_volume")
"""Keys of volumes that incusd mounts before it serves: fatal while they are away (facts/incus.md D19)."""
_DATABASE_MOUNT: Final = "var-lib-linstor.mount"
"""Below which a controller keeps its database (facts/linstor.md 2.1)."""
_BRING_UP: Final = ("drbd-reactor.service", "drbd.service")
_SHARED: Final = re.compile(r"libsystemd-shared-(\d+)")
_LIBRARIES: Final = ("/usr/lib/systemd", "/usr/lib/*/systemd", "/lib/systemd")
_OLDEST: Final = 252
_DIRECTORIES: Final = ("StorDriver/StorPoolName", "StorDriver/FileDir")
"""Where LINSTOR keeps the directory of a file-based pool: seen is the first, the other is older."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What Incus said."""

    server: wire.Server
    pools: tuple[incus_client.PoolAnswer, ...]
    instances: tuple[wire.Instance, ...]

    @property
    def config(self) -> Mapping[str, str]:
        """The server's configuration, with this member's."""
        return self.server.config or {}

    @property
    def on_linstor(self) -> frozenset[str]:
        """Names of the pools that lie on LINSTOR."""
        return frozenset(
            answer.name
            for answer in self.pools
            if answer.pool is not None and answer.pool.driver == LINSTOR_DRIVER
        )


async def look(root: Path, config: Config, place: Place | None = None) -> HostView:
    """Return the host below ``root``; ``place``: where the controller runs, from somebody who knows.

    Raises ClientError ``file.*`` or ``units.too-many`` when the unit files cannot be read; whatever else cannot be found is not known.
    """
    tree = unitfiles.read(root)
    index = Index(tree)
    wanted = kept(root, config)
    told = await _incus(config) if root == HOST else None
    neighbours = _neighbours() if told is not None else {}
    found = controller(index, wanted, told, neighbours)
    return HostView(
        tree=tree,
        systemd=version(root),
        controller=found if place is None else msgspec.structs.replace(found, place=place),
        storage_pools=await _storage_pools(config, wanted, told) if root == HOST else None,
        incus=incus(wanted, told),
        own_links=_own_links(root),
    )


def _own_links(root: Path) -> Mapping[str, str]:
    """Return the links that we made; none where the record cannot be read, which whoever writes is told of."""
    try:
        record = dropins.load(root)
    except errors.ClientError:
        return {}
    return record.links if record is not None else {}


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


def controller(
    index: Index,
    wanted: WantedMap | None,
    told: Told | None,
    neighbours: Mapping[str, str],
) -> Controller:
    """Return where the controllers are, as far as this can be told for certain.

    ``neighbours``: address to hardware address of what this host spoke to last: that is how an instance is told from another host.
    """
    if index.unit("linstor-controller.service").load is Load.LOADED:
        return _here(index)
    urls = _urls(wanted, told)
    if told is None or not urls:
        return Controller()
    owners = [_owner(url, told, neighbours) for url in urls]
    found = next((one for one in owners if isinstance(one, wire.Instance)), None)
    if found is not None:
        return _in_instance(found, told, others=Place.OTHER_HOST in owners)
    known = all(owner is Place.OTHER_HOST for owner in owners)
    return Controller(place=Place.OTHER_HOST if known else Place.UNKNOWN)


def _here(index: Index) -> Controller:
    mount = index.unit(_DATABASE_MOUNT)
    on_drbd = mount.value("Mount", "What").startswith("/dev/drbd")
    by_system = any(
        index.unit(name).load is Load.LOADED and index.pulled_in_by(name) for name in _BRING_UP
    )
    return Controller(
        place=Place.THIS_HOST,
        database_on_drbd=on_drbd,
        brought_up_by=BroughtUpBy.SYSTEM if by_system else BroughtUpBy.UNKNOWN,
    )


def _urls(wanted: WantedMap | None, told: Told | None) -> tuple[str, ...]:
    text = "" if told is None else told.config.get("storage.linstor.controller_connection", "")
    found = controllers.without_guard(controllers.as_incus_reads(controllers.parse_list(text)))
    return found or (wanted.controllers if wanted is not None else ())


def _owner(url: str, told: Told, neighbours: Mapping[str, str]) -> wire.Instance | Place:
    """Return the instance, or what else answers at ``url``; UNKNOWN where that cannot be seen."""
    host = urlsplit(url).hostname or ""
    for instance in told.instances:
        if host == instance.name or host.startswith(f"{instance.name}."):
            return instance
        if host in _addresses(instance):
            return instance
    with contextlib.suppress(ValueError):
        mac = neighbours.get(str(ipaddress.ip_address(host)))
        if mac is not None:
            return next(
                (one for one in told.instances if mac in _cards(one)),
                Place.OTHER_HOST,
            )
    return Place.UNKNOWN


def _addresses(instance: wire.Instance) -> frozenset[str]:
    devices = (instance.expanded_devices or {}).values()
    keys = ("ipv4.address", "ipv6.address")
    return frozenset(str(device.get(key, "")) for device in devices for key in keys) - {""}


def _cards(instance: wire.Instance) -> frozenset[str]:
    config = instance.expanded_config or {}
    set_by_hand = (
        device.get("hwaddr", "") for device in (instance.expanded_devices or {}).values()
    )
    own = (value for key, value in config.items() if key.endswith(".hwaddr"))
    return frozenset(str(text).lower() for text in (*set_by_hand, *own)) - {""}


def _in_instance(found: wire.Instance, told: Told, *, others: bool) -> Controller:
    pools = {device.get("pool", "") for _, device in found.disks()}
    on_linstor = not told.on_linstor.isdisjoint(pools)
    own = told.server.environment.server_name
    elsewhere = told.server.environment.server_clustered and found.location not in {own, "none"}
    # On LINSTOR it can be started on any member, so one day here.
    stays = elsewhere and not on_linstor
    return Controller(
        place=Place.INSTANCE_ELSEWHERE if stays else Place.INSTANCE_HERE,
        instance=f"{found.project}/{found.name}",
        instance_on_linstor=on_linstor,
        others=others,
    )


def _neighbours() -> dict[str, str]:
    """Return the table of IPv4 neighbours (man 5 proc, ``/proc/net/arp``): address to hardware address."""
    try:
        lines = files.read_text(Path("/proc/net/arp")).splitlines()[1:]
    except errors.ClientError:
        return {}
    rows = (line.split() for line in lines)
    return {row[0]: row[3].lower() for row in rows if len(row) > 3 and row[2] != "0x0"}


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
    return tuple(storage_pool(row) for row in rows if row.provider_kind != "DISKLESS")


def storage_pool(row: linstor_wire.StoragePool) -> StoragePool:
    """Return a storage pool as a plan wants it."""
    values = (row.props.get(key, "") for key in _DIRECTORIES)
    directory = next((value for value in values if value.startswith("/")), "")
    return StoragePool(
        name=row.storage_pool_name,
        provider=row.provider_kind,
        directory=directory if row.provider_kind.startswith("FILE") else "",
    )


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
