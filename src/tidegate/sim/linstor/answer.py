# SPDX-License-Identifier: Apache-2.0
"""A REST request and its answer as values, and how a call waits.

A call is a generator: it yields :class:`Wait` for as long as it must wait (for a satellite, for the lab), and returns its
:class:`Answer`. So the same code serves real clients over HTTP and the models that have only virtual time.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Generator
from typing import Any

import msgspec

from tidegate.sim.linstor import rc


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request: path without query, decoded; query as lists of values; body as bytes."""

    method: str
    path: str
    query: dict[str, list[str]] = {}
    body: bytes = b""

    def values(self, name: str) -> list[str]:
        """All values of a repeated query key."""
        return self.query.get(name, [])

    def flag(self, name: str, *, default: bool = False) -> bool:
        """A boolean query key."""
        values = self.values(name)
        return values[-1].lower() == "true" if values else default

    def number(self, name: str) -> int:
        """A numeric query key; 0 if it is absent or no number."""
        values = self.values(name)
        return int(values[-1]) if values and values[-1].isdigit() else 0


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One answer. ``body`` None: empty; str: text as it is; else: JSON."""

    status: int = 200
    body: Any = None
    content_type: str = "application/json"


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """The call waits until ``ready`` is true; ``until``: the moment when that is known to happen, if it is."""

    ready: Callable[[], bool]
    until: float | None = None


Call = Generator[Wait, None, Answer]


def stamp(unix_s: float) -> str:
    """``created_at`` as LINSTOR writes it: UTC, nanoseconds, Z."""
    moment = dt.datetime.fromtimestamp(unix_s, tz=dt.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}000Z"


class Entries:
    """The entries of one answer, with the operation, object and references that LINSTOR adds to each (ResponseConverter)."""

    def __init__(
        self, now: Callable[[], float], *, context: int = 0, refs: dict[str, str] | None = None
    ) -> None:
        self._now = now
        self.context = context
        self.refs = refs or {}
        self.items: list[rc.Entry] = []

    def add(
        self,
        code: int,
        message: str = "",
        *,
        cause: str = "",
        details: str = "",
        correction: str = "",
        refs: dict[str, str] | None = None,
        reports: tuple[str, ...] = (),
    ) -> Entries:
        """Append one entry. Operation and object of the context are added unless ``code`` has its own."""
        code |= self.context & (0x03000000 if not code & 0x03000000 else 0)
        code |= self.context & (0x007C0000 if not code & 0x007C0000 else 0)
        self.items.append(
            rc.entry(
                code,
                message,
                created_at=stamp(self._now()),
                cause=cause,
                details=details,
                correction=correction,
                refs={**(refs or {}), **self.refs},
                reports=reports,
            )
        )
        return self

    def answer(self, good: int = 200) -> Answer:
        """The answer, with the status that its entries ask for."""
        return Answer(status=rc.http_status(self.items, good=good), body=self.items)
