# SPDX-License-Identifier: Apache-2.0
"""Whatever is told of a volume: never ready against a Primary peer, without an open device, or on stale evidence."""

from typing import Any

import msgspec
from hypothesis import event, given, settings
from hypothesis import strategies as st
from tests import health_facts as facts
from tests.health_facts import N1, N2, N3, RD, VOL, edit

from tidegate.config.policy import HealthPolicy, PeerAlivePolicy
from tidegate.core import ids
from tidegate.core.drbd import DrbdConnection, DrbdResource
from tidegate.core.evidence import NetworkFacts, PeerReach, Reach
from tidegate.core.facts import DeviceFacts, OpenResult, PlacedVolume, PlacementFacts
from tidegate.core.finding import Grade, Report
from tidegate.core.snapshot import Liveness, Observation, Snapshot, Source, apply
from tidegate.gate import decide
from tidegate.health import wanted, why
from tidegate.health.judge import judge

NOW = 1000.0
SUBJECT = ids.volume(VOL)


def often(good: Any, odd: st.SearchStrategy[Any], share: int = 9) -> st.SearchStrategy[Any]:
    """Mostly ``good``, so that many snapshots are well enough to be nearly ready."""
    return st.integers(0, share).flatmap(lambda dice: odd if dice == share else st.just(good))


DISKS = often(
    "UpToDate", st.sampled_from(["Diskless", "Inconsistent", "Outdated", "Failed", "odd"])
)
STATES = often("Connected", st.sampled_from(["Connecting", "StandAlone", "Unconnected", "odd"]), 2)
MOMENTS = often(NOW - 100.0, st.sampled_from([0.0, NOW - 20.0, NOW - 5.0, NOW]), 3)
SCORES = often(10102, st.sampled_from([None, 0, 1, 10001, 10100]))
MAYBE = st.sampled_from([None, True, False])
STATUSES = often("ONLINE", st.sampled_from(["OFFLINE", "OFFLINE", "CONNECTED", "NEW_WORD"]), 3)
LIVENESS = often(Liveness.UP, st.sampled_from(list(Liveness)))
AGES = often(0.0, st.sampled_from([29.0, 31.0, 900.0]))
FLAGS = often(
    (), st.sampled_from([("DISKLESS",), ("DELETE",), ("INACTIVE",), ("INACTIVE", "EVICTED")])
)
PATH = f"/dev/drbd{facts.MINOR}"


def connections(peer: Any) -> st.SearchStrategy[DrbdConnection]:
    return st.builds(
        lambda state, role, since, disk, client: DrbdConnection(
            peer=peer,
            state=state,
            role=role if state == "Connected" else "Unknown",
            since=since,
            devices=(facts.peer_device(disk, client=client),),
        ),
        STATES,
        often("Secondary", st.sampled_from(["Primary", "Unknown"])),
        MOMENTS,
        DISKS,
        often(False, MAYBE),
    )


RESOURCES = st.builds(
    lambda role, suspended, may, score, policy, disk, quorum, since, links: DrbdResource(
        name=RD,
        role=role,
        suspended=suspended,
        may_promote=may,
        promotion_score=score,
        quorum_policy=policy,
        devices=(facts.drbd_device(disk, quorum=quorum, since=since),),
        connections=tuple(link for link in links if link is not None),
    ),
    often("Secondary", st.sampled_from(["Primary", "Unknown"]), 5),
    often("no", st.sampled_from(["quorum", "user", "no-data,quorum"])),
    often(True, MAYBE),
    SCORES,
    often("off", st.sampled_from([None, "majority"]), 3),
    DISKS,
    often(True, st.just(False)),
    MOMENTS,
    st.tuples(st.none() | connections(N2), st.none() | connections(N3)),
)


def placements(node: Any) -> st.SearchStrategy[PlacementFacts]:
    return st.builds(
        lambda flags, reported, in_use, score, told, skip, path, drbd: PlacementFacts(
            resource=RD,
            node=node,
            flags=flags,
            layers=("DRBD", "STORAGE") if drbd else ("STORAGE",),
            storage_pool=facts.THIN,
            state_reported=reported,
            in_use=in_use,
            promotion_score=score,
            connections=tuple((peer, state) for peer, state in told if peer != node),
            skip_disk=skip,
            volumes=(PlacedVolume(number=0, device_path=path, minor=facts.MINOR),),
        ),
        FLAGS,
        often(True, st.just(False)),
        often(False, MAYBE),
        SCORES,
        st.tuples(st.tuples(st.just(N2), STATES), st.tuples(st.just(N3), STATES)),
        often(False, st.just(True)),
        often(PATH, st.sampled_from(["/dev/loop3", None])),
        often(True, st.just(False)),
    )


