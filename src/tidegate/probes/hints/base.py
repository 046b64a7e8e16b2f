# SPDX-License-Identifier: Apache-2.0
"""What a listener is, and what it says when it has heard something."""

from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from tidegate.core.snapshot import Snapshot, Source

TOGETHER: Final = 0.02
"""Seconds in which what is told together counts as one."""


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """Something was told. Empty ``wakes``: nothing that a look would show, but it had to be read.

    ``at_once``: it is rare and much may wait for it, so it is looked at even where looks have been slow.
    """

    wakes: frozenset[Source] = frozenset()
    at_once: bool = False
    work: int = 1
    """What reading it cost, in units of 10 µs of processor time, roughly: one line of ``events2`` is one."""


Hear = Callable[[Heard], None]


class Listener(Protocol):
    """One stream of one source."""

    @property
    def name(self) -> str:
        """What is listened to, for the log."""

    @property
    def wakes(self) -> frozenset[Source]:
        """All sources that it may wake. Woken when the stream begins and when it ends: what happened in between is not known."""

    def worthwhile(self, snapshot: Snapshot) -> bool:
        """Return True while there is something to listen to, as far as is known. Pure."""

    async def listen(self, hear: Hear) -> None:
        """Call ``hear`` for all that is told, first when the stream begins; returns when there is nothing to listen to now.

        Raises ClientError when the stream cannot be had or ends. ``hear`` may raise: then the stream is given up.
        """
