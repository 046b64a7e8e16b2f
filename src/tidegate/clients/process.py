# SPDX-License-Identifier: Apache-2.0
"""The one door for running other programs: no shell, always a deadline, bounded output, no leftovers.

A program runs in a process group of its own, which gets SIGTERM at the deadline and SIGKILL one
second later. A child in uninterruptible sleep (a tool that touched a suspended DRBD device,
facts/incus.md L75) does not even die of that: it is left alone, counted, and when too many such
children exist nothing more is started. Failing is a value: see :class:`Completed`.
"""

import asyncio
import contextlib
import os
import shlex
import signal
from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec

from tidegate.clients import clock, errors

MAX_OUTPUT = 16 * 1024 * 1024
MAX_ABANDONED = 8
MAX_LINE = 64 * 1024
_MAX_WAITING = 1024 * 1024
_TERM_GRACE = 1.0
_KILL_GRACE = 1.0
_PIPE_GRACE = 0.5
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_abandoned: set["_Child"] = set()


class Completed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a program: its answer, and what went wrong if something did.

    ``returncode`` is None when it never ran or could not be waited for, negative when a signal ended
    it. ``trouble`` is None exactly when it exited with 0; its codes are ``process.missing`` (no such
    program), ``process.timeout``, ``process.failed`` (exit status not 0, or it could not be started)
    and ``process.refused`` (too many children that cannot be killed). ``elapsed`` is in seconds;
    ``truncated`` says that output beyond the limit was thrown away.
    """

    argv: tuple[str, ...]
    returncode: int | None
    stdout: bytes = b""
    stderr: bytes = b""
    elapsed: float = 0.0
    truncated: bool = False
    trouble: errors.Trouble | None = None


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment programs get: the C locale, a PATH with sbin, nothing else of ours.

    A user's PATH may lack /usr/sbin, where drbdsetup lives on Debian.
    """
    own = inherited.get("PATH", "")
    return {"LC_ALL": "C", "PATH": f"{own}:{_PATH}" if own else _PATH}


def command_line(argv: Sequence[str]) -> str:
    """``argv`` as a person can paste it into a shell."""
    return shlex.join(argv)


class _Child(asyncio.SubprocessProtocol):
    """Collects one child's output and knows when it is over."""

    def __init__(self, max_output: int) -> None:
        loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[None] = loop.create_future()
        self.drained: asyncio.Future[None] = loop.create_future()
        self.output: dict[int, bytearray] = {1: bytearray(), 2: bytearray()}
        self.truncated = False
        self._max = max_output

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        room = self._max - len(self.output[fd])
        self.truncated = self.truncated or len(data) > room
        self.output[fd] += data[: max(room, 0)]

    def process_exited(self) -> None:
        _abandoned.discard(self)
        if not self.exited.done():
            self.exited.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if not self.drained.done():
            self.drained.set_result(None)


async def run(
    argv: Sequence[str],
    *,
    deadline: float,
    stdin: bytes | None = None,
    max_output: int = MAX_OUTPUT,
    env: Mapping[str, str] | None = None,
    grace: float = _TERM_GRACE,
) -> Completed:
    """Run ``argv`` for at most ``deadline`` seconds and say what became of it; raises nothing.

    ``stdin`` is what the program may read (default: nothing), ``max_output`` the number of bytes kept
    of each of its outputs, ``env`` is added to :func:`environment`, ``grace`` are the seconds from
    SIGTERM to SIGKILL: one that must not be cut off in the middle gets more. The answer may come up
    to ``grace`` and a second after the deadline: that is what ending a stubborn child may take. A
    cancelled call kills the child at once.
    """
    start = clock.boottime()
    child = _Child(max_output)
    transport = await _start(argv, child, takes_input=stdin is not None, env=env)
    if isinstance(transport, errors.Trouble):
        return Completed(argv=tuple(argv), returncode=None, trouble=transport)
    try:
        _feed(transport, stdin)
        late = not await _ended(transport, child, deadline, grace)
        elapsed = clock.boottime() - start
        return _completed(argv, transport, child, elapsed, deadline if late else None)
    finally:
        await _release(transport, child)


