# SPDX-License-Identifier: Apache-2.0
"""The very commands that a satellite and udev run, timed here: read-only, within limits, and none while a boot or a resync goes on."""

import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from tidegate.clients import clock, errors, process
from tidegate.clients.drbd.client import DrbdClient
from tidegate.config.model import Config
from tidegate.tuning import rules_devices
from tidegate.tuning.drbd import Described
from tidegate.tuning.facts import Lvm, Timing

SETTLED: Final = 300.0
"""Seconds after boot before which nothing is timed: the figures would be the boot's, and slow it down."""
WITHIN: Final = 30.0
"""Seconds that one command may take. One that needs longer is not run again."""
IN_ALL: Final = 120.0
"""Seconds after which no further command is begun."""
RUNS: Final = 3
_IGNORES_DRBD: Final = 'devices { filter=["r|^/dev/drbd.*|"] }'
"""What a satellite has LVM leave out while it looks for a group's disks."""
_LV: Final = "lv_name,lv_path,lv_size,vg_name,pool_lv,data_percent,lv_attr,metadata_percent,chunk_size,stripes"
LISTED: Final = ("-o", _LV, "--separator", ";", "--noheadings", "--units", "k", "--nosuffix")
"""How a satellite has ``lvs`` list volumes (facts/linstor.md 8.2)."""
_ZFS: Final = "name,refer,volsize,type,volblocksize,origin,clones"
_LVM_PATH: Final = re.compile(r"/dev/(?!mapper/|zvol/|disk/)([\w.+-]+)/[\w.+-]+")
_ZVOL: Final = re.compile(r"/dev/zvol/([^/]+)/.+")
_SETTINGS: Final = ("devices/global_filter", "devices/use_devicesfile", "global/event_activation")
_SHOWN: Final = {
    "pvdisplay": "pvdisplay -S vg_name=GROUP",
    "pvdisplay-filtered": "pvdisplay -S vg_name=GROUP with global_filter",
    "lvs": "lvs GROUP…",
    "zfs-list": "zfs list -t volume,snapshot",
    "zfs-list-volumes": "zfs list -t volume",
    "sh-udev": "drbdadm sh-udev",
    "multipath": "multipath -u",
    "blkid": "blkid -p of a DRBD device",
}
Tell = Callable[[str], None]


class Timed(msgspec.Struct, frozen=True, kw_only=True):
    """What was timed, by name; ``stopped``: why not all of it."""

    timings: dict[str, Timing]
    stopped: str = ""


def groups(disks: Iterable[str]) -> tuple[str, ...]:
    """Return the volume groups that ``disks`` are of, by LINSTOR's names for them."""
    return tuple(sorted({match[1] for disk in disks if (match := _LVM_PATH.fullmatch(disk))}))


def pools(disks: Iterable[str]) -> tuple[str, ...]:
    """Return the zpools that ``disks`` are of."""
    return tuple(sorted({match[1] for disk in disks if (match := _ZVOL.fullmatch(disk))}))


async def why_not(config: Config) -> str:
    """Return why nothing may be timed now; "" when it may."""
    if clock.boottime() < SETTLED:
        return f"this host has just booted; from {SETTLED / 60:g} minutes after boot on"
    client = DrbdClient(
        drbdsetup=config.drbd.drbdsetup,
        module_file=Path(config.host.root) / "sys/module/drbd/version",
        deadline=config.drbd.deadline,
    )
    try:
        resources = await client.status()
    except errors.ClientError as error:
        return "" if error.trouble.code in {"drbd.no-module", "drbd.no-tool"} else str(error)
    syncing = [
        resource.name
        for resource in resources
        for connection in resource.connections
        for device in connection.peer_devices
        if device.replication.startswith(("Sync", "Paused", "Verify", "WFBitMap"))
    ]
    return f"{syncing[0]} is being resynchronised" if syncing else ""


async def run(config: Config, found: Described, *, multipath: bool, tell: Tell) -> Timed:
    """Time everything that applies to this host. A cancelled call leaves no command running."""
    timings: dict[str, Timing] = {}
    began = clock.boottime()
    async for name, command in _commands(found, multipath=multipath, timings=timings):
        if reason := await why_not(config):
            return Timed(timings=timings, stopped=reason)
        if clock.boottime() - began > IN_ALL:
            return Timed(timings=timings, stopped=f"it has taken {IN_ALL:g} s already")
        tell(process.command_line(command[:3]))
        if (timing := await _time(_SHOWN[name], command)) is not None:
            timings[name] = timing
    return Timed(timings=timings)


