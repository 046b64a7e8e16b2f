# SPDX-License-Identifier: Apache-2.0
"""The door of recovery: one pure step from what is known to what shall be done."""

from typing import TypeAlias

import msgspec

from tidegate.config.policy import RecoveryPolicy
from tidegate.core.action import Action, Outcome
from tidegate.core.finding import Report
from tidegate.core.ids import Subject
from tidegate.core.snapshot import Snapshot
from tidegate.recovery import asked, levers, sentence
from tidegate.recovery.choose import Verdict, choose
from tidegate.recovery.settle import notice, remember, settle
from tidegate.recovery.standing import survey
from tidegate.recovery.state import Pause, RecoveryState


class Observed(msgspec.Struct, frozen=True, kw_only=True, tag="observed"):
    """Something new is known; snapshot and report hold it."""


class Finished(msgspec.Struct, frozen=True, kw_only=True, tag="finished"):
    """An action came to an end."""

    outcome: Outcome


class Paused(msgspec.Struct, frozen=True, kw_only=True, tag="paused"):
    """A person wants nothing to be done until ``until`` (seconds since boot), or until :class:`Resumed`."""

    until: float | None = None


class Resumed(msgspec.Struct, frozen=True, kw_only=True, tag="resumed"):
    """The pause is over."""


class Asked(msgspec.Struct, frozen=True, kw_only=True, tag="asked"):
    """A person wants ``subject`` to be tried now: waits end and what was given up gets a new chance; no condition is left out."""

    subject: Subject


class Tick(msgspec.Struct, frozen=True, kw_only=True, tag="tick"):
    """The moment has come that an earlier step asked for in ``wake_at``."""


Event: TypeAlias = Observed | Finished | Tick | Paused | Resumed | Asked


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What one step gives: the next state, what to begin, when to come back, and one sentence for people.

    ``wake_at`` (seconds since boot) is when time alone could change the answer; None when only news can. Every action in
    ``actions`` must come back as one :class:`Finished`, and what it acted on must be looked at again afterwards: facts that
    were asked for before its end count for nothing.
    """

    state: RecoveryState
    actions: tuple[Action, ...]
    wake_at: float | None
    sentence: str
    verdicts: tuple[Verdict, ...] = ()
    """For every pool and instance in turn what becomes of it now, and why not, if not (``tidegate recover plan``)."""


def step(
    state: RecoveryState,
    event: Event,
    snapshot: Snapshot,
    report: Report,
    policy: RecoveryPolicy,
) -> Step:
    """Return what to do after ``event``. ``report`` must be the judgement of ``snapshot``; now is ``snapshot.at``."""
    state = remember(state, snapshot)
    if state.pause is not None and not state.pause.holds(snapshot.at):
        state = msgspec.structs.replace(state, pause=None)
    match event:
        case Finished():
            state = settle(state, event.outcome, snapshot, report, policy)
        case Paused():
            pause = Pause(since=snapshot.at, until=event.until)
            state = msgspec.structs.replace(state, pause=pause)
        case Resumed():
            state = msgspec.structs.replace(state, pause=None)
        case Asked():
            state = asked.hurried(state, event.subject, snapshot, report)
        case Observed() | Tick():
            pass
    seen = survey(state, snapshot, report)
    state = notice(state, seen, snapshot, report, policy)
    choice = choose(state, seen, snapshot, report, policy)
    text = sentence.of(state, seen, choice, report, policy, now=snapshot.at)
    for action in choice.actions:
        state = levers.pulled(state, action, snapshot.at)
    state = msgspec.structs.replace(
        state,
        counter=state.counter + len(choice.actions),
        in_flight={
            **state.in_flight,
            **{str(action.subject): action for action in choice.actions},
        },
        sentence=text,
    )
    return Step(
        state=state,
        actions=choice.actions,
        wake_at=choice.wake_at,
        sentence=text,
        verdicts=choice.verdicts,
    )
