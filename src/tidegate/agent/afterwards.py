# SPDX-License-Identifier: Apache-2.0
"""Once a boot is over, its journal is read for the metrics: exact to what the systems themselves logged, and of what was before us too.

It is read by a command in a process of its own (``tidegate boot list``): a journal may be long, and neither our loop nor our memory shall
know of it. Nothing is decided by it. It is tried once per run of the agent.
"""

import asyncio
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from tidegate.agent.meter import Meter
from tidegate.clients import process
from tidegate.config.model import Config, Use
from tidegate.core.trouble import Trouble
from tidegate.metrics.values import BootFigures
from tidegate.probes.systemd import BOOTED

AFTER: Final = 30.0
"""Seconds after the last instance ran, or after our own start if that is later: the machine has better to do before."""
AT_LATEST: Final = 900.0
"""Seconds after boot from which on a boot is taken for over, whatever is still down."""
LOOK_EVERY: Final = 5.0
DEADLINE: Final = 300.0
_LONGEST: Final = 4 * 1024 * 1024
_log = logging.getLogger("tidegate.afterwards")


def has_journal(config: Config) -> bool:
    """Return True where the journal of this machine is that of the boot which is watched."""
    return config.host.root == "/" and config.systemd.use is not Use.OFF and BOOTED.exists()


async def run(config: Config, meter: Meter, boottime: Callable[[], float]) -> None:
    """Wait until the boot is over, then have its journal read and the figures taken over."""
    born = boottime()
    while not is_over(meter.last_instance, born=born, now=boottime()):  # noqa: ASYNC110  time alone ends it
        await asyncio.sleep(LOOK_EVERY)
    found = await read(Path(config.agent.state_dir))
    if isinstance(found, Trouble):
        _log.info("%s", found, extra={"TIDEGATE_CODE": found.code})
    else:
        meter.read(found)


def is_over(last_instance: float | None, *, born: float, now: float) -> bool:
    """Return True when nothing of the boot is to be expected any more (all in seconds since boot). Pure."""
    ended = AT_LATEST if last_instance is None else last_instance
    return now >= max(ended, born) + AFTER


async def read(state_dir: Path) -> BootFigures | Trouble:
    """Return what the journal of this boot says, or why it does not."""
    command = (
        sys.executable,
        "-I",
        "-m",
        "tidegate",
        "boot",
        "list",
        "--boots",
        "1",
        "--format",
        "json",
    )
    done = await process.run(
        (*command, "--state-dir", str(state_dir)), deadline=DEADLINE, max_output=_LONGEST
    )
    if done.trouble is not None:
        return done.trouble
    try:
        return msgspec.json.decode(done.stdout, type=tuple[BootFigures])[0]
    except msgspec.MsgspecError as error:
        return Trouble(
            code="metrics.boot-unread",
            text=f"the journal of this boot gave no figures: {error}",
            hint="metrics of its phases are missing, nothing else; look: tidegate boot list",
        )
