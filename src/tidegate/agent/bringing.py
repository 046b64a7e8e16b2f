# SPDX-License-Identifier: Apache-2.0
"""``tidegate devices`` put together: from the configuration to one run, and what systemd is told on the way."""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from tidegate.actuators import bringup
from tidegate.actuators.bringup import Bringup, Result
from tidegate.agent.keeper import Keeper
from tidegate.bringup import standing
from tidegate.bringup.model import Step
from tidegate.clients import clock, errors
from tidegate.clients.devices import host
from tidegate.clients.drbd.adm import DrbdAdm
from tidegate.clients.drbd.client import DrbdClient
from tidegate.clients.systemd import notify
from tidegate.config.model import Config
from tidegate.core.facts import DrbdResource
from tidegate.core.wanted import WantedMap
from tidegate.probes import translate_drbd

RUN: str = "devices"
"""The directory below ``agent.run_dir`` for the small configurations that drbdadm is given."""
_log = logging.getLogger("tidegate.devices")


def plan(config: Config, *, everything: bool) -> dict[str, Step]:
    """Return what would be done next with each resource; changes nothing."""
    return asyncio.run(_bringup(config, everything=everything).plan())


def up(config: Config, *, everything: bool, told: Callable[[Result], None]) -> tuple[Result, ...]:
    """Bring up what may be; tells systemd at the limit or at the end, whichever comes first, that the boot may go on."""
    return asyncio.run(_up(config, everything=everything, told=told))


def verify(config: Config, *, everything: bool) -> tuple[standing.Standing, ...] | errors.Trouble:
    """Say of each resource that would be taken how it stands in DRBD."""
    return asyncio.run(_verify(config, everything=everything))


async def _up(
    config: Config, *, everything: bool, told: Callable[[Result], None]
) -> tuple[Result, ...]:
    began = clock.boottime()
    work = _bringup(config, everything=everything, told=lambda result: _tell(result, told))
    loop = asyncio.get_running_loop()
    late = loop.call_later(config.bringup.limit, _go_on, "the limit is over; goes on beside")
    try:
        await work.up(began + config.bringup.end)
    finally:
        late.cancel()
    results = tuple(work.results.values())
    matter = [each for each in results if each.code != "bringup.not-wanted"]
    _go_on(standing.sentence(sum(each.is_up for each in matter), len(matter)))
    return results


def _go_on(says: str) -> None:
    notify.notify(notify.READY, notify.status(says))


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
) -> Bringup:
    root = Path(config.host.root)
    tools = bringup.Tools(
        adm=DrbdAdm(Path(config.agent.run_dir) / RUN, node=os.uname().nodename, root=root),
        drbd=_drbd(config),
        satellite=lambda: host.port_listening(config.host.satellite_port, root) is True,
        boottime=clock.boottime,
        root=root,
    )
    return Bringup(
        tools,
        directory=Path(config.bringup.directory),
        order=_order(_map(config)),
        everything=everything or config.bringup.everything,
        parallel=config.bringup.parallel,
        told=told,
    )


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
