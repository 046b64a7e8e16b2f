# SPDX-License-Identifier: Apache-2.0
"""May this volume be used on this node? The rule against split brain (contract.md, safety 1). Pure.

With a quorum rule in force DRBD decides. Without one (LINSTOR's two-node layout) an UpToDate disk proves nothing after a power
loss: the peer may have newer data and connect seconds later (facts/fullstack-observed.md). Then every peer with a disk has to be
Connected, or to be gone for good: the peer wait over *and* its node OFFLINE. Speed never beats this rule.

What is decided about is a :class:`Replica`, made of the kernel's own words where there are any, else of LINSTOR's.
"""

import enum
from typing import Final

import msgspec

from tidegate.config.policy import HealthPolicy, PeerAlivePolicy
from tidegate.core.finding import Grade
from tidegate.core.ids import NodeName
from tidegate.health.opinion import Doubt

CONNECTED: Final = "Connected"
STANDALONE: Final = "StandAlone"
UP_TO_DATE: Final = "UpToDate"
GOOD_SCORE: Final = 10100
"""From this promotion score on the local data are good; 1 is "over a peer", 0 is "not" (facts/fullstack-observed.md)."""

_COMING: Final = frozenset({"Attaching", "Negotiating"})
_NOT_THERE_YET: Final = frozenset({"Diskless", "Attaching", "Negotiating", "DUnknown"})
"""Disks of a connected peer whose generation of the data cannot have been compared with ours yet."""
_DISK_CODES: Final = {
    "Diskless": "volume.diskless",
    "Detaching": "volume.diskless",
    "Failed": "volume.failed",
    "Inconsistent": "volume.inconsistent",
    "Outdated": "volume.outdated",
    "Consistent": "volume.consistent",
    "Attaching": "volume.attaching",
    "Negotiating": "volume.attaching",
}


class PeerNode(enum.StrEnum):
    """What is known of a peer's machine."""

    OFFLINE = "offline"
    """Its node is OFFLINE, or with the controller gone it is unreachable on all its addresses."""
    ALIVE = "alive"
    UNKNOWN = "unknown"


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """Another node with a replica of the volume's resource."""

    name: NodeName
    connection: str
    """DRBD's word: Connected, Connecting, StandAlone, …; "none" where there is no connection at all."""
    since: float | None = None
    """Seconds since boot from which on ``connection`` is as it is; None when not known: then it is new."""
    primary: bool = False
    diskful: bool = True
    disk: str | None = None
    """Its disk, as far as known: UpToDate, Diskless, …"""
    node: PeerNode = PeerNode.UNKNOWN
    status: str = ""
    """The controller's word for its node."""

    @property
    def is_connected(self) -> bool:
        """True when DRBD talks to it."""
        return self.connection == CONNECTED

    @property
    def has_good_data(self) -> bool:
        """True when the data can be used over it now."""
        return self.is_connected and self.disk == UP_TO_DATE


class Replica(msgspec.Struct, frozen=True, kw_only=True):
    """The volume on this node, whoever told of it."""

    primary: bool = False
    disk: str | None = None
    """DRBD's word for the local disk; None when only LINSTOR could be asked, which does not say it in a form we keep."""
    score: int | None = None
    """Promotion score of the resource; None when not told."""
    may_promote: bool | None = None
    """DRBD would promote it at this moment; None when not told. False on a Primary, too."""
    suspended: frozenset[str] = frozenset()
    """Any of user, no-data, fencing, quorum."""
    quorum_rule: bool = False
    """A quorum rule is in force. DRBD says quorum:yes without one too: that is no evidence."""
    quorum: bool | None = None
    diskless_by_will: bool = False
    """LINSTOR wants no disk here."""
    up_since: float | None = None
    """Seconds since boot at which the device came up; None when not known: then it came up now."""
    done_percent: float | None = None
    """How far a resync of the local disk is."""
    coming_up: bool = False
    """So soon after boot or connect that trouble with the disk is a normal part of coming up."""
    peers: tuple[Peer, ...] = ()


def judge(replica: Replica, policy: HealthPolicy, now: float) -> tuple[Doubt, ...]:
    """Return the doubts about using the volume at ``now`` (seconds since boot); it is usable when none of them blocks."""
    doubts = [*_in_use_elsewhere(replica), *_decided_by_drbd(replica), *_data(replica)]
    doubts += _peers(replica, policy, now)
    if replica.may_promote is False and not replica.primary and not any(d.blocks for d in doubts):
        # Of a change that is told in several lines this one comes first (tests/data/drbd, streams of three nodes).
        doubts.append(
            Doubt(
                code="volume.not-promotable",
                observed="DRBD says that it may not be promoted here at this moment",
                waiting=True,
            )
        )
    return tuple(doubts)