DEVICES = st.builds(
    lambda exists, block, rdev, opened, errno, content: DeviceFacts(
        path=PATH,
        exists=exists,
        is_device=block,
        rdev=rdev,
        opened=opened,
        errno=errno,
        content=content,
    ),
    often(True, st.just(False)),
    often(True, st.just(False)),
    often((147, facts.MINOR), st.sampled_from([(7, 3), None])),
    often(OpenResult.OPENED, st.sampled_from(list(OpenResult))),
    often(None, st.sampled_from(["ENOENT", "ENODATA", "EMEDIUMTYPE"])),
    often("ext4", st.sampled_from([None, "zero", "gpt"])),
)


REACHES = st.dictionaries(
    st.sampled_from(["10.0.0.2", "10.1.0.2"]), st.sampled_from(list(Reach)), max_size=2
).map(lambda told: PeerReach(addresses=told))


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    """A node about which anything may be told, by sources in any state, at any age."""
    told = facts.healthy_sections()
    told[Source.LINSTOR]["nodes"] = {
        name: facts.node(name, draw(STATUSES)) for name in (N1, N2, N3) if draw(st.integers(0, 9))
    }
    places = [draw(placements(node)) for node in (N1, N2, N3) if draw(st.integers(0, 5))]
    told[Source.LINSTOR]["placements"] = {RD: tuple(places)}
    told[Source.DRBD]["drbd"] = draw(often({RD: draw(RESOURCES)}, st.just({})))
    told[Source.DEVICES]["devices"] = {str(VOL): draw(DEVICES)}
    told[Source.NETWORK] = {
        "network": NetworkFacts(peers={peer: draw(REACHES) for peer in (N2, N3)})
    }
    snapshot = facts.empty(wanted=facts.kept_map())
    for source, sections in told.items():
        at = NOW - draw(AGES)
        first = Observation(source=source, at=min(draw(MOMENTS), at), **sections)
        last = Observation(source=source, at=at, liveness=draw(LIVENESS), **sections)
        snapshot = apply(apply(snapshot, first), last)
    return edit(snapshot, at=NOW)


POLICIES = st.builds(
    lambda alive, wait: HealthPolicy(peer_alive=alive, peer_wait=wait),
    st.sampled_from(list(PeerAlivePolicy)),
    st.sampled_from([0.0, 30.0]),
)


def fresh(snapshot: Snapshot, source: Source, at: float | None) -> bool:
    up = snapshot.source(source).liveness is Liveness.UP
    return up and at is not None and NOW - at <= 30.0


def ready(report: Report) -> bool:
    return report.ready(SUBJECT)


class Told:
    """What a snapshot of these tests says, put together anew and simply."""

    def __init__(self, snapshot: Snapshot) -> None:
        placed = snapshot.placements.get(RD)
        self.linstor = fresh(snapshot, Source.LINSTOR, placed.at if placed else None)
        self.places = {place.node: place for place in placed.value} if placed else {}
        drbd = snapshot.drbd
        self.kernel_speaks = fresh(snapshot, Source.DRBD, drbd.at if drbd else None)
        self.kernel = drbd.value.get(RD) if drbd and self.kernel_speaks else None
        self.device = snapshot.devices[str(VOL)]
        self.device_fresh = fresh(snapshot, Source.DEVICES, self.device.at)
        nodes = snapshot.nodes
        network = snapshot.network
        tried = network is not None and fresh(snapshot, Source.NETWORK, network.at)
        self.reach = network.value.peers if network is not None and tried else {}
        self.nodes = nodes.value if nodes and fresh(snapshot, Source.LINSTOR, nodes.at) else None
        self.is_placed = N1 in self.places or not self.linstor


