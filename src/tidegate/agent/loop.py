# SPDX-License-Identifier: Apache-2.0
"""The only runner: snapshot → report → recovery.step → actions → outcomes, and again. It contains no rule of the domain."""

import asyncio
import collections
import functools
import logging
from collections.abc import Callable
from typing import Any, Protocol

from tidegate.agent.keeper import Keeper
from tidegate.agent.memory import Memory
from tidegate.agent.meter import Meter
from tidegate.agent.muting import Muting
from tidegate.agent.observer import Observer
from tidegate.agent.recorder import Recorder
from tidegate.agent.tidy import Tidy
from tidegate.clients import errors
from tidegate.config.policy import RecoveryPolicy
from tidegate.core.action import Action, Outcome, OutcomeKind
from tidegate.core.finding import Report
from tidegate.core.snapshot import Snapshot, Source
from tidegate.core.trouble import Trouble
from tidegate.core.wanted import WantedMap
from tidegate.health import wanted
from tidegate.history.store import HistoryEvent
from tidegate.recovery import step
from tidegate.recovery.choose import Verdict
from tidegate.recovery.state import RecoveryState

SETTLE = 0.01
"""Seconds in which what arrives together is judged together."""
SHARE = 10
"""A cycle is followed by a pause of so many times its own cost, so that judging never takes more than a tenth of a core."""
LONGEST_PAUSE = 1.0
"""Seconds after which a cycle runs even if nothing new was told: time alone changes verdicts (peer wait, staleness)."""
LONGEST_REST = 5.0
"""The same while what is wanted is ready and nobody waits: with 500 volumes a judgement costs 30 ms, at every second 3 % of a core."""
LONGEST_QUIET = 60.0
"""The same while there is no finding either. Then no grace runs and no fact is doubted, and a source that falls silent or grows old
is told of by its look; what recovery wants at a moment it says (``wake_at``)."""
BEAT = 5.0
"""Seconds after which a loop that has nothing to judge shows that it still turns: sooner than the watchdog would end it."""
ACTION_LIMIT = 600.0
MOST_ORDERS = 64
"""Wishes of people that may wait for the next cycle; that many clients the control socket has at most."""
_log = logging.getLogger("tidegate.loop")


class Actuator(Protocol):
    """Does what was decided."""

    async def perform(self, action: Action) -> Outcome:
        """Do ``action``; expected trouble is an outcome, not an exception."""


