# SPDX-License-Identifier: Apache-2.0
"""Where the LINSTOR controller runs, seen from this host, by what this host knows itself.

That decides which orders can end in a deadlock. Addresses are compared with those of instances: fixed ones, leases of Incus's own
networks, addresses made from a hardware address, and the table of neighbours. Names are looked up in ``/etc/hosts`` and among the
instances; DNS is not asked: during a boot it may not answer for minutes, and it may be served from the very storage in question.
"""

import ipaddress
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from tidegate.clients import errors, files, process, unitfiles
from tidegate.clients.incus import client as incus_client
from tidegate.clients.incus import wire
from tidegate.config import controllers
from tidegate.core.wanted import WantedMap
from tidegate.health.wants import LINSTOR_DRIVER
from tidegate.units.deadlock import BroughtUpBy, Controller, Place
from tidegate.units.tree import Index, Load

_DATABASE_MOUNT: Final = "var-lib-linstor.mount"
"""Below which a controller keeps its database (facts/linstor.md 2.1)."""
_REACTOR: Final = "drbd-reactor.service"
_BRING_UP: Final = (_REACTOR, "drbd.service")
_CONTROLLER_UNIT: Final = "linstor-controller.service"
_LEASES: Final = "var/lib/incus/networks/*/dnsmasq.leases"
_DEADLINE: Final = 2.0
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


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


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """An address that a network of Incus's gave out; ``mac`` is "" for IPv6, where dnsmasq keeps another identity."""

    address: str
    mac: str
    name: str


class Local(msgspec.Struct, frozen=True, kw_only=True):
    """What this host knows about addresses; all in the form that ``ipaddress`` gives them."""

    neighbours: Mapping[str, str] = {}
    """Address to the hardware address that answered for it."""
    own: frozenset[str] = frozenset()
    names: Mapping[str, tuple[str, ...]] = {}
    """``/etc/hosts``."""
    leases: tuple[Lease, ...] = ()


def urls(wanted: WantedMap | None, config: Mapping[str, str]) -> tuple[str, ...]:
    """Return the controllers' URLs as Incus's ``config`` has them, else as they were kept; never the guard's."""
    text = config.get("storage.linstor.controller_connection", "")
    found = controllers.without_guard(controllers.as_incus_reads(controllers.parse_list(text)))
    return found or (wanted.controllers if wanted is not None else ())


def controller(
    index: Index,
    urls: tuple[str, ...],
    local: Local,
    told: Told | None,
    kept: WantedMap | None = None,
) -> Controller:
    """Return where the controllers are; UNKNOWN, with the reason, for whatever cannot be seen. Nothing is guessed.

    While Incus does not run (``told`` is None) its instances are known from the map that was ``kept`` and from its leases: that is when a
    boot hangs and somebody asks why. That a unit of a controller is installed means nothing; that something starts it does.
    """
    if told is None:
        found = _in_kept_instance(urls, local, kept)
        if found is not None:
            return found
        return _here(index) if _starts(index) else Controller(because=_unasked(index, urls))
    hosts_named = [urlsplit(url).hostname or "" for url in urls]
    owners = [_owner(name, told, local, here=_is_here(index)) for name in hosts_named]
    instance = next((one for one in owners if isinstance(one, wire.Instance)), None)
    if instance is not None:
        others = not {Place.OTHER_HOST, Place.THIS_HOST}.isdisjoint(
            one for one in owners if isinstance(one, Place)
        )
        return _in_instance(instance, told, others=others)
    if Place.THIS_HOST in owners or _starts(index):
        return _here(index)
    if not urls:
        return Controller(because="no controller's address is known")
    reasons = [one for one in owners if isinstance(one, str) and not isinstance(one, Place)]
    if reasons:
        return Controller(because="; ".join(dict.fromkeys(reasons)))
    return Controller(place=Place.OTHER_HOST)


def _unasked(index: Index, urls: tuple[str, ...]) -> str:
    if _is_here(index):
        return f"{_CONTROLLER_UNIT} is installed, but nothing starts it, and Incus does not run"
    if not urls:
        return "no controller's address is known"
    return "Incus does not run, so it is not known which addresses are its instances'"


