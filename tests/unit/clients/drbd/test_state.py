# SPDX-License-Identifier: Apache-2.0
import gzip
import json
from pathlib import Path

import pytest
from tests.recordings import DATA

from tidegate.clients.drbd import events2, state, status

DRBD = DATA / "drbd"
TWO = DRBD / "two-guests_kmod-9.3.3_utils-9.34.0"
DUMPS = sorted(DRBD.rglob("events2-full-timestamps-now.txt"))
ODD = sorted((DATA / "fullstack" / "odd-states").glob("*/n*.txt"))


def fold(text: str) -> state.State:
    events = [events2.parse(line) for line in text.splitlines()]
    return state.fold(state.State(), [e for e in events if isinstance(e, events2.Event)])


def dump(path: Path) -> state.Resource:
    text = (path / "events2-full-timestamps-now.txt").read_text()
    return fold(text).resources["pvc-r0"]


def part(text: str, mark: str) -> str:
    """The part of an odd-states file that follows ``@@ mark``, without its exit status."""
    body = text.partition(f"@@ {mark}\n")[2].partition("\n@@ ")[0]
    return body.rpartition("rc=")[0]


@pytest.mark.parametrize("path", DUMPS, ids=lambda p: "/".join(p.parts[-3:-1]))
def test_every_dump_is_complete_and_free_of_doubt(path: Path) -> None:
    told = fold(path.read_text())
    assert told.complete
    assert not told.doubtful


def test_dump_and_json_tell_the_same() -> None:
    checked = 0
    for path in DUMPS:
        told = fold(path.read_text()).resources
        found = status.parse_status((path.parent / "status.json").read_bytes())
        assert {r.name for r in found} == set(told), path
        for resource in found:
            other = told[resource.name]
            if _moving(other) or _moving(resource):
                continue
            assert _comparable(resource) == _comparable(other), path
            checked += 1
    assert checked > 90


def _moving(resource: state.Resource) -> bool:
    """In a resync, or near one: two programs run one after the other see different things."""
    return any(
        device.replication not in {"Off", "Established"}
        for connection in resource.connections
        for device in connection.peer_devices
    )


def _comparable(resource: state.Resource) -> object:
    return (
        resource.role,
        [(d.volume, d.minor, d.disk, d.client, d.quorum, d.size) for d in resource.devices],
        [
            (c.name, c.state, c.role, [(p.volume, p.disk, p.client) for p in c.peer_devices])
            for c in resource.connections
        ],
    )


def test_a_primary_without_quorum_is_suspended() -> None:
    resource = dump(TWO / "n1" / "10-n1-primary-suspended-quorum-writer-blocked")
    assert resource.role == "Primary"
    assert resource.suspended == "quorum"
    assert resource.may_promote is False
    assert resource.promotion_score == 0
    device = resource.device(0)
    assert device is not None
    assert (device.disk, device.quorum, device.blocked) == ("UpToDate", False, "upper")
    assert device.backing_dev == "/dev/drbdpool/pvc-r0_00000"
    assert {c.state for c in resource.connections} == {"Connecting"}


def test_split_brain_shows_in_the_connection_only() -> None:
    for node in ("n1", "n2"):
        resource = dump(TWO / node / "37-split-brain-standalone")
        assert [d.disk for d in resource.devices] == ["UpToDate"]
        peer = "n2" if node == "n1" else "n1"
        connection = resource.connection(peer)
        assert connection is not None
        assert connection.state == "StandAlone"


def test_a_diskless_device_has_no_backing_device() -> None:
    resource = dump(DRBD / "kmod-9.2.18_utils-9.22.0" / "14-secondary-diskless")
    (device,) = resource.devices
    assert (device.disk, device.backing_dev, device.client, device.open) == (
        "Diskless",
        None,
        False,
        None,  # these drbd-utils do not say it
    )


def test_a_resync_tells_how_far_it_is() -> None:
    resource = dump(TWO / "n2" / "05-n2-synctarget-inconsistent")
    peer = resource.connections[0].peer_devices[0]
    assert resource.devices[0].disk == "Inconsistent"
    assert peer.replication == "SyncTarget"
    assert peer.done is not None
    assert 0 <= peer.done < 100


@pytest.mark.parametrize("path", ODD, ids=lambda p: "/".join(p.parts[-2:]))
def test_odd_states_read_the_same_both_ways(path: Path) -> None:
    text = path.read_text()
    told = fold(part(text, "events2"))
    found = status.parse_status(part(text, "status-json").encode())
    if told.complete:
        assert {r.name: r.role for r in found} == {n: r.role for n, r in told.resources.items()}


def test_split_brain_of_the_full_stack_promises_promotion() -> None:
    folder = DATA / "fullstack" / "odd-states" / "21-split-brain-standalone"
    for node in ("n1", "n2"):
        odd = fold(part((folder / f"{node}.txt").read_text(), "events2")).resources["odd"]
        assert odd.may_promote
        assert odd.promotion_score == 10101
        assert [c.state for c in odd.connections] == ["StandAlone"]


def test_skip_disk_looks_like_an_intended_client() -> None:
    folder = DATA / "fullstack" / "odd-states" / "46-skipdisk-n1-diskless-client-n2-gone"
    odd = fold(part((folder / "n1.txt").read_text(), "events2")).resources["odd"]
    assert [(d.disk, d.client) for d in odd.devices] == [("Diskless", True)]


