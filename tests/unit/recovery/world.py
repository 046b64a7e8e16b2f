# SPDX-License-Identifier: Apache-2.0
"""A node put together by hand: facts and a report as the judge would give it, for tests of recovery."""

from collections.abc import Mapping
from typing import Any

import msgspec

from tidegate.config.policy import RecoveryPolicy
from tidegate.core import ids
from tidegate.core.action import Action, Outcome, OutcomeKind
from tidegate.core.drbd import DrbdResource
from tidegate.core.facts import (
    GuardFacts,
    HostFacts,
    IncusFacts,
    IncusPhase,
    InstanceFacts,
    NodeFacts,
    PoolFacts,
    UnitFacts,
    WarningFacts,
)
from tidegate.core.finding import Finding, Grade, Report, SubjectState
from tidegate.core.ids import (
    BootId,
    InstanceId,
    InstanceName,
    NodeName,
    PoolName,
    ProjectName,
    ResourceName,
    Subject,
    UnitName,
    VolumeId,
)
from tidegate.core.snapshot import Fact, Liveness, Snapshot, Source, SourceState
from tidegate.core.wanted import WantedInstance, WantedMap, WantedVolume
from tidegate.recovery.state import RecoveryState
from tidegate.recovery.step import Event, Finished, Observed, Step, Tick, step

BOOT_WALL = 1_800_000_000.0
POLICY = RecoveryPolicy()
REMOTE = PoolName("remote")
GROUND = (ids.HOST, ids.CONTROLLER, ids.SATELLITE, ids.INCUS)


def instance_id(name: str) -> InstanceId:
    return InstanceId(ProjectName("default"), InstanceName(name))


def volume_id(name: str) -> VolumeId:
    """The one volume of the instance ``name``."""
    return VolumeId(ResourceName(f"rd-{name}"), 0)


def stopped(name: str, **changes: Any) -> InstanceFacts:
    """An instance that ran before this boot and is down now."""
    facts = InstanceFacts(
        id=instance_id(name),
        kind="container",
        status="Stopped",
        location="none",
        autostart=None,
        last_power="RUNNING",
        created_at=BOOT_WALL - 10_000,
        last_used_at=BOOT_WALL - 5_000,
    )
    return msgspec.structs.replace(facts, **changes)


def running(name: str, **changes: Any) -> InstanceFacts:
    return stopped(name, **{"status": "Running", "last_used_at": BOOT_WALL + 5, **changes})


def warning(name: str, **changes: Any) -> WarningFacts:
    facts = WarningFacts(
        uuid=f"w-{name}",
        type="Failed to autostart instance",
        status="new",
        location="none",
        entity_url=f"/1.0/instances/{name}?project=default",
        message="open /dev/drbd1000: no such file or directory",
        last_seen_at=BOOT_WALL + 20,
    )
    return msgspec.structs.replace(facts, **changes)


