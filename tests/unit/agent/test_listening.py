# SPDX-License-Identifier: Apache-2.0
"""A listener that ends is begun again, ever more slowly; one with nothing to hear waits; one that floods is left alone."""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterator

import msgspec
import pytest

from tidegate.agent import pace
from tidegate.agent.listening import AGAIN, SOONEST, TELL_AFTER, Listening
from tidegate.clients import errors
from tidegate.core.ids import BootId, NodeName
from tidegate.core.snapshot import Snapshot, Source
from tidegate.core.trouble import Trouble
from tidegate.probes.hints.base import Hear, Heard

NEWS = Heard(wakes=frozenset({Source.DRBD}))
NOISE = Heard()
SNAPSHOT = Snapshot(at=0.0, boot_id=BootId("b"), boot_wall=0.0, node=NodeName("n1"))


class Over(Exception):  # noqa: N818
    """The test has seen enough."""


class World:
    """Time passes only when somebody waits for news."""

    def __init__(self, until: float) -> None:
        self.now = 0.0
        self.until = until
        self.snapshot = SNAPSHOT
        self.is_waiting = False
        self.hinted: list[float] = []
        self.news: Iterator[Callable[[], None]] = iter(())

    def clock(self) -> float:
        return self.now

    def hint(self, *sources: Source, at_once: bool = False) -> None:
        assert sources == (Source.DRBD,)
        self.hinted.append(self.now)

    async def next_news(self, within: float | None) -> None:
        change = next(self.news, None)
        if change is not None:
            change()
        elif within is None:
            raise Over
        else:
            self.now += within
        if self.now > self.until:
            raise Over


class Stream:
    """A listener whose stream does what ``behave`` says."""

    name = "a stream"
    wakes = frozenset({Source.DRBD})

    def __init__(self, world: World, behave: Callable[[Hear], Awaitable[None]]) -> None:
        self.is_worthwhile = True
        self.begun: list[float] = []
        self._world = world
        self._behave = behave

    def worthwhile(self, snapshot: Snapshot) -> bool:
        assert snapshot is SNAPSHOT
        return self.is_worthwhile

    async def listen(self, hear: Hear) -> None:
        self.begun.append(self._world.now)
        await self._behave(hear)


async def run(world: World, stream: Stream) -> None:
    with pytest.raises(Over):
        await Listening(stream, world, world.clock).run()


def lost() -> errors.ClientError:
    return errors.ClientError(Trouble(code="drbd.lost", text="the stream ended"))


async def refused(_hear: Hear) -> None:
    raise lost()


def pauses(stream: Stream) -> list[float]:
    return [after - before for before, after in itertools.pairwise(stream.begun)]


async def test_a_stream_that_cannot_be_had_is_tried_ever_more_slowly() -> None:
    world = World(until=300.0)
    stream = Stream(world, refused)
    await run(world, stream)
    found = pauses(stream)
    assert found[0] <= AGAIN.first * 1.2
    assert all(later > earlier for earlier, later in itertools.pairwise(found[:6]))
    assert max(found) <= AGAIN.limit * (1 + AGAIN.jitter)
    assert len(stream.begun) < 25
    assert world.hinted == [], "nothing was open: nothing was missed"


async def test_the_end_of_an_open_stream_wakes_and_it_is_begun_again_soon() -> None:
    async def ends(hear: Hear) -> None:
        hear(NEWS)
        world.now += 100.0
        raise lost()

    world = World(until=450.0)
    stream = Stream(world, ends)
    await run(world, stream)
    assert all(pause <= 100.0 + AGAIN.first * 1.2 for pause in pauses(stream))
    assert world.hinted[:3] == [0.0, 100.0, stream.begun[1]]


async def test_nothing_is_begun_while_there_is_nothing_to_hear() -> None:
    world = World(until=10.0)
    stream = Stream(world, refused)
    stream.is_worthwhile = False
    await run(world, stream)
    assert stream.begun == []


async def test_what_comes_back_is_listened_to_at_once_but_not_in_a_circle() -> None:
    """A controller that answers again ends a wait of half a minute; a source that flaps does not undo the budget."""
    world = World(until=1e9)
    stream = Stream(world, refused)

    def flap() -> None:
        stream.is_worthwhile = not stream.is_worthwhile
        world.now += 0.01

    def stay() -> None:
        world.now += AGAIN.limit / 2

    world.news = iter([flap] * 400 + [stay, flap, flap])
    world.until = 1000.0
    stream.is_worthwhile = False
    await asyncio.wait_for(run(world, stream), 10)
    assert all(pause >= SOONEST - 1e-9 for pause in pauses(stream))
    assert len([at for at in stream.begun if at <= 4.0]) <= 4.0 / SOONEST + 1


async def test_what_is_gone_meanwhile_is_no_failure_that_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def nothing(_hear: Hear) -> None:
        return

    world = World(until=100.0)
    stream = Stream(world, nothing)
    with caplog.at_level(logging.INFO):
        await run(world, stream)
    assert 3 < len(stream.begun) < 20
    assert caplog.records == []


async def test_what_cannot_be_had_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    world = World(until=300.0)
    stream = Stream(world, refused)
    with caplog.at_level(logging.INFO):
        await run(world, stream)
    assert len(stream.begun) > TELL_AFTER
    (record,) = caplog.records
    assert "not listening to a stream" in record.getMessage()
    assert "the stream ended" in record.getMessage()


async def test_a_fault_of_ours_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(_hear: Hear) -> None:
        raise ZeroDivisionError

    world = World(until=100.0)
    stream = Stream(world, broken)
    await run(world, stream)
    assert len(stream.begun) > 3
    assert "report this as a bug" in caplog.text


@pytest.mark.parametrize("is_waiting", [False, True])
async def test_a_flood_is_left_and_costs_no_more_than_its_share(is_waiting: bool) -> None:
    read = 0

    async def flood(hear: Hear) -> None:
        nonlocal read
        while True:
            read += 100
            world.now += 0.01
            hear(msgspec.structs.replace(NEWS, work=100))

    hour = 3600.0
    world = World(until=hour)
    world.is_waiting = is_waiting
    stream = Stream(world, flood)
    await run(world, stream)
    rate = pace.READ_WAITING if is_waiting else pace.READ_REST
    assert len(stream.begun) > 10
    assert read <= pace.READ_MOST + rate * hour + pace.READ_MOST


async def test_a_flood_is_not_called_a_failure() -> None:
    """When it is over, the stream is as good as ever: no wait grows because of it."""
    floods = 0

    async def flood(hear: Hear) -> None:
        nonlocal floods
        floods += 1
        hear(Heard(work=int(pace.READ_MOST)))

    world = World(until=10_000.0)
    stream = Stream(world, flood)
    await run(world, stream)
    expected = pace.READ_MOST / pace.READ_REST
    assert all(pause <= expected * 1.01 for pause in pauses(stream))


async def test_noise_wakes_nobody() -> None:
    async def noisy(hear: Hear) -> None:
        for _ in range(100):
            hear(NOISE)
        assert world.hinted == []
        world.now += 1000.0
        raise lost()

    world = World(until=900.0)
    await run(world, Stream(world, noisy))
    assert world.hinted == [1000.0], "only its end did"