async def _start(
    argv: Sequence[str], child: _Child, *, takes_input: bool, env: Mapping[str, str] | None
) -> asyncio.SubprocessTransport | errors.Trouble:
    shown = command_line(argv)
    if len(_abandoned) >= MAX_ABANDONED:
        return errors.Trouble(
            code="process.refused",
            text=f"{len(_abandoned)} programs hang and cannot be killed; not started: {shown}",
            hint="a device hangs for ever: see the kernel's messages; only a reboot ends them",
        )
    try:
        transport, _ = await asyncio.get_running_loop().subprocess_exec(
            lambda: child,
            *argv,
            stdin=asyncio.subprocess.PIPE if takes_input else asyncio.subprocess.DEVNULL,
            env={**environment(os.environ), **(env or {})},
            start_new_session=True,
        )
    except (FileNotFoundError, NotADirectoryError):
        return errors.Trouble(
            code="process.missing",
            text=f"there is no program {argv[0]}: {shown}",
            hint="install the package that holds it",
        )
    except (OSError, ValueError) as error:
        return errors.Trouble(
            code="process.failed",
            text=f"cannot start: {shown}: {error}",
            hint="run it by hand to see more",
        )
    return transport


def _feed(transport: asyncio.SubprocessTransport, stdin: bytes | None) -> None:
    pipe = transport.get_pipe_transport(0)
    if stdin is not None and isinstance(pipe, asyncio.WriteTransport):
        pipe.write(stdin)
        pipe.close()  # flushes first


async def _ended(
    transport: asyncio.SubprocessTransport, child: _Child, deadline: float, grace: float
) -> bool:
    """Wait for the end, helping where needed. Says whether it came within ``deadline`` seconds."""
    in_time = await _within(child.exited, deadline)
    if not in_time:
        _signal(transport, signal.SIGTERM)
        if not await _within(child.exited, grace):
            _signal(transport, signal.SIGKILL)
            await _within(child.exited, _KILL_GRACE)
    # A grandchild may hold our pipes open after the child's own end.
    if child.exited.done() and not await _within(child.drained, _PIPE_GRACE):
        _signal(transport, signal.SIGKILL)
    return in_time


async def _within(future: asyncio.Future[None], seconds: float) -> bool:
    done, _ = await asyncio.wait([future], timeout=seconds)
    return bool(done)


def _signal(transport: asyncio.SubprocessTransport, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(transport.get_pid(), number)


async def _release(transport: asyncio.SubprocessTransport, child: _Child) -> None:
    """Leave nothing behind: kill what still runs, close the pipes, count what cannot be killed."""
    try:
        if not child.exited.done():
            _signal(transport, signal.SIGKILL)
            await _within(child.exited, _KILL_GRACE)
    finally:
        if not child.exited.done():
            _abandoned.add(child)  # leaves by process_exited, should it ever end
        transport.close()


def _completed(
    argv: Sequence[str],
    transport: asyncio.SubprocessTransport,
    child: _Child,
    elapsed: float,
    exceeded: float | None,
) -> Completed:
    returncode = transport.get_returncode() if child.exited.done() else None
    stderr = bytes(child.output[2])
    trouble = None
    if exceeded is not None:
        stuck = "" if child.exited.done() else " and cannot be killed (it waits for a device)"
        trouble = errors.Trouble(
            code="process.timeout",
            text=f"no end within {exceeded:g} s{stuck}: {command_line(argv)}",
            hint="run it by hand; a hanging device shows in the kernel's messages",
        )
    elif returncode != 0:
        trouble = errors.Trouble(
            code="process.failed",
            text=f"{_ending(returncode)}: {command_line(argv)}{_last_words(stderr)}",
            hint="run it by hand to see more",
        )
    return Completed(
        argv=tuple(argv),
        returncode=returncode,
        stdout=bytes(child.output[1]),
        stderr=stderr,
        elapsed=elapsed,
        truncated=child.truncated,
        trouble=trouble,
    )


class _Teller(_Child):
    """A child whose lines are read while it runs; it is stopped from running ahead of its reader."""

    def __init__(self, max_line: int) -> None:
        super().__init__(MAX_LINE)
        self.news = asyncio.Event()
        self.waiting = bytearray()
        self.overlong = False
        self._max_line = max_line
        self._pipe: asyncio.ReadTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.SubprocessTransport)
        pipe = transport.get_pipe_transport(1)
        assert isinstance(pipe, asyncio.ReadTransport)
        self._pipe = pipe

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd != 1:
            super().pipe_data_received(fd, data)
            return
        self.waiting += data
        if len(self.waiting) > _MAX_WAITING and self._pipe is not None:
            self._pipe.pause_reading()
        self.news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.news.set()

    def hold(self) -> None:
        """Let what the program tells wait in its pipe; when that is full, the program waits."""
        if self._pipe is not None and not self.drained.done():
            self._pipe.pause_reading()

    def go_on(self) -> None:
        """Undo :meth:`hold`."""
        if self._pipe is not None and not self.drained.done():
            self._pipe.resume_reading()

    def take(self) -> list[str]:
        """The whole lines that have come since."""
        whole, newline, rest = self.waiting.rpartition(b"\n")
        self.waiting = rest if newline else self.waiting
        self.overlong = self.overlong or len(self.waiting) > self._max_line
        self.news.clear()
        self.go_on()
        return whole.decode("utf-8", "replace").split("\n") if newline else []


