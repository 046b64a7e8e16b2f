# SPDX-License-Identifier: Apache-2.0
"""Over the network: which links storage and controller are reached through, and what LINSTOR says of the resources kept here."""

import ipaddress
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from tidegate.agent import discovery, unitview
from tidegate.clients import clock, errors, process
from tidegate.config.model import Config
from tidegate.tuning.drbd import Described
from tidegate.tuning.facts import Link

WITHIN: Final = 5.0
_UNPACKING: Final = "Aux/Incus/unpacking"


class _Managed(msgspec.Struct):
    name: str = msgspec.field(name="Name", default="")
    kind: str = msgspec.field(name="Type", default="")
    state: str = msgspec.field(name="AdministrativeState", default="")
    required: bool = msgspec.field(name="RequiredForOnline", default=True)


class _Listed(msgspec.Struct):
    links: list[_Managed] = msgspec.field(name="Interfaces", default_factory=list)


class _Address(msgspec.Struct):
    local: str = ""


class _Interface(msgspec.Struct):
    ifname: str = ""
    addr_info: list[_Address] = []


class _Route(msgspec.Struct):
    dev: str = ""


async def linstor(
    config: Config, here: Sequence[str]
) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None, tuple[str, ...]]:
    """Return the resources that are ``here`` and that LINSTOR does not know, image volumes left half unpacked, and the controllers' URLs.

    The first two are None when no controller answers.
    """
    root = Path(config.host.root)
    way = discovery.Linstor(config, unitview.kept(root, config), clock.boottime)
    urls = way.found.linstor.controllers
    try:
        if way.found.trouble is not None:
            return None, None, urls
        known = await way.client.resource_definitions()
    except errors.ClientError:
        return None, None, urls
    finally:
        await way.aclose()
    names = {one.name for one in known}
    unpacking = tuple(one.name for one in known if one.props.get(_UNPACKING) == "true")
    return tuple(name for name in here if name not in names), unpacking, urls


async def links(found: Described, urls: Iterable[str]) -> tuple[Link, ...]:
    """Return the links that networkd waits for, and which of them are needed; empty where that is not known."""
    listed = await process.run(["networkctl", "list", "--json=short"], deadline=WITHIN)
    own = await process.run(["ip", "-json", "address", "show"], deadline=WITHIN)
    if listed.trouble is not None or own.trouble is not None or not found.local:
        return ()
    try:
        waited = names_waited(listed.stdout)
        needed = names_of(own.stdout, found.local)
    except msgspec.DecodeError:
        return ()
    for host in (*sorted(found.peers), *(_address(url) for url in urls)):
        if host:
            needed |= await _way_to(host)
    return tuple(Link(name=name, needed=name in needed) for name in waited)


def names_waited(said: bytes) -> tuple[str, ...]:
    """Return the links of ``networkctl list --json`` that must be online. Pure."""
    every = msgspec.json.decode(said, type=_Listed).links
    return tuple(
        one.name
        for one in every
        if one.kind != "loopback" and one.state not in {"", "unmanaged"} and one.required
    )


def names_of(said: bytes, addresses: Iterable[str]) -> set[str]:
    """Return the links that hold one of ``addresses``, from ``ip -json address``. Pure."""
    wanted = set(addresses)
    every = msgspec.json.decode(said, type=list[_Interface])
    return {one.ifname for one in every if wanted & {info.local for info in one.addr_info}}


async def _way_to(host: str) -> set[str]:
    done = await process.run(["ip", "-json", "route", "get", host], deadline=WITHIN)
    if done.trouble is not None:
        return set()
    try:
        return {one.dev for one in msgspec.json.decode(done.stdout, type=list[_Route]) if one.dev}
    except msgspec.DecodeError:
        return set()


def _address(url: str) -> str:
    """Return the host of ``url`` if it is an address: names are not looked up here."""
    try:
        host = urlsplit(url).hostname or ""
        return str(ipaddress.ip_address(host))
    except ValueError:
        return ""
