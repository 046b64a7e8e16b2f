# SPDX-License-Identifier: Apache-2.0
"""A snapshot as a file: saved on one machine, judged on another; names and addresses can be masked.

Masking keeps what is equal equal: each name gets a stand-in of its own, the same wherever it stands, in texts as well. What is
structure stays (``/dev/drbd1002``, ``incus-volume-``, states, codes, times): a masked snapshot is judged as the whole one is.
"""

import functools
import ipaddress
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from tidegate.core.snapshot import Snapshot

FORMAT: Final = "tidegate-snapshot/1"
MOST: Final = 256 * 1024 * 1024
"""Bytes of a file that are read at most."""

_ADDRESS: Final = re.compile(
    r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])"
    r"|(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,}(?![\w:])"
)
_URL_HOST: Final = re.compile(r"(https?://)(\[[^\]]*\]|[^/:\s,;]+)")
_STRUCTURE: Final = frozenset(
    {"linstor", "satellite", "service", "socket", "incus", "drbd", "dev", "volume", "startup"}
    | {"local", "none", "host", "http", "https", "storage", "zero", "ext4", "xfs", "btrfs", "gpt"}
)
"""Words that stand in names of units, paths and contents: a node that is called so is not masked."""
_PREFIX: Final = "incus-volume-"
_SHORTEST: Final = 2
"""Names shorter than this are no secret, and would be found in every word."""


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """The file."""

    form: str
    version: str
    """Of the program that wrote it."""
    masked: bool
    snapshot: Snapshot


def encode(snapshot: Snapshot, *, version: str, masked: bool) -> bytes:
    """Return the file's bytes: JSON, one fact a line or so."""
    held = mask(snapshot) if masked else snapshot
    saved = Saved(form=FORMAT, version=version, masked=masked, snapshot=held)
    return msgspec.json.format(msgspec.json.encode(saved), indent=1) + b"\n"


def decode(data: bytes) -> Saved:
    """Read what :func:`encode` wrote. Raises ValueError, saying what is wrong."""
    try:
        saved = msgspec.json.decode(data, type=Saved)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"it is no snapshot of Tidegate: {error}") from error
    if saved.form != FORMAT:
        raise ValueError(f"it is of form {saved.form!r}, this program reads {FORMAT!r}")
    return saved


def mask(snapshot: Snapshot) -> Snapshot:
    """Return ``snapshot`` with stand-ins for addresses, and for the names of what people name: see :func:`_named`."""
    names = dict(_stand_ins(snapshot))
    pattern = _any_of(names)
    addresses: dict[str, str] = {}

    def address(found: re.Match[str]) -> str:
        text = found[0]
        try:
            version = ipaddress.ip_address(text).version
        except ValueError:
            return text
        made = len(addresses) + 1
        stand_in = f"192.0.2.{made}" if version == 4 and made < 255 else f"2001:db8::{made:x}"
        return addresses.setdefault(text, stand_in)

    def host(found: re.Match[str]) -> str:
        bare = found[2].strip("[]")
        try:
            ipaddress.ip_address(bare)
        except ValueError:
            return found[1] + names.setdefault(bare, f"host-{len(names) + 1}")
        return found[0]

    def plain(text: str) -> str:
        masked = _URL_HOST.sub(host, text)
        if pattern is not None:
            masked = pattern.sub(lambda found: names[found[0]], masked)
        return _ADDRESS.sub(address, masked)

    raw = _mapped(msgspec.to_builtins(snapshot), plain)
    return msgspec.convert(raw, type=Snapshot)