class Lines:
    """A program that goes on telling, line by line; made by :func:`lines` or :func:`converse`."""

    def __init__(
        self,
        argv: Sequence[str],
        transport: asyncio.SubprocessTransport | errors.Trouble,
        child: _Teller,
    ) -> None:
        self._argv, self._transport, self._child = argv, transport, child

    async def batch(self) -> list[str]:
        """At least one line, as soon as there is one; the empty list when there will be none.

        Waits without limit: silence is normal here. Put ``asyncio.timeout`` around it where it is not.
        A last line without its newline is dropped: it may be cut short.
        """
        if isinstance(self._transport, errors.Trouble):
            return []
        while not (found := self._child.take()):
            if self._child.drained.done() or self._child.overlong:
                return []
            await self._child.news.wait()
        return found

    async def leave_alone(self, seconds: float) -> None:
        """Read nothing for so long: a program that tells much is read in few, large batches instead of line by line."""
        self._child.hold()
        try:
            await asyncio.sleep(seconds)
        finally:
            self._child.go_on()

    def say(self, data: bytes) -> None:
        """Give the program something to read; nothing happens when it has ended already."""
        if isinstance(self._transport, errors.Trouble):
            return
        pipe = self._transport.get_pipe_transport(0)
        if isinstance(pipe, asyncio.WriteTransport) and not pipe.is_closing():
            pipe.write(data)

    @property
    def gone(self) -> bool:
        """The program does not run (any more)."""
        return isinstance(self._transport, errors.Trouble) or self._child.exited.done()

    async def close(self) -> bool:
        """Kill the program. False when it cannot be killed: it is left alone, see :attr:`gone`."""
        if not isinstance(self._transport, errors.Trouble):
            await _release(self._transport, self._child)
        return self.gone

    def end(self) -> Completed:
        """What became of the program, after :meth:`batch` has returned the empty list."""
        if isinstance(self._transport, errors.Trouble):
            return Completed(argv=tuple(self._argv), returncode=None, trouble=self._transport)
        return _completed(self._argv, self._transport, self._child, 0.0, None)


async def converse(
    argv: Sequence[str], *, max_line: int = MAX_LINE, env: Mapping[str, str] | None = None
) -> Lines:
    """Run ``argv`` to be spoken to with :meth:`Lines.say`; the caller ends it with :meth:`Lines.close`.

    Raises nothing of its own: a program that cannot be started gives no lines and says so in
    :meth:`Lines.end`. ``max_line`` in bytes: a longer line ends the stream.
    """
    child = _Teller(max_line)
    return Lines(argv, await _start(argv, child, takes_input=True, env=env), child)


@contextlib.asynccontextmanager
async def lines(
    argv: Sequence[str], *, max_line: int = MAX_LINE, env: Mapping[str, str] | None = None
) -> AsyncIterator[Lines]:
    """Run ``argv`` for as long as the block lasts and read its lines; leaving the block kills it.

    Otherwise as :func:`converse`.
    """
    child = _Teller(max_line)
    found = Lines(argv, await _start(argv, child, takes_input=False, env=env), child)
    try:
        yield found
    finally:
        await found.close()


def _ending(returncode: int | None) -> str:
    if returncode is None or returncode >= 0:
        return f"exit status {returncode}"
    try:
        return f"ended by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"ended by signal {-returncode}"


def _last_words(stderr: bytes) -> str:
    text = " / ".join(
        line for line in stderr.decode("utf-8", "replace").splitlines() if line.strip()
    )
    return f": {text[-300:]}" if text else ""
