# SPDX-License-Identifier: Apache-2.0
"""Procedures on the virtual clock: generators that yield what they wait for, seconds or a signal.

They are to the models what goroutines are to incusd: many at a time, all gone at once when the process dies.
"""

from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

from tidegate.sim.clock import VirtualClock

T = TypeVar("T")


class Signal:
    """Something that happens once, for all who wait for it."""

    def __init__(self) -> None:
        self.is_set = False
        self._waiting: list[Callable[[], None]] = []

    def set(self) -> None:
        """Let it have happened. Again is harmless."""
        self.is_set = True
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            callback()

    def on_set(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once it has happened: now, if it has."""
        if self.is_set:
            callback()
        else:
            self._waiting.append(callback)


Wait = float | Signal
"""What a procedure waits for: so many seconds, or a signal."""

Steps = Generator[Wait, None, T]
"""A procedure with its result; call others with ``yield from``."""


class PanicError(Exception):
    """A procedure brings the whole process down, as a Go panic does."""


class Task(Generic[T]):
    """A procedure under way. ``result`` holds its value once ``done`` is set."""

    def __init__(self, steps: Steps[T]) -> None:
        self.done = Signal()
        self.result: T | None = None
        self._steps = steps
        self._is_dead = False
        self._is_under_way = False

    def kill(self) -> None:
        """Stop it where it waits; ``done`` is never set then."""
        self._is_dead = True
        if not self._is_under_way:
            self._steps.close()

    def advance(self) -> Wait | None:
        """Run to the next wait. Returns it, or None at the end."""
        if self._is_dead:
            return None
        self._is_under_way = True
        try:
            wait = next(self._steps)
        except StopIteration as end:
            self._end(end.value)
            return None
        finally:
            self._is_under_way = False
        return self._unless_dead(wait)

    def _end(self, result: T) -> None:
        if not self._is_dead:
            self._is_dead = True
            self.result = result
            self.done.set()

    def _unless_dead(self, wait: Wait) -> Wait | None:
        """A procedure can bring about its own end: it goes no further then."""
        if self._is_dead:
            self._steps.close()
            return None
        return wait


class Tasks:
    """The procedures of one process.

    Args:
        clock: the virtual clock they wait on.
        on_panic: called with the text of a :class:`PanicError`, when all procedures have been killed.
    """

    def __init__(self, clock: VirtualClock, on_panic: Callable[[str], None]) -> None:
        self._clock = clock
        self._on_panic = on_panic
        self._alive: list[Task[Any]] = []

    def spawn(self, steps: Steps[T]) -> Task[T]:
        """Begin a procedure as the next thing that happens."""
        task = Task(steps)
        self._alive.append(task)
        self._clock.after(0.0, lambda: self._run(task))
        return task

    def kill_all(self) -> None:
        """Stop every procedure where it waits."""
        alive, self._alive = self._alive, []
        for task in alive:
            task.kill()

    def _run(self, task: Task[Any]) -> None:
        try:
            wait = task.advance()
        except PanicError as panic:
            self.kill_all()
            self._on_panic(str(panic))
            return
        if wait is None:
            if task in self._alive:
                self._alive.remove(task)
        elif isinstance(wait, Signal):
            wait.on_set(lambda: self._later(task))
        else:
            self._clock.after(wait, lambda: self._run(task))

    def _later(self, task: Task[Any]) -> None:
        self._clock.after(0.0, lambda: self._run(task))


def join(tasks: list[Task[Any]]) -> Steps[None]:
    """Wait until all of ``tasks`` are done."""
    for task in tasks:
        yield task.done


def first_of(*signals: Signal) -> Signal:
    """Return a signal that is set with the first of ``signals``."""
    first = Signal()
    for signal in signals:
        signal.on_set(first.set)
    return first
