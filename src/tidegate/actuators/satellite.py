# SPDX-License-Identifier: Apache-2.0
"""Have the controller dial this node's satellite anew, under the conditions of contract.md safety 8."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from tidegate.actuators import attempt
from tidegate.actuators.attempt import Attempt
from tidegate.clients import errors, process
from tidegate.clients.linstor import wire
from tidegate.clients.linstor.client import LinstorClient
from tidegate.clients.systemd.manager import Manager, ManagerState
from tidegate.core.action import Reconnect, ReconnectSatellite
from tidegate.core.ids import UnitName
from tidegate.core.trouble import Trouble

CALL_WITHIN: Final = 30.0
"""Seconds for the call, which lasts until the full sync is over (facts/linstor.md 4.7)."""
SEEN_WITHIN: Final = 5.0
"""Seconds in which the controller must show the satellite as connected afterwards."""
LOOK_EVERY: Final = 0.25
LOG_WITHIN: Final = 5.0
LOG_LINES: Final = 2000
_CONNECTED: Final = frozenset({"CONNECTED", "ONLINE"})
_UNSYNCED: Final = frozenset({"FULL_SYNC_FAILED", "MISSING_EXT_TOOLS"})
_AUTHENTICATED: Final = re.compile(r"Controller connected and authenticated")
_OUTDATED: Final = re.compile(r"Ignored an incoming but outdated fullsync")
_WAITS: Final = re.compile(r"DeviceManager waiting for service-condition")
_MANAGER: Final = re.compile(r"DeviceManager")

ReadLog = Callable[[], Awaitable[tuple[str, ...] | Trouble]]


class SatelliteActuator:
    """Reconnects the satellite of this node.

    ``linstor`` gives the client of the controllers in use now, ``listens`` whether the satellite's port is open on this host at this
    moment, ``log`` the satellite's lines of this boot.
    """

    def __init__(
        self,
        linstor: Callable[[], LinstorClient],
        *,
        listens: Callable[[], bool | None],
        log: ReadLog,
        manager: Manager | None,
        pause: float = LOOK_EVERY,
    ) -> None:
        self._linstor = linstor
        self._listens = listens
        self._log = log
        self._manager = manager
        self._pause = pause

    async def reconnect(self, action: ReconnectSatellite) -> Attempt:
        """Do ``action``, if what it is for is still so."""
        try:
            if self._manager is not None and await self._manager.state() is ManagerState.STOPPING:
                return attempt.void("unit.shutdown", "the host is shutting down")
            node = await self._linstor().node(action.node)
        except errors.ClientError as error:
            return attempt.of_trouble(error, sent=False)
        before = node.connection_status
        refusal = await self._refusal(action.reason, node)
        if refusal is not None:
            return attempt.seen(refusal, before=before)
        try:
            await self._linstor().reconnect(action.node, deadline=CALL_WITHIN)
        except errors.ClientError as error:
            if error.code not in {"controller.timeout", "controller.disconnected"}:
                return attempt.seen(attempt.of_trouble(error, sent=True), before=before)
        return attempt.seen(await self._after(action), before=before)

    async def _refusal(self, reason: Reconnect, node: wire.Node) -> Attempt | None:
        status = node.connection_status
        if "EVICTED" in (node.flags or ()):
            return attempt.void("satellite.evicted", "LINSTOR has evicted this node")
        match reason:
            case Reconnect.WAKE:
                if status != "OFFLINE":
                    return attempt.void("satellite.not-offline", f"it is {status} by now")
                if self._listens() is not True:
                    return attempt.void("satellite.not-listening", "its port is closed again")
            case Reconnect.FALSE_ONLINE:
                if status != "ONLINE":
                    return attempt.void("satellite.not-online", f"it is {status} by now")
                return _judged(await self._log())
            case Reconnect.FULL_SYNC:
                lacks = "DRBD" not in (node.resource_layers or ())
                if status not in _UNSYNCED and not (status == "ONLINE" and lacks):
                    return attempt.void("satellite.synchronised", f"it is {status} by now")
        return None

    async def _after(self, action: ReconnectSatellite) -> Attempt:
        """Wait until the controller shows the satellite as connected."""
        status = "not known"
        try:
            async with asyncio.timeout(SEEN_WITHIN):
                while status not in _CONNECTED:
                    status = await self._status(action) or status
                    if status not in _CONNECTED:
                        await asyncio.sleep(self._pause)
        except TimeoutError:
            text = f"the controller dialled anew, and shows the satellite as {status}"
            return attempt.seen(attempt.failed("satellite.not-connected", text), after=status)
        text = f"the controller dialled anew: {status}"
        return attempt.seen(attempt.done("satellite.reconnected", text), after=status)

    async def _status(self, action: ReconnectSatellite) -> str | None:
        try:
            return (await self._linstor().node(action.node)).connection_status
        except errors.ClientError:
            return None


def _judged(lines: tuple[str, ...] | Trouble) -> Attempt | None:
    """Return why the satellite's own lines do not show a false ONLINE; None when they do (facts/linstor-observed.md A1).

    An outdated full sync was ignored on the last connection, and the device manager waits since.
    """
    if isinstance(lines, Trouble):
        text = f"the satellite's log cannot be read, and without it this is not done: {lines.text}"
        return attempt.void("satellite.no-log", text)
    if is_false_online(lines):
        return None
    return attempt.void(
        "satellite.log-differs",
        "the satellite's own log does not show a full sync that was ignored; a stuck tool (lvs, zfs, losetup) looks the same from "
        "outside, and a reconnect would not cure it",
    )


def is_false_online(lines: Sequence[str]) -> bool:
    """Return True when the satellite's log, oldest line first, shows that it ignored its full sync and does nothing since."""
    last = max((at for at, line in enumerate(lines) if _AUTHENTICATED.search(line)), default=0)
    ignored = any(_OUTDATED.search(line) for line in lines[last:])
    managed = [line for line in lines if _MANAGER.search(line)]
    return ignored and bool(managed) and _WAITS.search(managed[-1]) is not None


def journal_of(unit: UnitName) -> ReadLog:
    """Return what reads the lines of ``unit`` of this boot from the journal, the last :data:`LOG_LINES` of them."""

    async def read() -> tuple[str, ...] | Trouble:
        argv = [
            "journalctl",
            "-b",
            "-q",
            "--no-pager",
            "-o",
            "cat",
            "-n",
            str(LOG_LINES),
            "-u",
            unit,
        ]
        ended = await process.run(argv, deadline=LOG_WITHIN)
        if ended.trouble is not None:
            return ended.trouble
        return tuple(ended.stdout.decode(errors="replace").splitlines())

    return read
