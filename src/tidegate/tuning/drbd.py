# SPDX-License-Identifier: Apache-2.0
"""What DRBD says of its volumes: ``drbdsetup show --json --show-defaults`` for where they lie, ``status --json --statistics`` for what they did."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from tidegate.tuning.facts import Volume

_AMOUNT: Final = re.compile(r"(\d+)([kKmMgGs]?)")
_FACTOR: Final = {"": 1024, "s": 512, "k": 1024, "m": 1024**2, "g": 1024**3}
"""A rate without a unit is in KiB per second (drbd.conf(5), ``c-max-rate``)."""


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """All resources of this node. ``disks``: by volume its data's and its metadata's device (the same where that is internal).

    ``rate``: bytes per second that a resync is allowed, the least of all; ``local``, ``peers``: addresses.
    """

    volumes: tuple[Volume, ...] = ()
    disks: Mapping[str, tuple[str, str]] = {}
    minors: tuple[int, ...] = ()
    primary: tuple[int, ...] = ()
    """Minors of what is in use here: only these may be opened by us, since an open device keeps a peer from promoting."""
    trouble: str = ""
    rate: float | None = None
    local: frozenset[str] = frozenset()
    peers: frozenset[str] = frozenset()


def describe(show: bytes, status: bytes) -> Described:
    """Read both answers; what has another shape than expected is left out. Raises msgspec.DecodeError for what is no JSON."""
    done = dict(_done(status))
    volumes, disks, minors = [], {}, []
    rates: list[float] = []
    for resource in _list(msgspec.json.decode(show)):
        name, here = str(resource.get("resource", "")), _map(resource.get("_this_host"))
        for volume in _list(here.get("volumes")):
            key = f"{name}/{volume.get('volume_nr', 0)}"
            minors.append(_int(volume.get("device_minor")) or 0)
            disk, meta = volume.get("backing-disk"), volume.get("meta-disk", "internal")
            if not isinstance(disk, str):
                continue  # diskless
            disks[key] = (disk, disk if meta == "internal" else str(meta))
            size, writes = done.get(key, (0, None))
            extents = _int(_map(volume.get("disk")).get("al-extents"))
            volumes.append(
                Volume(
                    name=key,
                    internal=meta == "internal",
                    al_extents=extents,
                    size=size,
                    al_writes=writes,
                )
            )
        rates.extend(_rates(resource))
    local, peers = _addresses(status)
    return Described(
        volumes=tuple(volumes),
        disks=disks,
        minors=tuple(minors),
        primary=tuple(_primary(status)),
        rate=min(rates) if rates else None,
        local=local,
        peers=peers,
    )


def made_by_linstor(disks: Mapping[str, tuple[str, str]]) -> frozenset[str]:
    """Return the resources whose disks are named as LINSTOR names them: ``RESOURCE_00000`` (facts/linstor.md 6.1)."""
    found = set()
    for key, (disk, _) in disks.items():
        resource, _, number = key.rpartition("/")
        if disk.rpartition("/")[2] == f"{resource}_{int(number):05}":
            found.add(resource)
    return frozenset(found)


def rate(text: object) -> float | None:
    """Return bytes per second for what DRBD shows of a rate: a number with or without a unit."""
    match = _AMOUNT.match(str(text))
    return int(match[1]) * _FACTOR[match[2].lower()] if match else None


def _rates(resource: Mapping[str, object]) -> Iterator[float]:
    for connection in _list(resource.get("connections")):
        for volume in _list(connection.get("volumes")):
            found = rate(_map(volume.get("disk")).get("c-max-rate", ""))
            if found:
                yield found


def _done(status: bytes) -> Iterator[tuple[str, tuple[int, int | None]]]:
    """Yield each volume with its size in bytes and the updates of its activity log."""
    for resource in _list(msgspec.json.decode(status)):
        for device in _list(resource.get("devices")):
            size = (_int(device.get("size")) or 0) * 1024
            yield (
                f"{resource.get('name', '')}/{device.get('volume', 0)}",
                (size, _int(device.get("al-writes"))),
            )


def _primary(status: bytes) -> Iterator[int]:
    for resource in _list(msgspec.json.decode(status)):
        if resource.get("role") == "Primary":
            for device in _list(resource.get("devices")):
                yield _int(device.get("minor")) or 0


def _addresses(status: bytes) -> tuple[frozenset[str], frozenset[str]]:
    local, peers = set(), set()
    for resource in _list(msgspec.json.decode(status)):
        for connection in _list(resource.get("connections")):
            for path in _list(connection.get("paths")):
                local.add(_map(path.get("this_host")).get("address"))
                peers.add(_map(path.get("remote_host")).get("address"))
    return (
        frozenset(one for one in local if isinstance(one, str)),
        frozenset(one for one in peers if isinstance(one, str)),
    )


def _list(value: object) -> list[Mapping[str, object]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _map(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _int(value: object) -> int | None:
    return int(str(value)) if str(value).isdecimal() else None
