# SPDX-License-Identifier: Apache-2.0
"""The rules over the calls that concern readiness: the thin shell around `bar`, `volumes` and `local_truth`, which decide.

It asks the agent, asks the controller again where that is harmless, and minds the clock. Whatever goes wrong here, the controller's
own answer passes (contract.md, processes and truth).
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import quote

import msgspec

from tidegate.config.model import Config
from tidegate.core.ids import NodeName, ResourceName
from tidegate.core.snapshot import Liveness
from tidegate.guard import bar, interface, limits, local_truth, volumes
from tidegate.guard.asking import KNOCK_FOR, Agent, Local, Mount, State
from tidegate.guard.bar import Why
from tidegate.guard.classify import Named, classify
from tidegate.guard.holding import Hold, Holder
from tidegate.guard.interface import (
    Answer,
    Ask,
    Call,
    CallClass,
    Counts,
    Forward,
    ForwardThen,
    Reply,
    Verdict,
)
from tidegate.guard.volumes import Held, Turn

QUICK: Final = 0.8
"""Seconds that a controller nobody has heard of yet gets for the two calls that incusd's start waits for, where recovery comes anyway."""
SETTLE: Final = 0.6
"""Seconds from a mount's question for which an agent that has just begun may take to look at everything."""
CHECK_WITHIN: Final = 0.5
"""Seconds for looking at what the controller would tell Incus of the volumes, before a pool may be mounted for the first time."""
CHECK_AT_ONCE: Final = 16
CHECK_MOST: Final = 256
LIMITS: Final[Mapping[CallClass, float]] = {
    # Bounds against faults of ours; the transport ends calls to controllers by limits of its own, the rules their holds.
    CallClass.NODE: 12.0,
    CallClass.VERSION: 10.0,
    CallClass.DEFINITIONS: 35.0,
    CallClass.VOLUMES: 32.0,
    CallClass.MAKE_AVAILABLE: 135.0,
}
NOT_READY: Final = "CONNECTED"
"""The connection status that is put for ONLINE: LINSTOR's own word for "reached, and not done yet"; Incus wants ONLINE, no other."""
_log = logging.getLogger("tidegate.guard")


class Asked(Protocol):
    """The agent, as `asking.Agent` reaches it; None from each: no answer in time."""

    async def state(self) -> State | None:
        """How the controllers stand."""

    async def mount(self, *, checked: bool = False, flaw: str = "") -> Mount | None:
        """What becomes of an ONLINE."""

    async def volumes(self, resource: ResourceName, paths: Mapping[str, str], /) -> Held | None:
        """Whether the volumes of ``resource`` may be used."""

    async def local(self, resource: ResourceName | None = None, /) -> Local | None:
        """What can be said without a controller."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What may be chosen (configuration section ``guard``)."""

    local_truth: bool = False
    hold: float = volumes.HOLD
    """Seconds for which a volume's call may be held."""
    bar_limit: float = bar.LONGEST
    """Seconds for which the bar may be up in a boot."""


