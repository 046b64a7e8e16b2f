# SPDX-License-Identifier: Apache-2.0
"""Answers of real drbdsetup (``tests/data/drbd``), and of ``show``, as its source prints it."""

import json
from pathlib import Path

import msgspec
import pytest

from tidegate.tuning import drbd

DATA = Path(__file__).resolve().parents[2] / "data" / "drbd"
SHOW = [
    {
        "resource": "pvc-r0",
        "options": {"quorum": "majority"},
        "_this_host": {
            "node-id": 0,
            "volumes": [
                {
                    "volume_nr": 0,
                    "device_minor": 1000,
                    "backing-disk": "/dev/vg0/pvc-r0_00000",
                    "meta-disk": "/dev/meta/pvc-r0.meta_00000",
                    "disk": {"al-extents": 6001, "on-io-error": "detach"},
                },
                {"volume_nr": 1, "device_minor": 1001, "disk": "none"},
            ],
        },
        "connections": [{"volumes": [{"volume_nr": 0, "disk": {"c-max-rate": "204800k"}}]}],
    }
]


def recorded() -> list[Path]:
    return sorted(DATA.rglob("status.json"))


@pytest.mark.parametrize("path", recorded()[:12], ids=lambda path: path.parent.name)
def test_recorded_states_give_sizes_and_addresses(path: Path) -> None:
    text = path.read_bytes()
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        pytest.skip("an empty recording")
    found = drbd.describe(json.dumps(SHOW).encode(), text)
    assert found.disks == {"pvc-r0/0": ("/dev/vg0/pvc-r0_00000", "/dev/meta/pvc-r0.meta_00000")}
    assert all(address.count(".") == 3 for address in found.local | found.peers)


def test_where_data_and_metadata_lie_and_what_a_resync_may_take() -> None:
    status = [{"name": "pvc-r0", "devices": [{"volume": 0, "size": 262052, "al-writes": 12}]}]
    found = drbd.describe(json.dumps(SHOW).encode(), json.dumps(status).encode())
    (volume,) = found.volumes
    assert (volume.name, volume.internal, volume.al_extents) == ("pvc-r0/0", False, 6001)
    assert (volume.size, volume.al_writes) == (262052 * 1024, 12)
    assert found.minors == (1000, 1001)
    assert found.rate == 204800 * 1024


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("102400", 102400 * 1024),
        ("100M", 100 << 20),
        ("250000k", 250000 << 10),
        ("", None),
        ("x", None),
    ],
)
def test_rates(text: str, rate: float | None) -> None:
    assert drbd.rate(text) == rate


def test_answers_of_another_shape_are_left_out() -> None:
    assert drbd.describe(b"{}", b"[]") == drbd.Described()
    assert drbd.describe(b'[{"_this_host": 3}, 4]', b'[{"devices": {}}]').volumes == ()


def test_what_linstor_made_is_known_by_its_name() -> None:
    disks = {
        "pvc-r0/0": ("/dev/vg0/pvc-r0_00000", "x"),
        "two/1": ("/dev/zvol/tank/two_00001", "x"),
        "by-hand/0": ("/dev/vg0/data", "x"),
    }
    assert drbd.made_by_linstor(disks) == {"pvc-r0", "two"}
