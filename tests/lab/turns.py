# SPDX-License-Identifier: Apache-2.0
"""When a boot may begin beside others, so that what is measured in one does not fall into a busy moment of another.

A boot is busy when it begins, when its fault ends, and, without Tidegate, when Incus tries its pools again. All else is waiting.
"""

import contextlib
import threading
import time
from collections.abc import Iterator

BOOT = 6.0
AROUND = (-1.5, 5.0)
RETRY = (60.0, 64.0)
_STEP = 0.5
_FURTHEST = 120.0

Span = tuple[float, float]


def busy(fault_end: float, *, retries: bool) -> list[Span]:
    """The busy spans of a boot, in seconds after its beginning."""
    spans = [(0.0, BOOT)]
    if fault_end > 0:
        spans.append((fault_end + AROUND[0], fault_end + AROUND[1]))
    if retries:
        spans.append(RETRY)
    return spans


def _meet(one: Span, other: Span) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def earliest(now: float, mine: list[Span], taken: list[Span]) -> float:
    """The first moment from ``now`` on at which a boot with busy spans ``mine`` meets none of ``taken`` (absolute seconds)."""
    moment = now
    while moment < now + _FURTHEST:
        spans = [(moment + begin, moment + end) for begin, end in mine]
        if not any(_meet(one, other) for one in spans for other in taken):
            return moment
        moment += _STEP
    return now


class Turns:
    """Gives each boot its moment. Threads may ask at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: dict[object, list[Span]] = {}

    @contextlib.contextmanager
    def turn(self, fault_end: float, *, retries: bool, stop: threading.Event) -> Iterator[None]:
        """Wait for a good moment, or for ``stop``; the boot's spans are taken until the block ends."""
        mine = busy(fault_end, retries=retries)
        me = object()
        with self._lock:
            now = time.monotonic()
            taken = [span for spans in self._taken.values() for span in spans]
            begin = earliest(now, mine, taken)
            self._taken[me] = [(begin + one, begin + other) for one, other in mine]
        try:
            stop.wait(max(0.0, begin - now))
            yield
        finally:
            with self._lock:
                del self._taken[me]
