# SPDX-License-Identifier: Apache-2.0
"""A volume's replica on this node and its peers, as the kernel describes them, or else LINSTOR.

What they say is brought into the one form that the rule against split brain judges (``usable``). The kernel wins where both speak;
LINSTOR alone knows which peers hold a disk by its own will, and what a peer says that DRBD here cannot reach.
"""

from typing import Final

from tidegate.core.drbd import DrbdConnection, DrbdDevice, DrbdResource
from tidegate.core.facts import PlacementFacts
from tidegate.core.ids import NodeName, VolumeId
from tidegate.core.snapshot import Source
from tidegate.health import usable
from tidegate.health.view import View

GOING: Final = frozenset({"DELETE", "DRBD_DELETE"})
"""Flags of a replica that LINSTOR takes away."""
_NO_RULE: Final = frozenset({None, "", "off"})
_RESYNC: Final = frozenset({"SyncTarget", "PausedSyncT"})


def device_of(resource: DrbdResource | None, number: int) -> DrbdDevice | None:
    """Return the kernel's local half of volume ``number``."""
    if resource is None:
        return None
    return next((device for device in resource.devices if device.number == number), None)


def from_kernel(
    view: View, volume: VolumeId, resource: DrbdResource, local: DrbdDevice
) -> usable.Replica:
    """Return the replica as the kernel describes it."""
    here = view.placed_here(volume.resource)
    peers = _kernel_peers(view, volume, resource)
    rule = resource.quorum_policy
    if rule is None:
        rule = _defined_quorum(view, volume)
    return usable.Replica(
        primary=resource.role == "Primary",
        disk=local.disk,
        score=resource.promotion_score,
        may_promote=resource.may_promote,
        suspended=frozenset(resource.suspended.split(",")) - {"no", ""},
        quorum_rule=_is_rule(rule, peers),
        quorum=local.quorum,
        # LINSTOR's SkipDisk makes DRBD say client:yes, too: its own flags decide where they are known.
        diskless_by_will=here.is_diskless if here is not None else local.client is True,
        up_since=local.since,
        done_percent=_done(resource, volume.number),
        coming_up=view.is_coming_up,
        peers=peers,
    )


def from_linstor(view: View, volume: VolumeId, here: PlacementFacts) -> usable.Replica:
    """Return the replica as LINSTOR describes it, where the kernel cannot be asked."""
    told = dict(here.connections)
    fact = view.snapshot.placements.get(volume.resource)
    since = fact.since if fact is not None else None
    peers = tuple(
        _told_peer(view, place, told.get(node, "none"), since)
        for node, place in (_places(view, volume) or {}).items()
    )
    return usable.Replica(
        primary=here.in_use is True,
        score=here.promotion_score,
        may_promote=here.may_promote,
        quorum_rule=_is_rule(_defined_quorum(view, volume), peers),
        diskless_by_will=here.is_diskless,
        up_since=_up_since(view, volume),
        coming_up=view.is_coming_up,
        peers=peers,
    )


def _kernel_peers(view: View, volume: VolumeId, resource: DrbdResource) -> tuple[usable.Peer, ...]:
    places = _places(view, volume)
    unseen = {name.casefold(): place for name, place in (places or {}).items()}
    peers = [
        _kernel_peer(
            view,
            volume,
            connection,
            unseen.pop(connection.peer.casefold(), None),
            is_told=places is not None,
        )
        for connection in resource.connections
    ]
    # Placed there, and DRBD here has no connection to it at all.
    peers += [_told_peer(view, place, "none", None) for place in unseen.values()]
    return tuple(peers)


