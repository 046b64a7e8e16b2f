# SPDX-License-Identifier: Apache-2.0
"""The only runner: snapshot → report → recovery.step → actions → outcomes, and again. It contains no rule of the domain."""

import asyncio
import collections
import logging
from collections.abc import Callable
from typing import Protocol

from tidegate.agent.keeper import Keeper
from tidegate.agent.observer import Observer
from tidegate.agent.recorder import Recorder
from tidegate.clients import errors
from tidegate.config.policy import RecoveryPolicy
from tidegate.core.action import Action, Outcome, OutcomeKind
from tidegate.core.finding import Report
from tidegate.core.snapshot import Snapshot, Source
from tidegate.health import wanted
from tidegate.recovery import step
from tidegate.recovery.state import RecoveryState

SETTLE = 0.01
"""Seconds in which what arrives together is judged together."""
SHARE = 10
"""A cycle is followed by a pause of so many times its own cost, so that judging never takes more than a tenth of a core."""
LONGEST_PAUSE = 1.0
"""Seconds after which a cycle runs even if nothing new was told: time alone changes verdicts (peer wait, staleness)."""
ACTION_LIMIT = 600.0
_log = logging.getLogger("tidegate.loop")


class Actuator(Protocol):
    """Does what was decided."""

    async def perform(self, action: Action) -> Outcome:
        """Do ``action``; expected trouble is an outcome, not an exception."""


class Loop:
    """Runs observation, judgement and recovery. With ``actuator`` None it only looks and judges."""

    def __init__(
        self,
        *,
        observer: Observer,
        policy: RecoveryPolicy,
        actuator: Actuator | None,
        recorder: Recorder | None,
        keeper: Keeper | None,
        boottime: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._observer = observer
        self._policy = policy
        self._actuator = actuator
        self._recorder = recorder
        self._keeper = keeper
        self._boottime = boottime
        self._wall = wall
        self._state = RecoveryState(boot_id=observer.snapshot.boot_id)
        self._outcomes: collections.deque[Outcome] = collections.deque()
        self._wake_at: float | None = None
        self._next: asyncio.Event = asyncio.Event()
        self._report = observer.judge()
        self._unsaved: errors.Trouble | None = None
        self.sentence = ""
        self.last_cycle = boottime()

    @property
    def snapshot(self) -> Snapshot:
        """What is known."""
        return self._observer.snapshot

    @property
    def report(self) -> Report:
        """What it is worth: of the last cycle, with ages as of then."""
        return self._report

    async def next_report(self) -> Report:
        """Return the report of the next cycle."""
        await self._next.wait()
        return self._report

    async def run(self) -> None:
        """Go on until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._observer.run(), name="observe")
            group.create_task(self._cycles(group), name="decide")
            if self._recorder is not None:
                group.create_task(self._recorder.run(), name="record")

    async def _cycles(self, group: asyncio.TaskGroup) -> None:
        while True:
            began = self._boottime()
            actions = self.cycle()
            for action in actions:
                group.create_task(self._act(action), name=f"act-{action.id}")
            cost = self._boottime() - began
            await asyncio.sleep(max(SETTLE, min(SHARE * cost, LONGEST_PAUSE)))
            await self._pause()

    async def _pause(self) -> None:
        limit = LONGEST_PAUSE
        if self._wake_at is not None:
            limit = min(limit, max(0.0, self._wake_at - self._boottime()))
        try:
            async with asyncio.timeout(limit):
                await self._observer.changed.wait()
        except TimeoutError:
            pass

    def cycle(self) -> tuple[Action, ...]:
        """Judge, decide and tell, once. Returns the actions to be done now."""
        self._observer.changed.clear()
        report = self._observer.judge()
        actions: list[Action] = []
        events: list[step.Event] = [
            step.Finished(outcome=self._outcomes.popleft()) for _ in range(len(self._outcomes))
        ]
        for event in [*events, step.Observed()]:
            decided = step.step(self._state, event, self._observer.snapshot, report, self._policy)
            self._state = decided.state
            actions.extend(decided.actions)
            self._wake_at, self.sentence = decided.wake_at, decided.sentence
        self._report = report
        self.last_cycle = self._boottime()
        if self._recorder is not None:
            self._recorder.report(report, self.sentence)
        self._keep(report)
        self._next.set()
        self._next = asyncio.Event()
        return tuple(actions) if self._actuator is not None else ()

    def _keep(self, report: Report) -> None:
        if self._keeper is None:
            return
        snapshot = self._observer.snapshot
        fresh = wanted.draw(snapshot, report, snapshot.wanted, self._wall())
        if fresh is None:
            return
        try:
            self._keeper.save(fresh)
            self._unsaved = None
        except errors.ClientError as error:
            if self._unsaved != error.trouble:
                _log.warning("%s", error.trouble, extra={"TIDEGATE_CODE": error.code})
                self._unsaved = error.trouble

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
        self._outcomes.append(outcome)
        self._observer.changed.set()
        self._observer.wake(Source.INCUS)
