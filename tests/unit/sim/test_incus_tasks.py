# SPDX-License-Identifier: Apache-2.0
"""Procedures on the virtual clock."""

from tidegate.sim.clock import VirtualClock
from tidegate.sim.incus.tasks import PanicError, Signal, Steps, Tasks, first_of, join


def test_procedures_wait_for_time_signals_and_each_other() -> None:
    clock, go = VirtualClock(), Signal()
    tasks = Tasks(clock, lambda _: None)
    seen: list[tuple[float, str]] = []

    def worker(name: str, pause: float) -> Steps[str]:
        yield pause
        seen.append((clock.now, name))
        return name

    def main() -> Steps[None]:
        yield go
        workers = [tasks.spawn(worker("b", 2.0)), tasks.spawn(worker("a", 1.0))]
        yield from join(workers)
        seen.append((clock.now, "+".join(str(task.result) for task in workers)))

    tasks.spawn(main())
    clock.at(10.0, go.set)
    clock.advance(60.0)
    assert seen == [(11.0, "a"), (12.0, "b"), (12.0, "b+a")]


def test_killed_procedures_go_no_further_and_clean_up() -> None:
    clock = VirtualClock()
    tidied: list[str] = []
    tasks = Tasks(clock, lambda _: None)

    def steps(name: str) -> Steps[None]:
        try:
            yield 5.0
            tidied.append(f"{name} went on")
        finally:
            tidied.append(name)

    def killer() -> Steps[None]:
        yield 1.0
        tasks.kill_all()
        yield 1.0
        tidied.append("killer went on")

    first = tasks.spawn(steps("first"))
    tasks.spawn(killer())
    clock.advance(60.0)
    assert tidied == ["first"]
    assert not first.done.is_set


def test_a_panic_ends_all_of_them() -> None:
    clock = VirtualClock()
    heard: list[str] = []
    went_on: list[str] = []
    tasks = Tasks(clock, heard.append)

    def bystander() -> Steps[None]:
        yield 2.0
        went_on.append("bystander")

    def panicking() -> Steps[None]:
        yield 1.0
        raise PanicError("panic: nil")

    tasks.spawn(bystander())
    tasks.spawn(panicking())
    clock.advance(60.0)
    assert (heard, went_on) == (["panic: nil"], [])


def test_the_first_of_several_signals() -> None:
    one, two = Signal(), Signal()
    first = first_of(one, two)
    before = first.is_set
    two.set()
    assert (before, first.is_set, first_of(one, two).is_set) == (False, True, True)
