# SPDX-License-Identifier: Apache-2.0
"""What recovery remembers between steps.

Losing it costs patience (waits begin anew), with one exception that the world cannot tell: a start that failed late looks like one
that a user stopped (facts/incus.md A21). So the agent may keep it on a file system that lives as long as the boot, writes it before
it acts, and hands it through :func:`resumed` when it comes back.
"""

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from tidegate.config.policy import RecoveryPolicy
from tidegate.core.action import AcknowledgeWarning, Action, StartInstance
from tidegate.core.backoff import Backoff
from tidegate.core.ids import BootId, InstanceId, Subject, SubjectKind

T = TypeVar("T")


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """A person's wish that nothing be acted on, within this boot."""

    since: float
    until: float | None = None
    """Seconds since boot; None: until it is taken back."""

    def holds(self, now: float) -> bool:
        """Return True while it is to be kept."""
        return self.until is None or now < self.until


class RecoveryState(msgspec.Struct, frozen=True, kw_only=True):
    """The memory of one boot. Keys are texts of subjects or budgets, so that it can be written as JSON.

    Times are seconds since boot.
    """

    boot_id: BootId = BootId("")
    """The boot it belongs to; with another one it is worth nothing."""
    counter: int = 0
    """Actions decided so far; part of their ids."""
    in_flight: Mapping[str, Action] = {}
    """By subject: what was decided and has no outcome yet."""
    budgets: Mapping[str, Backoff] = {}
    """By cause: ``pool/NAME``, ``satellite``, ``volume/RD/NR``, …; ``instance/P/N`` is the instance's own, ``start/P/N`` its
    pace when a start came to nothing through nobody's fault."""
    blamed: Mapping[str, str] = {}
    """By instance: the budget that its last failed start was charged to."""
    attempts: Mapping[str, int] = {}
    """By instance: failures of its own, until it is given up."""
    given_up: Mapping[str, str] = {}
    """By instance: the last error of one that failed too often by its own fault."""
    unheard: Mapping[str, StartInstance] = {}
    """By instance: a start whose outcome nobody heard, because we were killed."""
    settled: Mapping[str, float] = {}
    """By :func:`key_of` an action: when the last one ended. Facts as old as that say nothing about it any more."""
    done: frozenset[str] = frozenset()
    """Keys of actions that ended well, until the world confirms it or says otherwise."""
    errors: Mapping[str, str] = {}
    """By subject: why its last action came to nothing, until one works."""
    codes: Mapping[str, str] = {}
    """By subject: the code of that outcome."""
    pulls: Mapping[str, tuple[float, ...]] = {}
    """By lever: when it was pulled (:mod:`~tidegate.recovery.levers`)."""
    pause: Pause | None = None
    """Set while a person wants nothing to be done."""
    width: float = 0.0
    """How many starts at once storage and host were found to take (:mod:`~tidegate.recovery.width`); 0: not known yet."""
    quickest: float = 0.0
    """Seconds of the quickest start of late, what others are measured by; 0: none yet."""
    failed: Mapping[str, float] = {}
    """By instance: when a start of ours ended without success. What is stopped since then, nobody stopped."""
    ran: frozenset[str] = frozenset()
    """Instances seen running in this boot, or started by us: stopped later, they are stopped by somebody's will."""
    ready: frozenset[str] = frozenset()
    """What could be used at the last step, to notice what became so."""
    resumed_at: float | None = None
    """When an agent that came back took this memory up: until it has looked at everything, nothing can be told from what it sees come."""
    hold_until: float = 0.0
    """Before this no instance with a priority or delay is started (facts/incus.md A5)."""
    incus_ran: bool = False
    """incusd was seen alive in this boot: should it be inactive later, somebody stopped it."""
    idle_since: float | None = None
    """Since when ``incus.service`` is seen inactive, never having run."""
    sentence: str = ""
    """What the last step said."""

    def budget(self, key: str) -> Backoff:
        """Return the budget of ``key``; a fresh one when nothing was charged to it."""
        return self.budgets.get(key) or Backoff(key=key)

    def charged(
        self, key: str, *, started_at: float, now: float, policy: RecoveryPolicy
    ) -> "RecoveryState":
        """Return the state after a failure at ``now`` of what began at ``started_at``.

        Several things that failed together are one failure of their cause: what began before the cause was last charged is
        not counted again.
        """
        budget = self.budget(key)
        if budget.failed_at is not None and started_at <= budget.failed_at:
            return self
        return self.with_budget(budget.failed(now, policy.backoff))

    def hurried(self, key: str, *, now: float, policy: RecoveryPolicy) -> "RecoveryState":
        """Return the state with the wait of ``key`` ended, because its cause seems gone.

        At least the first step of the budget lies between two tries, so that a cause that comes and goes cannot drive us.
        """
        budget = self.budgets.get(key)
        if budget is None or budget.failed_at is None:
            return self
        soonest = max(now, budget.failed_at + policy.backoff.first)
        return self.with_budget(budget.hurried(soonest))

    def with_budget(self, budget: Backoff) -> "RecoveryState":
        """Return the state with ``budget`` in place of the one of the same key."""
        return msgspec.structs.replace(self, budgets={**self.budgets, budget.key: budget})

    def busy(self, subject: Subject) -> bool:
        """Return True when an action on ``subject`` has no outcome yet."""
        return str(subject) in self.in_flight

    def knows(self, key: str, seen_at: float) -> bool:
        """Return True when facts confirmed at ``seen_at`` are newer than the last action with this :func:`key_of`."""
        ended = self.settled.get(key)
        return ended is None or seen_at > ended


