# SPDX-License-Identifier: Apache-2.0
"""The rule against split brain (contract.md, safety 1), case by case."""

from typing import Any

import pytest
from tests.health_facts import N2, N3, edit

from tidegate.config.policy import HealthPolicy, PeerAlivePolicy
from tidegate.core.finding import Grade
from tidegate.health import catalogue
from tidegate.health.usable import Peer, PeerNode, Replica, judge

POLICY = HealthPolicy()
USE = HealthPolicy(peer_alive=PeerAlivePolicy.USE)
UP = 100.0
"""When the device came up."""
SOON = UP + 5.0
LATE = UP + 31.0


def peer(connection: str = "Connected", **more: Any) -> Peer:
    connected = connection == "Connected"
    base: dict[str, Any] = {
        "name": N2,
        "connection": connection,
        "since": UP,
        "disk": "UpToDate" if connected else None,
        "node": PeerNode.ALIVE,
        "status": "ONLINE",
    }
    return Peer(**(base | more))


def replica(*peers: Peer, **more: Any) -> Replica:
    base: dict[str, Any] = {
        "disk": "UpToDate",
        "score": 10101 + sum(p.has_good_data for p in peers),
        "quorum": True,
        "up_since": UP,
        "peers": peers,
    }
    return Replica(**(base | more))


def verdict(
    local: Replica, now: float, policy: HealthPolicy = POLICY
) -> tuple[bool, tuple[str, ...]]:
    """Whether it is usable, and the codes of all doubts."""
    doubts = judge(local, policy, now)
    return not any(doubt.blocks for doubt in doubts), tuple(doubt.code for doubt in doubts)


OFFLINE = {"node": PeerNode.OFFLINE, "status": "OFFLINE"}
UNKNOWN = {"node": PeerNode.UNKNOWN, "status": ""}


@pytest.mark.parametrize(
    ("local", "now", "usable", "codes"),
    [
        pytest.param(replica(peer()), SOON, True, (), id="peer connected"),
        pytest.param(replica(), SOON, True, (), id="no peer at all"),
        pytest.param(
            replica(peer("Connecting", diskful=False)), SOON, True, (), id="only a tie-breaker away"
        ),
        pytest.param(
            replica(peer("Connecting")),
            SOON,
            False,
            ("volume.peer-waiting",),
            id="peer not yet there",
        ),
        pytest.param(
            replica(peer("Connecting", **OFFLINE)),
            SOON,
            False,
            ("volume.peer-waiting",),
            id="peer offline, before the peer wait is over",
        ),
        pytest.param(
            replica(peer("Connecting", **OFFLINE)),
            LATE,
            True,
            ("volume.peer-absent",),
            id="peer offline, after the peer wait",
        ),
        pytest.param(
            replica(peer("Connecting")),
            LATE,
            False,
            ("volume.peer-alive",),
            id="peer alive: link broken",
        ),
        pytest.param(
            replica(peer("Connecting", **UNKNOWN)),
            LATE,
            False,
            ("volume.peer-unknown",),
            id="nobody knows whether the peer lives",
        ),
        pytest.param(
            replica(peer(), peer("Connecting", name=N3)),
            LATE,
            False,
            ("volume.peer-alive",),
            id="one of two peers missing",
        ),
        pytest.param(
            replica(peer("none")),
            SOON,
            False,
            ("volume.peer-waiting",),
            id="no connection configured",
        ),
        pytest.param(
            replica(peer("Connecting"), up_since=None),
            LATE,
            False,
            ("volume.peer-waiting",),
            id="nobody knows since when it is up: it is new",
        ),
        pytest.param(
            replica(peer(disk="Diskless")),
            SOON,
            False,
            ("volume.peer-waiting",),
            id="peer connected, its disk not attached yet",
        ),
        pytest.param(
            replica(peer(disk="DUnknown")),
            SOON,
            False,
            ("volume.peer-waiting",),
            id="peer connected, its disk not told yet",
        ),
        pytest.param(
            replica(peer(disk="Diskless")),
            LATE,
            True,
            ("volume.peer-disk",),
            id="peer connected, its disk broken",
        ),
        pytest.param(
            replica(peer(disk="Inconsistent")),
            SOON,
            True,
            ("volume.peer-disk",),
            id="peer is being synced",
        ),
    ],
)
def test_without_quorum(local: Replica, now: float, usable: bool, codes: tuple[str, ...]) -> None:
    assert verdict(local, now) == (usable, codes)


