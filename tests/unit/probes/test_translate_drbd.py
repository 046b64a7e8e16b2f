# SPDX-License-Identifier: Apache-2.0
"""DRBD's recorded words as facts, and the moments of first sight that DRBD itself does not tell."""

import msgspec
from tests import recordings

from tidegate.clients.drbd import events2, state
from tidegate.core.drbd import DrbdResource
from tidegate.probes import translate_drbd

ODD = recordings.DATA / "fullstack" / "odd-states"


def recorded(folder: str, node: str = "n1") -> state.State:
    """Return the state that ``events2`` told in an odd state."""
    text = (ODD / folder / f"{node}.txt").read_text()
    part = text.partition("@@ events2")[2].partition("@@ ")[0]
    events = (events2.parse(line) for line in part.splitlines()[1:])
    return state.fold(state.State(), (e for e in events if isinstance(e, events2.Event)))


def odd(folder: str, node: str = "n1") -> DrbdResource:
    resources = translate_drbd.resources(recorded(folder, node).resources.values(), now=100.0)
    return resources["odd"]


def test_a_healthy_resource() -> None:
    resource = odd("01-both-uptodate-secondary")
    assert (resource.role, resource.suspended) == ("Secondary", "no")
    assert (resource.may_promote, resource.promotion_score) == (True, 10102)
    (device,) = resource.devices
    assert (device.number, device.minor, device.disk, device.quorum) == (0, 1001, "UpToDate", True)
    assert device.since == 100.0
    (link,) = resource.connections
    assert (link.peer, link.state, link.role, link.since) == ("n2", "Connected", "Secondary", 100.0)
    assert [(half.disk, half.replication) for half in link.devices] == [("UpToDate", "Established")]


def test_split_brain_shows_in_the_connection_only() -> None:
    resource = odd("21-split-brain-standalone")
    assert resource.devices[0].disk == "UpToDate"
    assert resource.may_promote
    assert resource.connections[0].state == "StandAlone"


def test_skip_disk_looks_like_a_client() -> None:
    resource = odd("46-skipdisk-n1-diskless-client-n2-gone")
    assert (resource.devices[0].disk, resource.devices[0].client) == ("Diskless", True)
    assert resource.promotion_score == 0


def test_a_resync_says_how_far_it_is() -> None:
    (link,) = odd("07-n2-synctarget-inconsistent", "n2").connections
    assert link.devices[0].replication in {"SyncTarget", "PausedSyncT", "Established"}


def test_the_quorum_rule_is_joined_by_name() -> None:
    told = recorded("01-both-uptodate-secondary").resources.values()
    found = translate_drbd.resources(told, now=1.0, quorum={"odd": "majority", "other": "off"})
    assert found["odd"].quorum_policy == "majority"
    assert translate_drbd.resources(told, now=1.0)["odd"].quorum_policy is None


def connected(name: str) -> state.Resource:
    return state.Resource(
        name="r",
        devices=(state.Device(volume=0, minor=1000),),
        connections=(state.Connection(peer_node_id=1, name="n2", state=name),),
    )


def test_moments_of_first_sight_are_kept_while_nothing_changes() -> None:
    first = translate_drbd.resources([connected("Connecting")], now=10.0)
    second = translate_drbd.resources([connected("Connecting")], now=20.0, before=first)
    assert second == first
    third = translate_drbd.resources([connected("Connected")], now=30.0, before=second)
    assert third["r"].devices[0].since == 10.0
    assert third["r"].connections[0].since == 30.0


def test_a_device_that_went_down_and_came_back_is_new() -> None:
    up = translate_drbd.resources([connected("Connecting")], now=10.0)
    down = translate_drbd.resources([], now=20.0, before=up)
    again = translate_drbd.resources([connected("Connecting")], now=30.0, before=down)
    assert again["r"].devices[0].since == 30.0
    other_minor = msgspec.structs.replace(
        connected("Connecting"), devices=(state.Device(volume=0, minor=1001),)
    )
    changed = translate_drbd.resources([other_minor], now=40.0, before=again)
    assert changed["r"].devices[0].since == 40.0
    assert changed["r"].connections[0].since == 30.0
