# SPDX-License-Identifier: Apache-2.0
import msgspec
import pytest
from tests.recordings import DATA

from tidegate.clients.drbd import status


def test_every_recorded_status_is_understood() -> None:
    paths = sorted((DATA / "drbd").rglob("status.json"))
    assert len(paths) > 130
    for path in paths:
        for resource in status.parse_status(path.read_bytes()):
            assert resource.name


def test_nothing_up_is_no_resources() -> None:
    assert status.parse_status(b"[\n]\n") == ()


def test_a_running_resync_has_progress() -> None:
    folder = DATA / "drbd" / "two-guests_kmod-9.3.3_utils-9.34.0" / "n2"
    path = folder / "05-n2-synctarget-inconsistent" / "status.json"
    (resource,) = status.parse_status(path.read_bytes())
    (peer,) = (c for c in resource.connections if c.name == "n1")
    assert peer.peer_devices[0].replication == "SyncTarget"
    assert peer.peer_devices[0].done is not None


# The shape is read from drbd-utils, user/v9/drbdsetup.c (show_resource_list_json), not recorded.
SHOWN = b"""[
    {
        "resource": "r",
        "options": {
            "cpu-mask": "",
            "quorum": "majority",
            "on-no-quorum": "suspend-io"
        },
        "_this_host": { "node-id": 0, "volumes": [ ] }
    },
    { "resource": "s", "options": { "quorum": "off" }, "_this_host": { "volumes": [] } },
    { "resource": "t", "_this_host": { "volumes": [] } }
]"""


def test_the_quorum_rule_in_force() -> None:
    assert status.parse_quorum(SHOWN) == {"r": "majority", "s": "off", "t": None}


@pytest.mark.parametrize("data", [b"", b"no resources", b'{"a": 1}', b"[1]"])
def test_anything_else_is_an_error(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        status.parse_status(data)
