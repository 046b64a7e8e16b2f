# SPDX-License-Identifier: Apache-2.0
"""The Incus daemon of this host: how far it is, and what it says of pools, instances and warnings.

Its socket starts it when it does not run (facts/incus.md R7), so systemd is asked first, every time. While incusd starts, its
API is silent: that is "starting", not "dead" (C3, R12).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from tidegate.clients import errors
from tidegate.clients.incus import wire
from tidegate.clients.incus.client import IncusClient, Ready
from tidegate.core.facts import IncusFacts, IncusPhase, InstanceFacts, PoolFacts, UnitFacts
from tidegate.core.ids import InstanceId
from tidegate.core.snapshot import Liveness, Observation, Source
from tidegate.core.trouble import Trouble
from tidegate.probes import base, translate_incus

AskUnit = Callable[[], Awaitable[UnitFacts]]
"""Asks systemd for ``incus.service`` as it is now. Raises ClientError."""

STARTING_LIMIT: Final = 1.0
"""Seconds that a daemon which says "not ready" is given to answer ``GET /1.0``: it does at once when it is through with its pools."""
AT_ONCE: Final = 4
SELDOM: Final = 5.0
"""Seconds between two readings of what changes rarely, while looks are fast."""

_SILENT: Final = frozenset({"incus.timeout", "incus.disconnected", "incus.refused"})
_STOPPING: Final = "incus.stopping"
FRESH: Final = 0.005
"""Seconds for which systemd's word that the daemon runs is good for connecting to it."""
_RUNS: Final = frozenset({"active", "activating", "reloading", "refreshing"})


class _Listed(msgspec.Struct, frozen=True, kw_only=True):
    """The last list of instances: the mark of Incus's answer, what else it was translated by, and what came of it."""

    mark: bytes
    projects: dict[str, bool]
    member: str | None
    facts: dict[str, InstanceFacts]


