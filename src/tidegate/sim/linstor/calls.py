# SPDX-License-Identifier: Apache-2.0
"""Calls on their way: who waits for what, and going on when it has come.

A face starts a call with what to do with its answer, and pokes after each step of the clock; the models run one to its end on the
virtual clock alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from tidegate.sim.linstor.answer import Answer, Call, Wait

if TYPE_CHECKING:
    from tidegate.sim.linstor import world as worlds

Done = Callable[[Answer], None]


class _Waiting(msgspec.Struct, kw_only=True):
    call: Call
    wait: Wait
    done: Done


class Calls:
    """The calls of one world."""

    def __init__(self, world: worlds.LinstorWorld) -> None:
        self._world = world
        self._waiting: list[_Waiting] = []

    def start(self, call: Call, done: Done) -> None:
        """Begin a call; ``done`` gets its answer, now or at a later :meth:`poke`."""
        self._go_on(call, done)
        self.poke()

    def _go_on(self, call: Call, done: Done) -> None:
        try:
            wait = next(call)
            while wait.ready():
                wait = next(call)
        except StopIteration as finished:
            done(finished.value)
            return
        self._waiting.append(_Waiting(call=call, wait=wait, done=done))
        if wait.until is not None:
            self._world.clock.at(wait.until, lambda: None)

    def poke(self) -> None:
        """Go on with every call whose wait is over, until none is."""
        self._world.settle()
        while found := [w for w in self._waiting if w.wait.ready()]:
            self._waiting = [w for w in self._waiting if w not in found]
            for one in found:
                self._go_on(one.call, one.done)
            self._world.settle()

    def cancel_all(self) -> None:
        """The controller is gone: nobody is answered any more."""
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.call.close()

    def run(self, call: Call, *, limit: float) -> Answer | None:
        """Run a call on the virtual clock, up to ``limit`` seconds from now. None: it waits longer, and is forgotten."""
        box: list[Answer] = []
        clock, end = self._world.clock, self._world.now + limit
        self.start(call, box.append)
        while not box:
            due = clock.next_due()
            if due is None or due > end:
                clock.advance(end)
                self.poke()
                break
            clock.advance(due)
            self.poke()
        if not box:
            self._waiting = [w for w in self._waiting if w.call is not call]
            call.close()
        return box[0] if box else None
