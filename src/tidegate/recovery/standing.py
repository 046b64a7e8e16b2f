# SPDX-License-Identifier: Apache-2.0
"""How everything stands: which instances and pools could be acted on now, and what the others wait for.

Only facts and findings are looked at here, not budgets: those are :mod:`~tidegate.recovery.choose`'s matter.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import msgspec

from tidegate.core import ids
from tidegate.core.facts import IncusPhase, InstanceFacts, PoolFacts, WarningFacts
from tidegate.core.finding import Report
from tidegate.core.ids import InstanceId, Subject, SubjectKind
from tidegate.core.snapshot import Liveness, Snapshot, Source
from tidegate.health.intent import Will
from tidegate.recovery import desire, local_truth
from tidegate.recovery.state import RecoveryState

UNAVAILABLE = "Unavailable"
"""Status of a pool that Incus could not mount (facts/incus.md D54)."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How one instance or pool stands."""

    subject: Subject
    will: Will
    """Of a pool: START when it should be mounted again, RUNS when it is mounted, ODD otherwise."""
    waits_for: tuple[Subject, ...] = ()
    """What it rests on and cannot be used now, the ground first. Filled only where ``will`` is START."""
    why_left: str = ""
    """Why it is not ours to act on, where it is down and somebody might ask."""
    instance: InstanceFacts | None = None
    pool: PoolFacts | None = None

    @property
    def can(self) -> bool:
        """True when it should be acted on and all it rests on can be used."""
        return self.will is Will.START and not self.waits_for


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """All standings of one moment. ``closed`` says why nothing at all may be asked of Incus now; None when it may."""

    closed: str | None
    pools: tuple[Standing, ...] = ()
    instances: tuple[Standing, ...] = ()
    """In Incus's order of starting."""
    local: bool = False
    """No controller is waited for: Incus is answered on local truth."""


def survey(state: RecoveryState, snapshot: Snapshot, report: Report) -> Survey:
    """Return how everything stands."""
    pools = snapshot.pools.value if snapshot.pools is not None else {}
    instances = snapshot.instances.value if snapshot.instances is not None else {}
    failed = desire.failures(snapshot)
    standings = tuple(
        _instance(facts, state, snapshot, report, failed)
        for facts in sorted(instances.values(), key=desire.order)
    )
    needed = _needed_volumes(standings, report)
    return Survey(
        closed=closed(snapshot, report),
        pools=tuple(_pool(pools[name], needed, snapshot, report) for name in sorted(pools)),
        instances=standings,
        local=local_truth.holds(snapshot),
    )


def closed(snapshot: Snapshot, report: Report) -> str | None:
    """Return why Incus may not be asked for anything now, or None.

    Before ``/internal/ready`` is 200 Incus's own first pass goes on: starts would only block (facts/incus.md A25, R6), and a
    pool must not be mounted behind its back (contract.md safety 2).
    """
    incus = snapshot.incus
    if incus is None:
        return "nothing was heard of incusd yet"
    if (liveness := snapshot.source(Source.INCUS).liveness) is not Liveness.UP:
        if incus.value.phase in _PHASES:
            return _PHASES[incus.value.phase]
        return f"incusd cannot be asked (source {liveness})"
    if incus.value.phase is not IncusPhase.READY:
        return _PHASES[incus.value.phase]
    if not report.ready(ids.INCUS):
        return "what is known of incusd is not to be believed now"
    for section in (snapshot.instances, snapshot.pools):
        # What was seen before the first pass ended shows instances stopped that run by now.
        if section is None or section.at < incus.since:
            return "incusd is ready; its instances and pools were not looked at since"
    return None


def unready(
    subject: Subject, report: Report, spared: AbstractSet[SubjectKind] = frozenset()
) -> tuple[Subject, ...]:
    """Return what ``subject`` rests on, directly or not, and cannot be used now; the ground first. ``spared`` is not waited for.

    From a pool the way does not go down to LINSTOR's storage pools when an instance is asked about: they carry other
    instances' volumes too, and the instance's own volumes name theirs. A subject that nobody judged is itself unready.
    """
    top = report.state(subject)
    if top is None or not top.rests_on:
        return (subject,)
    missing: dict[Subject, None] = {}
    seen = {subject}
    queue = list(top.rests_on)
    while queue:
        below = queue.pop()
        if below in seen:
            continue
        seen.add(below)
        state = report.state(below)
        if below.kind not in spared and (state is None or not state.ready):
            missing[below] = None
        for rest in state.rests_on if state is not None else ():
            past_pool = below.kind is SubjectKind.POOL and rest.kind is SubjectKind.STORAGE_POOL
            if not past_pool:
                queue.append(rest)
    return tuple(sorted(missing, key=lambda found: (found.kind.depth, found.name)))


