# SPDX-License-Identifier: Apache-2.0
"""What an outcome, and what is seen of the world, change in the state."""

from typing import Final

import msgspec

from tidegate.config.policy import RecoveryPolicy
from tidegate.core.action import (
    AcknowledgeWarning,
    Outcome,
    OutcomeKind,
    StartInstance,
    StartUnit,
    ValidatePool,
)
from tidegate.core.facts import IncusPhase
from tidegate.core.finding import Report
from tidegate.core.ids import SubjectKind, UnitName
from tidegate.core.snapshot import Snapshot
from tidegate.health import intent
from tidegate.health.intent import Will
from tidegate.recovery import causes, desire, levers, width
from tidegate.recovery.standing import Standing, Survey
from tidegate.recovery.state import RecoveryState, can_key, key_of, pace_key, warning_key, without

INCUS_UNIT = UnitName("incus.service")
_LOOKS: Final = 30.0
"""Seconds in which an agent that came back has looked at everything; what it knew to be usable before counts as usable until then."""
_LOG_EVERY: Final = 60.0
"""Seconds after which the satellite's log is read again, where it did not show a false ONLINE."""
_GUARD_AGAIN: Final = 2.0
"""Seconds at most between two starts that our own guard refuses: each costs next to nothing, and no event tells when it would not."""


def settle(
    state: RecoveryState,
    outcome: Outcome,
    snapshot: Snapshot,
    report: Report,
    policy: RecoveryPolicy,
) -> RecoveryState:
    """Return the state after ``outcome``."""
    action = outcome.action
    key = key_of(action)
    promised = outcome.kind is OutcomeKind.DONE and isinstance(
        action, ValidatePool | AcknowledgeWarning
    )
    subject = str(action.subject)
    told, codes = without(state.errors, subject), without(state.codes, subject)
    worked = outcome.kind is OutcomeKind.DONE
    state = msgspec.structs.replace(
        state,
        in_flight=without(state.in_flight, subject),
        errors=told if worked else {**told, subject: outcome.text},
        codes=codes if worked else {**codes, subject: outcome.code},
        settled={**state.settled, key: outcome.ended_at},
        done=state.done | {key} if promised else state.done - {key},
    )
    if isinstance(action, StartInstance):
        state = width.learned(state, outcome, policy)
        if worked:
            return _started(state, outcome, snapshot, report, policy)
        name = str(action.instance)
        return _not_started(state, name, outcome, _blame(outcome, snapshot, report), policy)
    lever = levers.of(action)
    if lever is not None and outcome.kind is OutcomeKind.VOID:
        state = levers.given_back(state, lever)
    if worked and lever is levers.Lever.RESTART_INCUS:
        # What is weaker is tried first again.
        pools = [key for key in state.codes if key.startswith(f"{SubjectKind.POOL}/")]
        return msgspec.structs.replace(state, codes=without(state.codes, *pools))
    if worked:
        is_incus = isinstance(action, StartUnit) and lever is None
        return msgspec.structs.replace(state, incus_ran=True) if is_incus else state
    budget = unit_key(action.unit) if isinstance(action, StartUnit) else key
    if lever is not None:
        budget = levers.key(lever)
    if lever is levers.Lever.FALSE_ONLINE:
        slow = msgspec.structs.replace(policy.backoff, first=_LOG_EVERY, limit=_LOG_EVERY)
        policy = msgspec.structs.replace(policy, backoff=slow)
    return state.charged(budget, started_at=outcome.started_at, now=outcome.ended_at, policy=policy)


def unit_key(unit: UnitName) -> str:
    """Return the key of the budget for starting ``unit``."""
    return f"unit/{unit}"


def _blame(outcome: Outcome, snapshot: Snapshot, report: Report) -> causes.Blame:
    """Return who pays for a start that did not work; what was void or uncertain is nobody's fault."""
    assert isinstance(outcome.action, StartInstance)
    instance = outcome.action.instance
    if outcome.kind is not OutcomeKind.FAILED:
        return causes.Blame(fault=causes.Fault.REFUSED, key=pace_key(instance))
    return causes.blame(
        instance, code=outcome.code, text=outcome.text, snapshot=snapshot, report=report
    )


