# SPDX-License-Identifier: Apache-2.0
"""A hung source delays no other, and is said to be lost; a broken probe ends nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from tidegate.agent import observer as observing
from tidegate.agent import pace
from tidegate.agent.boot import this_boot
from tidegate.agent.observer import Observer
from tidegate.agent.pace import Pace
from tidegate.clients import clock
from tidegate.config.policy import HealthPolicy
from tidegate.core.facts import HostFacts
from tidegate.core.finding import Grade
from tidegate.core.ids import BootId, NodeName
from tidegate.core.snapshot import Liveness, Observation, Snapshot, Source
from tidegate.probes.base import Need


class HostLooker:
    source = Source.HOST

    def __init__(self) -> None:
        self.looks = 0
        self._looked = asyncio.Condition()

    async def reach(self, looks: int) -> None:
        async with asyncio.timeout(5), self._looked:
            await self._looked.wait_for(lambda: self.looks >= looks)

    async def look(self, need: Need) -> Observation:
        async with self._looked:
            self.looks += 1
            self._looked.notify_all()
        facts = HostFacts(drbd_module="9.2.16", satellite_present=True)
        return Observation(source=self.source, at=clock.boottime(), host=facts)


class Hung:
    source = Source.LINSTOR

    async def look(self, need: Need) -> Observation:
        await asyncio.Event().wait()
        raise AssertionError


class Broken:
    source = Source.DRBD

    async def look(self, need: Need) -> Observation:
        raise ZeroDivisionError("a fault of ours")


def make(*probes: object) -> Observer:
    now = clock.boottime()
    return Observer(
        probes=probes,  # type: ignore[arg-type]
        snapshot=Snapshot(at=now, boot_id=BootId("b"), boot_wall=0.0, node=NodeName("n1")),
        policy=HealthPolicy(),
        intervals=Pace(fast=0.01, rest=0.01),
        node=lambda: NodeName("n1"),
        boot=this_boot(),
    )


@contextlib.asynccontextmanager
async def running(observer: Observer) -> AsyncIterator[None]:
    task = asyncio.ensure_future(observer.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], bool], observer: Observer) -> None:
    async with asyncio.timeout(5):
        while not condition():
            observer.changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.02):
                    await observer.changed.wait()


async def test_a_hung_source_delays_no_other_and_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observing, "LOOK_LIMIT", 0.2)
    host = HostLooker()
    observer = make(host, Hung())
    async with running(observer):
        await until(lambda: host.looks >= 3, observer)
        assert observer.snapshot.source(Source.LINSTOR).liveness is Liveness.NEW
        await observer.settle(5.0)
    state = observer.snapshot.source(Source.LINSTOR)
    assert state.liveness is Liveness.LOST
    assert state.trouble is not None
    assert state.trouble.code == "source.hung"
    report = observer.judge()
    controller = report.subjects["controller"]
    assert not controller.ready
    assert controller.grade in {Grade.UNKNOWN, Grade.FAILING}


async def test_a_fault_in_one_probe_ends_nothing_and_is_said() -> None:
    host = HostLooker()
    observer = make(Broken(), host)
    async with running(observer):
        await until(lambda: host.looks >= 3, observer)
        await observer.settle(5.0)
    state = observer.snapshot.source(Source.DRBD)
    assert state.liveness is Liveness.LOST
    assert state.trouble is not None
    assert state.trouble.code == "source.bug"
    assert "ZeroDivisionError" in state.trouble.text


async def test_the_same_answer_again_is_no_news() -> None:
    host = HostLooker()
    observer = make(host)
    async with running(observer):
        await until(lambda: host.looks >= 1, observer)
        observer.changed.clear()
        seen = host.looks
        await host.reach(seen + 3)
        assert not observer.changed.is_set()


async def test_once_more_waits_for_a_look_that_began_afterwards_and_for_no_hung_source() -> None:
    host = HostLooker()
    observer = make(host, Hung())
    async with running(observer), asyncio.timeout(5):
        await observer.settle(0.05)
        seen = host.looks
        await observer.once_more()
        assert host.looks > seen


async def test_who_waits_for_something_is_served_at_the_pace_of_waiting_and_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A person may wait for what nobody wants: an instance that is not started at boot."""
    monkeypatch.setattr(observing, "ATTENDED_FOR", 0.2)
    monkeypatch.setattr(pace, "is_waiting", lambda _report, _snapshot: False)
    host = HostLooker()
    observer = make(host)
    observer._intervals = Pace(fast=0.01, rest=3600.0)
    async with running(observer):
        await host.reach(1)
        observer.judge()
        rests = not observer.is_waiting
        observer.attend()
        assert rests
        assert observer.is_waiting
        await host.reach(host.looks + 3)
        await until(lambda: not observer.is_waiting, observer)
        seen = host.looks
        await asyncio.sleep(0.1)
        assert host.looks <= seen + 1


async def test_a_hint_is_followed_by_a_look_and_only_at_that_source() -> None:
    host, other = HostLooker(), HostLooker()
    other.source = Source.SYSTEMD
    observer = make(host, other)
    observer._intervals = Pace(fast=3600.0, rest=3600.0)
    async with running(observer):
        await observer.settle(5.0)
        seen = other.looks
        observer.hint(Source.HOST, Source.INCUS)
        await host.reach(2)
        assert other.looks == seen