def _instance(
    facts: InstanceFacts,
    state: RecoveryState,
    snapshot: Snapshot,
    report: Report,
    failed: Mapping[InstanceId, WarningFacts],
) -> Standing:
    subject = ids.instance(facts.id)
    wish = desire.will(facts, snapshot, state, failed)
    waits_for: tuple[Subject, ...] = ()
    if wish is Will.START:
        waits_for = unready(subject, report, local_truth.spared(snapshot))
    return Standing(subject=subject, will=wish, waits_for=waits_for, instance=facts)


def _needed_volumes(standings: tuple[Standing, ...], report: Report) -> tuple[Subject, ...]:
    """Return the volumes that something wanted needs: as the judge says, and those of what only we know to be wanted.

    An instance whose start by us failed late looks to the judge as if a user had stopped it (facts/incus.md A21).
    """
    found = {
        state.subject
        for state in report.subjects.values()
        if state.subject.kind is SubjectKind.VOLUME and state.wanted
    }
    for standing in standings:
        state = report.state(standing.subject) if standing.will is Will.START else None
        if state is not None:
            found |= {below for below in state.rests_on if below.kind is SubjectKind.VOLUME}
    return tuple(sorted(found))


def _pool(
    facts: PoolFacts, needed: tuple[Subject, ...], snapshot: Snapshot, report: Report
) -> Standing:
    """Return how a pool stands: only LINSTOR's are ever mounted by us (facts/incus.md D65; contract.md safety 2)."""
    subject = ids.pool(facts.name)
    if facts.status == "Created":
        return Standing(subject=subject, will=Will.RUNS, pool=facts)
    if facts.status != UNAVAILABLE or facts.driver != "linstor":
        return Standing(subject=subject, will=Will.ODD, why_left=_left(facts), pool=facts)
    top = report.state(subject)
    volumes = _in_pool(needed, facts, snapshot)
    if top is not None and not top.wanted and not volumes:
        return Standing(subject=subject, will=Will.OFF, pool=facts)
    below = top.rests_on if top is not None else ()
    spared = local_truth.spared(snapshot)
    waits_for = (subject,) if not below else _unready_below_pool(below, report, spared)
    if not waits_for and not any(report.ready(volume) for volume in volumes):
        waits_for = volumes or (subject,)
    return Standing(subject=subject, will=Will.START, waits_for=waits_for, pool=facts)


def _left(facts: PoolFacts) -> str:
    if facts.status == UNAVAILABLE:
        return f"its driver is {facts.driver}: Incus itself tries it again every minute; its instances are taken up then"
    if facts.status is None:
        return f"Incus cannot load it ({facts.error or 'no reason given'}), and does so by itself once the cause is gone"
    return f"its status is {facts.status}: that is a person's to decide"


def _unready_below_pool(
    below: tuple[Subject, ...], report: Report, spared: AbstractSet[SubjectKind]
) -> tuple[Subject, ...]:
    missing = {s for s in below if not report.ready(s)}
    for subject in below:
        missing |= {s.subject for s in report.chain(subject) if not s.ready}
    waits_for = (found for found in missing if found.kind not in spared)
    return tuple(sorted(waits_for, key=lambda found: (found.kind.depth, found.name)))


def _in_pool(
    volumes: tuple[Subject, ...], facts: PoolFacts, snapshot: Snapshot
) -> tuple[Subject, ...]:
    """Return those of ``volumes`` that lie in the pool: as LINSTOR's resource group shows, or as the kept map says."""
    kept = snapshot.wanted.volumes if snapshot.wanted is not None else ()
    mapped = {str(volume.id) for volume in kept if volume.pool == facts.name}
    definitions = snapshot.definitions.value if snapshot.definitions is not None else {}

    def is_in(volume: Subject) -> bool:
        definition = definitions.get(ids.VolumeId.parse(volume.name).resource)
        grouped = definition is not None and definition.resource_group == facts.resource_group
        return grouped or volume.name in mapped

    return tuple(volume for volume in volumes if is_in(volume))


_PHASES = {
    IncusPhase.STOPPED: "incusd does not run",
    IncusPhase.STARTING: "incusd is starting and does not answer yet",
    IncusPhase.AUTOSTART: "incusd's own first pass of starting instances goes on",
    IncusPhase.STOPPING: "incusd is stopping",
}