def _kernel_peer(
    view: View,
    volume: VolumeId,
    connection: DrbdConnection,
    place: PlacementFacts | None,
    *,
    is_told: bool,
) -> usable.Peer:
    """Return the peer of ``connection``; ``is_told``: LINSTOR's word on all placements can be believed."""
    half = next((d for d in connection.devices if d.number == volume.number), None)
    is_connected = connection.state == usable.CONNECTED
    node, status = _machine(view, connection.peer)
    if place is not None:
        diskful = not place.is_diskless
    elif is_told and not is_connected:
        diskful = False  # LINSTOR has no replica there any more: DRBD here only waits to be told
    else:
        diskful = not (half is not None and half.client)
    return usable.Peer(
        name=connection.peer,
        connection=connection.state,
        since=connection.since,
        # While it is connected the kernel knows; else LINSTOR may have heard it from there.
        primary=connection.role == "Primary"
        or (not is_connected and place is not None and place.in_use is True),
        diskful=diskful,
        disk=half.disk if is_connected and half is not None else _disk_by_score(place),
        node=node,
        status=status,
    )


def _told_peer(
    view: View, place: PlacementFacts, connection: str, since: float | None
) -> usable.Peer:
    node, status = _machine(view, place.node)
    return usable.Peer(
        name=place.node,
        connection=connection,
        since=since,
        primary=place.in_use is True,
        diskful=not place.is_diskless,
        disk=_disk_by_score(place),
        node=node,
        status=status,
    )


def _places(view: View, volume: VolumeId) -> dict[NodeName, PlacementFacts] | None:
    """Return the placements on other nodes that count; None when LINSTOR's word cannot be believed."""
    fact = view.snapshot.placements.get(volume.resource)
    if fact is None or not view.is_fresh(fact, Source.LINSTOR):
        return None
    return {
        place.node: place
        for place in fact.value
        if place.node != view.node and not _is_dropped(place)
    }


def _machine(view: View, name: NodeName) -> tuple[usable.PeerNode, str]:
    """Return what is known of a peer's machine, and the controller's word for its node."""
    reachable = view.reachable(name)
    nodes = view.nodes
    facts = view.node_called(name)
    status = "" if facts is None else facts.connection_status
    if reachable is True:
        return usable.PeerNode.ALIVE, status or "it answers"
    if facts is not None:
        is_offline = status == "OFFLINE"
        return (usable.PeerNode.OFFLINE if is_offline else usable.PeerNode.ALIVE), status
    if nodes is None and reachable is False:
        return usable.PeerNode.OFFLINE, "no address of it answers"
    return usable.PeerNode.UNKNOWN, ""


def _is_rule(rule: str | None, peers: tuple[usable.Peer, ...]) -> bool:
    """Return True when the quorum ``rule`` keeps two halves from both being used.

    A number does so only if it is more than half of the nodes with a disk: ``quorum 1`` is fulfilled by any node alone.
    """
    if rule is None or rule in _NO_RULE:
        return False
    if rule.isdecimal():
        return 2 * int(rule) > 1 + sum(peer.diskful for peer in peers)
    return True


def _defined_quorum(view: View, volume: VolumeId) -> str | None:
    definition = view.definitions.get(volume.resource)
    return None if definition is None else definition.quorum


def _up_since(view: View, volume: VolumeId) -> float | None:
    """Return when the device came up at the latest, where the kernel cannot be asked."""
    placed = view.snapshot.placements.get(volume.resource)
    moments = [] if placed is None else [placed.since]
    seen = view.snapshot.devices.get(str(volume))
    if seen is not None and seen.value.exists:
        moments.append(seen.since)
    return min(moments, default=None)


def _done(resource: DrbdResource, number: int) -> float | None:
    """Return how far the resync of the local disk is, in per cent."""
    for connection in resource.connections:
        for half in connection.devices:
            if half.number == number and half.replication in _RESYNC:
                return half.done_percent
    return None


def _disk_by_score(place: PlacementFacts | None) -> str | None:
    """Return a peer's disk as far as LINSTOR's word about that node tells it."""
    if place is None or not place.state_reported or place.promotion_score is None:
        return None
    return usable.UP_TO_DATE if place.promotion_score >= usable.GOOD_SCORE else None


def _is_dropped(place: PlacementFacts) -> bool:
    """Return True for a replica that LINSTOR takes away: it holds nothing that counts. An evicted node's still does."""
    flags = set(place.flags)
    return bool(GOING & flags) or ("INACTIVE" in flags and "EVICTED" not in flags)
