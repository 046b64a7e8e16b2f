# SPDX-License-Identifier: Apache-2.0
"""All that advice is made from, found on this host. Reads only, each command within a limit, none while a boot or a resync goes on."""

import asyncio
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from tidegate.agent import (
    archiving,
    tunecommands,
    tunedisks,
    tuneincus,
    tunelinks,
    tuneservice,
    tuning,
    unitview,
)
from tidegate.agent.meter import CPU_WAITED
from tidegate.agent.tunecommands import Tell
from tidegate.clients import clock, errors, files, process
from tidegate.clients.systemd import enabled
from tidegate.clients.systemd.manager import Manager, Unit
from tidegate.config.model import Config, Use
from tidegate.core.ids import AGENT_UNIT
from tidegate.core.trouble import Trouble
from tidegate.history import boots as history
from tidegate.metrics.moments import SATELLITE_PHASES, Moment
from tidegate.tuning import drbd, endings, host, result, rules_devices, rules_start
from tidegate.tuning.drbd import Described
from tidegate.tuning.facts import Boot, HostFacts, Lvm, Service, Shutdown, UnitTime
from tidegate.units.tree import Index

MOST_BOOTS: Final = 50
WITHIN: Final = 20.0
_ABSOLUTE: Final = {
    "before": Moment.SATELLITE_STARTED,
    "listening": Moment.SATELLITE_LISTENING,
    "volumes": Moment.VOLUMES_READY,
    result.WHOLE: Moment.LAST_INSTANCE,
}
"""Phases that begin with the boot itself."""
_MODULES: Final = ("etc/modules-load.d", "run/modules-load.d", "usr/lib/modules-load.d")
_JOURNAL: Final = ("journalctl", "-b", "-1", "-n", "3000", "-o", "json")
_MARKED: Final = "out-of-sync based on AL"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What whoever looks asks for: to run commands that take time, and to write into files of ours in these directories."""

    measure: bool = True
    write_in: tuple[Path, ...] = ()


def _silent(_text: str) -> None:
    """Tell nobody."""


async def look(
    config: Config, asked: Asked, notes: tuning.Notes, *, tell: Tell = _silent
) -> HostFacts | Trouble:
    """Return this host's facts; Trouble when what was asked for cannot be done. A cancelled call leaves no command running."""
    root = Path(config.host.root)
    why = await tunecommands.why_not(config) if asked.measure else "asked not to"
    units = await _units(config)
    try:
        index = tuneservice.units(root)
    except errors.ClientError as error:
        return error.trouble
    facts = await _files(config, root, index, units, notes)
    found = await _drbd(config, root)
    below = await _below(root, found, why)
    facts = await asyncio.to_thread(_storage, root, facts, found, below)
    if asked.write_in and not why:
        writes = [await tunedisks.write_test(place, below) for place in asked.write_in]
        for one in writes:
            if isinstance(one, Trouble):
                return one
        facts = msgspec.structs.replace(
            facts, writes=tuple(w for w in writes if not isinstance(w, Trouble))
        )
    facts = msgspec.structs.replace(
        facts,
        media=dict(below.media),
        not_timed=why,
        not_asked=(f"what DRBD's volumes lie on: {found.trouble}",) if found.trouble else (),
    )
    if why:
        return facts
    return await _measured(config, facts, found, tell)


async def _files(
    config: Config, root: Path, index: Index, units: Mapping[str, Unit], notes: tuning.Notes
) -> HostFacts:
    """What files and systemd say: nothing that takes time."""
    name, other = config.systemd.satellite_unit, config.systemd.controller_unit
    satellite = tuneservice.service(root, index, name, units.get(name))
    controller = tuneservice.service(root, index, other, units.get(other))
    wants = root / "etc/systemd/system"
    resources = _kept(root, config)
    return HostFacts(
        at=clock.wall(),
        boots=boots(config),
        cpus=os.cpu_count() or 1,
        memory=_memory(root),
        satellite=satellite,
        controller=controller,
        archive=archiving.look(root, index, config),
        resources=len(resources),
        times={key: time for key, unit in units.items() if (time := _time(unit)) is not None},
        wait_command=tuneservice.command(index.unit(rules_start.NETWORKD)),
        module_listed=_module_listed(root) if resources else None,
        import_scans=_text(root / "etc/zfs/zpool.cache") is None,
        multipath=tunecommands.rules_of_multipath(root),
        autostart=await tuneincus.autostart(config, units),
        devices_first=(wants / f"{name}.wants/{host.DEVICES}").is_symlink(),
        agent=enabled.is_enabled(AGENT_UNIT, [wants]),
        wakes=config.recovery.wake_controller,
        applied=notes.written(),
        drifted=_drifted(notes, [satellite, controller]),
    )