@pytest.mark.parametrize("quorum_rule", [True, False])
@pytest.mark.parametrize("connection", ["Connected", "Connecting"])
@pytest.mark.parametrize("primary", [True, False])
def test_a_primary_peer_never(quorum_rule: bool, connection: str, primary: bool) -> None:
    """Also while this node is Primary itself: two writers on one volume."""
    local = replica(peer(connection, primary=True), quorum_rule=quorum_rule, primary=primary)
    usable, codes = verdict(local, LATE, USE)
    assert not usable
    assert "volume.peer-primary" in codes


def test_a_diskless_primary_peer_counts_as_well() -> None:
    assert not verdict(replica(peer(diskful=False, primary=True)), LATE)[0]


@pytest.mark.parametrize(
    ("local", "usable", "codes"),
    [
        pytest.param(replica(peer()), True, (), id="all connected"),
        pytest.param(
            replica(peer("Connecting")),
            True,
            ("volume.peer-absent",),
            id="DRBD has quorum without the peer: DRBD decides",
        ),
        pytest.param(
            replica(peer("Connecting"), quorum=False, score=0),
            False,
            ("volume.no-quorum", "volume.peer-absent"),
            id="no quorum",
        ),
        pytest.param(
            replica(
                peer("Connecting"),
                quorum=False,
                score=0,
                suspended=frozenset({"quorum"}),
                primary=True,
            ),
            False,
            ("volume.no-quorum", "volume.suspended", "volume.peer-absent"),
            id="Primary that lost quorum, suspended",
        ),
        pytest.param(
            replica(peer("StandAlone", since=0.0)),
            True,
            ("volume.peer-absent",),
            id="StandAlone, quorum held by others",
        ),
    ],
)
def test_with_quorum_drbd_decides(local: Replica, usable: bool, codes: tuple[str, ...]) -> None:
    assert verdict(edit(local, quorum_rule=True), SOON) == (usable, codes)


def test_quorum_yes_without_a_rule_is_no_evidence() -> None:
    assert not verdict(replica(peer("Connecting"), quorum=True), SOON)[0]


def test_quorum_no_without_a_rule_is_no_evidence_either() -> None:
    assert verdict(replica(peer(), quorum=False), SOON)[0]


@pytest.mark.parametrize(
    ("lasts", "here", "there", "code", "waiting"),
    [
        (3.0, "UpToDate", "UpToDate", "volume.standalone", True),
        (14.9, "UpToDate", None, "volume.standalone", True),
        (15.1, "UpToDate", None, "volume.standalone", False),
        (15.1, "UpToDate", "UpToDate", "volume.split-brain", False),
        (15.1, "Outdated", "UpToDate", "volume.standalone", False),
    ],
)
def test_standalone(lasts: float, here: str, there: str | None, code: str, waiting: bool) -> None:
    """A moment of it is the normal way up; if it stays with good data on both sides, it is split brain."""
    local = replica(peer("StandAlone", since=LATE - lasts, disk=there), disk=here)
    doubt = next(d for d in judge(local, POLICY, LATE) if d.code == code)
    assert doubt.blocks
    assert doubt.waiting is waiting


@pytest.mark.parametrize("node", list(PeerNode))
@pytest.mark.parametrize("policy", [POLICY, USE])
def test_standalone_that_stays_is_never_used(node: PeerNode, policy: HealthPolicy) -> None:
    """DRBD has refused that peer; not even its absence makes the two histories one."""
    assert not verdict(replica(peer("StandAlone", since=0.0, node=node)), LATE, policy)[0]


@pytest.mark.parametrize("more", [{}, UNKNOWN])
def test_use_after_the_peer_wait_by_policy(more: dict[str, Any]) -> None:
    local = replica(peer("Connecting", **more))
    assert verdict(local, SOON, USE) == (False, ("volume.peer-waiting",))
    assert verdict(local, LATE, USE) == (True, ("volume.peer-absent",))


@pytest.mark.parametrize(
    ("connection", "more", "codes"),
    [
        ("Connecting", {}, ("volume.peer-alive",)),
        ("Connecting", OFFLINE, ("volume.peer-absent",)),
        ("Connecting", UNKNOWN, ("volume.peer-absent",)),
        ("StandAlone", {"since": 0.0}, ("volume.standalone",)),
    ],
)
def test_in_use_here_already_a_lost_peer_only_degrades(
    connection: str, more: dict[str, Any], codes: tuple[str, ...]
) -> None:
    local = replica(peer(connection, **more), primary=True)
    assert verdict(local, LATE) == (True, codes)


