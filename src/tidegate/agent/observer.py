# SPDX-License-Identifier: Apache-2.0
"""One task per probe keeps the snapshot fresh; a hung source delays no other and is said to be lost."""

import asyncio
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from tidegate.agent import pace
from tidegate.agent.bell import Bell
from tidegate.agent.boot import Boot
from tidegate.agent.listening import Listening
from tidegate.agent.needs import Needs
from tidegate.clients import clock, errors
from tidegate.config.policy import HealthPolicy
from tidegate.core.finding import Grade, Report
from tidegate.core.ids import NodeName
from tidegate.core.snapshot import SECTIONS, Fact, Liveness, Observation, Snapshot, Source, apply
from tidegate.core.trouble import Trouble
from tidegate.health import judge
from tidegate.probes.base import Probe, Urgency
from tidegate.probes.hints.base import Listener

LOOK_LIMIT = 10.0
"""Seconds after which a look is given up, whatever the probe's own deadlines do."""
ATTENDED_FOR = 6.0
"""Seconds for which one who waits is taken to go on waiting: longer than the pause between two of its questions."""
LISTEN_AFTER = 1.0
"""Seconds before an agent listens to anything but Incus, whose starts are measured: first it looks. Each stream costs a call or a process,
and at the boot Incus waits for what the first looks say."""
_COME_TOGETHER = frozenset({Source.LINSTOR, Source.DRBD, Source.DEVICES})
"""ONLINE, the state of DRBD and the device nodes."""
_NOBODY = frozenset({errors.TIMEOUT_CONNECT, errors.REFUSED, errors.UNREACHABLE})
_log = logging.getLogger("tidegate.observer")


