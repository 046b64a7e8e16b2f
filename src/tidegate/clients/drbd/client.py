# SPDX-License-Identifier: Apache-2.0
"""Run ``drbdsetup`` and read what it says. Observes only: no verb that changes anything is here.

Every subcommand of drbdsetup loads the kernel module when it is missing (facts/linstor.md 2.1), which
is not an observer's business: while the module is not there, nothing is run.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final

from tidegate.clients import errors, process
from tidegate.clients.drbd import events2, state, status

_COUNTERS: Final = re.compile(
    rb" (?:read|written|al-writes|bm-writes|upper-pending|lower-pending|received|sent|pending|unacked"
    rb"|ap-in-flight|rs-in-flight|congested|al-suspended):\S*"
)
"""Words of ``events2 --full`` that change with every read and write, and that no reader of a state takes (``state``)."""
_NO_MODULE: Final = ("modprobe", "/proc/drbd", "netlink family")


class DrbdClient:
    """DRBD of this node.

    ``drbdsetup`` is the program, ``module_file`` the file that exists while the module is loaded (None:
    do not look), ``deadline`` the limit of each call in seconds. Every method raises ClientError with
    ``drbd.no-tool``, ``drbd.no-module``, ``drbd.timeout``, ``drbd.failed`` or ``drbd.garbage``.
    """

    def __init__(
        self,
        *,
        drbdsetup: str = "drbdsetup",
        module_file: Path | None = Path("/sys/module/drbd/version"),
        deadline: float = 5.0,
    ) -> None:
        self._drbdsetup = drbdsetup
        self._module_file = module_file
        self._deadline = deadline

    async def snapshot(self) -> state.State:
        """Everything as it is now, promotion score and backing devices included."""
        _, told = await self.snapshot_unless(b"")
        assert told is not None
        return told

    async def snapshot_unless(self, known: bytes) -> tuple[bytes, state.State | None]:
        """The mark of how things are, and how they are: None where ``known``, an earlier mark, is that of the same state.

        What changes with every read and write is not in a mark: at rest the same text is not read again and again.
        """
        output = await self._run("events2", "--now", "--full")
        mark, told = await asyncio.to_thread(_told_unless, output, known)
        if told is not None and (not told.complete or told.doubtful):
            raise _garbage("events2 --now: its end is missing, or its lines do not fit together")
        return mark, told

    async def status(self) -> tuple[state.Resource, ...]:
        """Everything as it is now, from ``status --json``: without promotion score, but cheaper to read."""
        output = await self._run("status", "--json")
        try:
            return status.parse_status(output)
        except errors.UNREADABLE as error:
            raise _garbage(f"status --json: {error}") from error

    async def quorum_policies(self) -> dict[str, str | None]:
        """The quorum rule in force by resource: off, majority, …; None where it cannot be read.

        It changes at run time when a diskless resource comes or goes (facts/linstor.md 7.4).
        """
        output = await self._run("show", "--json")
        try:
            return status.parse_quorum(output)
        except errors.UNREADABLE as error:
            raise _garbage(f"show --json: {error}") from error

    async def stream(
        self, *, pause: float = 0.0
    ) -> AsyncGenerator[tuple[events2.Event, ...], None]:
        """All that happens, in batches, beginning with how things stand (up to ``exists -``).

        ``pause`` (seconds) after each batch: what comes meanwhile is the next one, so many events cost little more than few.
        Raises ClientError when it ends, ``drbd.lost`` if drbdsetup simply stopped: the caller starts
        anew with an empty state. Use ``contextlib.aclosing`` so that leaving early ends the program.
        """
        self._check_module()
        argv = [self._drbdsetup, "events2", "--full"]
        loop = asyncio.get_running_loop()
        due: float | None = loop.time() + self._deadline
        async with process.lines(argv) as lines:
            while True:
                try:  # around the wait alone: what the caller does with a batch is its own time
                    async with asyncio.timeout_at(due):
                        batch = await lines.batch()
                except TimeoutError as error:
                    raise errors.ClientError(self._no_start(argv)) from error
                if not batch:
                    break
                events = tuple(_events(batch))
                if any(event.is_end_of_initial_state for event in events):
                    due = None
                yield events
                if pause:
                    await lines.leave_alone(pause)
            end = lines.end()
        raise errors.ClientError(_trouble(end) or _lost(end))

    def _no_start(self, argv: list[str]) -> errors.Trouble:
        return errors.Trouble(
            code="drbd.timeout",
            text=f"no initial state within {self._deadline:g} s: {process.command_line(argv)}",
            hint="run it by hand; a hanging device shows in the kernel's messages",
        )

    async def _run(self, *words: str) -> bytes:
        self._check_module()
        done = await process.run([self._drbdsetup, *words], deadline=self._deadline)
        if trouble := _trouble(done):
            raise errors.ClientError(trouble)
        return done.stdout

    def _check_module(self) -> None:
        if self._module_file is not None and not self._module_file.exists():
            raise errors.ClientError(
                errors.Trouble(
                    code="drbd.no-module",
                    text=f"the DRBD kernel module is not loaded ({self._module_file} is missing)",
                    hint="modprobe drbd; if that fails, install the module for the running kernel",
                )
            )


def _told_unless(output: bytes, known: bytes) -> tuple[bytes, state.State | None]:
    """Off the loop: some 0.3 s for 5,000 resources that are not known."""
    lasting = _COUNTERS.sub(b"", output)
    mark = hashlib.blake2b(lasting).digest()
    if mark == known:
        return mark, None
    return mark, state.fold(state.State(), _events(lasting.decode("utf-8", "replace").splitlines()))


def _events(lines: list[str]) -> list[events2.Event]:
    found = []
    for line in lines:
        event = events2.parse(line)
        if isinstance(event, events2.Malformed):
            raise _garbage(f"events2: {event.text[:200]}")
        if event is not None:
            found.append(event)
    return found


def _trouble(done: process.Completed) -> errors.Trouble | None:
    if done.trouble is None:
        return None
    text = done.trouble.text
    stderr = done.stderr.decode("utf-8", "replace")
    if done.trouble.code == "process.missing":
        hint = "install drbd-utils"
        return errors.Trouble(code="drbd.no-tool", text=text, hint=hint)
    if any(sign in stderr for sign in _NO_MODULE):
        hint = "modprobe drbd; if that fails, install the module for the running kernel"
        return errors.Trouble(code="drbd.no-module", text=text, hint=hint)
    slug = "timeout" if done.trouble.code == "process.timeout" else "failed"
    return errors.Trouble(code=f"drbd.{slug}", text=text, hint=done.trouble.hint)


def _lost(end: process.Completed) -> errors.Trouble:
    return errors.Trouble(
        code="drbd.lost",
        text=f"the stream of events ended: {process.command_line(end.argv)}",
        hint="it is started again",
    )


def _garbage(text: str) -> errors.ClientError:
    return errors.ClientError(
        errors.Trouble(
            code="drbd.garbage",
            text=f"drbdsetup said what Tidegate cannot read: {text}",
            hint="run it by hand; is this drbd-utils 9?",
        )
    )
