# SPDX-License-Identifier: Apache-2.0
"""systemd's manager: what units are doing, and the two verbs that we need, StartUnit and Reload.

Connects when first asked and again after a loss. Signals are hints that something changed; what is true
is asked for (``man org.freedesktop.systemd1``).
"""

import asyncio
import enum
import math
import re
import types
from collections.abc import AsyncGenerator, Collection, Mapping
from typing import Any, Final, Self

import jeepney
import msgspec

from tidegate.clients import errors
from tidegate.clients.systemd import bus

NAME: Final = "org.freedesktop.systemd1"
PATH: Final = "/org/freedesktop/systemd1"
_UNITS: Final = f"{PATH}/unit"
_MANAGER: Final = f"{NAME}.Manager"
_PROPERTIES: Final = "org.freedesktop.DBus.Properties"
_INFINITY: Final = 2**64 - 1

_RULES: Final = (
    bus.Rule(
        sender=NAME,
        interface=_PROPERTIES,
        member="PropertiesChanged",
        path_namespace=_UNITS,
    ),
    *(
        bus.Rule(sender=NAME, interface=_MANAGER, member=member)
        for member in ("UnitNew", "UnitRemoved", "JobRemoved", "Reloading", "UnitFilesChanged")
    ),
)


class ManagerState(enum.StrEnum):
    """What ``systemctl is-system-running`` says; words of later versions become UNKNOWN."""

    INITIALIZING = "initializing"
    STARTING = "starting"
    RUNNING = "running"
    DEGRADED = "degraded"
    MAINTENANCE = "maintenance"
    STOPPING = "stopping"
    UNKNOWN = "unknown"


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """A unit as systemd shows it. Times are seconds on CLOCK_MONOTONIC, None for never in this boot."""

    name: str
    load_state: str
    """loaded, not-found, masked, bad-setting, error."""
    active_state: str
    sub_state: str
    unit_file_state: str = ""
    fragment_path: str = ""
    drop_ins: tuple[str, ...] = ()
    need_daemon_reload: bool = False
    after: tuple[str, ...] = ()
    """Every unit that it is ordered after, as systemd has it in memory, drop-ins and defaults included."""
    job: int | None = None
    """Id of the job that is queued or runs for this unit."""
    active_enter: float | None = None
    active_exit: float | None = None
    inactive_exit: float | None = None
    inactive_enter: float | None = None
    type: str = ""
    """simple, notify, oneshot, …; empty for what is no service. So are the fields below."""
    result: str = ""
    restarts: int = 0
    main_pid: int = 0
    exec_main_start: float | None = None
    timeout_start: float | None = None
    """Seconds, infinity if there is no limit."""
    environment: tuple[str, ...] = ()
    """``NAME=value`` from ``Environment=``."""
    environment_files: tuple[tuple[str, bool], ...] = ()
    """(path, whether it may be missing) from ``EnvironmentFile=``."""


class HintKind(enum.StrEnum):
    """What a hint is about."""

    CHANGED = "changed"
    """Properties of the unit changed."""
    APPEARED = "appeared"
    VANISHED = "vanished"
    JOB_ENDED = "job-ended"
    RELOADED = "reloaded"
    """Unit files were read anew, or changed: everything may be different."""
    MISSED = "missed"
    """Hints were lost, or this is the first: ask for everything."""


class Hint(msgspec.Struct, frozen=True, kw_only=True):
    """Something happened to ``unit`` (empty: to many)."""

    kind: HintKind
    unit: str = ""
    result: str = ""
    """For JOB_ENDED: done, failed, timeout, dependency, canceled, skipped."""


