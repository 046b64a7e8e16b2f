# SPDX-License-Identifier: Apache-2.0
"""Recognises which packaging of Incus and of the LINSTOR satellite a host has, from the texts and places of its units.

Recognised are those whose units are known (facts/incus.md 1.1, 1.2; facts/linstor.md 2.1, 2.2). Another one may differ in any name
or order: it is refused, with what was seen, never guessed.
"""

import enum
from typing import Final

import msgspec

from tidegate.core.trouble import Trouble
from tidegate.units import parse
from tidegate.units.tree import Index, Load, Unit

INCUS_UNIT: Final = "incus.service"
INCUS_SOCKET: Final = "incus.socket"
INCUS_STARTUP: Final = "incus-startup.service"
SATELLITE_UNIT: Final = "linstor-satellite.service"
DRIVER_WANTS: Final = "/usr/share/linstor-server/bin/Satellite"
"""The only place at which Incus's driver looks for the satellite (facts/incus.md D53)."""

_PACKAGED: Final = (
    *("/usr/lib/systemd/system/", "/lib/systemd/system/"),
    *("/nix/store/", "/gnu/store/"),
)
"""Where packages put their units; whatever lies elsewhere, or is linked from there, is a person's."""
_PREFIXES: Final = "-@:+!|"


class IncusPackaging(enum.StrEnum):
    """Whose package Incus came in."""

    DEBIAN = "debian"
    """Debian's incus-base, and Ubuntu's, which is made from it."""
    ZABBLY = "zabbly"
    SOURCE = "source"
    """Built by somebody, with a unit of their own."""


class SatellitePackaging(enum.StrEnum):
    """Whose package the satellite came in. Its unit is upstream's in every package, the Ubuntu PPA's included."""

    PACKAGE = "package"
    SOURCE = "source"


class Packaging(msgspec.Struct, frozen=True, kw_only=True):
    """What was recognised, and the names that follow from it."""

    incus: IncusPackaging
    satellite: SatellitePackaging
    lxcfs: str
    """The unit of LXCFS that Incus's unit requires; "" when it requires none."""
    has_socket: bool
    has_startup: bool


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing can be proposed for this host."""

    trouble: Trouble


def recognise(index: Index) -> Packaging | Refusal:
    """Return the packaging of the host whose units are in ``index``, or why it is not one that is known."""
    incus, satellite = index.unit(INCUS_UNIT), index.unit(SATELLITE_UNIT)
    for unit in (incus, satellite):
        if unit.load is not Load.LOADED:
            return _unusable(unit)
    from_incus = _incus(incus)
    from_satellite = _satellite(satellite)
    if from_incus is None:
        return _unknown("incus", incus)
    if from_satellite is None:
        return _unknown("satellite", satellite)
    required = {word for word, _ in incus.listed("Unit", "Requires")}
    lxcfs = [name for name in ("lxcfs.service", "incus-lxcfs.service") if name in required]
    return Packaging(
        incus=from_incus,
        satellite=from_satellite,
        lxcfs=lxcfs[0] if lxcfs else "",
        has_socket=index.unit(INCUS_SOCKET).load is Load.LOADED,
        has_startup=index.unit(INCUS_STARTUP).load is Load.LOADED,
    )


def program(unit: Unit) -> str:
    """Return the path of the program that the service ``unit`` runs; "" when it runs none."""
    setting = unit.last("Service", "ExecStart")
    found = parse.words(setting.value) if setting is not None else ()
    return found[0].lstrip(_PREFIXES) if found else ""


def _incus(unit: Unit) -> IncusPackaging | None:
    path = program(unit)
    if path == "/usr/libexec/incus/startup":
        return IncusPackaging.DEBIAN
    if path.startswith("/opt/incus/"):
        return IncusPackaging.ZABBLY
    if _is_own(unit) and path.endswith("/incusd"):
        return IncusPackaging.SOURCE
    return None


def _satellite(unit: Unit) -> SatellitePackaging | None:
    if not program(unit).endswith("/Satellite"):
        return None
    return SatellitePackaging.SOURCE if _is_own(unit) else SatellitePackaging.PACKAGE


def _is_own(unit: Unit) -> bool:
    return unit.path is not None and not unit.path.startswith(_PACKAGED)


def _unusable(unit: Unit) -> Refusal:
    what = {
        Load.NOT_FOUND: "is not there",
        Load.MASKED: "is masked",
        Load.BAD: f"is refused by systemd ({unit.complaint})",
    }[unit.load]
    hint = {
        Load.NOT_FOUND: "install it; or give the root of the right host with --root",
        Load.MASKED: f"`systemctl unmask {unit.name}` if it shall run here",
        Load.BAD: f"`systemd-analyze verify {unit.name}`, and repair it",
    }[unit.load]
    return Refusal(
        trouble=Trouble(
            code=f"units.{unit.load.value}", text=f"the unit {unit.name} {what}", hint=hint
        )
    )


def _unknown(what: str, unit: Unit) -> Refusal:
    name = {"incus": "Incus", "satellite": "the LINSTOR satellite"}[what]
    known = {
        "incus": "Debian's, Zabbly's, or a unit of your own that runs incusd",
        "satellite": "one that runs LINSTOR's start script Satellite",
    }[what]
    return Refusal(
        trouble=Trouble(
            code="units.unknown-packaging",
            text=f"this packaging of {name} is not known: {unit.path} runs {program(unit) or 'nothing'}",
            hint=f"known is {known}; send `systemctl cat {unit.name}` to the project to have it added",
        )
    )
