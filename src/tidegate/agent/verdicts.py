# SPDX-License-Identifier: Apache-2.0
"""The gate's verdicts on a scene, one after another: what the agent tells a gate, and a gate without an agent tells itself."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Final, Protocol

import msgspec

from tidegate.config.policy import FailPolicy, GatePolicy
from tidegate.core.finding import Report
from tidegate.gate import decide
from tidegate.gate.decide import Verdict, VerdictKind

BEAT: Final = 1.0
"""Seconds after which a verdict is repeated though nothing changed: who hears none for long knows that we are stuck."""
MOST_NAMED: Final = 20
"""So many causes a verdict carries at most: with 5,000 volumes nobody reads the others."""


class Reports(Protocol):
    """What judges again and again."""

    @property
    def report(self) -> Report:
        """The last report."""

    async def next_report(self) -> Report:
        """Return the next report when it is there."""


async def stream(
    reports: Reports, boottime: Callable[[], float], policy: GatePolicy, *, waited: float
) -> AsyncGenerator[Verdict, None]:
    """Yield verdicts on what is wanted here; ends with the first that is not WAIT.

    What needs a person is believed only when it has lasted (``policy.hopeless_after``): while a host comes up there is trouble that
    looks so and passes, a certificate that is not valid before the clock is set, or a node that a new controller does not know yet.

    Args:
        reports: The scene.
        boottime: Seconds since boot.
        policy: Limits, as :func:`effective` makes them.
        waited: Seconds that this gate has waited before.
    """
    began = boottime() - waited
    hopeless_since: float | None = None
    while True:
        now = boottime()
        verdict = decide.decide(
            reports.report, waited=now - began, limit=policy.limit, policy=policy.policy
        )
        if verdict.kind is VerdictKind.GIVE_UP and now - began < policy.limit:
            hopeless_since = now if hopeless_since is None else hopeless_since
            if now - hopeless_since < policy.hopeless_after:
                verdict = msgspec.structs.replace(verdict, kind=VerdictKind.WAIT)
        else:
            hopeless_since = None
        yield msgspec.structs.replace(verdict, waiting_for=verdict.waiting_for[:MOST_NAMED])
        if verdict.kind is not VerdictKind.WAIT:
            return
        await _next_report(reports, _patience(policy, now - began))


def effective(policy: GatePolicy) -> GatePolicy:
    """Return ``policy`` with its limit cut to the cap."""
    return msgspec.structs.replace(policy, limit=min(policy.limit, policy.cap))


def _patience(policy: GatePolicy, waited: float) -> float:
    """Return the seconds until the next verdict is due whatever happens."""
    if policy.policy is FailPolicy.CLOSED:
        return BEAT
    return min(BEAT, max(0.0, policy.limit - waited) + 0.01)


async def _next_report(reports: Reports, within: float) -> None:
    try:
        async with asyncio.timeout(within):
            await reports.next_report()
    except TimeoutError:
        pass
