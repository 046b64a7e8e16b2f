# SPDX-License-Identifier: Apache-2.0
"""A D-Bus connection: jeepney's parser and serialiser under an asyncio protocol of our own.

Own, because libraries fail where it counts (stack notes 4.2): here a lost connection ends every waiting
call and every reader of signals at once, every call has a deadline, and a queue of signals that overflows
says so instead of dropping silently: signals are hints, asking again is the truth.
"""

import asyncio
import collections
import itertools
import os
import struct
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import jeepney
import msgspec
from jeepney import auth, low_level
from jeepney.bus import get_connectable_addresses
from jeepney.low_level import HeaderFields, MessageType

from tidegate.clients import errors

Body: TypeAlias = tuple[Any, ...]
Handler: TypeAlias = Callable[[low_level.Message], low_level.Message | None]

SYSTEM_BUS: Final = "unix:path=/run/dbus/system_bus_socket"
_BUS: Final = jeepney.DBusAddress(
    "/org/freedesktop/DBus", bus_name="org.freedesktop.DBus", interface="org.freedesktop.DBus"
)
_UNSENT_LIMIT: Final = 1024 * 1024
_CALLS: Final = 64  # at the same time; dbus-daemon allows 128 and refuses what is more
_BROKEN: Final = (ValueError, KeyError, IndexError, TypeError, AssertionError, struct.error)


class BusError(errors.ClientError):
    """The peer answered with a D-Bus error; ``name`` is its name, as org.freedesktop.DBus.Error.Failed."""

    def __init__(self, trouble: errors.Trouble, name: str) -> None:
        super().__init__(trouble)
        self.name = name


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """Which signals are wanted. ``sender`` is filtered by the bus alone; the rest here as well."""

    interface: str
    member: str | None = None
    sender: str | None = None
    path: str | None = None
    path_namespace: str | None = None
    arg2: str | None = None
    """The third argument, where it is a text (the unit of ``JobRemoved``)."""

    def text(self) -> str:
        """The rule as the bus wants it."""
        given = {"type": "signal", **msgspec.structs.asdict(self)}
        return ",".join(f"{key}='{value}'" for key, value in given.items() if value is not None)

    def fits(self, signal: "Signal") -> bool:
        """The signal is one of those."""
        if signal.interface != self.interface or self.member not in {None, signal.member}:
            return False
        if self.path not in {None, signal.path}:
            return False
        if self.arg2 is not None and self.arg2 not in signal.body[2:3]:
            return False
        space = self.path_namespace
        return space is None or signal.path == space or signal.path.startswith(space + "/")


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """One signal; variants in ``body`` are (signature, value)."""

    path: str
    interface: str
    member: str
    body: Body = ()


class Signals:
    """A bounded queue of the signals that fit its rules; made by :meth:`Bus.subscribe`."""

    def __init__(self, rules: tuple[Rule, ...], size: int) -> None:
        self.rules = rules
        self._size = size
        self._queue: collections.deque[Signal] = collections.deque()
        self._news = asyncio.Event()
        self._missed = False
        self._lost: errors.Trouble | None = None

    async def next(self) -> Signal | None:
        """The next signal; None when some were missed: ask for everything anew.

        Raises ClientError when the connection is lost, after what came before has been read.
        """
        while True:
            if self._missed:
                self._missed = False
                self._queue.clear()
                return None
            if self._queue:
                return self._queue.popleft()
            if self._lost is not None:
                raise errors.ClientError(self._lost)
            self._news.clear()
            await self._news.wait()

    def offer(self, signal: Signal) -> None:
        """Take a signal that the connection received."""
        if any(rule.fits(signal) for rule in self.rules):
            if len(self._queue) >= self._size:
                self._missed = True
            else:
                self._queue.append(signal)
            self._news.set()

    def end(self, trouble: errors.Trouble) -> None:
        """There will be no more."""
        self._lost = trouble
        self._news.set()