class World:
    """A node whose facts a test changes; :meth:`step` runs recovery on it and remembers its state."""

    def __init__(self, *instances: InstanceFacts, at: float = 100.0) -> None:
        self.at = at
        self.phase = IncusPhase.READY
        self.phase_since = 50.0
        self.liveness = Liveness.UP
        self.clustered = False
        self.member_status: str | None = None
        self.pool_status: str | None = "Created"
        self.instances = {str(facts.id): facts for facts in instances}
        self.warnings: list[WarningFacts] = []
        self.units: dict[str, UnitFacts] = {}
        self.wanted = True
        self.unready: set[Subject] = set()
        self.unwanted: set[Subject] = set()
        """What the judge says that nothing wanted needs."""
        self.seen_at: float | None = None
        """When the facts of Incus were asked for; None: now."""
        self.node_status: str | None = None
        """What the controller says of this node; None: it was not asked."""
        self.node_since = 0.0
        self.node_flags: tuple[str, ...] = ()
        self.host = HostFacts(drbd_module="9.2.16", satellite_present=True, satellite_listens=True)
        self.findings: list[Finding] = []
        self.drbd: dict[str, DrbdResource] | None = None
        self.linstor = Liveness.UP
        self.guard: GuardFacts | None = None
        self.policy = POLICY
        self.state = RecoveryState()
        self.last: Step | None = None

    # --- what is known -------------------------------------------------------------------------
    def snapshot(self) -> Snapshot:
        seen = self.at if self.seen_at is None else self.seen_at
        incus = IncusFacts(
            phase=self.phase,
            server_name="n1",
            clustered=self.clustered,
            member_status=self.member_status,
        )
        pool = PoolFacts(
            name=REMOTE, driver="linstor", status=self.pool_status, resource_group="remote"
        )
        up = SourceState(liveness=Liveness.UP)

        def fact(value: Any) -> Fact[Any]:
            return Fact(value=value, source=Source.INCUS, at=seen, since=seen)

        return Snapshot(
            at=self.at,
            boot_id=BootId("11111111-2222"),
            boot_wall=BOOT_WALL,
            node=NodeName("n1"),
            sources={
                Source.INCUS: SourceState(liveness=self.liveness),
                Source.SYSTEMD: up,
                Source.LINSTOR: SourceState(liveness=self.linstor),
                Source.GUARD: up if self.guard is not None else SourceState(liveness=Liveness.OFF),
            },
            units=Fact(value=self.units, source=Source.SYSTEMD, at=seen, since=seen),
            host=Fact(value=self.host, source=Source.HOST, at=seen, since=seen),
            nodes=self._nodes(seen),
            drbd=None
            if self.drbd is None
            else Fact(value=self.drbd, source=Source.DRBD, at=seen, since=seen),
            incus=Fact(value=incus, source=Source.INCUS, at=seen, since=self.phase_since),
            pools=fact({REMOTE: pool}),
            instances=fact(dict(self.instances)),
            warnings=fact(tuple(self.warnings)),
            guard=None
            if self.guard is None
            else Fact(value=self.guard, source=Source.GUARD, at=seen, since=seen),
            wanted=self._map() if self.wanted else None,
        )

    def _nodes(self, seen: float) -> Fact[Mapping[str, NodeFacts]] | None:
        if self.node_status is None:
            return None
        node = NodeFacts(
            name=NodeName("n1"), connection_status=self.node_status, flags=self.node_flags
        )
        return Fact(value={"n1": node}, source=Source.LINSTOR, at=seen, since=self.node_since)

    def _map(self) -> WantedMap:
        names = [facts.id.name for facts in self.instances.values()]
        return WantedMap(
            node=NodeName("n1"),
            volumes=tuple(WantedVolume(id=volume_id(name), pool=REMOTE) for name in names),
            instances=tuple(
                WantedInstance(id=instance_id(name), volumes=(volume_id(name),), pools=(REMOTE,))
                for name in names
            ),
        )

    def report(self) -> Report:
        """The judgement of the snapshot, as far as recovery reads it (docs/architecture.md, the chain)."""
        unready = set(self.unready)
        if self.phase is not IncusPhase.READY:
            unready.add(ids.INCUS)
        if self.node_status not in {None, "ONLINE"} or self.findings:
            unready.add(ids.SATELLITE)
        if self.pool_status != "Created":
            unready.add(ids.pool(REMOTE))
        rests: dict[Subject, tuple[Subject, ...]] = {
            ids.HOST: (),
            ids.CONTROLLER: (),
            ids.SATELLITE: (ids.CONTROLLER, ids.HOST),
            ids.INCUS: (),
            ids.pool(REMOTE): (ids.INCUS, ids.SATELLITE),
        }
        for facts in self.instances.values():
            volume = ids.volume(volume_id(facts.id.name))
            rests[volume] = (ids.SATELLITE,)
            rests[ids.instance(facts.id)] = (volume, ids.pool(REMOTE))
            if not facts.runs:
                unready.add(ids.instance(facts.id))
        return Report(
            at=self.at,
            node="n1",
            findings=tuple(self.findings),
            subjects={
                str(subject): SubjectState(
                    subject=subject,
                    grade=Grade.FAILING if subject in unready else Grade.OK,
                    ready=subject not in unready,
                    rests_on=below,
                    wanted=subject not in self.unwanted,
                    summary="device node missing" if subject in unready else "",
                )
                for subject, below in rests.items()
            },
        )

    # --- what happens --------------------------------------------------------------------------
    def step(self, event: Event | None = None, *, after: float = 0.0) -> Step:
        self.at += after
        self.last = step(
            self.state, event or Observed(), self.snapshot(), self.report(), self.policy
        )
        self.state = self.last.state
        return self.last

    def tick(self, *, after: float) -> Step:
        return self.step(Tick(), after=after)

    def finish(
        self,
        action: Action,
        kind: OutcomeKind,
        text: str = "",
        *,
        code: str = "x",
        after: float = 0.5,
    ) -> Step:
        """Let ``action`` end ``after`` seconds from now; the facts stay those of before, until the next look."""
        if self.seen_at is None:
            self.seen_at = self.at
        started = self.at
        outcome = Outcome(
            action=action,
            kind=kind,
            code=code,
            text=text,
            started_at=started,
            ended_at=started + after,
        )
        return self.step(Finished(outcome=outcome), after=after)

    def look(self, *, after: float = 0.5) -> Step:
        """Look at Incus again, ``after`` seconds from now."""
        self.seen_at = None
        return self.step(Observed(), after=after)

    def set(self, name: str, **changes: Any) -> None:
        key = str(instance_id(name))
        self.instances[key] = msgspec.structs.replace(self.instances[key], **changes)

    def runs(self, name: str) -> None:
        self.set(name, status="Running", last_used_at=BOOT_WALL + self.at)

    def crash(self) -> None:
        """Ours: all memory is gone."""
        self.state = RecoveryState()


def unit(active_state: str, **changes: Any) -> Mapping[str, UnitFacts]:
    facts = UnitFacts(
        name=UnitName("incus.service"),
        load_state="loaded",
        active_state=active_state,
        sub_state="dead" if active_state == "inactive" else active_state,
    )
    return {"incus.service": msgspec.structs.replace(facts, **changes)}


def satellite_unit(active_state: str) -> Mapping[str, UnitFacts]:
    (facts,) = unit(active_state).values()
    name = UnitName("linstor-satellite.service")
    return {name: msgspec.structs.replace(facts, name=name)}


def finding(code: str, subject: Subject) -> Finding:
    return Finding(
        code=code,
        subject=subject,
        grade=Grade.FAILING,
        observed="so it is",
        expected="otherwise",
        remedy="look",
        source=Source.LINSTOR,
        age=0.0,
    )