def _stand_ins(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """Yield each name with what is shown instead; resources keep their prefix, which tells whose they are."""
    seen = {"default", *_STRUCTURE, *_vocabulary()}
    for kind, found in _named(snapshot):
        numbers: dict[str, int] = {}
        for name in dict.fromkeys(found):
            # LINSTOR takes node names of any case for the same.
            same = name.casefold() if kind == "node" else name
            number = numbers.setdefault(same, len(numbers) + 1)
            if len(name) < _SHORTEST or name in seen:
                continue
            seen.add(name)
            prefix = _PREFIX if name.startswith(_PREFIX) else ""
            yield name, f"{prefix}{kind}-{number}"


def _named(snapshot: Snapshot) -> Iterator[tuple[str, list[str]]]:
    """Yield every kind of thing that has a name of its own, with the names, wherever the snapshot has them."""
    kept, instances = snapshot.wanted, _values(snapshot.instances)
    wanted = kept.instances if kept is not None else ()
    definitions, drbd = _values(snapshot.definitions), _values(snapshot.drbd)
    needs = [need for one in instances for need in one.needs]
    pools = [*_values(snapshot.pools), *(kept.pools if kept is not None else ())]
    yield "node", [snapshot.node, *_nodes(snapshot)]
    yield "storage-pool", _keys(snapshot.storage_pools)
    yield "pool", [one.name for one in pools] + [need.pool for need in needs]
    yield "project", [one.id.project for one in (*instances, *wanted)]
    yield "instance", [one.id.name for one in (*instances, *wanted)]
    resources = {one.name for one in (*definitions, *drbd)} | set(snapshot.placements)
    if snapshot.host is not None:
        resources |= set(snapshot.host.value.drbd_named or ())
    if kept is not None:
        resources |= {*kept.resources, *(one.resource for one in kept.reserved)}
    yield "resource", sorted(resources)
    groups = [one.resource_group for one in definitions] + [one.resource_group for one in pools]
    yield "group", [name for name in groups if name]
    prefixes = sorted({one.volume_prefix for one in pools} | {_PREFIX}, key=len, reverse=True)
    aux = [_bare(one.aux_name, prefixes) for one in definitions if one.aux_name]
    yield "volume", [need.name for need in needs] + aux
    yield "network", [name for one in instances for name in one.networks]


def _nodes(snapshot: Snapshot) -> Iterator[str]:
    """Yield the nodes that anybody speaks of: with the controller gone, DRBD alone knows the peers."""
    yield from _keys(snapshot.nodes)
    for resource in _values(snapshot.drbd):
        yield from (link.peer for link in resource.connections)
    for fact in snapshot.placements.values():
        for place in fact.value:
            yield from (place.node, *(peer for peer, _ in place.connections))
    if snapshot.network is not None:
        yield from snapshot.network.value.peers
    incus = snapshot.incus
    if incus is not None and incus.value.server_name:
        yield incus.value.server_name


def _bare(name: str, prefixes: list[str]) -> str:
    """Return the name that Incus gave a volume, without the prefix of its pool."""
    found = next((prefix for prefix in prefixes if prefix and name.startswith(prefix)), "")
    return name.removeprefix(found)


def _values(fact: Any) -> list[Any]:
    return [] if fact is None else list(fact.value.values())


@functools.cache
def _vocabulary() -> frozenset[str]:
    """Return the names of fields and the words of closed sets: what is called like one of them cannot be masked."""
    found: set[str] = set()

    def collect(schema: Any) -> None:
        if isinstance(schema, dict):
            found.update(schema.get("properties", {}))
            found.update(str(word) for word in schema.get("enum", ()))
            for one in schema.values():
                collect(one)
        elif isinstance(schema, list):
            for one in schema:
                collect(one)

    collect(msgspec.json.schema(Snapshot))
    return frozenset(found)


def _keys(fact: Any) -> list[str]:
    return [] if fact is None else sorted(fact.value)


def _any_of(names: dict[str, str]) -> re.Pattern[str] | None:
    if not names:
        return None
    longest_first = sorted(names, key=len, reverse=True)
    words = "|".join(re.escape(name) for name in longest_first)
    return re.compile(rf"(?<![A-Za-z0-9]){'(?:' + words + ')'}(?![A-Za-z0-9])")


def _mapped(value: Any, plain: Any) -> Any:
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, dict):
        return {plain(key): _mapped(one, plain) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_mapped(one, plain) for one in value]
    return value