def _not_started(
    state: RecoveryState, name: str, outcome: Outcome, blame: causes.Blame, policy: RecoveryPolicy
) -> RecoveryState:
    """Return the state after a start of instance ``name`` that did not work, charged to ``blame``."""
    if causes.is_the_guards(outcome.text):
        often = msgspec.structs.replace(policy.backoff, limit=_GUARD_AGAIN)
        policy = msgspec.structs.replace(policy, backoff=often)
    state = state.charged(
        blame.key, started_at=outcome.started_at, now=outcome.ended_at, policy=policy
    )
    state = msgspec.structs.replace(state, blamed={**state.blamed, name: blame.key})
    if outcome.kind is OutcomeKind.UNCERTAIN or blame.fault is not causes.Fault.REFUSED:
        state = msgspec.structs.replace(state, failed={**state.failed, name: outcome.ended_at})
    if blame.fault is causes.Fault.FORBIDDEN:
        return _give_up(state, name, outcome.text)
    if blame.fault is not causes.Fault.OWN:
        return state
    count = state.attempts.get(name, 0) + 1
    state = msgspec.structs.replace(state, attempts={**state.attempts, name: count})
    return _give_up(state, name, outcome.text) if count >= policy.instance_attempts else state


def _give_up(state: RecoveryState, name: str, text: str) -> RecoveryState:
    return msgspec.structs.replace(state, given_up={**state.given_up, name: text})


def _started(
    state: RecoveryState,
    outcome: Outcome,
    snapshot: Snapshot,
    report: Report,
    policy: RecoveryPolicy,
) -> RecoveryState:
    """Return the state after a start that worked: its causes are good, and Incus would now sleep its delay (A5)."""
    subject = outcome.action.subject
    name = subject.name
    known = snapshot.instances.value.get(name) if snapshot.instances is not None else None
    delay = known.delay if known is not None and known.delay else 0
    state = msgspec.structs.replace(
        state,
        ran=state.ran | {name},
        failed=without(state.failed, name),
        blamed=without(state.blamed, name),
        hold_until=max(state.hold_until, outcome.ended_at + delay) if delay else state.hold_until,
    )
    keys = [str(below.subject) for below in report.chain(subject)]
    keys += [key for other, key in state.blamed.items() if _was_guarded(state, other)]
    for key in keys:
        state = state.hurried(key, now=outcome.ended_at, policy=policy)
    return state


def _was_guarded(state: RecoveryState, name: str) -> bool:
    """Return True when our guard refused instance ``name`` its volumes: no event tells when it would not, so that of another does."""
    return causes.is_the_guards(state.errors.get(f"{SubjectKind.INSTANCE}/{name}", ""))


def remember(state: RecoveryState, snapshot: Snapshot) -> RecoveryState:
    """Return the state with what must be kept of this snapshot: who ran, whether incusd ran, who is gone."""
    if state.boot_id != snapshot.boot_id:
        state = RecoveryState(boot_id=snapshot.boot_id)
    unit = (snapshot.units.value if snapshot.units is not None else {}).get(INCUS_UNIT)
    phase = snapshot.incus.value.phase if snapshot.incus is not None else IncusPhase.STOPPED
    ran = state.incus_ran or phase is not IncusPhase.STOPPED
    if unit is not None:
        ran = ran or unit.active_state != "inactive" or unit.inactive_since is not None
    idle = unit is not None and unit.is_installed and not ran
    idle_since = (snapshot.at if state.idle_since is None else state.idle_since) if idle else None
    state = msgspec.structs.replace(state, incus_ran=ran, idle_since=idle_since)
    if snapshot.instances is None:
        return state
    instances = snapshot.instances.value
    running = {name for name, facts in instances.items() if facts.runs}
    state = msgspec.structs.replace(state, failed=_failed(state, snapshot))
    return _forget(
        msgspec.structs.replace(state, ran=state.ran | running),
        gone=_mentioned(state) - instances.keys(),
        running=running,
    )


def _failed(state: RecoveryState, snapshot: Snapshot) -> dict[str, float]:
    """Return whose last start failed, Incus's own attempts included: at its next start it forgets its warnings (facts/incus.md D14)."""
    found = {
        name: ended
        for name, ended in state.failed.items()
        if not _is_anothers(state.unheard.get(name), name, snapshot)
    }
    for warning in desire.autostart_warnings(snapshot):
        if warning.status != "new":
            continue  # acknowledged when it ran: intent judges those to the second
        about, raised = intent.warning_about(warning), warning.last_seen_at
        if about is not None and raised is not None and raised >= snapshot.boot_wall:
            name = str(about)
            found[name] = max(found.get(name, 0.0), raised - snapshot.boot_wall)
    return found