class IncusProbe:
    """Asks ``client``, but only while ``unit`` says that the daemon runs; ``unit`` None: no systemd starts it by its socket.

    ``deadline`` (seconds) is the limit of a call; a whole look takes less than two of them. While the daemon is in its own first
    pass of starting instances it is read whole only every ``spare`` seconds, and first after that: nothing can be done yet, and each
    reading delays its starts (measured in the lab: 0.2 s over a boot). ``on_server`` is told each answer of ``GET /1.0``, with all
    keys: what Incus itself uses to reach LINSTOR is configuration for us.
    """

    source = Source.INCUS

    def __init__(
        self,
        client: IncusClient,
        *,
        unit: AskUnit | None,
        clock: base.Clock,
        deadline: float = 5.0,
        spare: float = 0.0,
        on_server: Callable[[wire.Server], None] = lambda server: None,  # noqa: ARG005
    ) -> None:
        self._client = client
        self._unit = unit
        self._clock = clock
        self._deadline = deadline
        self._spare = spare
        self._on_server = on_server
        self._daemon = IncusFacts(phase=IncusPhase.STOPPED)
        self._pools: dict[str, PoolFacts] = {}
        self._projects: dict[str, bool] = {}
        self._listed: _Listed | None = None
        self._seldom_at = float("-inf")
        self._spared_since: float | None = None

    async def look(self, need: base.Need) -> Observation:
        """Say how far the daemon is and, once its API answers, what it knows."""
        limit = 1.8 * self._deadline
        return await base.bounded(self.source, self._clock, self._look(need), limit=limit)

    async def _look(self, need: base.Need) -> Observation:
        unit = await self._unit() if self._unit is not None else None
        if unit is not None and (phase := halted(unit)) is not None:
            return self._only(phase)
        try:
            return await self._asked(unit, need)
        except errors.ClientError as error:
            if error.code != _STOPPING:
                raise
            return self._only(IncusPhase.STOPPING)

    async def _asked(self, unit: UnitFacts | None, need: base.Need) -> Observation:
        """Ask a daemon that runs. Raises ClientError."""
        try:
            ready = await self._client.ready(deadline=0.4 * self._deadline)
        except errors.ClientError as error:
            return self._unanswered(unit, error)
        if ready is Ready.STOPPING:
            return self._only(IncusPhase.STOPPING)
        early = ready is Ready.STARTING
        if early and self._is_spared(need):
            return Observation(source=self.source, at=self._clock(), incus=self._daemon)
        limit = min(STARTING_LIMIT if early else self._deadline, 0.6 * self._deadline)
        try:
            server = await self._client.server(deadline=limit)
        except errors.ClientError as error:
            if early and error.code in _SILENT:
                return self._starting(error.trouble)
            raise
        self._on_server(server)
        phase = IncusPhase.AUTOSTART if early else IncusPhase.READY
        was, self._spared_since = self._spared_since, self._clock() if early else None
        if early and was is None and self._spare and need.urgency is not base.Urgency.ATTENDED:
            return self._named(server, phase)
        return await self._read(server, phase, need)

    def _is_spared(self, need: base.Need) -> bool:
        if self._spared_since is None or need.urgency is base.Urgency.ATTENDED:
            return False
        return self._clock() - self._spared_since < self._spare

    def _named(self, server: wire.Server, phase: IncusPhase) -> Observation:
        """Return what the daemon says of itself, and nothing else."""
        status = self._daemon.member_status
        self._daemon = translate_incus.server(server, phase=phase, member_status=status)
        return Observation(source=self.source, at=self._clock(), incus=self._daemon)

    def _unanswered(self, unit: UnitFacts | None, error: errors.ClientError) -> Observation:
        """Say what it means that not even ``/internal/ready`` answered; raise ``error`` when that is no way to start.

        The unit turns active when Incus's own first pass is over (facts/incus.md U1, D17): whoever is silent then, hangs.
        """
        if unit is not None and unit.is_installed:
            if error.code in _SILENT and unit.active_state == "activating":
                return self._starting(error.trouble)
            raise error
        if error.code == "incus.no-socket":
            return base.silent(self.source, self._clock(), Liveness.OFF, error.trouble)
        if error.code == "incus.timeout" and self._daemon.pid is None:
            return self._starting(error.trouble)
        raise error

    def _starting(self, trouble: Trouble) -> Observation:
        return msgspec.structs.replace(
            self._only(IncusPhase.STARTING), liveness=Liveness.STARTING, trouble=trouble
        )

    def _only(self, phase: IncusPhase) -> Observation:
        """Return the phase alone. What the daemon said of itself stays known; its pid does not."""
        self._daemon = msgspec.structs.replace(self._daemon, phase=phase, pid=None)
        self._seldom_at = float("-inf")
        self._spared_since = None
        return Observation(source=self.source, at=self._clock(), incus=self._daemon)

    async def _read(self, server: wire.Server, phase: IncusPhase, need: base.Need) -> Observation:
        """Read everything else side by side."""
        now = self._clock()
        environment = server.environment
        member = environment.server_name if environment.server_clustered else None
        calls = base.Calls(self.source, at_once=AT_ONCE, limit=0.8 * self._deadline)
        seldom = need.urgency is base.Urgency.REST or now - self._seldom_at >= SELDOM
        async with asyncio.TaskGroup() as group:
            projects = group.create_task(calls.ask(self._client.projects())) if seldom else None
            warnings = group.create_task(calls.ask(self._client.warnings())) if seldom else None
            pools = group.create_task(calls.ask(self._client.pools(member=member)))
            known = self._listed.mark if self._listed is not None else b""
            listing = self._client.instances_unless(
                known, deadline=(0.8 if member is None else 0.4) * self._deadline
            )
            instances = group.create_task(calls.ask(listing))
            status = group.create_task(calls.ask(self._member_status(member)))
        for trouble in calls.troubles:
            if trouble.code == _STOPPING:
                raise errors.ClientError(trouble)
        found = projects.result() if projects else None
        warned = warnings.result() if warnings else None
        if found is not None:
            self._projects = translate_incus.projects(found)
        if found is not None and warned is not None:
            self._seldom_at = now
        if (answers := pools.result()) is not None:
            self._pools = translate_incus.pools(answers, self._pools)
        translated = await self._translated(calls, instances.result(), member, need)
        self._daemon = translate_incus.server(
            server, phase=phase, member_status=status.result() or self._daemon.member_status
        )
        return Observation(
            source=self.source,
            at=now,
            trouble=calls.troubles[0] if calls.troubles else None,
            incus=self._daemon,
            pools=None if answers is None else self._pools,
            instances=translated,
            warnings=None if warned is None else translate_incus.warnings(warned),
        )

    async def _translated(
        self,
        calls: base.Calls,
        answer: tuple[bytes, tuple[wire.Instance, ...] | None] | None,
        member: str | None,
        need: base.Need,
    ) -> dict[str, InstanceFacts] | None:
        """Return the instances, those of the last look where Incus answers as it did then; None when they could not be read."""
        mark, told = answer or (b"", None)
        kept, self._listed = self._listed, None
        if answer is None and member is not None:
            told = await self._one_by_one(need)
        elif answer is not None and told is None:
            if kept is not None and (kept.projects, kept.member) == (self._projects, member):
                self._listed = kept
                return kept.facts
            told = await calls.ask(self._client.instances())
            mark = b""  # of another answer
        if told is None:
            return None
        facts = translate_incus.instances(told, own_volumes=self._projects, member=member)
        if mark:
            self._listed = _Listed(mark=mark, projects=self._projects, member=member, facts=facts)
        return facts

    async def _one_by_one(self, need: base.Need) -> tuple[wire.Instance, ...] | None:
        """Read the instances known to be here. A listing asks all members, and a hung one holds it for 30 s (R43).

        None unless each was read, or is gone: half a list would say that the others are gone.
        """
        calls = base.Calls(self.source, at_once=AT_ONCE, limit=0.4 * self._deadline)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(calls.ask(self._instance(known))) for known in need.instances
            ]
        if calls.troubles or not tasks:
            return None
        return tuple(found for task in tasks for found in task.result() or ())

    async def _instance(self, known: InstanceId) -> tuple[wire.Instance, ...]:
        try:
            return (await self._client.instance(known.project, known.name),)
        except errors.ClientError as error:
            if error.code == "incus.not-found":
                return ()
            raise

    async def _member_status(self, member: str | None) -> str | None:
        return (await self._client.cluster_member(member)).status if member is not None else None


