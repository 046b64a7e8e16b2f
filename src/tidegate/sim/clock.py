# SPDX-License-Identifier: Apache-2.0
"""A virtual clock with a queue of things that will happen: the only source of time for the models."""

import heapq
import itertools
from collections.abc import Callable


class VirtualClock:
    """Seconds since the simulated machine's kernel started, and what is due when.

    Two things due at the same moment happen in the order in which they were asked for, so that a run is repeatable.
    """

    def __init__(self, start: float = 0.0) -> None:
        self._now = start
        self._order = itertools.count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._cancelled: set[int] = set()
        self.happened = 0
        """How many things have happened: while it stays the same, so does the world."""

    @property
    def now(self) -> float:
        """The present moment, in seconds."""
        return self._now

    def at(self, moment: float, action: Callable[[], None]) -> int:
        """Have ``action`` happen at ``moment`` (seconds; a past moment means: next). Returns a handle for :meth:`cancel`."""
        handle = next(self._order)
        heapq.heappush(self._due, (max(moment, self._now), handle, action))
        return handle

    def after(self, delay: float, action: Callable[[], None]) -> int:
        """Have ``action`` happen ``delay`` seconds from now. Returns a handle for :meth:`cancel`."""
        return self.at(self._now + delay, action)

    def cancel(self, handle: int) -> None:
        """Forget what :meth:`at` or :meth:`after` returned ``handle`` for; harmless when it has happened already."""
        self._cancelled.add(handle)

    def next_due(self) -> float | None:
        """The moment of the next thing that will happen, or None when nothing is planned."""
        while self._due and self._due[0][1] in self._cancelled:
            self._cancelled.discard(heapq.heappop(self._due)[1])
        return self._due[0][0] if self._due else None

    def advance(self, moment: float) -> None:
        """Move to ``moment`` (seconds), letting everything due until then happen in order. A past moment changes nothing."""
        while (due := self.next_due()) is not None and due <= moment:
            at, _, action = heapq.heappop(self._due)
            self._now = at
            self.happened += 1
            action()
        self._now = max(self._now, moment)