@settings(max_examples=400, deadline=None)
@given(snapshots(), POLICIES)
def test_never_ready_with_a_primary_peer(snapshot: Snapshot, policy: HealthPolicy) -> None:
    told, report = Told(snapshot), judge(snapshot, policy)
    event(f"ready: {ready(report)}")
    if not ready(report):
        return
    linked = {}
    if told.kernel is not None and told.is_placed:
        linked = {link.peer: link for link in told.kernel.connections}
        assert not any(link.role == "Primary" for link in linked.values())
    if told.linstor and told.places.get(N1, facts.placement()).has_drbd:
        for node, place in told.places.items():
            if node == N1 or place.in_use is not True or set(place.flags) & {"DELETE", "INACTIVE"}:
                continue
            # Only the kernel, connected to that very peer, may know better.
            assert node in linked
            assert linked[node].state == "Connected"


@settings(max_examples=400, deadline=None)
@given(snapshots(), POLICIES)
def test_never_ready_when_the_device_did_not_open(snapshot: Snapshot, policy: HealthPolicy) -> None:
    told, report = Told(snapshot), judge(snapshot, policy)
    if ready(report) and told.is_placed:
        assert told.device_fresh
        assert told.device.value.opened is OpenResult.OPENED
        assert told.device.value.exists
        assert told.device.value.is_device
        assert told.device.value.content != "zero"


@settings(max_examples=400, deadline=None)
@given(snapshots(), POLICIES)
def test_never_ready_on_stale_evidence(snapshot: Snapshot, policy: HealthPolicy) -> None:
    told, report = Told(snapshot), judge(snapshot, policy)
    if ready(report):
        gone = snapshot.source(Source.LINSTOR).liveness in {Liveness.LOST, Liveness.OFF}
        placed = snapshot.placements.get(RD)
        young = placed is not None and NOW - placed.at <= 120.0
        settled = told.kernel is not None and told.kernel.knows_all and young
        assert told.linstor or settled or (gone and told.kernel is not None)
    later = judge(edit(snapshot, at=NOW + 3600.0), policy)
    assert not any(state.ready for state in later.subjects.values() if state.subject != ids.HOST)


@settings(max_examples=400, deadline=None)
@given(snapshots())
def test_never_ready_without_quorum_while_a_peer_may_have_newer_data(snapshot: Snapshot) -> None:
    """The rule of contract.md, safety 1, put the other way round."""
    told, report = Told(snapshot), judge(snapshot, HealthPolicy(peer_wait=30.0))
    kernel, here = told.kernel, told.places.get(N1)
    if not ready(report) or kernel is None or kernel.quorum_policy == "majority":
        return
    if kernel.role == "Primary" or (told.linstor and (here is None or not here.has_drbd)):
        return
    for link in kernel.connections:
        place = told.places.get(link.peer) if told.linstor else None
        counts = place is not None and not set(place.flags) & {"DISKLESS", "DELETE", "INACTIVE"}
        if link.state == "Connected" or not counts:
            continue
        assert link.state != "StandAlone"
        assert NOW - kernel.devices[0].since >= 30.0
        if told.nodes is not None and link.peer in told.nodes:
            assert told.nodes[link.peer].connection_status == "OFFLINE"
            assert Reach.ANSWERS not in told.reach.get(link.peer, PeerReach()).addresses.values()
        else:
            tried = set(told.reach.get(link.peer, PeerReach()).addresses.values())
            assert Reach.SILENT in tried
            assert Reach.ANSWERS not in tried


@settings(max_examples=200, deadline=None)
@given(snapshots(), POLICIES)
def test_a_report_is_whole(snapshot: Snapshot, policy: HealthPolicy) -> None:
    """Ready means nothing failing or unknown; every reader of a report copes with every report."""
    report = judge(snapshot, policy)
    for state in report.subjects.values():
        if state.ready:
            assert state.grade.badness <= Grade.DEGRADED.badness
        why.why(report, state.subject)
        assert set(map(str, state.rests_on)) <= set(report.subjects)
    verdict = decide.decide(report, waited=1.0, limit=5.0)
    passes = verdict.kind is decide.VerdictKind.PASS
    assert passes or verdict.waiting_for
    assert verdict.sentence
    wanted.draw(snapshot, report, facts.kept_map(), 1.0)
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report
