# SPDX-License-Identifier: Apache-2.0
"""All that advice is made from, found on this host. Reads only, each command within a limit, none while a boot or a resync goes on."""

import asyncio
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from tidegate.agent import unitview
from tidegate.clients import clock, errors, files, process, unitfiles
from tidegate.clients.drbd.client import DrbdClient
from tidegate.clients.incus import socket as incus_socket
from tidegate.clients.incus.client import IncusClient
from tidegate.clients.systemd.manager import Manager, Unit
from tidegate.config.model import Config, Use
from tidegate.core.trouble import Trouble
from tidegate.history import boots as history
from tidegate.metrics.moments import SATELLITE_PHASES, Moment
from tidegate.tuning import advice
from tidegate.tuning.facts import Autostart, Boot, HostFacts, Java, Timing, UnitWait
from tidegate.units.tree import Index

MOST_BOOTS: Final = 50
SETTLED: Final = 300.0
"""Seconds after boot before which nothing is timed: the figures would be the boot's, and slow it down."""
COMMAND_WITHIN: Final = 30.0
RUNS: Final = 3
_WAITERS: Final = (
    "systemd-networkd-wait-online.service",
    "NetworkManager-wait-online.service",
    "ifupdown-wait-online.service",
    "systemd-udev-settle.service",
)
_OWN: Final = ("tidegate-agent.service", "tidegate-ready.service", "tidegate-devices.service")
_KINDS: Final = {"drbd": "drbd", "zd": "zvol", "loop": "loop"}
_COMMANDS: Final[Mapping[str, tuple[str, ...]]] = {
    "lvs": ("lvs", "-o", "lv_name,lv_path,lv_size,vg_name,pool_lv,data_percent"),
    "lvs-filtered": (
        *("lvs", "--config", f"devices {{ global_filter = {advice.FILTER} }}"),
        *("-o", "lv_name,lv_path,lv_size,vg_name,pool_lv,data_percent"),
    ),
    "zfs-list": (
        "zfs",
        "list",
        "-H",
        "-p",
        "-o",
        "name,refer,volsize,type",
        "-t",
        "volume,snapshot",
    ),
}
"""The very listings of a satellite (facts/linstor.md 8.1)."""


async def look(
    config: Config, *, measure: bool, applied: frozenset[str] = frozenset()
) -> HostFacts:
    """Return this host's facts. ``measure`` False: run no command that takes time; raises nothing."""
    satellite = await asyncio.to_thread(_satellite_unit)
    not_timed = await _why_not(config) if measure else "asked not to"
    units = await _units(config, (*_WAITERS, *_OWN))
    return HostFacts(
        boots=boots(config),
        cpus=os.cpu_count() or 1,
        java=await _java(),
        java_options=satellite.java_options,
        java_options_file=satellite.java_options_file,
        resources=await asyncio.to_thread(_count, Path(config.bringup.directory)),
        timings=await _timings() if not not_timed else {},
        not_timed=not_timed,
        scanned=await asyncio.to_thread(_scanned, Path(config.host.root)),
        waits=_waits(units, satellite.after),
        own={name: took for name in _OWN if (took := _took(units.get(name))) is not None},
        autostart=await _autostart(config, units),
        devices_first=satellite.devices_first,
        wakes=config.recovery.wake_controller,
        applied=applied,
    )


def boots(config: Config) -> tuple[Boot, ...]:
    """Return the recorded boots with their phases; none when there is no history."""
    found = history.read_boots(Path(config.agent.state_dir) / "history.db", most=MOST_BOOTS)
    if isinstance(found, Trouble):
        return ()
    return tuple(
        Boot(began=one.began, phases=_phases({name: at for name, _, at in one.measures}))
        for one in found
    )


def _phases(moments: Mapping[str, float]) -> dict[str, float]:
    spans = (*SATELLITE_PHASES, ("instances", Moment.VOLUMES_READY, Moment.LAST_INSTANCE))
    found = {
        name: moments[end.value] - moments[begin.value]
        for name, begin, end in spans
        if begin.value in moments and end.value in moments
    }
    if Moment.SATELLITE_STARTED.value in moments:
        found["before"] = moments[Moment.SATELLITE_STARTED.value]
    return {name: seconds for name, seconds in found.items() if seconds >= 0}


class _Satellite(msgspec.Struct, frozen=True, kw_only=True):
    """What the satellite's unit files say."""

    java_options: str = ""
    java_options_file: str = ""
    after: frozenset[str] = frozenset()
    devices_first: bool = False


def _satellite_unit(root: Path = unitview.HOST) -> _Satellite:
    """Read the satellite's unit below ``root``. A file named by ``EnvironmentFile=`` wins over ``Environment=`` (man systemd.exec)."""
    try:
        unit = Index(unitfiles.read(root)).unit("linstor-satellite.service")
    except errors.ClientError:
        return _Satellite()
    found = [_java_options(value) for value, _ in unit.listed("Service", "Environment")]
    texts = [text for text in found if text is not None]
    file = ""
    for value, _ in unit.listed("Service", "EnvironmentFile"):
        path = value.removeprefix("-")
        if (text := _in_file(root / path.lstrip("/"))) is not None:
            texts, file = [text], path
    wants = "etc/systemd/system/linstor-satellite.service.wants/tidegate-devices.service"
    return _Satellite(
        java_options=texts[-1] if texts else "",
        java_options_file=file,
        after=frozenset(value for value, _ in unit.listed("Unit", "After")),
        devices_first=(root / wants).is_symlink(),
    )