def resumed(kept: RecoveryState, *, boot_id: BootId, now: float) -> RecoveryState:
    """Return the state to go on with at ``now`` (seconds since boot) after ours was killed; ``kept`` is the last one written.

    What was on its way then has an outcome that nobody heard: as with every uncertain one, the world must be looked at first.
    """
    if kept.boot_id != boot_id:
        return RecoveryState(boot_id=boot_id)
    lost = kept.in_flight.values()
    starts = {str(a.instance): a for a in lost if isinstance(a, StartInstance)}
    return msgspec.structs.replace(
        kept,
        in_flight={},
        settled={**kept.settled, **{key_of(action): now for action in lost}},
        failed={**kept.failed, **dict.fromkeys(starts, now)},
        unheard={**kept.unheard, **starts},
        ready=lasting(kept).ready,
        resumed_at=now,
    )


def lasting(state: RecoveryState) -> RecoveryState:
    """Return what of ``state`` an agent must know after a crash of ours.

    Of what could be used only what instances with failures of their own rest on: it would otherwise look as if their storage had
    just come, and their budget begin anew with every crash.
    """
    ready = {can_key(_subject(name)) for name in (*state.attempts, *state.given_up)}
    return msgspec.structs.replace(state, ready=state.ready & ready, sentence="")


def _subject(name: str) -> Subject:
    return Subject(SubjectKind.INSTANCE, name)


def can_key(subject: Subject) -> str:
    """Return under which name it is kept in :attr:`RecoveryState.ready` that ``subject`` could be acted on."""
    return f"can:{subject}"


def key_of(action: Action) -> str:
    """Return under which key the end of ``action`` is remembered: its subject's, or the warning's."""
    if isinstance(action, AcknowledgeWarning):
        return warning_key(action.uuid)
    return str(action.subject)


def warning_key(uuid: str) -> str:
    """Return the key of a warning's budget and outcomes."""
    return f"warning/{uuid}"


def pace_key(instance: InstanceId) -> str:
    """Return the key of the budget that spaces starts which came to nothing through nobody's fault."""
    return f"start/{instance}"


def without(mapping: Mapping[str, T], *keys: str) -> dict[str, T]:
    """Return ``mapping`` without ``keys``."""
    return {name: value for name, value in mapping.items() if name not in keys}