def test_in_use_here_split_brain_is_still_split_brain() -> None:
    local = replica(peer("StandAlone", since=0.0, disk="UpToDate"), primary=True)
    assert verdict(local, LATE) == (False, ("volume.split-brain",))


@pytest.mark.parametrize(
    ("disk", "code"),
    [
        ("Diskless", "volume.diskless"),
        ("Attaching", "volume.attaching"),
        ("Negotiating", "volume.attaching"),
        ("Inconsistent", "volume.inconsistent"),
        ("Outdated", "volume.outdated"),
        ("Consistent", "volume.consistent"),
        ("Failed", "volume.failed"),
        ("Something", "volume.not-promotable"),
    ],
)
def test_a_bad_disk_alone_is_not_usable(disk: str, code: str) -> None:
    local = replica(peer("Connecting", **OFFLINE), disk=disk, score=0)
    usable, codes = verdict(local, LATE)
    assert not usable
    assert codes[0] == code


@pytest.mark.parametrize(
    ("disk", "code"),
    [
        ("Diskless", "volume.diskless"),
        ("Failed", "volume.failed"),
        ("Inconsistent", "volume.syncing"),
        ("Outdated", "volume.syncing"),
    ],
)
def test_a_bad_disk_over_a_good_peer_is_usable_and_degraded(disk: str, code: str) -> None:
    doubts = judge(replica(peer(), disk=disk, score=1), POLICY, SOON)
    assert [(doubt.code, doubt.blocks) for doubt in doubts] == [(code, False)]


def test_a_resync_says_how_far_it_is() -> None:
    local = replica(peer(), disk="Inconsistent", score=10001, done_percent=43.2)
    assert "43 %" in judge(local, POLICY, SOON)[0].observed


def test_diskless_by_will_is_no_trouble_over_a_good_peer() -> None:
    local = replica(peer(), disk="Diskless", score=1, diskless_by_will=True)
    assert [doubt.grade for doubt in judge(local, POLICY, SOON)] == [Grade.OK]
    alone = edit(local, peers=(peer("Connecting", **OFFLINE),), score=0)
    assert not verdict(alone, LATE)[0]


@pytest.mark.parametrize(
    ("score", "peers", "usable", "code"),
    [
        (10102, (peer(disk=None),), True, None),
        (10101, (), True, None),
        (10001, (peer(disk=None),), True, "volume.syncing"),
        (10001, (), False, "volume.not-promotable"),
        (1, (peer(disk=None),), True, "volume.diskless"),
        (1, (), False, "volume.not-promotable"),
        (0, (peer(disk=None),), False, "volume.not-promotable"),
        (0, (), False, "volume.not-promotable"),
        (None, (peer(disk=None),), False, "volume.not-known"),
    ],
)
def test_over_rest_the_promotion_score_decides(
    score: int | None, peers: tuple[Peer, ...], usable: bool, code: str | None
) -> None:
    local = replica(*peers, disk=None, score=score, quorum=None)
    assert verdict(local, SOON) == (usable, (code,) if code else ())


def test_over_rest_split_brain_shows_in_the_connection_and_both_scores() -> None:
    local = replica(peer("StandAlone", since=0.0, disk="UpToDate"), disk=None, score=10101)
    assert verdict(local, LATE) == (False, ("volume.split-brain",))


def test_up_to_date_and_still_not_promotable_is_believed() -> None:
    assert verdict(replica(peer(), score=0), SOON) == (False, ("volume.not-promotable",))


def test_another_volume_of_the_resource_may_lower_the_score() -> None:
    """The score speaks of all volumes of a resource; one that a peer serves makes it 1."""
    assert verdict(replica(peer(), score=1), SOON) == (True, ())


def test_io_suspended_by_a_person_is_not_usable_and_does_not_end_by_itself() -> None:
    local = replica(peer(), suspended=frozenset({"user"}), coming_up=True)
    doubts = judge(local, POLICY, SOON)
    assert [(d.code, d.waiting) for d in doubts] == [("volume.suspended", False)]


def test_waiting_for_a_peer_tells_the_seconds_left() -> None:
    doubt = judge(replica(peer("Connecting")), POLICY, UP + 12.0)[0]
    assert "18 s more" in doubt.observed
    assert doubt.waiting


def test_every_doubt_has_an_entry_in_the_catalogue() -> None:
    for local in (replica(peer("Connecting")), replica(peer(), disk="Outdated")):
        for doubt in judge(local, POLICY, LATE):
            assert doubt.code in catalogue.CODES