def _in_kept_instance(
    urls: tuple[str, ...], local: Local, kept: WantedMap | None
) -> Controller | None:
    """Return the controller in an instance that is known without asking Incus; None says nothing."""
    for host in (urlsplit(url).hostname or "" for url in urls):
        known = _addresses_of(host, local)
        leased = {lease.name for lease in local.leases if lease.address in known}
        for one in kept.instances if kept is not None else ():
            name = one.id.name
            if host == name or host.startswith(f"{name}.") or name in leased:
                on_linstor = {pool.name for pool in kept.pools} if kept is not None else set()
                return Controller(
                    place=Place.INSTANCE_HERE,
                    instance=str(one.id),
                    instance_on_linstor=not on_linstor.isdisjoint(one.pools),
                )
    return None


def _is_here(index: Index) -> bool:
    return index.unit(_CONTROLLER_UNIT).load is Load.LOADED


def _starts(index: Index) -> bool:
    """Return whether this host starts a controller: its unit is enabled, or drbd-reactor is, or its database is mounted from DRBD."""
    pulled = bool(index.pulled_in_by(_CONTROLLER_UNIT))
    return _is_here(index) and (pulled or _has_reactor(index) or _mounts_drbd(index))


def _mounts_drbd(index: Index) -> bool:
    return index.unit(_DATABASE_MOUNT).value("Mount", "What").startswith("/dev/drbd")


def _has_reactor(index: Index) -> bool:
    return index.unit(_REACTOR).load is Load.LOADED and bool(index.pulled_in_by(_REACTOR))


def _here(index: Index) -> Controller:
    """A promoter of drbd-reactor starts services where its DRBD resource is: what nothing else starts has its database there."""
    promoted = _has_reactor(index) and not index.pulled_in_by(_CONTROLLER_UNIT)
    by_system = any(
        index.unit(name).load is Load.LOADED and index.pulled_in_by(name) for name in _BRING_UP
    )
    return Controller(
        place=Place.THIS_HOST,
        database_on_drbd=promoted or _mounts_drbd(index),
        brought_up_by=BroughtUpBy.SYSTEM if by_system else BroughtUpBy.UNKNOWN,
    )


def _owner(host: str, told: Told, local: Local, *, here: bool) -> wire.Instance | Place | str:
    """Return the instance at ``host``, THIS_HOST, OTHER_HOST, or why none can be said; ``here``: this host has a controller's unit."""
    for instance in told.instances:
        if host == instance.name or host.startswith(f"{instance.name}."):
            return instance
    known = _addresses_of(host, local)
    if not known:
        return f"nothing on this host says which address {host} has (DNS is not asked)"
    reasons = []
    for address in known:
        owner = _at(address, told, local, here=here)
        if not isinstance(owner, str) or isinstance(owner, Place):
            return owner
        reasons.append(owner)
    return reasons[0]


def _addresses_of(host: str, local: Local) -> tuple[str, ...]:
    try:
        return (str(ipaddress.ip_address(host.partition("%")[0])),)
    except ValueError:
        return local.names.get(host.lower().rstrip("."), ())


def _at(address: str, told: Told, local: Local, *, here: bool) -> wire.Instance | Place | str:
    parsed = ipaddress.ip_address(address)
    leases = [lease for lease in local.leases if lease.address == address]
    mac = local.neighbours.get(address) or _mac_in(parsed)
    for instance in told.instances:
        cards = _cards(instance)
        if address in _fixed(instance) or _forwards(instance, parsed, local.own):
            return instance
        if (mac and mac in cards) or any(_has(instance, cards, lease) for lease in leases):
            return instance
    if parsed.is_loopback or address in local.own:
        if here:
            return Place.THIS_HOST
        return f"{address} is this host's own, but it has no {_CONTROLLER_UNIT}: something else serves there"
    if address in local.neighbours:
        return Place.OTHER_HOST
    return f"{address} is no address of an instance that is known, and no neighbour of this host's"


def _has(instance: wire.Instance, cards: frozenset[str], lease: Lease) -> bool:
    return lease.mac in cards if lease.mac else lease.name == instance.name


def _forwards(instance: wire.Instance, address: _Address, own: frozenset[str]) -> bool:
    """Return whether a proxy device of ``instance`` listens at ``address`` of this host."""
    if not (address.is_loopback or str(address) in own):
        return False
    for device in (instance.expanded_devices or {}).values():
        kind, _, listen = str(device.get("listen", "")).partition(":")
        if device.get("type") != "proxy" or kind != "tcp" or device.get("bind") == "instance":
            continue
        try:
            place = ipaddress.ip_address(listen.rpartition(":")[0].strip("[]"))
        except ValueError:
            continue
        if place == address or place.is_unspecified:
            return True
    return False


