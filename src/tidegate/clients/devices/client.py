# SPDX-License-Identifier: Apache-2.0
"""Examine device nodes without ever being held up by one.

A few ``opener`` processes do the opening. One that does not answer in time is killed and replaced; one
that cannot even be killed (it sleeps in the kernel) is abandoned. The device that holds it is answered for
at once until it lets go, and when too many hang, nothing more is opened: the machine is sick enough.

Every open and close of a DRBD device makes DRBD send a ``change device`` event (``notify_device_state`` in
drbd_main.c): who examines devices because of events must not take those for news.
"""

import asyncio
import contextlib
import sys
import types
from pathlib import Path
from typing import Self

import msgspec

from tidegate.clients import errors, process
from tidegate.core.facts import OpenResult

MAX_STUCK = 4
_START_LIMIT = 10.0
_GROW_AFTER = 0.05
"""Seconds for which no opener was free after which one more is started: the start of one costs as much CPU as a dozen devices."""
_OPENER = Path(__file__).with_name("opener.py")


class DeviceReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one path turned out to be."""

    path: str
    exists: bool = False
    target: str | None = None
    """The path behind symbolic links, as seen on that machine."""
    is_block: bool = False
    is_regular: bool = False
    rdev: tuple[int, int] | None = None
    """Major and minor number."""
    opened: OpenResult = OpenResult.NOT_TRIED
    """OPENED: opened, read and closed again. NOT_TRIED: missing, or no device."""
    errno: str | None = None
    """Name of the error that looking, opening or reading gave. At boot ENOENT and ENODATA mean "wait"
    (facts/fullstack-observed.md); EAGAIN: a peer is just connecting; EMEDIUMTYPE: Primary elsewhere."""
    content: str | None = None
    """ext4, xfs, gpt, …; "zero" for nothing but zeros, "empty" for no size, "unknown" for the rest."""
    size: int | None = None
    """Bytes."""
    backing_file: str | None = None
    """For a loop device, the file behind it."""


class _Answer(msgspec.Struct, frozen=True):
    path: str
    exists: bool
    opened: bool
    target: str | None = None
    is_block: bool = False
    is_regular: bool = False
    rdev: tuple[int, int] | None = None
    errno: str | None = None
    content: str | None = None
    size: int | None = None
    backing_file: str | None = None


_answer = msgspec.json.Decoder(_Answer)
_request = msgspec.json.Encoder()


class DeviceClient:
    """Examines devices under ``root``; use as an asynchronous context manager, or :meth:`close` it.

    With another root than ``/``, links are followed inside it and regular files count as devices.
    ``limit``: seconds an open may take. ``workers``: devices examined at the same time.
    """

    def __init__(
        self, root: Path = Path("/"), *, limit: float = 2.0, workers: int = MAX_STUCK
    ) -> None:
        self._root = root
        self._limit = limit
        self._free = asyncio.Semaphore(workers)
        self._idle: asyncio.LifoQueue[process.Lines] = asyncio.LifoQueue()
        self._openers = 0
        self._waiting = 0
        self._preparing: asyncio.Future[None] | None = None
        self._short_since: float | None = None
        """Since when somebody has always waited for an opener."""
        self._stuck: dict[str, process.Lines] = {}
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: types.TracebackType | None,
    ) -> None:
        await self.close()

    def prepare(self) -> None:
        """Start the first opener now, beside what else is done before devices are examined. The boot may wait for them."""
        self._preparing = asyncio.ensure_future(self._prepare())

    async def _prepare(self) -> None:
        with contextlib.suppress(errors.ClientError):  # who examines a device is told
            await self._keep(await self._add())

    async def close(self) -> None:
        """End the opener processes."""
        self._closed = True
        if self._preparing is not None:
            self._preparing.cancel()
            await asyncio.wait({self._preparing})
        async with contextlib.AsyncExitStack() as stack:
            while not self._idle.empty():
                stack.push_async_callback(self._idle.get_nowait().close)

    @property
    def stuck(self) -> tuple[str, ...]:
        """Paths whose opener hangs in the kernel and cannot be killed."""
        self._stuck = {path: opener for path, opener in self._stuck.items() if not opener.gone}
        return tuple(self._stuck)

    async def examine(self, path: str) -> DeviceReport:
        """Look at ``path`` (absolute), open it for reading, name what it carries.

        Answers ``TIMED_OUT`` after the limit, and at once for a path whose last opener still hangs or when
        ``MAX_STUCK`` hang. Raises ClientError ``device.helper`` when the helper itself does not work.
        """
        async with self._free:
            stuck = self.stuck
            if path in stuck or len(stuck) >= MAX_STUCK:
                return _timed_out(path)
            opener = await self._take()
            try:
                report = await self._ask(opener, path)
            except BaseException:
                await self._end(opener)
                raise
            if report is None:
                if not await self._end(opener):
                    self._stuck[path] = opener
                return _timed_out(path)
            await self._keep(opener)
            return report

    async def _take(self) -> process.Lines:
        """Return an opener: one that is free, or soon is, else a new one."""
        if self._openers and self._idle.empty():
            if self._short_since is None:
                self._short_since = asyncio.get_running_loop().time()
            self._waiting += 1
            try:
                async with asyncio.timeout_at(self._short_since + _GROW_AFTER):
                    return await self._idle.get()
            except TimeoutError:
                pass
            finally:
                self._waiting -= 1
        if not self._idle.empty():
            return self._idle.get_nowait()
        return await self._add()

    async def _add(self) -> process.Lines:
        self._openers += 1
        try:
            return await self._start()
        except BaseException:
            self._openers -= 1
            raise

    async def _keep(self, opener: process.Lines) -> None:
        if self._closed:
            await self._end(opener)
            return
        self._idle.put_nowait(opener)
        if not self._waiting:
            self._short_since = None

    async def _end(self, opener: process.Lines) -> bool:
        """Return False when it cannot be ended."""
        self._openers -= 1
        return await opener.close()

    async def _start(self) -> process.Lines:
        opener = await process.converse([sys.executable, "-I", "-S", str(_OPENER)])
        try:
            async with asyncio.timeout(_START_LIMIT):
                greeting = await opener.batch()
        except TimeoutError:
            greeting = []
        except BaseException:
            await opener.close()
            raise
        if greeting != ["ready"]:
            await opener.close()
            raise _broken(opener, "it did not start")
        return opener

    async def _ask(self, opener: process.Lines, path: str) -> DeviceReport | None:
        """One question and its answer, None when it does not come in time."""
        opener.say(_request.encode({"path": path, "root": str(self._root)}) + b"\n")
        try:
            async with asyncio.timeout(self._limit):
                lines = await opener.batch()
        except TimeoutError:
            return None
        try:
            (line,) = lines
            answer = _answer.decode(line)
        except (ValueError, msgspec.DecodeError) as error:
            raise _broken(opener, f"it answered {lines!r:.200}") from error
        return _report(answer)


def _report(answer: _Answer) -> DeviceReport:
    opened = OpenResult.NOT_TRIED
    if answer.opened:
        opened = OpenResult.OPENED
    elif answer.exists and answer.errno:
        opened = OpenResult.FAILED
    return DeviceReport(
        path=answer.path,
        exists=answer.exists,
        target=answer.target,
        is_block=answer.is_block,
        is_regular=answer.is_regular,
        rdev=answer.rdev,
        opened=opened,
        errno=answer.errno,
        content=answer.content,
        size=answer.size,
        backing_file=answer.backing_file,
    )


def _timed_out(path: str) -> DeviceReport:
    return DeviceReport(path=path, exists=True, opened=OpenResult.TIMED_OUT)


def _broken(opener: process.Lines, problem: str) -> errors.ClientError:
    end = opener.end()
    detail = end.trouble.text if end.trouble else process.command_line(end.argv)
    return errors.ClientError(
        errors.Trouble(
            code="device.helper",
            text=f"the helper that opens devices does not work: {problem}: {detail}",
            hint="run the command by hand; is Python's standard library complete?",
        )
    )