def _in_use_elsewhere(replica: Replica) -> list[Doubt]:
    """A peer that is Primary: never, with or without quorum."""
    return [
        Doubt(
            code="volume.peer-primary",
            observed=f"{peer.name} is Primary: the volume is in use there",
            context={"peer": peer.name},
        )
        for peer in replica.peers
        if peer.primary
    ]


def _decided_by_drbd(replica: Replica) -> list[Doubt]:
    """Quorum and suspended I/O: DRBD's own no."""
    doubts = []
    if "quorum" in replica.suspended or (replica.quorum_rule and replica.quorum is False):
        missing = [peer for peer in replica.peers if not peer.is_connected]
        named = ", ".join(_away(peer) for peer in missing)
        moments = [peer.since for peer in missing if peer.since is not None]
        doubts.append(
            Doubt(
                code="volume.no-quorum",
                observed=f"no quorum; waits for a peer: {named}" if named else "no quorum",
                since=min(moments, default=None),
                waiting=replica.coming_up,
            )
        )
    if replica.suspended:
        doubts.append(
            Doubt(
                code="volume.suspended",
                observed=f"I/O is suspended ({', '.join(sorted(replica.suspended))})",
                waiting=replica.coming_up and "user" not in replica.suspended,
            )
        )
    return doubts


def _away(peer: Peer) -> str:
    """Return a peer that is not connected, with what is known of it."""
    words = [peer.connection]
    if peer.status:
        words.append(f"its node {peer.status}")
    return f"{peer.name} ({', '.join(words)})"


def _data(replica: Replica) -> list[Doubt]:
    """Good local data, or a connected peer's."""
    if replica.disk is None:
        return _data_by_score(replica)
    if replica.disk != UP_TO_DATE:
        return [_bad_disk(replica, replica.disk)]
    if replica.score is not None and replica.score < GOOD_SCORE and not replica.primary:
        # UpToDate, and DRBD still says no: quorum, suspension and a Primary peer explain it themselves.
        explained = replica.suspended or (replica.quorum_rule and replica.quorum is False)
        if explained or any(peer.primary for peer in replica.peers):
            return []
        # Another volume of the resource may be served by a peer: the score speaks of all of them.
        if replica.score <= 0 or not any(peer.is_connected for peer in replica.peers):
            return [_not_promotable(replica, replica.score)]
    return []


def _bad_disk(replica: Replica, disk: str) -> Doubt:
    over = [peer.name for peer in replica.peers if peer.has_good_data]
    code = _DISK_CODES.get(disk, "volume.not-promotable")
    how = f"the local disk is {disk}"
    if not over:
        coming = disk in _COMING or (replica.coming_up and disk != "Failed")
        if replica.diskless_by_will and disk == "Diskless":
            how = "no local disk by LINSTOR's will, and no connected peer has up-to-date data"
        return Doubt(code=code, observed=how, grade=Grade.FAILING, waiting=coming)
    if replica.diskless_by_will and disk == "Diskless":
        return Doubt(
            code=code,
            observed=f"no local disk by LINSTOR's will, data over {over[0]}",
            grade=Grade.OK,
        )
    if disk in {"Inconsistent", "Outdated"}:
        code = "volume.syncing"
        done = f", {replica.done_percent:.0f} % done" if replica.done_percent is not None else ""
        how = f"{how}, resync from {over[0]}{done}"
    return Doubt(code=code, observed=f"{how}; data over {', '.join(over)}", grade=Grade.DEGRADED)


def _data_by_score(replica: Replica) -> list[Doubt]:
    """The same over REST, where the promotion score is all there is (facts/fullstack-observed.md)."""
    score = replica.score
    if score is None:
        return [
            Doubt(
                code="volume.not-known", observed="the satellite has not said how good the data are"
            )
        ]
    if score >= GOOD_SCORE:
        return []
    connected = any(peer.is_connected for peer in replica.peers)
    if score <= 0 or not connected:
        return [_not_promotable(replica, score)]
    if score < 10000:
        grade = Grade.OK if replica.diskless_by_will else Grade.DEGRADED
        return [
            Doubt(code="volume.diskless", observed="no local disk; data over a peer", grade=grade)
        ]
    return [
        Doubt(code="volume.syncing", observed="the local disk is not UpToDate; data over a peer")
    ]


def _not_promotable(replica: Replica, score: int) -> Doubt:
    return Doubt(
        code="volume.not-promotable",
        observed=f"DRBD's promotion score is {score}: no good data can be reached from here",
        waiting=replica.coming_up,
    )


