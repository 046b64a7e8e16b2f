# SPDX-License-Identifier: Apache-2.0
"""Which instances Incus starts here at boot, asked only while its daemon runs: its socket would start it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tidegate.clients import errors
from tidegate.clients.incus import socket as incus_socket
from tidegate.clients.incus import wire
from tidegate.clients.incus.client import IncusClient
from tidegate.clients.systemd.manager import Unit
from tidegate.config.model import Config, Use
from tidegate.tuning.incus import Autostart

_TRUE: Final = frozenset({"true", "1", "yes", "on"})


async def autostart(config: Config, units: Mapping[str, Unit]) -> tuple[Autostart, ...]:
    """Return the instances that Incus starts on this member; none where it cannot be asked."""
    unit = units.get(config.systemd.incus_unit)
    runs = unit is not None and unit.active_state == "active"
    if config.incus.use is Use.OFF or not (runs or config.systemd.use is Use.OFF):
        return ()
    path = Path(config.incus.socket) if config.incus.socket else incus_socket.find(os.environ)
    try:
        async with IncusClient(path, deadline=config.incus.deadline) as client:
            instances, server = await client.instances(), await client.server()
    except errors.ClientError:
        return ()
    here = {server.environment.server_name, "none", ""}
    return tuple(_autostart(one) for one in instances if one.location in here and starts(one))


def starts(instance: wire.Instance) -> bool:
    """Return whether Incus starts ``instance`` at boot (facts/incus.md A1)."""
    wanted = instance.option("boot.autostart")
    if wanted in {None, "", "last-state"}:
        return instance.option("volatile.last_state.power") == "RUNNING"
    return (wanted or "").lower() in _TRUE


def _autostart(instance: wire.Instance) -> Autostart:
    delay = instance.option("boot.autostart.delay")
    priority = instance.option("boot.autostart.priority")
    return Autostart(
        name=f"{instance.project}/{instance.name}",
        delay=None if delay is None else _number(delay),
        priority=None if priority is None else int(_number(priority)),
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
