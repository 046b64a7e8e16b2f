# SPDX-License-Identifier: Apache-2.0
"""``tidegate devices`` put together: from the configuration to one run, and what systemd is told on the way."""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tidegate.actuators import bringup
from tidegate.actuators.bringup import Bringup, Result
from tidegate.agent.keeper import Keeper
from tidegate.bringup import standing
from tidegate.bringup.model import Step
from tidegate.clients import clock, errors, files
from tidegate.clients.devices import host
from tidegate.clients.drbd.adm import DrbdAdm
from tidegate.clients.drbd.client import DrbdClient
from tidegate.clients.systemd import notify
from tidegate.config.model import Config
from tidegate.core.drbd import DrbdResource
from tidegate.core.wanted import WantedMap
from tidegate.probes import translate_drbd

RUN: str = "devices"
"""The directory below ``agent.run_dir`` for what was begun in this boot."""
_SPARE: Final = 10.0
"""Seconds that systemd gives beyond our own limits before it ends us."""
_log = logging.getLogger("tidegate.devices")


def plan(config: Config, *, everything: bool) -> dict[str, Step]:
    """Return what would be done next with each resource; changes nothing."""
    return asyncio.run(_bringup(config, everything=everything).plan())


def up(
    config: Config, *, everything: bool, told: Callable[[Result], None]
) -> tuple[Result, ...] | errors.Trouble:
    """Bring up what may be; tells systemd that the boot may go on: at the limit, at the end, or when all that is left waits for disks."""
    directory = Path(config.agent.run_dir) / RUN
    text = "another `tidegate devices up` is at work"
    busy = errors.Trouble(code="bringup.busy", text=text, hint="wait until it has ended")
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with files.alone(directory, busy):
            return asyncio.run(_up(config, everything=everything, told=told))
    except errors.ClientError as error:
        return error.trouble
    except OSError as error:
        text = f"cannot make {directory}: {error.strerror}"
        return errors.Trouble(code="file.error", text=text, hint="run it as root")


def verify(config: Config, *, everything: bool) -> tuple[standing.Standing, ...] | errors.Trouble:
    """Say of each resource that would be taken how it stands in DRBD."""
    return asyncio.run(_verify(config, everything=everything))


async def _up(
    config: Config, *, everything: bool, told: Callable[[Result], None]
) -> tuple[Result, ...]:
    began = clock.boottime()
    limit, end = config.bringup.limit, config.bringup.end
    notify.notify(notify.extend_timeout(limit + _SPARE))
    work = _bringup(
        config,
        everything=everything,
        told=lambda result: _tell(result, told),
        idle=lambda: _go_on("waits for disks beside the satellite's start", end),
    )
    loop = asyncio.get_running_loop()
    late = loop.call_later(limit, _go_on, "the limit is over; goes on beside", end)
    try:
        await work.up(began + end)
    finally:
        late.cancel()
    results = tuple(work.results.values())
    matter = [each for each in results if each.code != "bringup.not-wanted"]
    _go_on(standing.sentence(sum(each.is_up for each in matter), len(matter)), _SPARE)
    return results


def _go_on(says: str, more: float) -> None:
    """Tell systemd that the boot may go on; ``more`` seconds is what we may still be at work beside it."""
    notify.notify(notify.READY, notify.status(says), notify.extend_timeout(more + 7 * _SPARE))


def _tell(result: Result, told: Callable[[Result], None]) -> None:
    levels = {"bringup.failed": logging.WARNING, "bringup.not-wanted": logging.DEBUG}
    level = levels.get(result.code, logging.INFO)
    _log.log(
        level,
        "%s: %s",
        result.resource,
        result.says,
        extra={
            "TIDEGATE_EVENT": "bringup",
            "TIDEGATE_CODE": result.code,
            "TIDEGATE_SUBJECT": f"volume/{result.resource}",
        },
    )
    told(result)


async def _verify(
    config: Config, *, everything: bool
) -> tuple[standing.Standing, ...] | errors.Trouble:
    wanted = _order(_map(config))
    directory = Path(config.bringup.directory)
    kept = {path.name.removesuffix(".res") for path in await asyncio.to_thread(_files, directory)}
    names = sorted(kept) if everything else [*wanted] if wanted is not None else []
    found: Mapping[str, DrbdResource] = {}
    try:
        told = await _drbd(config).snapshot()
        now = clock.boottime()
        found = translate_drbd.resources(told.resources.values(), now=now)
    except errors.ClientError as error:
        if error.code != "drbd.no-module":
            return error.trouble
    return tuple(standing.of(name, found.get(name), kept=name in kept) for name in names)


def _files(directory: Path) -> list[Path]:
    return list(directory.glob("*.res"))


def _bringup(
    config: Config,
    *,
    everything: bool,
    told: Callable[[Result], None] = lambda result: None,  # noqa: ARG005
    idle: Callable[[], None] = lambda: None,
) -> Bringup:
    root = Path(config.host.root)
    kept = _map(config)
    tools = bringup.Tools(
        adm=DrbdAdm(node=os.uname().nodename, root=root),
        drbd=_drbd(config),
        satellite=lambda: _satellite(config, root),
        module=lambda: host.module_version(root),
        boottime=clock.boottime,
        begun=Path(config.agent.run_dir) / RUN,
        root=root,
    )
    return Bringup(
        tools,
        directory=Path(config.bringup.directory),
        order=_order(kept),
        reserved={} if kept is None else {one.resource: one.why for one in kept.reserved},
        everything=everything or config.bringup.everything,
        parallel=config.bringup.parallel,
        told=told,
        idle=idle,
    )


def _satellite(config: Config, root: Path) -> bool:
    """Return False only where it is known that no satellite listens: until then it changes nothing, and from then on it may."""
    ports = host.satellite_ports(root) | {config.host.satellite_port}
    return any(host.port_listening(port, root) is not False for port in sorted(ports))


def _drbd(config: Config) -> DrbdClient:
    return DrbdClient(
        drbdsetup=config.drbd.drbdsetup,
        module_file=Path(config.host.root) / "sys/module/drbd/version",
        deadline=config.drbd.deadline,
    )


def _map(config: Config) -> WantedMap | None:
    wanted, trouble = Keeper(Path(config.agent.state_dir)).load()
    if trouble is not None:
        _log.warning("%s", trouble, extra={"TIDEGATE_CODE": trouble.code})
    return wanted


def _order(wanted: WantedMap | None) -> tuple[str, ...] | None:
    """Return the wanted resources as Incus would start what needs them: the highest priority first."""
    if wanted is None:
        return None
    by_priority = sorted(wanted.instances, key=lambda each: (-(each.priority or 0), each.id))
    first = [volume.resource for instance in by_priority for volume in instance.volumes]
    return tuple(dict.fromkeys([*first, *wanted.resources]))