def _peers(replica: Replica, policy: HealthPolicy, now: float) -> list[Doubt]:
    """Each peer with a disk: Connected, gone for good, or a reason to wait."""
    doubts = []
    for peer in replica.peers:
        if not peer.diskful or peer.primary:
            continue
        if peer.is_connected:
            doubts += _connected(replica, peer, policy, now)
        elif replica.quorum_rule:
            doubts.append(_absent(peer, f"{peer.name} is not connected ({peer.connection})"))
        elif peer.connection == STANDALONE:
            doubts.append(_standalone(replica, peer, policy, now))
        else:
            doubts.append(_disconnected(replica, peer, policy, now))
    return doubts


def _connected(replica: Replica, peer: Peer, policy: HealthPolicy, now: float) -> list[Doubt]:
    if peer.disk is None or peer.disk == UP_TO_DATE:
        return []
    left = _left(replica, policy, now)
    if peer.disk in _NOT_THERE_YET and not replica.quorum_rule and not replica.primary and left > 0:
        # Its generation of the data is compared with ours only when its disk is attached, too.
        return [
            _waiting(peer, f"the disk of {peer.name} is {peer.disk}", left, policy),
        ]
    return [
        Doubt(
            code="volume.peer-disk",
            observed=f"the copy on {peer.name} is {peer.disk}",
            context={"peer": peer.name},
        )
    ]


def _standalone(replica: Replica, peer: Peer, policy: HealthPolicy, now: float) -> Doubt:
    """StandAlone for a moment is the normal way up; if it stays with good data on both sides, it is split brain."""
    lasts = 0.0 if peer.since is None else now - peer.since
    context: dict[str, str] = {"peer": peer.name}
    if lasts < policy.standalone_grace:
        return Doubt(
            code="volume.standalone",
            observed=f"connection to {peer.name} is StandAlone for {lasts:.0f} s",
            grade=Grade.DEGRADED if replica.primary else Grade.FAILING,
            since=peer.since,
            waiting=True,
            context=context,
        )
    good_here = replica.disk == UP_TO_DATE or (
        replica.disk is None and (replica.score or 0) >= GOOD_SCORE
    )
    if good_here and peer.disk == UP_TO_DATE:
        return Doubt(
            code="volume.split-brain",
            observed=f"StandAlone towards {peer.name} for {lasts:.0f} s, UpToDate on both sides",
            since=peer.since,
            context=context,
        )
    return Doubt(
        code="volume.standalone",
        observed=f"connection to {peer.name} is StandAlone for {lasts:.0f} s",
        grade=Grade.DEGRADED if replica.primary else Grade.FAILING,
        since=peer.since,
        context=context,
    )


def _disconnected(replica: Replica, peer: Peer, policy: HealthPolicy, now: float) -> Doubt:
    what = f"{peer.name} is not connected ({peer.connection})"
    if replica.primary:
        # It is in use here already, so here are the newest data; what is lost is the copy.
        if peer.node is PeerNode.ALIVE:
            return _alive(peer, what, grade=Grade.DEGRADED)
        return _absent(peer, what)
    left = _left(replica, policy, now)
    if left > 0:
        return _waiting(peer, what, left, policy)
    if peer.node is PeerNode.OFFLINE:
        return _absent(peer, f"{what}, its node is OFFLINE, and it was waited for")
    if policy.peer_alive is PeerAlivePolicy.USE:
        return _absent(peer, f"{what}; used without it by configuration")
    if peer.node is PeerNode.ALIVE:
        return _alive(peer, what)
    return Doubt(
        code="volume.peer-unknown",
        observed=f"{what}, and nobody knows whether its node lives",
        since=peer.since,
        context={"peer": peer.name},
    )


def _alive(peer: Peer, what: str, *, grade: Grade | None = None) -> Doubt:
    status = f" ({peer.status})" if peer.status else ""
    return Doubt(
        code="volume.peer-alive",
        observed=f"{what}, and its node lives{status}",
        grade=grade,
        since=peer.since,
        context={"peer": peer.name},
    )


def _left(replica: Replica, policy: HealthPolicy, now: float) -> float:
    """Return the seconds of the peer wait that are left."""
    up = now if replica.up_since is None else replica.up_since
    return up + policy.peer_wait - now


def _waiting(peer: Peer, what: str, left: float, policy: HealthPolicy) -> Doubt:
    return Doubt(
        code="volume.peer-waiting",
        observed=f"{what}; waits for it {left:.0f} s more",
        since=peer.since,
        waiting=True,
        context={"peer": peer.name, "limit": f"{policy.peer_wait:.0f}"},
    )


def _absent(peer: Peer, what: str) -> Doubt:
    return Doubt(
        code="volume.peer-absent",
        observed=what,
        since=peer.since,
        context={"peer": peer.name},
    )