def _is_anothers(unheard: StartInstance | None, name: str, snapshot: Snapshot) -> bool:
    """Return True when what was last started here was not started by a start of ours that nobody heard of: it was so before.

    That one was void then, and what is stopped now was stopped by whoever had started it.
    """
    facts = snapshot.instances.value.get(name) if snapshot.instances is not None else None
    if unheard is None or unheard.decided_at is None or facts is None:
        return False
    used, decided = facts.last_used_at, snapshot.boot_wall + unheard.decided_at
    if used is None or used == unheard.last_used_at:
        return False
    return snapshot.boot_wall <= used < decided - intent.CLOCK_GRAIN


def _mentioned(state: RecoveryState) -> set[str]:
    return {*state.blamed, *state.attempts, *state.given_up, *state.failed}


def _forget(state: RecoveryState, *, gone: set[str], running: set[str]) -> RecoveryState:
    """Return the state without what was held against instances that run, or are no more."""
    over = sorted((gone | running) & _mentioned(state))
    if not over:
        return state
    return msgspec.structs.replace(
        state,
        blamed=without(state.blamed, *over),
        attempts=without(state.attempts, *over),
        given_up=without(state.given_up, *over),
        failed=without(state.failed, *over),
        budgets=without(state.budgets, *(f"{kind}/{name}" for kind in _OWN for name in over)),
    )


_OWN = ("instance", "start")


def notice(
    state: RecoveryState,
    survey: Survey,
    snapshot: Snapshot,
    report: Report,
    policy: RecoveryPolicy,
) -> RecoveryState:
    """Return the state with waits ended for what became usable since the last step, and broken promises charged."""
    usable = {name for name, subject in report.subjects.items() if subject.ready}
    standings = [*survey.pools, *survey.instances]
    # While we start it, Incus shows an instance as if it had run and been stopped: that is no coming and going of its storage.
    usable |= {
        can_key(standing.subject)
        for standing in standings
        if standing.can
        or (state.busy(standing.subject) and can_key(standing.subject) in state.ready)
    }
    now = snapshot.at
    if state.resumed_at is not None and now < state.resumed_at + _LOOKS:
        usable |= {name for name in state.ready if name.startswith("can:")}
    fresh = usable - state.ready
    for key in sorted(fresh & state.budgets.keys()):
        if not key.startswith("instance/"):
            state = state.hurried(key, now=now, policy=policy)
    for standing in standings:
        if can_key(standing.subject) in fresh:
            state = _became_possible(state, standing, now, policy)
    state = msgspec.structs.replace(state, ready=frozenset(usable))
    return _hold_to_promise(state, survey, snapshot, policy)


def _became_possible(
    state: RecoveryState, standing: Standing, now: float, policy: RecoveryPolicy
) -> RecoveryState:
    """Return the state when all that ``standing`` rests on has just become usable: what was given up gets a new chance.

    The instance's own wait stays as long as it had grown, so that storage that comes and goes cannot drive it.
    """
    name = standing.subject.name
    if standing.instance is None:
        return state.hurried(str(standing.subject), now=now, policy=policy)
    state = msgspec.structs.replace(
        state, given_up=without(state.given_up, name), attempts=without(state.attempts, name)
    )
    for key in (pace_key(standing.instance.id), state.blamed.get(name, "")):
        if not key.startswith("instance/"):
            state = state.hurried(key, now=now, policy=policy)
    return state


def _hold_to_promise(
    state: RecoveryState, survey: Survey, snapshot: Snapshot, policy: RecoveryPolicy
) -> RecoveryState:
    """Charge an action that ended well, and whose effect newer facts deny; forget those that newer facts confirm."""
    pools_at = snapshot.pools.at if snapshot.pools is not None else 0.0
    for standing in survey.pools:
        key = str(standing.subject)
        if key in state.done and state.knows(key, pools_at):
            state = _answered(state, key, standing.will is Will.START, snapshot.at, policy)
    warnings_at = snapshot.warnings.at if snapshot.warnings is not None else 0.0
    for warning in desire.autostart_warnings(snapshot):
        key = warning_key(warning.uuid)
        if key in state.done and state.knows(key, warnings_at):
            state = _answered(state, key, warning.status == "new", snapshot.at, policy)
    return state


def _answered(
    state: RecoveryState, key: str, broken: bool, now: float, policy: RecoveryPolicy
) -> RecoveryState:
    state = msgspec.structs.replace(state, done=state.done - {key})
    return state.charged(key, started_at=now, now=now, policy=policy) if broken else state