class Manager:
    """systemd on the bus at ``address`` (default: the system bus); ``deadline`` in seconds, for each call.

    Raises ClientError: ``bus.*`` when the bus cannot be used, ``systemd.absent`` when systemd is not on it,
    ``systemd.no-such-unit``, ``systemd.permission`` and ``systemd.error``.
    """

    def __init__(self, address: str | None = None, *, deadline: float = 2.0) -> None:
        self._address = address
        self._deadline = deadline
        self._bus: bus.Bus | None = None
        self._connecting = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: types.TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connection."""
        if self._bus is not None:
            await self._bus.close()

    async def unit(self, name: str) -> Unit:
        """The unit called ``name`` now; one that does not exist has the load state ``not-found``."""
        (path,) = await self._call(PATH, _MANAGER, "LoadUnit", "s", (name,))
        (general,) = await self._call(path, _PROPERTIES, "GetAll", "s", (f"{NAME}.Unit",))
        special: dict[str, tuple[str, Any]] = {}
        if name.endswith(".service"):
            (special,) = await self._call(path, _PROPERTIES, "GetAll", "s", (f"{NAME}.Service",))
        return decode(name, {**special, **general})

    async def state(self) -> ManagerState:
        """How far the boot is, or whether the shutdown has begun."""
        body = (_MANAGER, "SystemState")
        ((_, word),) = await self._call(PATH, _PROPERTIES, "Get", "ss", body)
        known = set(ManagerState)
        return ManagerState(word) if word in known else ManagerState.UNKNOWN

    async def start_unit(self, name: str) -> str:
        """Queue a start of ``name`` (mode replace) and return the job's path; does not wait for it.

        After ``bus.timeout`` or ``bus.lost`` nobody knows whether it was queued: look at the unit.
        """
        (job,) = await self._call(PATH, _MANAGER, "StartUnit", "ss", (name, "replace"))
        return str(job)

    async def restart_unit(self, name: str) -> str:
        """Queue a restart of ``name`` if it runs (mode replace) and return the job's path; does not wait for it.

        After ``bus.timeout`` or ``bus.lost`` nobody knows whether it was queued: look at the unit.
        """
        (job,) = await self._call(PATH, _MANAGER, "TryRestartUnit", "ss", (name, "replace"))
        return str(job)

    async def stop_unit(self, name: str) -> str:
        """Queue a stop of ``name`` (mode replace) and return the job's path; does not wait for it."""
        (job,) = await self._call(PATH, _MANAGER, "StopUnit", "ss", (name, "replace"))
        return str(job)

    async def reload(self, *, deadline: float = 60.0) -> None:
        """Have systemd read its unit files anew (``systemctl daemon-reload``); returns when it has, within ``deadline`` seconds."""
        connection = await self._connected()
        target = jeepney.DBusAddress(PATH, bus_name=NAME, interface=_MANAGER)
        try:
            await connection.call(target, "Reload", deadline=deadline)
        except bus.BusError as error:
            raise errors.ClientError(_refusal(error)) from error

    async def hints(
        self, units: Collection[str] = (), *, size: int = 1024
    ) -> AsyncGenerator[Hint, None]:
        """What happens to ``units`` (none given: to all), beginning with MISSED: read everything, then wait.

        Named units are told apart by the bus, so that a host with many others costs nothing; APPEARED and VANISHED are not
        told of them: systemd sends both whenever somebody, we too, asks for a unit that it does not keep in memory.
        Ends only by raising ClientError; use ``contextlib.aclosing`` around it. ``size``: how many hints may
        wait; beyond that they become one MISSED.
        """
        rules = rules_for(units) if units else _RULES
        connection = await self._connected()
        signals = await connection.subscribe(*rules, size=size, deadline=self._deadline)
        try:
            await self._call(PATH, _MANAGER, "Subscribe")
            yield Hint(kind=HintKind.MISSED)
            while True:
                signal = await signals.next()
                hint = Hint(kind=HintKind.MISSED) if signal is None else _hint(signal)
                if hint is not None:
                    yield hint
        finally:
            connection.unsubscribe(signals)

    async def _connected(self) -> bus.Bus:
        async with self._connecting:
            if self._bus is None or self._bus.lost is not None:
                where = self._address or bus.address()
                self._bus = await bus.connect(where, deadline=self._deadline)
            return self._bus

    async def _call(
        self,
        path: str,
        interface: str,
        method: str,
        signature: str | None = None,
        body: bus.Body = (),
    ) -> bus.Body:
        connection = await self._connected()
        target = jeepney.DBusAddress(path, bus_name=NAME, interface=interface)
        try:
            return await connection.call(target, method, signature, body, deadline=self._deadline)
        except bus.BusError as error:
            raise errors.ClientError(_refusal(error)) from error