class Running:
    """Refuses a connection to a daemon that does not run, or is about to stop: to be awaited before each (`IncusClient`).

    A look takes several calls, and somebody may stop the daemon between two of them. What :meth:`unit` was told counts, too. Where systemd
    cannot be asked nothing is refused: a start that Incus would have done is not to fail for that.
    """

    def __init__(self, ask: AskUnit, clock: base.Clock) -> None:
        self._ask = ask
        self._clock = clock
        self._asked_at = float("-inf")
        self._one_asks = asyncio.Lock()

    async def __call__(self) -> None:
        """Return when the daemon may be connected to. Raises ClientError ``incus.stopping``."""
        async with self._one_asks:
            if self._clock() - self._asked_at <= FRESH:
                return
            try:
                unit = await self.unit()
            except errors.ClientError:
                return
            if halted(unit) is not None:
                raise errors.ClientError(
                    Trouble(
                        code=_STOPPING,
                        text=f"{unit.name} is {unit.active_state}: it is not connected to, its socket would start it again",
                        hint=f"systemctl start {unit.name}, if it should run",
                    )
                )

    async def unit(self) -> UnitFacts:
        """Return the unit as it is now. Raises ClientError."""
        unit = await self._ask()
        self._asked_at = self._clock() if halted(unit) is None else float("-inf")
        return unit


def halted(unit: UnitFacts) -> IncusPhase | None:
    """Return the phase of a daemon that must not be connected to; None when it runs, or is no unit of this host. Pure."""
    if not unit.is_installed:
        return None
    if unit.active_state == "deactivating":
        return IncusPhase.STOPPING
    if unit.active_state not in _RUNS:
        return IncusPhase.STOPPED
    # Between two tries systemd counts a unit as activating, and nobody is there to answer.
    return IncusPhase.STARTING if unit.sub_state.startswith("auto-restart") else None
