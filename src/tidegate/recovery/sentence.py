# SPDX-License-Identifier: Apache-2.0
"""One sentence per step: what it does, or why it does nothing."""

import re
from collections.abc import Iterable, Sequence

from tidegate.config.policy import RecoveryPolicy
from tidegate.core import ids
from tidegate.core.action import (
    AcknowledgeWarning,
    Action,
    ReconnectSatellite,
    RestartUnit,
    StartInstance,
    StartUnit,
    ValidatePool,
)
from tidegate.core.finding import Report
from tidegate.core.ids import Subject, SubjectKind
from tidegate.health.intent import Will
from tidegate.recovery.choose import Choice, Turn, Verdict
from tidegate.recovery.standing import Survey
from tidegate.recovery.state import RecoveryState

_LASTS = re.compile(r"(,? for|; waits for it) \d+ s( more)?\b")
_SHOWN = 3
"""At most so many names are written out; a sentence must fit on a line."""


def of(
    state: RecoveryState,
    survey: Survey,
    choice: Choice,
    report: Report,
    policy: RecoveryPolicy,
    *,
    now: float,
) -> str:
    """Return the sentence of one step at ``now`` (seconds since boot)."""
    if not policy.enabled:
        return "does nothing: recovery is switched off"
    if state.pause is not None:
        until = state.pause.until
        end = f"until {until:.0f} s after boot" if until is not None else "until `tidegate resume`"
        return _join([f"does nothing: paused {end}", *_going(state)])
    deeds = [_deed(action) for action in choice.actions]
    if survey.closed is not None:
        return _join(deeds) if deeds else _closed(state, survey.closed, choice)
    parts = [*deeds, *_going(state), *_reasons(state, choice.verdicts, report, now)]
    if parts:
        return _join(parts)
    wanted = sum(
        1
        for standing in survey.instances
        if standing.will is Will.RUNS
        and standing.instance is not None
        and standing.instance.should_start
    )
    if wanted == 0:
        return "nothing to do: no instance is wanted here"
    return f"nothing to do: all {wanted} wanted instances run" if wanted > 1 else _ONE


_ONE = "nothing to do: the one wanted instance runs"


def _deed(action: Action) -> str:
    match action:
        case ValidatePool():
            return f"has Incus mount pool {action.pool} again"
        case StartInstance():
            return f"starts {action.instance}"
        case StartUnit():
            if action.subject == ids.SATELLITE:
                return f"starts {action.unit}, which failed"
            return f"starts {action.unit}: something is wanted here and nothing else started it"
        case RestartUnit():
            return f"restarts {action.unit}: a pool cannot be mounted in a weaker way"
        case ReconnectSatellite():
            return f"has the controller dial the satellite of {action.node} anew ({action.reason})"
        case AcknowledgeWarning():
            return f"acknowledges Incus's warning about {action.instance}, which runs"


def _going(state: RecoveryState) -> list[str]:
    """Return what began earlier and is not over."""
    names = sorted(_name(action.subject) for action in state.in_flight.values())
    return [f"still busy with {_names(names)}"] if names else []


def _closed(state: RecoveryState, reason: str, choice: Choice) -> str:
    if going := _going(state):
        return f"{going[0]}; {reason}"
    if choice.wake_at is not None:
        return f"waits: {reason}; starts it {_moment(choice.wake_at)} if nothing else does"
    return f"waits: {reason}"


def _reasons(
    state: RecoveryState, verdicts: Sequence[Verdict], report: Report, now: float
) -> list[str]:
    """Return why what is wanted does not happen now, what holds most of it first."""
    parts = _waits(verdicts, report)
    by_turn = {
        turn: [verdict for verdict in verdicts if verdict.turn is turn]
        for turn in (Turn.PAUSES, Turn.LOOKS, Turn.QUEUES, Turn.GIVEN_UP)
    }
    if paused := by_turn[Turn.PAUSES]:
        soonest = min(verdict.again_at or now for verdict in paused)
        error = next((e for v in paused if (e := state.errors.get(str(v.subject)))), "")
        why = f"{error}; " if error else ""
        parts.append(f"{why}tries {_subjects(paused)} again {_moment(soonest)}")
    if looks := by_turn[Turn.LOOKS]:
        parts.append(f"looks at {_subjects(looks)} again first")
    if queues := by_turn[Turn.QUEUES]:
        parts.append(f"{_subjects(queues)} {_verb(queues, 'follow')} in turn")
    if lost := by_turn[Turn.GIVEN_UP]:
        parts.append(f"gave up on {_subjects(lost)}: {lost[0].text or 'it failed too often'}")
    return parts


def _waits(verdicts: Sequence[Verdict], report: Report) -> list[str]:
    """Return what is waited for, once for each reason: many instances may wait for as many volumes for the same one."""
    groups: dict[tuple[SubjectKind, str], list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.turn is Turn.WAITS:
            cause = verdict.standing.waits_for[0]
            groups.setdefault((cause.kind, _why(cause, report)), []).append(verdict)
    ordered = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    parts = []
    for (_, why), held in ordered[:_SHOWN]:
        causes = dict.fromkeys(str(verdict.standing.waits_for[0]) for verdict in held)
        first, more = next(iter(causes)), len(causes) - 1
        others = f" and {more} more" if more else ""
        parts.append(f"{_subjects(held)} {_verb(held, 'wait')} for {first}{others}{why}")
    if rest := sum(len(held) for _, held in ordered[_SHOWN:]):
        parts.append(f"{rest} more wait for other causes")
    return parts


def _why(cause: Subject, report: Report) -> str:
    """Return what is wrong with ``cause``, without what ticks: or the same sentence would be news at every look."""
    state = report.state(cause)
    text = _LASTS.sub("", state.summary) if state is not None else ""
    return f": {text}" if text else ""


def _subjects(verdicts: Sequence[Verdict]) -> str:
    instances = [v for v in verdicts if v.subject.kind is SubjectKind.INSTANCE]
    if len(verdicts) > _SHOWN and len(instances) == len(verdicts):
        return f"{len(verdicts)} instances"
    return _names([_name(verdict.subject) for verdict in verdicts])


def _name(subject: Subject) -> str:
    return subject.name if subject.kind is SubjectKind.INSTANCE else str(subject)


def _verb(held: Sequence[Verdict], verb: str) -> str:
    return verb if len(held) > 1 else f"{verb}s"


def _names(names: Sequence[str]) -> str:
    if len(names) <= _SHOWN:
        return ", ".join(names)
    return f"{', '.join(names[:_SHOWN])} and {len(names) - _SHOWN} more"


def _join(parts: Iterable[str]) -> str:
    return "; ".join(parts)


def _moment(at: float) -> str:
    return f"at {at:.1f} s after boot"
