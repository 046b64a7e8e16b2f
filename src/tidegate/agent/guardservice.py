# SPDX-License-Identifier: Apache-2.0
"""The life of ``tidegate guard``: by hand, or as its unit with sockets and credentials from systemd; signals and watchdog."""

import asyncio
import gc
import logging
import os
import resource
import signal
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from tidegate.agent import ending, setup
from tidegate.clients import clock, errors, files
from tidegate.clients.linstor.endpoints import Endpoints
from tidegate.clients.systemd import notify
from tidegate.config.model import Config
from tidegate.core.ids import NodeName
from tidegate.guard import asking, limits, record, rules
from tidegate.guard.admission import Admission, listening
from tidegate.guard.relay import Guard

EXIT_FAILING: Final = 1
EXIT_USAGE: Final = 2
COLLECT_AFTER: Final = 20_000
"""Objects more than before at which the garbage collector looks for cycles."""
_FIRST_DESCRIPTOR: Final = 3
_log = logging.getLogger("tidegate.guard")


def run_unit(config: Config, environ: Mapping[str, str] = os.environ) -> int:
    """Serve the sockets that systemd handed over, with what ``guard.json`` says; returns the exit code."""
    path = Path(environ.get("CREDENTIALS_DIRECTORY", config.agent.state_dir)) / record.FILE
    try:
        kept = record.read(files.read(path))
    except (errors.ClientError, ValueError) as error:
        _log.error(
            "%s cannot be used: %s", path, error, extra={"TIDEGATE_CODE": "guard.record-unusable"}
        )
        return EXIT_USAGE
    sockets = handed_over(environ)
    if not sockets:
        _log.error(
            "no socket was handed over: start it by tidegate-guard.socket",
            extra={"TIDEGATE_CODE": "guard.no-socket"},
        )
        return EXIT_USAGE
    admission = Admission(uids=frozenset({0}), username=record.USERNAME, password=kept.password)
    post = Post(to=kept.endpoints, node=kept.node, admission=admission, secret=kept.secret)
    return _run(config, sockets, post)


def run_by_hand(config: Config, listen: str, unix: str | None) -> int:
    """Serve at ``listen`` for processes of the same user; returns the exit code."""
    from tidegate.agent import discovery  # noqa: PLC0415  the unit, for which Incus waits, needs it not

    linstor = discovery.Linstor(config, None, clock.boottime)
    try:
        sockets = [listening(listen), *([_unix(unix)] if unix else [])]
    except (OSError, ValueError) as error:
        _log.error(
            "cannot listen at %s: %s", listen, error, extra={"TIDEGATE_CODE": "guard.no-socket"}
        )
        return EXIT_USAGE
    if linstor.found.trouble is not None:
        _log.error("%s", linstor.found.trouble, extra={"TIDEGATE_CODE": linstor.found.trouble.code})
        return EXIT_USAGE
    admission = Admission(uids=frozenset({0, os.geteuid()}))
    try:
        to = discovery.endpoints_of(linstor.found.linstor)
    except errors.ClientError as error:
        _log.error("%s", error.trouble, extra={"TIDEGATE_CODE": error.code})
        return EXIT_USAGE
    post = Post(to=to, node=linstor.found.node, admission=admission)
    return _run(config, sockets, post)


def handed_over(environ: Mapping[str, str]) -> list[socket.socket]:
    """Return the sockets that systemd passed (sd_listen_fds): none when they are not for this process."""
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = int(environ.get("LISTEN_FDS", "0"))
    found = []
    for descriptor in range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + count):
        made = socket.socket(fileno=descriptor)
        made.setblocking(False)
        os.set_inheritable(descriptor, False)
        found.append(made)
    return found


class Post(msgspec.Struct, frozen=True, kw_only=True):
    """Where a guard stands: before which controllers, for which node, and who may ask it."""

    to: Endpoints
    node: NodeName
    admission: Admission
    secret: str = ""
    """What it brings to the agent."""


def _run(config: Config, sockets: Sequence[socket.socket], post: Post) -> int:
    async def serve() -> None:
        judged = rules.of_config(
            config,
            post.node,
            secret=post.secret,
            clock=clock.boottime,
            knock=asking.KNOCK_FOR if setup.expects_agent(config) else 0.0,
        )
        guard = Guard(
            judged,
            post.to,
            post.admission,
            node=post.node,
            clock=clock.boottime,
            bounds=limits.within(_files()),
        )
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        ready = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(guard.serve(sockets, ready), name="serve")
            feeding = group.create_task(_feed(ready), name="watchdog")
            await stop.wait()
            notify.notify(notify.STOPPING)
            feeding.cancel()
            serving.cancel()

    # Else the collector looks at what serves with every few hundred calls, which costs a tenth of them.
    gc.set_threshold(COLLECT_AFTER, 50, 100)
    ending.run(serve())
    return 0


async def _feed(ready: asyncio.Event) -> None:
    """Tell systemd, from the loop that serves, that we serve and live; the unit is READY since we were called (``cli.guard``)."""
    await ready.wait()
    notify.notify(notify.WATCHDOG, notify.status("serves"))
    interval = notify.watchdog_interval()
    if interval is None:
        return
    while True:
        await asyncio.sleep(min(1.0, interval / 3))
        notify.notify(notify.WATCHDOG)


def _files() -> int:
    """Have as many open files as may be; returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = limits.FILES if hard == resource.RLIM_INFINITY else min(limits.FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        return most
    return soft if soft != resource.RLIM_INFINITY else most


def _unix(path: str) -> socket.socket:
    Path(path).unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    old = os.umask(0o177)
    try:
        made.bind(path)
    finally:
        os.umask(old)
    made.listen(16)
    made.setblocking(False)
    return made