class GuardRules:
    """The rules of one node. ``clock`` gives seconds of CLOCK_BOOTTIME, as `Call.arrived_at` has them."""

    def __init__(
        self, agent: Asked, node: NodeName, settings: Settings, *, clock: Callable[[], float]
    ) -> None:
        self._agent = agent
        self._node = node
        self._settings = settings
        self._clock = clock
        self._barred_since: float | None = None
        self._mounted = self._turned_away = 0
        self.holder = Holder(agent.volumes, node, settings.hold, clock)

    def concerns(self, call: Call) -> CallClass | None:
        """Say which named class this is; None for everything that is only forwarded."""
        named = self._named(call)
        return None if named is None else named.kind

    async def judge(self, call: Call) -> Verdict:
        """Decide what happens to a named call before the controller is asked."""
        named = self._named(call)
        if named is None:
            return Forward()
        starting = named.kind in {CallClass.NODE, CallClass.VERSION}
        if not starting and not self._settings.local_truth:
            return ForwardThen(limit=LIMITS[named.kind])
        state = await self._agent.state()
        lost = state is not None and state.controller == Liveness.LOST
        if lost and (reply := await self._locally(call, named)):
            return Reply(answer=reply)
        if starting and (state is None or not state.recovers):
            # Nobody would bring the pool back before Incus's own minute.
            return ForwardThen(limit=limits.UNHELPED.answer, patience=limits.UNHELPED)
        if state is None or state.controller == Liveness.UP:
            if named.kind is CallClass.DEFINITIONS:
                # It may be long: from a controller that answers it passes as it comes.
                return Forward()
            patience = limits.REACHED if starting else None
            return ForwardThen(limit=LIMITS[named.kind], patience=patience)
        if starting and state.lenient:
            # incusd's whole start waits for these two (facts/incus.md L101), other pools' instances too.
            return ForwardThen(limit=QUICK, otherwise=_unreached(state))
        return ForwardThen(limit=LIMITS[named.kind])

    async def review(self, call: Call, answer: Answer, ask: Ask) -> Answer | None:
        """See the controller's answer; None passes it on unchanged."""
        named = self._named(call)
        if named is None:
            return None
        if answer.trouble is not None:
            return await self._locally(call, named)
        if named.kind is CallClass.NODE:
            return await self._mount(call, answer, ask)
        if named.resource is not None:
            return await Hold(self.holder, call, named, answer, ask).end()
        return None

    async def control(self, _call: Call) -> Answer | None:
        """Own no path."""
        return None

    def counts(self) -> Counts:
        """What was done so far."""
        return Counts(
            mounted=self._mounted,
            turned_away=self._turned_away,
            holds=dict(self.holder.holds),
            held_seconds=self.holder.held_seconds,
            local_truth=self._settings.local_truth,
        )

    # --- the pool's mount ---------------------------------------------------------------------

    async def _mount(self, call: Call, answer: Answer, ask: Ask) -> Answer | None:
        """Return the node's record with another status while the bar is up; None in every other case."""
        record = online(answer)
        if record is None:
            return None
        changed_one = await self._barred(call, answer, record, ask)
        if changed_one is None:
            self._mounted += 1
        else:
            self._turned_away += 1
        return changed_one

    async def _barred(
        self, call: Call, answer: Answer, record: Mapping[str, Any], ask: Ask
    ) -> Answer | None:
        until = call.arrived_at + SETTLE
        while True:
            said = await self._agent.mount()
            if said is not None and said.check:
                flaw = await self._flaw(said.check, ask)
                said = await self._agent.mount(checked=True, flaw=flaw)
            now = self._clock()
            if said is None or not said.ruling.changed:
                _log.debug("mount passes: %s", "no agent" if said is None else said.ruling.text)
                return None
            if bar.is_spent(self._barred_since, now, self._settings.bar_limit):
                return None
            if not said.settling or now >= until:
                break
        if self._barred_since is None:
            self._barred_since = now
        _log.info(
            "pool mount answered with not ready: %s",
            said.ruling.text,
            extra={
                "TIDEGATE_EVENT": "guard-held",
                "TIDEGATE_CODE": "guard.not-ready",
                "TIDEGATE_SUBJECT": "satellite",
            },
        )
        return changed(answer, record, said.ruling.text)

    async def _flaw(self, resources: Sequence[ResourceName], ask: Ask) -> str:
        """Return what would harm Incus in the controller's lists of these resources' volumes; "" for nothing (s9, s10).

        What does not answer in time is no flaw: each call is looked at again when Incus makes it.
        """
        several = asyncio.Semaphore(CHECK_AT_ONCE)
        found: list[str] = []

        async def look(resource: ResourceName) -> None:
            target = f"/v1/resource-definitions/{quote(resource, safe='')}/resources/{quote(self._node, safe='')}/volumes"
            async with several:
                answer = await ask(limit=CHECK_WITHIN, target=target, method="GET")
            opinion = volumes.judge(CallClass.VOLUMES, answer, Held(ready=True))
            if opinion.turn is Turn.ASK and opinion.why != "satellite-lost":
                found.append(f"{resource}: {opinion.text}")

        try:
            async with asyncio.timeout(CHECK_WITHIN), asyncio.TaskGroup() as group:
                for resource in resources[:CHECK_MOST]:
                    group.create_task(look(resource), name=f"check-{resource}")
        except TimeoutError:
            pass
        return min(found, default="")

    # --- local truth --------------------------------------------------------------------------

    async def _locally(self, call: Call, named: Named) -> Answer | None:
        if not self._settings.local_truth:
            return None
        found = local_truth.answer(call, named, await self._agent.local(named.resource))
        if found is not None:
            _log.warning(
                "%s %s answered on local truth: %s",
                call.method,
                call.target,
                found.text,
                extra={"TIDEGATE_EVENT": "guard-local", "TIDEGATE_CODE": "guard.local-truth"},
            )
        return found

    def _named(self, call: Call) -> Named | None:
        return classify(call, self._node, local_truth=self._settings.local_truth)


def of_config(
    config: Config,
    node: NodeName,
    *,
    secret: str,
    clock: Callable[[], float],
    knock: float = KNOCK_FOR,
) -> GuardRules:
    """Return the rules as ``config`` (section ``guard``) wants them.

    ``secret`` is what the guard brings to the agent; ``knock``: seconds for which that one may still be coming up.
    """
    chosen = config.guard
    settings = Settings(
        local_truth=chosen.local_truth, hold=chosen.hold, bar_limit=chosen.bar_limit
    )
    agent = Agent(Path(config.agent.run_dir), secret, knock=knock)
    return GuardRules(agent, node, settings, clock=clock)


def online(answer: Answer) -> dict[str, Any] | None:
    """Return the node's record if the controller says ONLINE; None for everything else, which passes as it is."""
    if answer.status != 200 or answer.trouble is not None:
        return None
    try:
        found = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if not isinstance(found, dict) or found.get("connection_status") != "ONLINE":
        return None
    return found


def changed(answer: Answer, record: Mapping[str, Any], text: str) -> Answer:
    """Return the node's real record with a connection status that Incus takes as not ready, and the reason beside it."""
    return Answer(
        status=answer.status,
        headers=((b"Content-Type", interface.JSON.encode()),),
        body=msgspec.json.encode({**record, "connection_status": NOT_READY}),
        why=Why.NOT_READY.value,
        text=text,
    )


def _unreached(state: State) -> Answer:
    """Return the quick, honest error for incusd's start."""
    answer = interface.plain_error(
        503,
        interface.FAIL_NOT_CONNECTED,
        f"Tidegate: no LINSTOR controller answers: {state.text or 'none was heard of yet'}",
        hint="tidegate why controller",
    )
    return msgspec.structs.replace(answer, why="controller-away", text=state.text)