async def _commands(
    found: Described, *, multipath: bool, timings: dict[str, Timing]
) -> AsyncIterator[tuple[str, tuple[str, ...]]]:
    """Yield what to time, by name. The second of a pair only where the first was worth it."""
    disks = [disk for pair in found.disks.values() for disk in pair]
    volume_groups, zpools = groups(disks), pools(disks)
    if volume_groups:
        yield "pvdisplay", physical_volumes(volume_groups[0])
        if "pvdisplay" in timings:
            yield (
                "pvdisplay-filtered",
                physical_volumes(
                    volume_groups[0], f"devices {{ global_filter = {rules_devices.FILTER} }}"
                ),
            )
        yield "lvs", await _lvs(volume_groups)
    if zpools:
        listing = ("zfs", "list", "-r", "-H", "-p", "-o", _ZFS, "-t")
        yield "zfs-list", (*listing, "volume,snapshot", *zpools)
        if "zfs-list" in timings:
            yield "zfs-list-volumes", (*listing, "volume", *zpools)
    if found.minors:
        yield "sh-udev", ("drbdadm", "sh-udev", f"minor-{found.minors[0]}")
        if found.primary:
            yield "blkid", ("blkid", "-p", "-o", "udev", f"/dev/drbd{found.primary[0]}")
        if multipath:
            yield "multipath", ("multipath", "-u", f"drbd{found.minors[0]}")


def physical_volumes(group: str, more: str = "") -> tuple[str, ...]:
    """Return how a satellite asks for the disks of a volume group, ``more`` configuration added."""
    config = f"{_IGNORES_DRBD} {more}".strip()
    words = ("--columns", "-o", "pv_name", "-S", f"vg_name={group}", "--noheadings", "--nosuffix")
    return ("pvdisplay", "--config", config, *words)


async def _lvs(volume_groups: Sequence[str]) -> tuple[str, ...]:
    """Return how a satellite lists the volumes of groups: with a filter that lets nothing but their disks through."""
    disks: list[str] = []
    for group in volume_groups:
        disks.extend(_lines(await process.run(physical_volumes(group), deadline=WITHIN)))
    chosen = ",".join(f"'a|{disk}|'" for disk in disks if disk)
    config = ("--config", f"devices {{ filter=[{chosen},'r|.*|'] }}") if chosen else ()
    return ("lvs", *config, *LISTED, *volume_groups)


async def _time(shown: str, command: Sequence[str]) -> Timing | None:
    """Run ``command`` some times, less often when it is slow; None when it fails."""
    seconds: list[float] = []
    lines = 0
    while len(seconds) < RUNS and sum(seconds) < WITHIN:
        done = await process.run(command, deadline=WITHIN)
        if done.trouble is not None:
            return None
        seconds.append(done.elapsed)
        lines = done.stdout.count(b"\n")
    return Timing(command=shown, seconds=tuple(seconds), at=clock.wall(), lines=lines)


async def lvm() -> Lvm | None:
    """Return LVM's settings that decide what it looks at and when; None where there is no LVM."""
    done = await process.run(("lvmconfig", "--typeconfig", "full", *_SETTINGS), deadline=WITHIN)
    if done.trouble is not None:
        return None
    lines = _lines(done)
    said = {
        key: value.strip()
        for key, equals, value in (line.partition("=") for line in lines)
        if equals
    }
    return Lvm(
        global_filter=said.get("global_filter", ""),
        devices_file=said.get("use_devicesfile", ""),
        event_activation=said.get("event_activation", ""),
        hidden=await _hidden(),
    )


async def _hidden() -> tuple[str, ...]:
    """Return the volume groups that LVM finds now, and would not with the filter of our advice: they lie on just such devices."""
    words = ("pvs", "--noheadings", "-o", "vg_name")
    every = await process.run(words, deadline=WITHIN)
    filtered = f"devices {{ global_filter = {rules_devices.FILTER} }}"
    left = await process.run((*words, "--config", filtered), deadline=WITHIN)
    if every.trouble is not None or left.trouble is not None:
        return ()
    return tuple(sorted({*_lines(every)} - {*_lines(left)} - {""}))


def _lines(done: process.Completed) -> list[str]:
    return [line.strip() for line in done.stdout.decode("utf-8", "replace").splitlines()]


def rules_of_multipath(root: Path) -> bool:
    """Return whether udev asks multipath about block devices."""
    folders = ("etc/udev/rules.d", "run/udev/rules.d", "usr/lib/udev/rules.d", "lib/udev/rules.d")
    return any(any((root / folder).glob("*multipath*.rules")) for folder in folders)