def _refusal(error: bus.BusError) -> errors.Trouble:
    last = error.name.rpartition(".")[2]
    text = error.trouble.text
    if last in {"ServiceUnknown", "NameHasNoOwner"}:
        hint = "this machine was not booted with systemd, or its bus is not the system's"
        return errors.Trouble(code="systemd.absent", text=text, hint=hint)
    if last in {"NoSuchUnit", "UnitMasked"}:
        hint = "systemctl list-unit-files shows what is installed"
        return errors.Trouble(code="systemd.no-such-unit", text=text, hint=hint)
    if last in {"AccessDenied", "InteractiveAuthorizationRequired", "AuthFailed"}:
        return errors.Trouble(code="systemd.permission", text=text, hint="run as root")
    return errors.Trouble(code="systemd.error", text=text, hint="journalctl -b _PID=1")


def decode(name: str, properties: Mapping[str, tuple[str, Any]]) -> Unit:
    """A unit from its properties as D-Bus gives them: name -> (signature, value). Pure."""
    found = {key: value for key, (_, value) in properties.items()}
    job = found.get("Job", (0, "/"))[0]
    return Unit(
        name=name,
        load_state=found.get("LoadState", ""),
        active_state=found.get("ActiveState", ""),
        sub_state=found.get("SubState", ""),
        unit_file_state=found.get("UnitFileState", ""),
        fragment_path=found.get("FragmentPath", ""),
        drop_ins=tuple(found.get("DropInPaths", ())),
        need_daemon_reload=found.get("NeedDaemonReload", False),
        after=tuple(found.get("After", ())),
        job=job or None,
        active_enter=_moment(found.get("ActiveEnterTimestampMonotonic", 0)),
        active_exit=_moment(found.get("ActiveExitTimestampMonotonic", 0)),
        inactive_exit=_moment(found.get("InactiveExitTimestampMonotonic", 0)),
        inactive_enter=_moment(found.get("InactiveEnterTimestampMonotonic", 0)),
        type=found.get("Type", ""),
        result=found.get("Result", ""),
        restarts=found.get("NRestarts", 0),
        main_pid=found.get("MainPID", 0),
        exec_main_start=_moment(found.get("ExecMainStartTimestampMonotonic", 0)),
        timeout_start=_limit(found.get("TimeoutStartUSec")),
        environment=tuple(found.get("Environment", ())),
        environment_files=tuple(
            (path, bool(may)) for path, may in found.get("EnvironmentFiles", ())
        ),
    )


def _moment(usec: int) -> float | None:
    return usec / 1_000_000 if usec else None


def _limit(usec: int | None) -> float | None:
    if usec is None:
        return None
    return math.inf if usec == _INFINITY else usec / 1_000_000


def _hint(signal: bus.Signal) -> Hint | None:
    if signal.member == "PropertiesChanged":
        return Hint(kind=HintKind.CHANGED, unit=unit_name(signal.path))
    if signal.member == "JobRemoved":
        _, _, unit, result = signal.body
        return Hint(kind=HintKind.JOB_ENDED, unit=unit, result=result)
    if signal.member in {"UnitNew", "UnitRemoved"}:
        kind = HintKind.APPEARED if signal.member == "UnitNew" else HintKind.VANISHED
        return Hint(kind=kind, unit=signal.body[0])
    if signal.member == "Reloading" and signal.body == (True,):
        return None  # its end is what counts
    return Hint(kind=HintKind.RELOADED)


def rules_for(units: Collection[str]) -> tuple[bus.Rule, ...]:
    """The signals that tell of ``units``, and of unit files read anew. Pure."""
    changed = (
        bus.Rule(
            sender=NAME, interface=_PROPERTIES, member="PropertiesChanged", path=unit_path(unit)
        )
        for unit in units
    )
    ended = (
        bus.Rule(sender=NAME, interface=_MANAGER, member="JobRemoved", arg2=unit) for unit in units
    )
    files = (
        bus.Rule(sender=NAME, interface=_MANAGER, member=member)
        for member in ("Reloading", "UnitFilesChanged")
    )
    return (*changed, *ended, *files)


def unit_path(name: str) -> str:
    """The object path of a unit; undoes :func:`unit_name`."""
    return f"{_UNITS}/{re.sub('[^A-Za-z0-9]', lambda found: f'_{ord(found[0]):02x}', name)}"


def unit_name(path: str) -> str:
    """The unit of an object path: bytes that a path may not hold are written ``_xx``."""
    last = path.rpartition("/")[2]
    return re.sub(r"_([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), last)
