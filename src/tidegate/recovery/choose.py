# SPDX-License-Identifier: Apache-2.0
"""Which actions to begin now, and why the others not yet: budgets, order, limits."""

import enum
import math
from typing import Final

import msgspec

from tidegate.config.policy import RecoveryPolicy
from tidegate.core import ids
from tidegate.core.action import (
    AcknowledgeWarning,
    Action,
    StartInstance,
    StartUnit,
    ValidatePool,
)
from tidegate.core.finding import Report
from tidegate.core.ids import Subject
from tidegate.core.snapshot import Liveness, Snapshot, Source
from tidegate.health import intent
from tidegate.health.intent import Will
from tidegate.recovery import desire, levers, width
from tidegate.recovery.levers import Lever
from tidegate.recovery.settle import INCUS_UNIT, unit_key
from tidegate.recovery.standing import Standing, Survey
from tidegate.recovery.state import RecoveryState, pace_key, warning_key

_SATELLITE: Final = Standing(subject=ids.SATELLITE, will=Will.START)
_INCUS: Final = Standing(subject=ids.INCUS, will=Will.START)
_STUCK: Final = frozenset({"pool.unknown-volumes"})
"""Codes after which a pool is not validated, and a restart of Incus would mount it without touching what Incus does not know."""


class Turn(enum.StrEnum):
    """What becomes of one instance or pool in this step."""

    NOTHING = "nothing"
    """It runs, or nothing is wanted of it."""
    ACTS = "acts"
    """An action on it begins now."""
    BUSY = "busy"
    """An action on it goes on."""
    WAITS = "waits"
    """Something that it rests on cannot be used yet."""
    PAUSES = "pauses"
    """An attempt failed; the next one comes at ``again_at``."""
    LOOKS = "looks"
    """What is known of it is older than the last action on it."""
    QUEUES = "queues"
    """It could go, and others go first: the limit of parallel starts, priority, delay."""
    GIVEN_UP = "given-up"
    CLOSED = "closed"
    """Incus takes nothing now; ``text`` says why."""
    HELD = "held"
    """It could go, and a person has paused recovery or switched it off."""
    LEFT = "left"
    """Not ours to act on; ``text`` says why."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of one instance or pool in this step, and why."""

    standing: Standing
    turn: Turn
    again_at: float | None = None
    """Seconds since boot from which on it may go, where only time holds it."""
    text: str = ""
    """The last error, where there is one to tell."""

    @property
    def subject(self) -> Subject:
        """What this is about."""
        return self.standing.subject


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The actions of one step, and a verdict for everything that something is wanted of."""

    actions: tuple[Action, ...]
    verdicts: tuple[Verdict, ...]
    wake_at: float | None


def choose(
    state: RecoveryState,
    survey: Survey,
    snapshot: Snapshot,
    report: Report,
    policy: RecoveryPolicy,
) -> Choice:
    """Return what to do now. Only satellite and ``incus.service`` while Incus is closed; nothing while a person wants nothing done."""
    actor = _Actor(state, snapshot, report, policy)
    satellite = actor.satellite()
    if survey.closed is not None:
        verdicts = (*satellite, *actor.closed(survey, survey.closed))
    elif restart := actor.restart(survey):
        verdicts = (*satellite, *restart, *actor.held(survey))
    else:
        pools = actor.pools(survey)
        instances = actor.instances(survey)
        actor.warnings(survey)
        verdicts = (*satellite, *pools, *instances)
    moments = [verdict.again_at for verdict in verdicts if verdict.again_at is not None]
    choice = Choice(
        actions=tuple(actor.actions),
        verdicts=verdicts,
        wake_at=min([*moments, *actor.moments], default=None),
    )
    if not policy.enabled:
        return _held(choice, wake_at=None)
    return choice if state.pause is None else _held(choice, wake_at=state.pause.until)


def _held(choice: Choice, *, wake_at: float | None) -> Choice:
    """Return ``choice`` without its actions: what could go is held."""
    verdicts = tuple(
        msgspec.structs.replace(verdict, turn=Turn.HELD) if verdict.turn is Turn.ACTS else verdict
        for verdict in choice.verdicts
    )
    return Choice(actions=(), verdicts=verdicts, wake_at=wake_at)


class _Actor:
    """Collects the actions of one step; lives no longer than that."""

    def __init__(
        self, state: RecoveryState, snapshot: Snapshot, report: Report, policy: RecoveryPolicy
    ) -> None:
        self._state = state
        self._snapshot = snapshot
        self._report = report
        self._policy = policy
        self._now = snapshot.at
        self.actions: list[Action] = []
        self.moments: list[float] = []

    def satellite(self) -> tuple[Verdict, ...]:
        """Pull the lever on the satellite that would help, if there is one and its budget allows (contract.md safety 8)."""
        chance = levers.satellite(self._state, self._snapshot, self._report, self._policy)
        if self._state.busy(ids.SATELLITE):
            return (Verdict(standing=_SATELLITE, turn=Turn.BUSY),)
        return () if chance is None else (self._pull(_SATELLITE, chance),)

    def restart(self, survey: Survey) -> tuple[Verdict, ...]:
        """Restart Incus, where that is allowed and nothing weaker is left (facts/incus.md U43-U45).

        Never while an action of ours goes on, and never with the controller away: running instances would fail to register their
        devices.
        """
        assert self._snapshot.pools is not None
        seen_at = self._snapshot.pools.at
        stuck = any(
            standing.can
            and self._state.codes.get(str(standing.subject)) in _STUCK
            and self._state.knows(str(standing.subject), seen_at)
            and self._state.knows(str(ids.INCUS), seen_at)
            for standing in survey.pools
        )
        if self._state.busy(ids.INCUS):
            return (Verdict(standing=_INCUS, turn=Turn.BUSY),)
        lever = Lever.RESTART_INCUS
        due = levers.allowed_at(self._state, lever, self._now)
        allowed = self._policy.restart_incus and self._report.ready(ids.CONTROLLER)
        if not (allowed and stuck and due <= self._now) or self._state.in_flight or self.actions:
            return ()
        return (self._pull(_INCUS, levers.Chance(lever=lever, at=due)),)

    def _pull(self, standing: Standing, chance: levers.Chance) -> Verdict:
        why = levers.WHY[chance.lever]
        if chance.at == math.inf:
            spent = f"{why}; tried {levers.LIMITS[chance.lever].most} times in this boot, which is all that is allowed"
            return Verdict(standing=standing, turn=Turn.GIVEN_UP, text=spent)
        if chance.at > self._now:
            return Verdict(standing=standing, turn=Turn.PAUSES, again_at=chance.at, text=why)
        named = self._name(standing.subject)
        self._begin(levers.action(chance.lever, self._snapshot, named))
        return Verdict(standing=standing, turn=Turn.ACTS, text=why)

    def closed(self, survey: Survey, reason: str) -> tuple[Verdict, ...]:
        """Start ``incus.service`` if that is due, and say of everything wanted that it waits for Incus."""
        self.unit()
        return self.held(survey, reason)

    def held(self, survey: Survey, reason: str = "Incus is being restarted") -> tuple[Verdict, ...]:
        """Say of everything wanted that it waits for Incus."""
        return tuple(
            Verdict(standing=standing, turn=Turn.CLOSED, text=reason)
            if standing.will is Will.START
            else Verdict(standing=standing, turn=Turn.NOTHING)
            for standing in (*survey.pools, *survey.instances)
        )

    def pools(self, survey: Survey) -> tuple[Verdict, ...]:
        """Decide about every pool: mounted again one at a time (contract.md safety 2)."""
        assert self._snapshot.pools is not None
        going = any(isinstance(action, ValidatePool) for action in self._state.in_flight.values())
        verdicts = []
        for standing in survey.pools:
            verdict = self._ripe(standing, self._snapshot.pools.at)
            if verdict.turn is Turn.ACTS and going:
                verdict = msgspec.structs.replace(verdict, turn=Turn.QUEUES)
            elif verdict.turn is Turn.ACTS and standing.pool is not None:
                going = True
                pool = standing.pool.name
                named = self._name(standing.subject)
                self._begin(
                    ValidatePool(
                        id=named["id"], cause=named["cause"], pool=pool, local=survey.local
                    )
                )
            verdicts.append(verdict)
        return tuple(verdicts)

    def instances(self, survey: Survey) -> tuple[Verdict, ...]:
        """Decide about every instance, in Incus's order among those that can go (facts/incus.md A4, A5)."""
        assert self._snapshot.instances is not None
        flying = [a for a in self._state.in_flight.values() if isinstance(a, StartInstance)]
        slots = width.now(self._state, self._snapshot, self._policy) - len(flying)
        known = self._snapshot.instances.value
        in_turn = any(
            (facts := known.get(str(a.instance))) is not None and desire.is_sequenced(facts)
            for a in flying
        )
        verdicts = []
        for standing in survey.instances:
            facts = standing.instance
            assert facts is not None
            verdict = self._ripe(standing, self._snapshot.instances.at)
            sequenced = desire.is_sequenced(facts)
            if verdict.turn is not Turn.ACTS:
                pass
            elif slots <= 0 or (sequenced and in_turn):
                verdict = msgspec.structs.replace(verdict, turn=Turn.QUEUES)
            elif sequenced and self._now < self._state.hold_until:
                held = self._state.hold_until
                verdict = msgspec.structs.replace(verdict, turn=Turn.QUEUES, again_at=held)
            else:
                slots -= 1
                in_turn = in_turn or sequenced
                self._begin(
                    StartInstance(
                        **self._name(standing.subject),
                        instance=facts.id,
                        stateful=facts.stateful_action,
                        last_used_at=facts.last_used_at,
                        decided_at=self._now,
                    )
                )
            verdicts.append(verdict)
        return tuple(verdicts)

    def warnings(self, survey: Survey) -> None:
        """Acknowledge what Incus says of instances that run now; a start over its API does not (facts/incus.md A9)."""
        known = self._snapshot.warnings
        looked = self._snapshot.instances
        if known is None or looked is None:
            return
        running = {
            standing.subject: standing.instance
            for standing in survey.instances
            if standing.will is Will.RUNS
        }
        for warning in desire.autostart_warnings(self._snapshot):
            about = intent.warning_about(warning)
            if warning.status != "new" or about is None:
                continue
            subject = ids.instance(about)
            taken = any(action.subject == subject for action in self.actions)
            if subject not in running or self._state.busy(subject) or taken:
                continue
            key = warning_key(warning.uuid)
            if not self._state.knows(key, known.at):
                continue
            budget = self._state.budget(key)
            if budget.allows(self._now):
                self._begin(
                    AcknowledgeWarning(**self._name(subject), uuid=warning.uuid, instance=about)
                )
            else:
                self.moments.append(budget.not_before)

    def unit(self) -> None:
        """Start ``incus.service`` where nothing else does and something is wanted (facts/incus.md U2-U5).

        Only a unit that is inactive and never ran in this boot: one that somebody stopped stays stopped, and one that failed
        was tried by systemd again and again, by its own policy, and needs a person. Storage need not be ready: an Incus that
        runs is better than none (design.md, principle 2).
        """
        state = self._state
        wanted = self._snapshot.wanted
        due = None
        systemd = self._snapshot.source(Source.SYSTEMD).liveness is Liveness.UP
        if systemd and state.idle_since is not None and wanted is not None and wanted.instances:
            due = max(
                self._policy.start_incus_after,
                state.idle_since + min(_IDLE, self._policy.start_incus_after),
                state.budget(unit_key(INCUS_UNIT)).not_before,
            )
        if due is not None and due <= self._now and not state.busy(ids.INCUS):
            looked = self._snapshot.units
            if looked is not None and state.knows(str(ids.INCUS), looked.at):
                named = self._name(ids.INCUS)
                self._begin(StartUnit(id=named["id"], cause=named["cause"], unit=INCUS_UNIT))
            due = None
        if due is not None:
            self.moments.append(due)

    def _ripe(self, standing: Standing, seen_at: float) -> Verdict:
        """Return the verdict before order and limits: ACTS where nothing but those could hold it."""
        state = self._state
        if state.busy(standing.subject):
            return Verdict(standing=standing, turn=Turn.BUSY)
        if standing.will is not Will.START:
            turn = Turn.LEFT if standing.why_left else Turn.NOTHING
            return Verdict(standing=standing, turn=turn, text=standing.why_left)
        name = standing.subject.name
        if standing.instance is not None and (text := state.given_up.get(name)) is not None:
            return Verdict(standing=standing, turn=Turn.GIVEN_UP, text=text)
        if not standing.can:
            return Verdict(standing=standing, turn=Turn.WAITS)
        if not state.knows(str(standing.subject), seen_at):
            return Verdict(standing=standing, turn=Turn.LOOKS, again_at=self._now + LOOK_WITHIN)
        again_at = max(state.budget(key).not_before for key in self._keys(standing))
        if again_at > self._now:
            return Verdict(standing=standing, turn=Turn.PAUSES, again_at=again_at)
        return Verdict(standing=standing, turn=Turn.ACTS)

    def _keys(self, standing: Standing) -> tuple[str, ...]:
        """Return every budget that must allow an action; of a start: its own, its pace, what it rests on, what was blamed last."""
        if standing.instance is None:
            return (str(standing.subject),)
        below = (str(state.subject) for state in self._report.chain(standing.subject))
        blamed = self._state.blamed.get(standing.subject.name)
        return (*below, pace_key(standing.instance.id), *((blamed,) if blamed else ()))

    def _begin(self, action: Action) -> None:
        self.actions.append(action)

    def _name(self, subject: Subject) -> dict[str, str]:
        """Return id and cause of the next action: unique in this boot, even after a crash of ours, and repeatable."""
        number = self._state.counter + len(self.actions) + 1
        found = self._report.about(subject)
        cause = f"{found[0].code} {subject}" if found else str(subject)
        return {"id": f"{self._snapshot.boot_id[:8]}-{self._now:.3f}-{number}", "cause": cause}


LOOK_WITHIN = 0.5
"""Seconds in which a look that was asked for should have come; one that tells nothing new wakes nobody by itself."""
_IDLE = 10.0
"""``incus.service`` is seen inactive at least this long (seconds), whatever the boot's age, before it is started: an agent that was
itself started late shall not run into the work of ``incus-startup.service``."""