class Bus(asyncio.Protocol):
    """One connection to a bus; made by :func:`connect`."""

    def __init__(self, where: str, handler: Handler | None) -> None:
        self._where = where
        self._handler = handler
        self._auth = auth.Authenticator()
        self._parser = low_level.Parser()
        self._serials = itertools.count(1)
        self._calls = asyncio.Semaphore(_CALLS)
        self._pending: dict[int, asyncio.Future[low_level.Message]] = {}
        self._subscribed: list[Signals] = []
        self._transport: asyncio.Transport | None = None
        self._trouble: errors.Trouble | None = None
        loop = asyncio.get_running_loop()
        self._authenticated: asyncio.Future[None] = loop.create_future()
        self._ended: asyncio.Future[None] = loop.create_future()

    @property
    def lost(self) -> errors.Trouble | None:
        """Why the connection is no more; None while it stands."""
        return self._trouble

    async def wait_lost(self) -> errors.Trouble:
        """Wait until the connection is lost."""
        await asyncio.wait([self._ended])
        assert self._trouble is not None
        return self._trouble

    async def call(
        self,
        target: jeepney.DBusAddress,
        method: str,
        signature: str | None = None,
        body: Body = (),
        *,
        deadline: float,
    ) -> Body:
        """Call a method and return the body of its answer, within ``deadline`` seconds.

        Raises ClientError ``bus.lost``, ``bus.timeout`` (whether it was done is unknown), or BusError.
        """
        message = jeepney.new_method_call(target, method, signature, body)
        serial = next(self._serials)
        answer: asyncio.Future[low_level.Message] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(deadline), self._calls:
                self._pending[serial] = answer  # first: sending may lose the connection
                self._send(message, serial)
                reply = await answer
        except TimeoutError as error:
            text = f"{self._where}: no answer to {method} within {deadline:g} s"
            hint = "systemd or the bus is very busy, or hangs: journalctl -b _PID=1"
            raise errors.ClientError(
                errors.Trouble(code="bus.timeout", text=text, hint=hint)
            ) from error
        finally:
            self._pending.pop(serial, None)
        if reply.header.message_type is MessageType.error:
            raise self._refusal(reply, method)
        return tuple(reply.body)

    async def subscribe(self, *rules: Rule, size: int = 1024, deadline: float) -> Signals:
        """Have the bus send signals; ``size`` is how many may wait to be read."""
        signals = Signals(rules, size)
        self._subscribed.append(signals)
        for rule in rules:
            await self.call(_BUS, "AddMatch", "s", (rule.text(),), deadline=deadline)
        return signals

    def unsubscribe(self, signals: Signals) -> None:
        """Undo :meth:`subscribe`; does not wait for the bus."""
        if signals in self._subscribed:
            self._subscribed.remove(signals)
            for rule in signals.rules if self._trouble is None else ():
                message = jeepney.new_method_call(_BUS, "RemoveMatch", "s", (rule.text(),))
                self._send(message, next(self._serials))  # its answer is nobody's

    async def request_name(self, name: str, *, deadline: float) -> None:
        """Own a name on the bus, for who serves objects; raises ClientError when another has it."""
        (result,) = await self.call(_BUS, "RequestName", "su", (name, 4), deadline=deadline)
        if result != 1:
            text = f"{self._where}: the name {name} belongs to another"
            raise errors.ClientError(errors.Trouble(code="bus.name", text=text))

    def emit(
        self, path: str, interface: str, member: str, signature: str | None = None, body: Body = ()
    ) -> None:
        """Send a signal."""
        emitter = jeepney.DBusAddress(path, interface=interface)
        self._send(jeepney.new_signal(emitter, member, signature, body), next(self._serials))

    async def close(self) -> None:
        """End the connection; what still waits gets ``bus.lost``."""
        if self._transport is not None:
            self._lose("closed")
            await asyncio.wait([self._ended])

    # --- asyncio's side ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to authenticate."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=_UNSENT_LIMIT)
        transport.write(self._auth.data_to_send() or b"")

    def data_received(self, data: bytes) -> None:
        """Authenticate, or take messages."""
        try:
            if self._auth.authenticated:
                for message in self._parser.feed(data):
                    self._receive(message)
            else:
                self._auth.feed(data)
                if self._auth.authenticated and self._transport is not None:
                    self._transport.write(auth.BEGIN)
                    self._authenticated.set_result(None)
        except _BROKEN as error:
            self._lose(f"what came cannot be read: {error!r}")

    def pause_writing(self) -> None:
        """Give up: the bus takes nothing any more."""
        self._lose(f"{_UNSENT_LIMIT} bytes could not be sent")

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake everybody who waits."""
        self._lose(str(exc) if exc else "the bus closed it")
        if not self._ended.done():
            self._ended.set_result(None)

    # --- within --------------------------------------------------------------------------

    def _send(self, message: low_level.Message, serial: int) -> None:
        if self._trouble is not None or self._transport is None:
            raise errors.ClientError(self._trouble or _lost(self._where, "not connected"))
        self._transport.write(message.serialise(serial))

    def _receive(self, message: low_level.Message) -> None:
        header, fields = message.header, message.header.fields
        kind = header.message_type
        if kind is MessageType.signal:
            signal = Signal(
                path=fields.get(HeaderFields.path, "/"),
                interface=fields.get(HeaderFields.interface, ""),
                member=fields.get(HeaderFields.member, ""),
                body=tuple(message.body),
            )
            for signals in self._subscribed:
                signals.offer(signal)
        elif kind is MessageType.method_call:
            self._serve(message)
        else:
            waiting = self._pending.pop(fields.get(HeaderFields.reply_serial, 0), None)
            if waiting is not None and not waiting.done():
                waiting.set_result(message)

    def _serve(self, message: low_level.Message) -> None:
        reply = self._handler(message) if self._handler else None
        if reply is None:
            name = "org.freedesktop.DBus.Error.UnknownMethod"
            reply = jeepney.new_error(message, name, "s", ("no such method here",))
        expected = not message.header.flags & low_level.MessageFlag.no_reply_expected
        if expected and self._trouble is None:
            self._send(reply, next(self._serials))

    def _refusal(self, reply: low_level.Message, method: str) -> BusError:
        name = str(reply.header.fields.get(HeaderFields.error_name, ""))
        words = next((word for word in reply.body if isinstance(word, str)), name)
        trouble = errors.Trouble(code="bus.error", text=f"{method}: {words} ({name})")
        return BusError(trouble, name)

    def _lose(self, reason: str) -> None:
        if self._trouble is not None:
            return
        self._trouble = _lost(self._where, reason)
        error = errors.ClientError(self._trouble)
        for waiting in self._pending.values():
            if not waiting.done():
                waiting.set_exception(error)
        if not self._authenticated.done():
            self._authenticated.set_exception(error)
            self._authenticated.exception()  # nobody may be waiting for it
        for signals in self._subscribed:
            signals.end(self._trouble)
        if self._transport is not None:
            self._transport.abort()

    async def hello(self) -> None:
        """Authenticate and say hello: the first message on every connection."""
        await self._authenticated
        await self.call(_BUS, "Hello", deadline=3600)  # :func:`connect` holds the deadline


def address(environ: Mapping[str, str] = os.environ) -> str:
    """The address of the system bus."""
    return environ.get("DBUS_SYSTEM_BUS_ADDRESS") or SYSTEM_BUS


async def connect(where: str, *, deadline: float, handler: Handler | None = None) -> Bus:
    """Connect to the bus at ``where``, a D-Bus address (``unix:path=…`` or ``unix:abstract=…``).

    ``handler`` answers method calls that others make to us. Raises ClientError ``bus.no-socket``,
    ``bus.permission``, ``bus.refused``, ``bus.timeout`` or ``bus.lost`` within ``deadline`` seconds.
    """
    try:
        path = next(iter(get_connectable_addresses(where)))
    except (RuntimeError, ValueError) as error:
        raise errors.ClientError(
            errors.Trouble(
                code="bus.address",
                text=f"{where} is not an address of a bus",
                hint="unix:path=/run/dbus/system_bus_socket is the usual one",
            )
        ) from error
    bus = Bus(where, handler)
    try:
        async with asyncio.timeout(deadline):
            await asyncio.get_running_loop().create_unix_connection(lambda: bus, path)
            await bus.hello()
    except (OSError, TimeoutError) as error:
        await bus.close()
        raise errors.ClientError(_unreachable(error, where, deadline)) from error
    except BaseException:
        await bus.close()
        raise
    return bus


def _unreachable(error: OSError, where: str, deadline: float) -> errors.Trouble:
    hint = "is D-Bus running? systemctl status dbus.socket"
    if isinstance(error, FileNotFoundError):
        return errors.Trouble(code="bus.no-socket", text=f"there is no bus at {where}", hint=hint)
    if isinstance(error, PermissionError):
        text = f"the bus at {where} may not be used by this user"
        return errors.Trouble(code="bus.permission", text=text, hint="run as root")
    if isinstance(error, TimeoutError):
        text = f"the bus at {where} does not answer within {deadline:g} s"
        return errors.Trouble(code="bus.timeout", text=text, hint=hint)
    return errors.Trouble(
        code="bus.refused", text=f"cannot connect to the bus at {where}: {error}", hint=hint
    )


def _lost(where: str, reason: str) -> errors.Trouble:
    hint = "it is connected anew; systemctl status dbus.service"
    return errors.Trouble(
        code="bus.lost", text=f"the connection to the bus at {where} is lost: {reason}", hint=hint
    )