def _in_file(path: Path) -> str | None:
    try:
        lines = files.read_text(path, limit=64 * 1024).splitlines()
    except errors.ClientError:
        return None
    found = [_java_options(line) for line in lines if not line.lstrip().startswith("#")]
    return next((text for text in reversed(found) if text is not None), None)


def _java_options(assignment: str) -> str | None:
    """Return the value in ``JAVA_OPTS=value``, quoted or not; None when something else is assigned."""
    text = assignment.strip().strip("\"'")
    name, equals, value = text.partition("=")
    return value.strip("\"'") if equals and name == "JAVA_OPTS" else None


async def _why_not(config: Config) -> str:
    if clock.boottime() < SETTLED:
        return "this host has just booted"
    client = DrbdClient(drbdsetup=config.drbd.drbdsetup, deadline=config.drbd.deadline)
    try:
        resources = await client.status()
    except errors.ClientError:
        return ""
    syncing = [
        resource.name
        for resource in resources
        for connection in resource.connections
        for device in connection.peer_devices
        if device.replication.startswith(("Sync", "Paused"))
    ]
    return f"{syncing[0]} is being resynchronised" if syncing else ""


async def _java() -> Java | None:
    done = await process.run(["java", "-version"], deadline=COMMAND_WITHIN)
    if done.trouble is not None:
        return None
    accepts = [flag for flag in advice.FLAGS if await _accepts("java", [flag])]
    if len(accepts) == len(advice.FLAGS) and not await _accepts("java", advice.FLAGS):
        accepts = []  # each alone, and not together
    first = done.stderr.decode("utf-8", "replace").splitlines()[:1]
    return Java(program="java", version=first[0] if first else "?", accepts=frozenset(accepts))


async def _accepts(program: str, flags: Sequence[str]) -> bool:
    done = await process.run([program, *flags, "-version"], deadline=COMMAND_WITHIN)
    return done.trouble is None


async def _timings() -> dict[str, Timing]:
    found = {}
    for name, command in _COMMANDS.items():
        seconds, lines = [], 0
        for _ in range(RUNS):
            done = await process.run(command, deadline=COMMAND_WITHIN)
            if done.trouble is not None:
                break
            seconds.append(done.elapsed)
            lines = done.stdout.count(b"\n")
        if len(seconds) == RUNS:
            shown = process.command_line(command[:2])
            found[name] = Timing(
                command=shown, seconds=tuple(seconds), at=clock.wall(), lines=lines
            )
    return found


def _scanned(root: Path) -> dict[str, int]:
    found = dict.fromkeys(_KINDS.values(), 0)
    try:
        names = [path.name for path in (root / "sys/block").iterdir()]
    except OSError:
        return {}
    for name in names:
        for prefix, kind in _KINDS.items():
            if re.fullmatch(rf"{prefix}\d+", name) and _has_size(root, name):
                found[kind] += 1
    return found


def _has_size(root: Path, name: str) -> bool:
    try:
        return (root / "sys/block" / name / "size").read_text().strip() != "0"
    except OSError:
        return False


def _count(directory: Path) -> int:
    try:
        return sum(1 for _ in directory.glob("*.res"))
    except OSError:
        return 0


async def _units(config: Config, names: Sequence[str]) -> dict[str, Unit]:
    if config.systemd.use is Use.OFF or not unitview.is_booted():
        return {}
    found = {}
    async with Manager(deadline=config.systemd.deadline) as manager:
        for name in (*names, config.systemd.incus_unit):
            try:
                found[name] = await manager.unit(name)
            except errors.ClientError:
                continue
    return found


def _waits(units: Mapping[str, Unit], after: frozenset[str]) -> tuple[UnitWait, ...]:
    if "network-online.target" not in after:
        return ()
    took = {name: _took(units.get(name)) for name in _WAITERS}
    return tuple(UnitWait(unit=name, seconds=value) for name, value in took.items() if value)


def _took(unit: Unit | None) -> float | None:
    """Return the seconds from a unit's start until it was active, in this boot; None when it has not been."""
    if unit is None or unit.active_enter is None or unit.inactive_exit is None:
        return None
    return max(0.0, unit.active_enter - unit.inactive_exit)


async def _autostart(config: Config, units: Mapping[str, Unit]) -> tuple[Autostart, ...]:
    """Return what Incus starts; asked only while its daemon runs, since its socket would start it."""
    unit = units.get(config.systemd.incus_unit)
    if unit is None or unit.active_state != "active":
        return ()
    path = Path(config.incus.socket) if config.incus.socket else incus_socket.find(os.environ)
    try:
        async with IncusClient(path, deadline=config.incus.deadline) as client:
            instances = await client.instances()
    except errors.ClientError:
        return ()
    return tuple(
        Autostart(name=f"{one.project}/{one.name}", delay=_seconds(one.expanded_config))
        for one in instances
        if (one.expanded_config or {}).get("boot.autostart") == "true"
    )


def _seconds(keys: Mapping[str, str] | None) -> float:
    text = (keys or {}).get("boot.autostart.delay", "")
    return float(text) if text.isdecimal() else 0.0