def _fixed(instance: wire.Instance) -> frozenset[str]:
    devices = (instance.expanded_devices or {}).values()
    values = (str(device.get(key, "")) for device in devices for key in _ADDRESS_KEYS)
    return frozenset(_plain(word.strip()) for value in values for word in value.split(",")) - {""}


_ADDRESS_KEYS: Final = ("ipv4.address", "ipv6.address")


def _plain(text: str) -> str:
    """Return an address in its usual form; "" for what is none (``none``, ``auto``)."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""


def _cards(instance: wire.Instance) -> frozenset[str]:
    config = instance.expanded_config or {}
    set_by_hand = (
        device.get("hwaddr", "") for device in (instance.expanded_devices or {}).values()
    )
    own = (value for key, value in config.items() if key.endswith(".hwaddr"))
    return frozenset(str(text).lower() for text in (*set_by_hand, *own)) - {""}


def _mac_in(address: _Address) -> str:
    """Return the hardware address that an IPv6 address was made from (RFC 4291, appendix A); "" when from none."""
    packed = address.packed
    if address.version != 6 or packed[11:13] != b"\xff\xfe":
        return ""
    return ":".join(f"{byte:02x}" for byte in (packed[8] ^ 2, *packed[9:11], *packed[13:16]))


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


async def look(root: Path) -> Local:
    """Return what the host below ``root`` knows about addresses; of a host that does not run only its files."""
    names = dict(hosts(_text(unitfiles.inside(root, "/etc/hosts"))))
    found = _leases_below(root)
    if root != Path("/"):
        return Local(names=names, leases=found)
    around = await process.run(["ip", "-json", "neigh", "show"], deadline=_DEADLINE)
    own = await process.run(["ip", "-json", "address", "show"], deadline=_DEADLINE)
    return Local(
        neighbours=dict(neighbours(around.stdout)),
        own=frozenset(own_addresses(own.stdout)),
        names=names,
        leases=found,
    )


def _leases_below(root: Path) -> tuple[Lease, ...]:
    return tuple(one for file in sorted(root.glob(_LEASES)) for one in leases(_text(file)))


class _Neighbour(msgspec.Struct, frozen=True):
    dst: str = ""
    lladdr: str = ""


class _AddressInfo(msgspec.Struct, frozen=True):
    local: str = ""


class _Link(msgspec.Struct, frozen=True):
    addr_info: tuple[_AddressInfo, ...] = ()


def neighbours(said: bytes) -> Iterator[tuple[str, str]]:
    """Yield (address, hardware address) of ``ip -json neigh show``, IPv4 and IPv6; nothing for what is no such answer."""
    try:
        rows = msgspec.json.decode(said, type=tuple[_Neighbour, ...])
    except msgspec.MsgspecError:
        return
    for row in rows:
        if _plain(row.dst) and row.lladdr:
            yield _plain(row.dst), row.lladdr.lower()


def own_addresses(said: bytes) -> Iterator[str]:
    """Yield the addresses of ``ip -json address show``."""
    try:
        rows = msgspec.json.decode(said, type=tuple[_Link, ...])
    except msgspec.MsgspecError:
        return
    for row in rows:
        yield from (_plain(one.local) for one in row.addr_info if _plain(one.local))


def hosts(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield name and addresses of ``/etc/hosts`` (man 5 hosts)."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if words and _plain(words[0].partition("%")[0]):
            for name in words[1:]:
                found.setdefault(name.lower().rstrip("."), []).append(
                    _plain(words[0].partition("%")[0])
                )
    for name, addresses in found.items():
        yield name, tuple(dict.fromkeys(addresses))


def leases(text: str) -> Iterator[Lease]:
    """Yield the leases of dnsmasq's file: expiry, hardware address (IPv6: another identity), address, name, client."""
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 4 and _plain(words[2]):
            mac = words[1].lower() if words[1].count(":") == 5 else ""
            yield Lease(address=_plain(words[2]), mac=mac, name=words[3])


def _text(path: Path) -> str:
    try:
        return files.read_text(path)
    except errors.ClientError:
        return ""