def test_a_stream_of_a_boot_ends_where_the_final_status_is() -> None:
    folder = DATA / "fullstack" / "s2-power-loss" / "n1"
    told = fold(gzip.decompress((folder / "events2.txt.gz").read_bytes()).decode())
    assert told.complete
    assert not told.doubtful
    assert {d.minor for r in told.resources.values() for d in r.devices} == set(range(1000, 1005))
    assert all(d.disk == "UpToDate" for r in told.resources.values() for d in r.devices)
    assert sum(r.role == "Primary" for r in told.resources.values()) == 3


def test_a_stream_through_many_states_stays_free_of_doubt() -> None:
    for path in sorted(DRBD.rglob("*events2-stream.txt")) + sorted(
        DRBD.rglob("reboot*events2.txt")
    ):
        assert not fold(path.read_text()).doubtful, path


def test_lines_that_carry_only_what_changed() -> None:
    told = fold(
        "exists resource name:r role:Secondary suspended:no may_promote:no promotion_score:0\n"
        "exists connection name:r peer-node-id:1 conn-name:n2 connection:Connecting role:Unknown\n"
        "exists device name:r volume:0 minor:1000 backing_dev:none disk:Diskless client:no quorum:yes\n"
        "exists peer-device name:r peer-node-id:1 conn-name:n2 volume:0 replication:Off "
        "peer-disk:DUnknown peer-client:unknown\n"
        "exists -\n"
        "change device name:r volume:0 minor:1000 disk:UpToDate\n"
        "change resource name:r may_promote:yes promotion_score:10101\n"
        "change connection name:r peer-node-id:1 conn-name:n2 connection:Connected\n"
    )
    resource = told.resources["r"]
    assert resource.role == "Secondary"
    assert resource.may_promote
    assert resource.devices[0].disk == "UpToDate"
    assert resource.devices[0].quorum
    assert resource.connections[0].state == "Connected"
    assert resource.connections[0].peer_devices[0].client is None


def test_an_ended_resync_forgets_its_progress() -> None:
    start = (
        "exists resource name:r role:Primary\n"
        "exists connection name:r peer-node-id:1 conn-name:n2 connection:Connected role:Secondary\n"
        "exists peer-device name:r peer-node-id:1 conn-name:n2 volume:0 replication:SyncSource "
        "done:50.82 out-of-sync:126912\n"
    )
    assert fold(start).resources["r"].connections[0].peer_devices[0].done == 50.82
    after = start + (
        "change peer-device name:r peer-node-id:1 conn-name:n2 volume:0 replication:Established "
        "out-of-sync:0\n"
    )
    assert fold(after).resources["r"].connections[0].peer_devices[0].done is None


def test_what_is_destroyed_is_gone() -> None:
    start = (
        "exists resource name:r role:Secondary\n"
        "exists connection name:r peer-node-id:1 conn-name:n2 connection:Connected role:Secondary\n"
        "exists device name:r volume:0 minor:1000 disk:UpToDate\n"
    )
    assert not fold(start + "destroy device name:r volume:0 minor:1000\n").resources["r"].devices
    gone = fold(start + "destroy connection name:r peer-node-id:1 conn-name:n2\n")
    assert not gone.resources["r"].connections
    assert not fold(start + "destroy resource name:r\n").resources
    again = fold(start + "destroy resource name:r\ncreate resource name:r role:Secondary\n")
    assert not again.resources["r"].devices


def test_a_renamed_resource_keeps_its_parts() -> None:
    told = fold(
        "exists resource name:r role:Primary\n"
        "exists device name:r volume:0 minor:1000 disk:UpToDate\n"
        "rename resource name:r new_name:s\n"
    )
    assert set(told.resources) == {"s"}
    assert told.resources["s"].name == "s"
    assert told.resources["s"].devices


@pytest.mark.parametrize(
    "line",
    [
        "change device name:x volume:0 minor:1 disk:UpToDate",
        "change resource name:x role:Primary",
        "rename resource name:x new_name:y",
        "exists peer-device name:r peer-node-id:7 conn-name:n7 volume:0",
        "change device name:r volume:none minor:1",
        "change device name:r minor:1",
    ],
)
def test_what_does_not_fit_makes_the_state_doubtful(line: str) -> None:
    told = fold(f"exists resource name:r role:Secondary\n{line}\n")
    assert told.doubtful
    assert not told.complete


def test_values_are_never_changed_in_place() -> None:
    first = fold("exists resource name:r role:Secondary\n")
    event = events2.parse("change resource name:r role:Primary")
    assert isinstance(event, events2.Event)
    second = state.fold(first, [event])
    assert first.resources["r"].role == "Secondary"
    assert second.resources["r"].role == "Primary"


def test_status_json_is_not_simply_python_json() -> None:
    # drbdsetup pads "connection-state" with a blank after the comma; both readers must bear it.
    path = TWO / "n1" / "10-n1-primary-suspended-quorum-writer-blocked" / "status.json"
    assert json.loads(path.read_text())[0]["name"] == "pvc-r0"
    (resource,) = status.parse_status(path.read_bytes())
    assert resource.suspended == "quorum"
    assert resource.may_promote is None
