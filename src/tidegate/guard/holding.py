# SPDX-License-Identifier: Apache-2.0
"""One call for a volume, held until the volume can be used, or patience ends. What to do with each answer `volumes` decides."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

from tidegate.core.ids import NodeName, ResourceName
from tidegate.guard import volumes
from tidegate.guard.classify import Named
from tidegate.guard.interface import Answer, Ask, Call, CallClass
from tidegate.guard.volumes import Held, Turn

PAUSE: Final = 0.25
"""Seconds between two questions to a controller whose answer cannot be used."""
AGAIN: Final = 1.0
"""Seconds after which a good answer is asked for anew while the volume is waited for: the device may have got another name."""
ALONE: Final = 0.4
"""Seconds for which an unusable answer is asked for again while the agent is silent (contract.md safety 11: half a second)."""
REFILL: Final = 120.0
"""Seconds in which patience that was spent for nothing has come back."""
_log = logging.getLogger("tidegate.guard")

Volumes = Callable[[ResourceName, Mapping[str, str]], Awaitable[Held | None]]
"""Asks the agent whether the volumes of a resource may be used; None: no answer in time."""


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long calls may still be held. A hold that was of no use is spent, and comes back with time; one that was gives all back.

    Incus's autostart has few workers: were each attempt of each instance held in vain, those on other pools would come up later
    than without a guard (contract.md, safety 11).
    """

    most: float
    left: float
    at: float

    def now(self, now: float) -> float:
        """Return the seconds that a call which begins ``now`` may be held."""
        return min(self.most, self.left + (now - self.at) * self.most / REFILL)

    def wasted(self, seconds: float, now: float) -> "Patience":
        """Return what is left after a hold of so many seconds that ended in an error."""
        left = max(0.0, self.now(now) - seconds)
        return msgspec.structs.replace(self, left=left, at=now)

    def paid(self, now: float) -> "Patience":
        """Return what is left after a hold that ended well: everything."""
        return msgspec.structs.replace(self, left=self.most, at=now)


class Holder:
    """What all holds of one guard share: whom they ask, and the patience that is left."""

    def __init__(
        self, volumes: Volumes, node: NodeName, most: float, clock: Callable[[], float]
    ) -> None:
        self.volumes = volumes
        self.node = node
        self.clock = clock
        self.patience = Patience(most=most, left=most, at=clock())
        self.holds: Counter[str] = Counter()
        """Why a call was held first -> how often."""
        self.held_seconds = 0.0

    def held(self, why: str, seconds: float) -> None:
        """Count a hold that has ended."""
        self.holds[why] += 1
        self.held_seconds += seconds


class Hold:
    """One call for a volume, from the controller's first answer to the one that Incus gets."""

    def __init__(self, holder: Holder, call: Call, named: Named, answer: Answer, ask: Ask) -> None:
        assert named.resource is not None
        self._holder = holder
        self._clock = holder.clock
        self._call = call
        self._kind = named.kind
        self._resource = named.resource
        self._first = answer
        self._answer = answer
        self._ask = ask
        self._began = self._asked_at = self._clock()
        self._held_for = ""
        """Why it was held last, as told; "" when it was not."""
        self._first_why = ""

    async def end(self) -> Answer | None:
        """Return the answer for Incus; None: the controller's first one, unchanged."""
        try:
            return await self._end()
        finally:
            if self._first_why:
                self._holder.held(self._first_why, self._clock() - self._began)

    async def _end(self) -> Answer | None:
        until = max(self._call.arrived_at + self._holder.patience.now(self._began), self._began)
        while True:
            held = await self._holder.volumes(self._resource, self._paths())
            opinion = volumes.judge(self._kind, self._answer, held)
            match opinion.turn:
                case Turn.PASS:
                    self._tell_end()
                    return None if self._answer is self._first else self._answer
                case Turn.FILL:
                    assert held is not None
                    _log.warning("%s: device filled in on local truth", self._resource)
                    return volumes.fill(self._answer, held.here)
                case Turn.REFUSE:
                    return self._refuse(opinion)
                case Turn.ASK | Turn.WAIT:
                    pass
            limit = min(until, self._began + ALONE) if held is None else until
            if self._clock() >= limit:
                return self._refuse(opinion)
            self._first_why = self._first_why or opinion.why
            self._tell(opinion)
            await self._once_more(opinion, limit)

    async def _once_more(self, opinion: volumes.Opinion, limit: float) -> None:
        """Wait a moment, and get a new answer of the controller where the one at hand may be out of date."""
        waits = opinion.turn is Turn.WAIT
        if waits and opinion.why != "device-other":
            due = self._kind is CallClass.VOLUMES and self._clock() - self._asked_at >= AGAIN
            if not due:
                await asyncio.sleep(
                    0.02
                )  # the agent waits for news itself, for most of its time to answer
                return
        else:
            await asyncio.sleep(min(PAUSE, max(0.0, limit - self._clock())))
        fresh = await self._ask(limit=max(PAUSE, limit - self._clock()))
        self._asked_at = self._clock()
        if fresh.trouble is None:
            self._answer = fresh

    def _paths(self) -> dict[str, str]:
        if self._kind is not CallClass.VOLUMES or self._answer.status >= 400:
            return {}
        return {
            str(entry.number): entry.path
            for entry in volumes.read(self._answer) or ()
            if entry.path
        }

    def _refuse(self, opinion: volumes.Opinion) -> Answer:
        now = self._clock()
        waited = now - self._call.arrived_at
        self._holder.patience = self._holder.patience.wasted(now - self._began, now)
        refused = volumes.refusal(
            self._resource,
            self._holder.node,
            why=opinion.why,
            text=opinion.text,
            waited=waited,
        )
        self._say(logging.WARNING, f"refused after {waited:.1f} s: {opinion.text}", opinion.why)
        return refused

    def _tell(self, opinion: volumes.Opinion) -> None:
        if self._held_for != opinion.why:
            self._held_for = opinion.why
            self._say(logging.INFO, f"held: {opinion.text}", opinion.why)

    def _tell_end(self) -> None:
        if self._held_for:
            self._holder.patience = self._holder.patience.paid(self._clock())
            waited = self._clock() - self._call.arrived_at
            self._say(logging.INFO, f"goes on after {waited:.1f} s", "")

    def _say(self, level: int, text: str, why: str) -> None:
        _log.log(
            level,
            "%s of %s %s",
            self._kind,
            self._resource,
            text,
            extra={
                "TIDEGATE_EVENT": "guard-held" if why else "guard-passed",
                "TIDEGATE_CODE": f"guard.{why or 'passed'}",
                "TIDEGATE_SUBJECT": f"volume/{self._resource}/0",
            },
        )
