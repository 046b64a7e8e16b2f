# SPDX-License-Identifier: Apache-2.0
"""How many instances may be started at once: what storage and host were found to take, so that a cold cluster is not trampled.

It grows by about one for each round of quick starts, and is halved by a round of starts that take much longer than the quickest of late. While
the host stalls on disks or memory (pressure stall information), or a volume of this node is being synchronised, it is cut at once.
"""

from typing import Final

import msgspec

from tidegate.config.policy import RecoveryPolicy
from tidegate.core.action import Outcome, OutcomeKind
from tidegate.core.snapshot import Snapshot
from tidegate.recovery.state import RecoveryState

SLOWER: Final = 3.0
"""A start that takes so many times the quickest one says that there are too many."""
ALWAYS_QUICK: Final = 2.0
"""Seconds: what is quicker than this is never slow."""
FORGETS: Final = 1.02
"""By this factor the quickest start is taken to be slower with each further one: what was possible once need not be for ever."""
STALLED: Final = 60
"""Percent of the last ten seconds in which all work stood still for disk or memory; from here on one at a time."""
STRAINED: Final = 40
_SYNCS: Final = ("Sync", "PausedSync", "Verify")


def now(state: RecoveryState, snapshot: Snapshot, policy: RecoveryPolicy) -> int:
    """Return how many starts may be on their way at this moment; at least one."""
    width = state.width or policy.parallel_starts
    host = snapshot.host.value if snapshot.host is not None else None
    stall = (host.stalled if host is not None else None) or 0
    if stall >= STALLED:
        return 1
    if stall >= STRAINED or synchronises(snapshot):
        width /= 2
    return max(1, int(width))


def learned(state: RecoveryState, outcome: Outcome, policy: RecoveryPolicy) -> RecoveryState:
    """Return the state after a start ended: only one that worked says how quick this host is."""
    width = state.width or float(policy.parallel_starts)
    took = outcome.ended_at - outcome.started_at
    if outcome.kind is OutcomeKind.UNCERTAIN:
        return msgspec.structs.replace(state, width=max(1.0, width / 2))
    if outcome.kind is not OutcomeKind.DONE:
        return state
    quickest = min(took, state.quickest * FORGETS) if state.quickest else took
    if took > max(ALWAYS_QUICK, SLOWER * quickest):
        width = max(1.0, width - 0.5)
    else:
        most = max(policy.most_parallel_starts, policy.parallel_starts)
        width = min(float(most), width + 1 / width)
    return msgspec.structs.replace(state, width=width, quickest=quickest)


def synchronises(snapshot: Snapshot) -> bool:
    """Return True while DRBD copies data to or from a volume of this node."""
    if snapshot.drbd is None:
        return False
    return any(resource.replicates(_SYNCS) for resource in snapshot.drbd.value.values())
