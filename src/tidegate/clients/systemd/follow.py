# SPDX-License-Identifier: Apache-2.0
"""What the journal of this boot tells of a few units and of the kernel, read by ``journalctl``: once, or as it is written.

Protocol only. Bounded: so many lines back, so many bytes a line; a line that is no entry is left out.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Final

import msgspec

from tidegate.clients import errors, process

THIN_POOLS: Final = "dm-event.service"
"""LVM's monitor of thin pools."""
MOST_LINES: Final = 5_000
"""Lines read back: a satellite writes some hundreds when it starts."""
LONGEST: Final = 64 * 1024
_FIELDS: Final = "MESSAGE,_SYSTEMD_UNIT,_TRANSPORT,_PID"


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One entry."""

    at: float
    """Seconds on CLOCK_MONOTONIC."""
    unit: str = ""
    kernel: bool = False
    pid: int = 0
    text: str = ""


class _Entry(msgspec.Struct, frozen=True):
    message: str | list[int | str] | None = msgspec.field(name="MESSAGE", default=None)
    unit: str | list[str] | None = msgspec.field(name="_SYSTEMD_UNIT", default=None)
    transport: str | list[str] | None = msgspec.field(name="_TRANSPORT", default=None)
    pid: str | list[str] | None = msgspec.field(name="_PID", default=None)
    moment: str = msgspec.field(name="__MONOTONIC_TIMESTAMP", default="0")


_decoder: Final = msgspec.json.Decoder(_Entry)


class Journal:
    """The journal of this boot about ``units``, and the kernel's lines. Raises ClientError ``journal.*``."""

    def __init__(
        self, units: Sequence[str], *, journalctl: str = "journalctl", deadline: float = 5.0
    ) -> None:
        self._units = tuple(units)
        self._journalctl = journalctl
        self._deadline = deadline

    async def read(self) -> tuple[Line, ...]:
        """Return what was written so far in this boot, oldest first."""
        done = await process.run(self._argv(), deadline=self._deadline)
        if done.trouble is not None:
            raise errors.ClientError(_trouble(done.trouble))
        text = done.stdout.decode("utf-8", "replace")
        return tuple(line for raw in text.splitlines() if (line := parse(raw)) is not None)

    async def follow(self, *, pause: float = 0.0) -> AsyncGenerator[tuple[Line, ...], None]:
        """Yield what was written in this boot and what is written from now on, in batches, ``pause`` seconds apart.

        Raises ClientError ``journal.lost`` when journalctl ends. Use ``contextlib.aclosing``.
        """
        async with process.lines([*self._argv(), "--follow"], max_line=LONGEST) as lines:
            while batch := await lines.batch():
                found = tuple(line for raw in batch if (line := parse(raw)) is not None)
                if found:
                    yield found
                if pause:
                    await lines.leave_alone(pause)
                await asyncio.sleep(0)
            end = lines.end()
        lost = errors.Trouble(
            code="journal.lost",
            text=f"journalctl ended: {process.command_line(end.argv)}",
            hint="it is started again",
        )
        raise errors.ClientError(lost if end.trouble is None else _trouble(end.trouble))

    def _argv(self) -> list[str]:
        matches = [word for unit in self._units for word in (f"_SYSTEMD_UNIT={unit}", "+")]
        options = ["--boot", "--no-pager", "--quiet", "--output=json"]
        options += [f"--output-fields={_FIELDS}", f"--lines={MOST_LINES}"]
        return [self._journalctl, *options, *matches, "_TRANSPORT=kernel"]


def parse(raw: str) -> Line | None:
    """Return the entry in a line of ``journalctl --output=json``; None for what is none. Pure.

    A message that is not UTF-8 is a list of bytes, one that is too long is null, a field that occurs twice is a list (journalctl(1)).
    """
    try:
        entry = _decoder.decode(raw)
        at = int(entry.moment) / 1e6
        pid = int(_one(entry.pid) or 0)
    except (*errors.UNREADABLE, ValueError):
        return None
    if not 0 <= at < 1e12:
        return None
    return Line(
        at=at,
        unit=_one(entry.unit),
        kernel=_one(entry.transport) == "kernel",
        pid=pid,
        text=_text(entry.message),
    )


def _one(value: str | list[str] | None) -> str:
    if isinstance(value, list):
        return value[0] if value else ""
    return value or ""


def _text(value: str | list[int | str] | None) -> str:
    if not isinstance(value, list):
        return value or ""
    if value and isinstance(value[0], str):
        return value[0]
    numbers = [one for one in value if isinstance(one, int) and 0 <= one < 256]
    return bytes(numbers).decode("utf-8", "replace")


def _trouble(found: errors.Trouble) -> errors.Trouble:
    missing = found.code == "process.missing"
    return errors.Trouble(
        code="journal.no-tool" if missing else "journal.failed", text=found.text, hint=found.hint
    )