class Observer:
    """Holds the snapshot, has the probes look at their pace, and judges on demand."""

    def __init__(
        self,
        *,
        probes: Sequence[Probe],
        snapshot: Snapshot,
        policy: HealthPolicy,
        intervals: pace.Pace,
        node: Callable[[], NodeName],
        boot: Boot,
        listeners: Sequence[Listener] = (),
        put_off: float = 0.0,
        cpu: Callable[[], float] = clock.cpu,
    ) -> None:
        """``put_off``: seconds before the first look at sources that only explain, since a host that boots has better things to do.

        With it the listeners begin a little later, too.
        """
        self._put_off = put_off
        self._node = node
        self._probes = probes
        self._policy = policy
        self._intervals = intervals
        self._boot = boot
        self._boottime = boot.seconds
        self._cpu = cpu
        self._bells = {probe.source: Bell(probe.source, self._terms) for probe in probes}
        self._listening = [Listening(listener, self, boot.seconds) for listener in listeners]
        self._needs = Needs()
        self._news = asyncio.Event()
        self._waiting_since: float | None = boot.seconds()
        self._attended = (-math.inf, -math.inf)
        self.snapshot = snapshot
        self.report: Report | None = None
        self._looks = dict.fromkeys(self._bells, 0)
        self._looked = asyncio.Event()
        self.changed = asyncio.Event()
        """Set whenever a look told something new; who waits on it clears it."""

    async def run(self) -> None:
        """Look, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for probe in self._probes:
                group.create_task(self._watch(probe), name=f"watch-{probe.source}")
            for listening in self._listening:
                group.create_task(self._listen(listening), name="listen")

    def wake(self, *sources: Source) -> None:
        """Have ``sources`` (default: all) looked at now: something may have changed there."""
        for source in sources or tuple(self._bells):
            if (bell := self._bells.get(source)) is not None:
                bell.ring()

    def hint(self, *sources: Source, at_once: bool = False) -> None:
        """Have ``sources`` looked at soon: within milliseconds, unless hints have asked for much lately (see ``pace``).

        ``at_once``: however slow their last look was.
        """
        for source in sources:
            if (bell := self._bells.get(source)) is not None:
                bell.hint(at_once=at_once)

    @property
    def is_waiting(self) -> bool:
        """Something that is wanted is not ready, as of the last report, or somebody waits for something."""
        return self._eager_since() is not None

    @property
    def has_findings(self) -> bool:
        """Something is not as it should be, as of the last report; also while nothing was judged yet."""
        return self.report is None or self.report.grade is not Grade.OK

    def attend(self) -> None:
        """Say that somebody waits, for some seconds from now on: whatever it is for, it is looked at as if it were wanted."""
        now = self._boottime()
        began, last = self._attended
        if now - last > ATTENDED_FOR:
            began = now
        self._attended = (began, now)
        if began == now:
            self.changed.set()  # who asks is told how things stand, without waiting for news
            self.hint(*self._bells)

    def _urgency(self) -> Urgency:
        if self._boottime() - self._attended[1] <= ATTENDED_FOR:
            return Urgency.ATTENDED
        return Urgency.REST if self._waiting_since is None else Urgency.FAST

    def _eager_since(self) -> float | None:
        """Return since when looks are to be frequent; None at rest."""
        began, last = self._attended
        return began if self._boottime() - last <= ATTENDED_FOR else self._waiting_since

    async def next_news(self, within: float | None) -> None:
        """Return when a look has told something new, or after ``within`` seconds."""
        try:
            async with asyncio.timeout(within):
                await self._news.wait()
        except TimeoutError:
            pass

    def judge(self) -> Report:
        """Judge what is known at this moment."""
        now = self._boottime()
        self.snapshot = msgspec.structs.replace(
            self.snapshot,
            at=max(now, self.snapshot.at),
            node=self._node(),
            boot_wall=self._boot.began(),
        )
        self.report = judge.judge(self.snapshot, self._policy)
        if not pace.is_waiting(self.report, self.snapshot):
            self._waiting_since = None
        elif self._waiting_since is None:
            self._waiting_since = now
            self.hint(*self._bells)  # from the pace of rest to the pace of waiting, at once
        return self.report

    async def once_more(self) -> None:
        """Have every source looked at that has been looked at before, and wait for that."""
        targets = {source: looks + 1 for source, looks in self._looks.items() if looks}
        self.wake()
        while any(self._looks[source] < target for source, target in targets.items()):
            await self._next_look()

    async def settle(self, first: float) -> None:
        """Wait until every source has been heard of, but no longer than ``first`` seconds for those that hang."""
        try:
            async with asyncio.timeout(first):
                while not all(self._looks.values()):
                    await self._next_look()
        except TimeoutError:
            pass

    def give_up_unheard(self, after: float) -> None:
        """Take every source that was never heard of for one that hangs, ``after`` seconds: who looks once waits no longer."""
        for source, looks in self._looks.items():
            if not looks:
                self._take(self._hung(source, after))

    async def _next_look(self) -> None:
        self._looked.clear()
        await self._looked.wait()

    async def _watch(self, probe: Probe) -> None:
        bell = self._bells[probe.source]
        if self._is_put_off(probe.source):
            await asyncio.sleep(self._put_off)
        told = False
        while True:
            began, used = self._boottime(), self._cpu()
            seen = await self._look(probe, told=told)
            self._take(seen)
            self._looks[probe.source] += 1
            self._looked.set()
            cost = 0.0 if _nobody_was_there(seen) else self._boottime() - began
            bell.looked(took=cost, used=self._cpu() - used)
            pause = pace.interval(
                self._intervals,
                probe.source,
                self.report,
                waiting_since=self._eager_since(),
                cost=cost,
            )
            told = await bell.wait(pause)

    async def _listen(self, listening: Listening) -> None:
        if listening.wakes and Source.INCUS not in listening.wakes:
            await asyncio.sleep(min(self._put_off, LISTEN_AFTER))
        await listening.run()

    def _is_put_off(self, source: Source) -> bool:
        return self._put_off > 0 and source.is_optional

    def _terms(self) -> pace.Terms:
        return pace.WAITING if self.is_waiting else pace.RESTING

    async def _look(self, probe: Probe, *, told: bool) -> Observation:
        need = self._needs.of(self.snapshot, self.report, self._urgency(), told=told)
        try:
            async with asyncio.timeout(LOOK_LIMIT):
                return await probe.look(need)
        except TimeoutError:
            return self._hung(probe.source, LOOK_LIMIT)
        except Exception as error:  # a fault of ours in one probe must not end the others
            _log.exception("looking at %s failed: report this as a bug", probe.source)
            trouble = Trouble(
                code="source.bug",
                text=f"looking at {probe.source} failed: {error!r}",
                hint="report it",
            )
        return Observation(
            source=probe.source, at=self._boottime(), liveness=Liveness.LOST, trouble=trouble
        )

    def _hung(self, source: Source, after: float) -> Observation:
        trouble = Trouble(
            code="source.hung",
            text=f"{source} did not answer within {after:.0f} s",
            hint="everything else is still observed",
        )
        return Observation(
            source=source, at=self._boottime(), liveness=Liveness.LOST, trouble=trouble
        )

    def _take(self, seen: Observation) -> None:
        before = self.snapshot
        self.snapshot = apply(before, seen)
        if _tells_something_new(before, self.snapshot):
            self.changed.set()
            self._news.set()
            self._news = asyncio.Event()
            if self.is_waiting:
                # What changes in one place has often changed in others too; what systemd and Incus do, they tell.
                self.hint(*(_COME_TOGETHER - {seen.source}))


def _nobody_was_there(seen: Observation) -> bool:
    """Return True when nobody answered, of several who were asked together: such a look may take long, and is no burden to anybody."""
    return seen.trouble is not None and seen.trouble.code.rpartition(".")[2] in _NOBODY


def _tells_something_new(before: Snapshot, after: Snapshot) -> bool:
    """Return True when more than ages differ: a fact's ``since`` moves with its value only."""
    return (
        _essence(before) != _essence(after)
        or _differ(before.placements, after.placements)
        or _differ(before.devices, after.devices)
    )


def _essence(snapshot: Snapshot) -> tuple[object, ...]:
    controller = snapshot.controller.value if snapshot.controller is not None else None
    facts = [getattr(snapshot, section) for section in SECTIONS if section != "controller"]
    return (
        # Without its latency, which is another one each time.
        (controller.url, controller.version) if controller is not None else None,
        tuple(fact.since if fact is not None else None for fact in facts),
        tuple((key, state.liveness, state.trouble) for key, state in snapshot.sources.items()),
    )


def _differ(before: Mapping[str, Fact[Any]], after: Mapping[str, Fact[Any]]) -> bool:
    """Return True when an entry came, went, or is another one. Most looks leave most entries, or all, as they are."""
    if before is after:
        return False
    return before.keys() != after.keys() or any(
        fact is not before[key] and fact.since != before[key].since for key, fact in after.items()
    )
