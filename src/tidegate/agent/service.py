# SPDX-License-Identifier: Apache-2.0
"""The life of ``tidegate agent``: starts the parts, tells systemd, stops them in order when asked to."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

from tidegate.agent import afterwards, ending, guarding, webdoor, wiring
from tidegate.agent.control import ControlSocket, SocketTaken, SocketUnusable
from tidegate.agent.loop import Loop
from tidegate.agent.views import Views
from tidegate.clients.systemd import notify
from tidegate.config import values
from tidegate.config.model import Config

WRITE_WITHIN = 3.0
"""Seconds that history gets at the end."""
STUCK_AFTER = 10.0
"""Seconds without a cycle after which the watchdog is no longer fed."""
EXIT_USAGE = 2
_log = logging.getLogger("tidegate")


def run(config: Config, *, act: bool = True, ready: Callable[[Path], None] | None = None) -> int:
    """Run the agent until SIGTERM or SIGINT; returns its exit code.

    Args:
        config: The whole configuration.
        act: False to observe and judge only.
        ready: Called with the socket's path once commands can connect (tests, the demo).
    """
    code = 0
    try:
        ending.run(_run(config, act=act, ready=ready))
    except* SocketUnusable as unusable:
        for error in set(_leaves(unusable)):
            name = "agent.second" if isinstance(error, SocketTaken) else "agent.no-socket"
            _log.error("%s", error, extra={"TIDEGATE_CODE": name})
        code = EXIT_USAGE  # a return is not allowed in here
    return code


def _leaves(group: BaseExceptionGroup[SocketUnusable]) -> Iterator[SocketUnusable]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


async def _run(config: Config, *, act: bool, ready: Callable[[Path], None] | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serving(config, act=act) as (socket_path, running):
        notify.notify("READY=1", f"STATUS={running.sentence}")
        if ready is not None:
            ready(socket_path)
        await stop.wait()
        notify.notify("STOPPING=1")


@contextlib.asynccontextmanager
async def serving(config: Config, *, act: bool = True) -> AsyncIterator[tuple[Path, Loop]]:
    """Run the agent inside the caller's event loop; yields its socket's path and its loop once commands can connect."""
    socket_path = Path(config.agent.run_dir) / "agent.sock"
    async with wiring.open_parts(config, act=act, keep=True) as parts:
        control = ControlSocket(socket_path, Views(parts.loop, parts.boottime))
        listening = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            tasks: list[asyncio.Task[Any]] = [
                group.create_task(control.serve(listening), name="control"),
            ]
            await _first(listening, tasks[0])
            answering = guarding.serve(
                config, parts.loop, parts.observer, boottime=parts.boottime, act=act
            )
            tasks.append(group.create_task(answering, name="guarding"))
            tasks.append(group.create_task(parts.loop.run(), name="loop"))
            tasks.append(
                group.create_task(_tell_systemd(parts.loop, parts.boottime), name="systemd")
            )
            if parts.meter is not None:
                door = webdoor.serve(
                    socket_path.with_name(webdoor.FILE),
                    values.listen_address(config.web.listen),
                    parts.loop,
                    parts.meter,
                    parts.boottime,
                    names=config.web.names,
                )
                tasks.append(group.create_task(_beside("metrics", door), name="web"))
                if afterwards.has_journal(config):
                    reading = afterwards.run(config, parts.meter, parts.boottime)
                    tasks.append(group.create_task(_beside("boot", reading), name="journal"))
            try:
                yield socket_path, parts.loop
            finally:
                for task in tasks:
                    task.cancel()


async def _beside(what: str, work: Coroutine[Any, Any, None]) -> None:
    """Do ``work`` that recovery does not rest on: a fault of ours in it must not end the agent."""
    try:
        await work
    except Exception:
        _log.exception("%s failed in an unforeseen way: report this as a bug", what)


async def _first(event: asyncio.Event, task: asyncio.Task[Any]) -> None:
    """Wait until ``event`` is set, or ``task`` has failed, which then is raised by its group."""
    waiter = asyncio.ensure_future(event.wait())
    await asyncio.wait({waiter, task}, return_when=asyncio.FIRST_COMPLETED)
    waiter.cancel()
    if task.done():
        task.result()


async def _tell_systemd(loop: Loop, boottime: Callable[[], float]) -> None:
    """Feed the watchdog while cycles happen, and show the sentence in ``systemctl status``."""
    interval = notify.watchdog_interval()
    told = ""
    while True:
        alive = boottime() - loop.last_turn < STUCK_AFTER
        messages = ["WATCHDOG=1"] if interval is not None and alive else []
        if loop.sentence != told:
            told = loop.sentence
            messages.append(f"STATUS={told}")
        if messages:
            notify.notify(*messages)
        await asyncio.sleep(min(1.0, interval / 3 if interval is not None else 1.0))
