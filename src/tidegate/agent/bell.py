# SPDX-License-Identifier: Apache-2.0
"""What wakes the one who looks at a source: plain calls at once, hints within what they may cost."""

import asyncio
from collections.abc import Callable

from tidegate.agent import pace
from tidegate.core.snapshot import Source


class Bell:
    """One source's bell. Hints that come too thick are answered by one look, as soon as one may be.

    Args:
        source: Which source.
        terms: What looks asked for by hints may use at the moment. For each terms there is a store of its own.
    """

    def __init__(self, source: Source, terms: Callable[[], pace.Terms]) -> None:
        self._source = source
        self._terms = terms
        self._rung = asyncio.Event()
        self._hinted = False
        """The next look, or the one under way, was asked for by a hint."""
        self._looking = True
        self._again = False
        self._again_at_once = False
        self._looked_at = 0.0
        self._gap = 0.0
        self._stores: dict[pace.Terms, pace.Allowance] = {}
        self._timer: asyncio.TimerHandle | None = None

    def ring(self) -> None:
        """Have the source looked at now; if a look is under way, once more after it."""
        self._rung.set()

    def hint(self, *, at_once: bool = False) -> None:
        """Have the source looked at as soon as hints may ask for it; ``at_once``: however long its last look took."""
        if self._looking:
            self._again = True
            self._again_at_once |= at_once
            return
        if self._rung.is_set():
            return
        loop = asyncio.get_running_loop()
        pause = pace.GAP if at_once else self._gap
        due = max(self._looked_at + pause, loop.time() + self._wait(loop.time()))
        if due <= loop.time():
            self._strike()
        elif self._timer is None or due < self._timer.when() - pace.GAP:
            self._silence()
            self._timer = loop.call_at(due, self._strike)

    async def wait(self, seconds: float) -> bool:
        """Wait until the bell is rung, for ``seconds`` at most; then a look begins. Returns whether anybody rang or hinted."""
        try:
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        except TimeoutError:
            pass
        asked = self._rung.is_set() or self._timer is not None
        self._rung.clear()
        self._silence()
        self._looking = True
        return asked

    def looked(self, *, took: float, used: float) -> None:
        """Say that a look has ended: it ``took`` so many seconds and ``used`` so many of processor time."""
        now = asyncio.get_running_loop().time()
        if self._hinted:
            self._hinted = False
            terms = self._terms()
            self._stores[terms] = self._store(terms, now).spent(used, now, terms.share)
            self._looked_at, self._gap = now, pace.gap(self._source, took)
        self._looking = False
        again, at_once = self._again, self._again_at_once
        self._again = self._again_at_once = False
        if again:
            self.hint(at_once=at_once)

    def _strike(self) -> None:
        self._timer = None
        self._hinted = True
        self._rung.set()

    def _silence(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _store(self, terms: pace.Terms, now: float) -> pace.Allowance:
        return self._stores.get(terms) or pace.Allowance.full(terms.most, now)

    def _wait(self, now: float) -> float:
        terms = self._terms()
        return max(0.0, self._store(terms, now).wait(now, terms.share))
