# SPDX-License-Identifier: Apache-2.0
"""What the process does for itself when it has come to rest: it gives back what the boot took, and stops looking through what stays.

With 500 volumes one full collection of CPython walks through some 300,000 objects and takes 40 ms, as long as a judgement. Nearly all
of them live as long as the agent; frozen, they are left out (``gc.freeze``), and are freed all the same when nobody holds them.
"""

import contextlib
import ctypes
import gc
import math
from collections.abc import Callable
from typing import Final

EVERY: Final = 600.0
"""Seconds from one tidying to the next at least: a node that comes to rest again and again has no use for it."""


class Tidy:
    """Tidies up when told that the agent rests. ``clock`` gives seconds since boot, ``work`` does it."""

    def __init__(self, clock: Callable[[], float], work: Callable[[], None] | None = None) -> None:
        self._clock = clock
        self._work = work or give_back
        self._rested = False
        self._at = -math.inf

    def saw(self, *, rests: bool) -> None:
        """Take in whether the agent rests; its coming to rest is the moment."""
        came, self._rested = rests and not self._rested, rests
        now = self._clock()
        if came and now - self._at >= EVERY:
            self._at = now
            self._work()


def give_back() -> None:
    """Collect, freeze what is left, and return free memory to the kernel where the C library can (glibc)."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    with contextlib.suppress(
        OSError, MemoryError, AttributeError
    ):  # not glibc, or a sandbox that does not want it
        ctypes.CDLL(None).malloc_trim(0)
