# SPDX-License-Identifier: Apache-2.0
"""What ``tidegate recover now SUBJECT`` changes: waits end, what was given up gets a new chance. Every condition stays."""

import msgspec

from tidegate.core import ids
from tidegate.core.finding import Report
from tidegate.core.ids import Subject, SubjectKind
from tidegate.core.snapshot import Snapshot
from tidegate.recovery import levers
from tidegate.recovery.state import RecoveryState, without


def hurried(
    state: RecoveryState, subject: Subject, snapshot: Snapshot, report: Report
) -> RecoveryState:
    """Return the state after a person asked for ``subject``: what it rests on may be tried at once, and itself.

    The fixed numbers of pulls (:data:`~tidegate.recovery.levers.LIMITS`) are not extended: they bind us and people alike.
    """
    now = snapshot.at
    names = {str(below.subject) for below in report.chain(subject)} | {str(subject)}
    if subject == ids.INCUS:
        names |= {key for key in state.budgets if key.startswith("unit/")}
    if str(ids.SATELLITE) in names:
        names |= {levers.key(lever) for lever in levers.Lever}
    if subject.kind is SubjectKind.INSTANCE:
        name = subject.name
        names |= {f"start/{name}", state.blamed.get(name, "")}
        state = msgspec.structs.replace(
            state,
            given_up=without(state.given_up, name),
            attempts=without(state.attempts, name),
        )
    budgets = {
        key: budget.hurried(now) if key in names else budget
        for key, budget in state.budgets.items()
    }
    return msgspec.structs.replace(state, budgets=budgets)
