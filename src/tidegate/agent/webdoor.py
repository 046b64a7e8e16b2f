# SPDX-License-Identifier: Apache-2.0
"""Where metrics, health and the status page are asked for: a unix socket, and TCP if configured.

The sockets listen from the start; the server behind them (``agent.web``) is imported when the first caller stands at the door, in a
thread: nobody who starts early pays for it, and while it loads the caller waits in the socket's queue. A port that cannot be had is
told and done without: recovery matters more than its figures.
"""

import asyncio
import contextlib
import importlib
import logging
import socket
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tidegate.agent.meter import Meter
from tidegate.core.trouble import Trouble

if TYPE_CHECKING:
    from tidegate.agent.web import Scene

FILE: Final = "web.sock"
BACKLOG: Final = 64
_FREEBIND: Final = 15  # IP_FREEBIND, which Python's socket module names from 3.12 on
_log = logging.getLogger("tidegate.web")


async def serve(
    path: Path,
    address: tuple[str, int] | None,
    scene: "Scene",
    meter: Meter,
    boottime: Callable[[], float],
    *,
    names: Collection[str] = (),
) -> None:
    """Serve until cancelled.

    Args:
        path: The unix socket, for root and our own user alone.
        address: Where to listen over TCP; None for nowhere.
        scene: What is shown.
        meter: What gives the metrics.
        boottime: Seconds since boot.
        names: By which this host may be asked over TCP, besides its host name and its name in LINSTOR.
    """
    with contextlib.ExitStack() as stack:
        sockets = _listening(path, address)
        for one in sockets:
            stack.enter_context(one)
        if not sockets:
            return
        stack.callback(path.unlink, missing_ok=True)
        await _knock(sockets)
        web = await asyncio.to_thread(importlib.import_module, "tidegate.agent.web")
        from aiohttp.web import AppRunner, SockSite  # noqa: PLC0415  as the module's text says

        runner = AppRunner(
            web.application(scene, meter.families, boottime, {socket.gethostname(), *names}),
            access_log=None,
            handle_signals=False,
            keepalive_timeout=30.0,
            shutdown_timeout=0.5,
        )
        await runner.setup()
        try:
            for one in sockets:
                await SockSite(runner, one, backlog=BACKLOG).start()
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()


def _listening(path: Path, address: tuple[str, int] | None) -> list[socket.socket]:
    """Return the sockets that could be had. Nothing here waits: the address is a number, the directory lies in memory."""
    found = []
    try:
        found.append(_unix(path))
    except OSError as error:
        _tell(str(path), error)
    if address is not None:
        try:
            found.append(_tcp(address))
        except OSError as error:
            _tell(f"{address[0]} port {address[1]}", error)
        else:
            _log.info(
                "metrics, health and the status page: %s port %d", *found[-1].getsockname()[:2]
            )
    return found


def _unix(path: Path) -> socket.socket:
    """Listen at ``path``. What an agent that died left there is in the way of nobody: only one agent has this directory."""
    path.unlink(missing_ok=True)
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        found.bind(str(path))
        path.chmod(0o660)  # nobody can connect before it listens
        found.listen(BACKLOG)
    except OSError:
        found.close()
        raise
    return found


def _tcp(address: tuple[str, int]) -> socket.socket:
    """Listen at ``address``, even if this host gets it later: the agent starts before the network is up."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family is socket.AF_INET:
            found.setsockopt(socket.IPPROTO_IP, _FREEBIND, 1)
        found.bind(address)
        found.listen(BACKLOG)
    except OSError:
        found.close()
        raise
    return found


def _tell(where: str, error: OSError) -> None:
    trouble = Trouble(
        code="web.not-listening",
        text=f"metrics and health are not served at {where}: {error.strerror or error}",
        hint="choose another address with web.listen, then restart tidegate-agent.service; recovery goes on without",
    )
    _log.warning("%s", trouble, extra={"TIDEGATE_CODE": trouble.code})


async def _knock(sockets: list[socket.socket]) -> None:
    """Return when somebody has connected to one of ``sockets``."""
    loop = asyncio.get_running_loop()
    knocked = asyncio.Event()
    for one in sockets:
        loop.add_reader(one, knocked.set)
    try:
        await knocked.wait()
    finally:
        for one in sockets:
            loop.remove_reader(one)