def _storage(root: Path, facts: HostFacts, found: Described, below: tunedisks.Below) -> HostFacts:
    disks = [disk for pair in found.disks.values() for disk in pair]
    return msgspec.structs.replace(
        facts,
        scanned=tunedisks.scanned(root),
        groups=len(tunecommands.groups(disks)),
        udev_devices=len(found.minors),
        volumes=tunedisks.placed(below, found.volumes, found.disks),
        database=tunedisks.database(root, below) if facts.controller is not None else None,
        resync_rate=found.rate,
    )


async def _measured(config: Config, facts: HostFacts, found: Described, tell: Tell) -> HostFacts:
    """What has to be asked of programs: by now nothing boots and nothing is resynchronised."""
    root = Path(config.host.root)
    tell("java -version")
    index = tuneservice.units(root)
    program = tuneservice.java_of(root, index, config.systemd.satellite_unit)
    java = await tuneservice.java(program) if facts.satellite is not None else None
    here = sorted(drbd.made_by_linstor(found.disks).union(_kept(root, config)))
    orphans, unpacking, urls = await tunelinks.linstor(config, here)
    links = await tunelinks.links(found, urls) if facts.satellite is not None else ()
    timed = await tunecommands.run(config, found, multipath=facts.multipath, tell=tell)
    lvm = await _lvm(config, found) if facts.groups else None
    tell("journalctl")
    return msgspec.structs.replace(
        facts,
        java=java,
        limits=await tuneservice.limits(root),
        orphans=orphans,
        unpacking=unpacking,
        links=links,
        lvm=lvm,
        timings=timed.timings,
        not_timed=timed.stopped,
        shutdown=await _shutdown() if unitview.is_booted() else None,
        resynced=await _resynced() if unitview.is_booted() else False,
    )


def boots(config: Config) -> tuple[Boot, ...]:
    """Return the recorded boots with their phases; none when there is no history."""
    found = history.read_boots(Path(config.agent.state_dir) / "history.db", most=MOST_BOOTS)
    if isinstance(found, Trouble):
        return ()
    return tuple(
        Boot(began=one.began, phases=phases({name: at for name, _, at in one.measures}))
        for one in found
    )


def phases(moments: Mapping[str, float]) -> dict[str, float]:
    """Return how long the phases of a boot took, from its moments (seconds since boot) by name."""
    spans = (*SATELLITE_PHASES, ("instances", Moment.VOLUMES_READY, Moment.LAST_INSTANCE))
    found = {
        name: moments[end.value] - moments[begin.value]
        for name, begin, end in spans
        if begin.value in moments and end.value in moments
    }
    found |= {name: moments[at.value] for name, at in _ABSOLUTE.items() if at.value in moments}
    found |= _resync(moments)
    if CPU_WAITED in moments:
        found[CPU_WAITED] = moments[CPU_WAITED]
    return {name: max(0.0, seconds) for name, seconds in found.items()}


def _resync(moments: Mapping[str, float]) -> dict[str, float]:
    """Return how long a resync at the start took: none is 0 seconds of it, and no figure of a boot that had one."""
    began, over = moments.get(Moment.RESYNC_BEGAN.value), moments.get(Moment.RESYNC_OVER.value)
    if over is None:
        return {}
    if began is None or began > over:
        return {result.RESYNC: 0.0}
    return {result.RESYNC: over - began, result.RESYNCED: over - began}


def _drifted(notes: tuning.Notes, services: Iterable[Service | None]) -> tuple[str, ...]:
    """Return advice in force that joined its options with others, which have changed since."""
    now = {service.unit: service.options for service in services if service is not None}
    return tuple(
        one.id
        for one in notes.applied
        if one.reverted is None and one.words and now.get(one.unit, one.theirs) != one.theirs
    )


def _kept(root: Path, config: Config) -> tuple[str, ...]:
    """Return the resources whose files LINSTOR keeps here."""
    folder = root / config.bringup.directory.lstrip("/")
    try:
        return tuple(sorted(path.stem for path in folder.glob("*.res")))
    except OSError:
        return ()