class Loop:
    """Runs observation, judgement and recovery. With ``actuator`` None it only looks and judges, and ``idle`` is its sentence."""

    def __init__(
        self,
        *,
        observer: Observer,
        policy: RecoveryPolicy,
        actuator: Actuator | None,
        recorder: Recorder | None,
        keeper: Keeper | None,
        memory: Memory | None = None,
        meter: Meter | None = None,
        muting: Muting | None = None,
        tidy: Tidy | None = None,
        idle: str = "",
        boottime: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._observer = observer
        self._policy = policy
        self._actuator = actuator
        self._recorder = recorder
        self._keeper = keeper
        self._memory = memory
        self._meter = meter
        self._muting = muting
        self._tidy = tidy
        self._idle = idle
        self._boottime = boottime
        self._wall = wall
        self._state = self._resumed()
        self._outcomes: collections.deque[Outcome] = collections.deque()
        self._orders: collections.deque[step.Event] = collections.deque(maxlen=MOST_ORDERS)
        self._wake_at: float | None = None
        self._next: asyncio.Event = asyncio.Event()
        self._report = self._told(observer.judge())
        self._unsaved: dict[str, Trouble] = {}
        self._map: WantedMap | None = None
        self._map_drawn = asyncio.Event()
        self._verdicts: tuple[Verdict, ...] = ()
        self.heard: Callable[[Snapshot, Report, tuple[Verdict, ...]], None] | None = None
        """Told of each cycle: what is known, what it is worth, and what becomes of each pool and instance."""
        self.sentence = idle
        self.last_turn = boottime()
        """When the loop last showed that it turns: it judged, or it saw that there is nothing to judge."""

    @property
    def snapshot(self) -> Snapshot:
        """What is known."""
        return self._observer.snapshot

    @property
    def report(self) -> Report:
        """What it is worth: of the last cycle, with ages as of then."""
        return self._report

    @property
    def acts(self) -> bool:
        """False where it only looks and judges."""
        return self._actuator is not None

    def tell(self, event: step.Event) -> None:
        """Have the next cycle, which comes at once, begin with ``event``."""
        self._orders.append(event)
        self._observer.changed.set()

    def preview(self, event: step.Event) -> step.Step:
        """Return what a step after ``event`` would do; nothing is done, and nothing is remembered."""
        return step.step(
            self._state, event, self._observer.snapshot, self._observer.judge(), self._policy
        )

    def note(self, event: HistoryEvent) -> None:
        """Have history remember ``event``."""
        if self._recorder is not None:
            self._recorder.note(event)

    async def next_report(self) -> Report:
        """Return the report of the next cycle. Who asks is waiting for something."""
        self._observer.attend()
        await self._next.wait()
        return self._report

    async def run(self) -> None:
        """Go on until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._observer.run(), name="observe")
            group.create_task(self._cycles(group), name="decide")
            if self._recorder is not None:
                group.create_task(self._recorder.run(), name="record")
            if self._keeper is not None:
                group.create_task(self._keep(self._keeper), name="keep")

    async def _cycles(self, group: asyncio.TaskGroup) -> None:
        while True:
            began = self._boottime()
            actions = self.cycle()
            for action in actions:
                group.create_task(self._act(action), name=f"act-{action.id}")
            cost = self._boottime() - began
            await asyncio.sleep(max(SETTLE, min(SHARE * cost, LONGEST_PAUSE)))
            if self._tidy is not None:
                self._tidy.saw(rests=not self._observer.is_waiting)
            await self._pause()

    async def _pause(self) -> None:
        """Wait until there is something to judge."""
        left = self._longest()
        if self._wake_at is not None:
            left = min(left, max(0.0, self._wake_at - self._boottime()))
        while left > 0 and not self._observer.changed.is_set():
            part = min(left, BEAT)
            try:
                async with asyncio.timeout(part):
                    await self._observer.changed.wait()
            except TimeoutError:
                left -= part
                self.last_turn = self._boottime()

    def _longest(self) -> float:
        """Return the seconds after which what is known is judged again though nothing new was told."""
        if self._observer.is_waiting:
            return LONGEST_PAUSE
        return LONGEST_REST if self._observer.has_findings else LONGEST_QUIET

    def cycle(self) -> tuple[Action, ...]:
        """Judge, decide and tell, once. Returns the actions to be done now."""
        stirs = self._observer.changed.is_set() or self._observer.has_findings
        self._observer.changed.clear()
        report = self._observer.judge()
        actions = self._decide(report) if self._actuator is not None else ()
        self._report = self._told(report)
        self.last_turn = self._boottime()
        if self._recorder is not None:
            self._recorder.report(report, self.sentence)
        if self._meter is not None:
            self._meter.saw(self._observer.snapshot, report)
        if self.heard is not None:
            self.heard(self._observer.snapshot, report, self._verdicts)
        if stirs:  # else it would be the map that was drawn last
            self._draw(report)
        self._next.set()
        self._next = asyncio.Event()
        return actions

    def mutes(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer a request about mutes; the next report is told accordingly."""
        if self._muting is None:
            return {"exit": 2, "text": "tidegate health: nothing is kept here\n"}
        answer = self._muting.answer(request, self._report)
        self._observer.changed.set()
        return answer

    def _told(self, report: Report) -> Report:
        """Return the report as people are told it; decided is by what ``report`` says."""
        return report if self._muting is None else self._muting.apply(report)

    def _decide(self, report: Report) -> tuple[Action, ...]:
        """Return what to do now; it is remembered on disk before it is done."""
        actions: list[Action] = []
        events: list[step.Event] = [
            step.Finished(outcome=self._outcomes.popleft()) for _ in range(len(self._outcomes))
        ]
        events += [self._orders.popleft() for _ in range(len(self._orders))]
        for event in [*events, step.Observed()]:
            decided = step.step(self._state, event, self._observer.snapshot, report, self._policy)
            self._state = decided.state
            self._wake_at = decided.wake_at
            self._verdicts = decided.verdicts
            if (
                decided.actions or not actions
            ):  # "starts c1" says more than "still busy with c1" after it
                self.sentence = decided.sentence
            actions.extend(decided.actions)
        if self._memory is not None:
            self._saved("recovery", functools.partial(self._memory.save, self._state))
        return tuple(actions)

    def _resumed(self) -> RecoveryState:
        boot_id = self._observer.snapshot.boot_id
        if self._memory is None:
            return RecoveryState(boot_id=boot_id)
        state, trouble = self._memory.load(boot_id, self._boottime())
        if trouble is not None:
            _log.warning("%s", trouble, extra={"TIDEGATE_CODE": trouble.code})
        return state

    def _draw(self, report: Report) -> None:
        if self._keeper is None:
            return
        snapshot = self._observer.snapshot
        fresh = wanted.draw(snapshot, report, snapshot.wanted, self._wall())
        if fresh is not None:
            self._map = fresh
            self._map_drawn.set()

    async def _keep(self, keeper: Keeper) -> None:
        """Write the map whenever it was drawn anew: off the loop, because it is synced, and a disk may take its time."""
        while True:
            await self._map_drawn.wait()
            self._map_drawn.clear()
            assert self._map is not None
            save = functools.partial(keeper.save, self._map)
            await asyncio.to_thread(self._saved, "map", save)

    def _saved(self, what: str, save: Callable[[], object]) -> None:
        """Write something; the trouble with it is told once, and nothing else depends on it."""
        try:
            save()
            self._unsaved.pop(what, None)
        except errors.ClientError as error:
            if self._unsaved.get(what) != error.trouble:
                _log.warning("%s", error.trouble, extra={"TIDEGATE_CODE": error.code})
                self._unsaved[what] = error.trouble

    async def _act(self, action: Action) -> None:
        assert self._actuator is not None
        began = self._boottime()
        try:
            async with asyncio.timeout(ACTION_LIMIT):
                outcome = await self._actuator.perform(action)
        except Exception as error:  # a fault of ours in one action must not end the agent
            _log.exception("action %s failed in an unforeseen way: report this as a bug", action.id)
            outcome = Outcome(
                action=action,
                kind=OutcomeKind.UNCERTAIN,
                code="agent.bug",
                text=f"failed in an unforeseen way: {error!r}",
                started_at=began,
                ended_at=self._boottime(),
            )
        if self._recorder is not None:
            self._recorder.outcome(outcome)
        if self._meter is not None:
            self._meter.outcome(outcome)
        self._outcomes.append(outcome)
        self._observer.changed.set()
        self._observer.wake(Source.INCUS)