async def _drbd(config: Config, root: Path) -> Described:
    """Return what DRBD says; nothing where its module is not loaded, since asking would load it (facts/linstor.md 2.1)."""
    if not (root / "sys/module/drbd").exists():
        return Described()
    program, within = config.drbd.drbdsetup, config.drbd.deadline
    show = await process.run([program, "show", "--json", "--show-defaults"], deadline=within)
    status = await process.run([program, "status", "--json", "--statistics"], deadline=within)
    trouble = show.trouble or status.trouble
    if trouble is not None:
        return Described(trouble=str(trouble))
    try:
        return drbd.describe(show.stdout, status.stdout)
    except msgspec.DecodeError as error:
        return Described(trouble=f"the answer of {program} cannot be read: {error}")


async def _lvm(config: Config, found: Described) -> Lvm | None:
    """Return LVM's settings, and how long the groups of DRBD's disks took to be activated by events."""
    lvm = await tunecommands.lvm()
    disks = [disk for pair in found.disks.values() for disk in pair]
    names = {f"lvm-activate-{group}.service": group for group in tunecommands.groups(disks)}
    times = {name: _time(unit) for name, unit in (await _asked(config, tuple(names))).items()}
    activated = {names[name]: time.took for name, time in times.items() if time is not None}
    return msgspec.structs.replace(lvm, activated=activated) if lvm is not None else None


async def _below(root: Path, found: Described, why: str) -> tunedisks.Below:
    """Return what finds disks below devices; zpools are asked for theirs only where commands may be run."""
    pools = tunecommands.pools(disk for pair in found.disks.values() for disk in pair)
    return tunedisks.Below(root, await tunedisks.zpools(pools, WITHIN) if not why else {})


async def _units(config: Config) -> dict[str, Unit]:
    units = config.systemd
    names = (
        *(units.satellite_unit, units.controller_unit, units.incus_unit),
        *(*rules_start.WAITERS, rules_devices.SETTLE, rules_devices.SCAN, *host.OWN),
    )
    return await _asked(config, names)


async def _asked(config: Config, names: tuple[str, ...]) -> dict[str, Unit]:
    """Return the units that systemd knows of ``names``; none where this host's systemd is not to be asked."""
    if config.systemd.use is Use.OFF or not unitview.is_booted() or config.host.root != "/":
        return {}
    found = {}
    async with Manager(deadline=config.systemd.deadline) as manager:
        for name in names:
            try:
                found[name] = await manager.unit(name)
            except errors.ClientError as error:
                if error.trouble.code.startswith("bus."):
                    break  # each further call would wait for the same bus
    return found


def _time(unit: Unit) -> UnitTime | None:
    if unit.active_enter is None or unit.inactive_exit is None:
        return None
    return UnitTime(unit=unit.name, began=unit.inactive_exit, active=unit.active_enter)


def _memory(root: Path) -> int:
    for line in (_text(root / "proc/meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return 0


def _module_listed(root: Path) -> bool:
    places = [path for folder in _MODULES for path in (root / folder).glob("*.conf")]
    lines = [line.strip() for path in places for line in (_text(path) or "").splitlines()]
    words = (_text(root / "proc/cmdline") or "").replace("=", ",").replace(" ", ",").split(",")
    return "drbd" in lines or ("modules_load" in words and "drbd" in words)


async def _shutdown() -> Shutdown | None:
    done = await process.run(_JOURNAL, deadline=WITHIN)
    return endings.read(_lines(done.stdout)) if done.trouble is None else None


class _Entry(msgspec.Struct):
    at: str = msgspec.field(name="__MONOTONIC_TIMESTAMP", default="0")
    text: object = msgspec.field(name="MESSAGE", default="")


def _lines(output: bytes) -> list[endings.Line]:
    found = []
    for line in output.splitlines():
        try:
            entry = msgspec.json.decode(line, type=_Entry)
            found.append(endings.Line(at=int(entry.at) / 1e6, text=str(entry.text)))
        except (msgspec.DecodeError, ValueError):
            continue
    return found


async def _resynced() -> bool:
    words = ["journalctl", "-k", "-b", "-o", "cat", "-n", "1", "--grep", _MARKED]
    return bool((await process.run(words, deadline=WITHIN)).stdout.strip())


def _text(path: Path) -> str | None:
    try:
        return files.read_text(path)
    except errors.ClientError:
        return None
