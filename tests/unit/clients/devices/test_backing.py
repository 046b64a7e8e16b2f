# SPDX-License-Identifier: Apache-2.0
"""What lies behind storage pools, from the kernel's own files."""

from pathlib import Path

import pytest

from tidegate.clients.devices import backing
from tidegate.clients.devices.backing import Mount

MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 8:17 / /srv/lin rw - xfs /dev/sdb1 rw
41 22 8:33 / /srv/with\\040blank rw - xfs /dev/sdc1 rw
42 22 8:49 / /srv/lin rw - xfs /dev/sdd1 rw
not a line of it
"""


def made(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_the_mount_that_a_directory_lies_on(tmp_path: Path) -> None:
    mounted = backing.mounts(made(tmp_path, {"proc/self/mountinfo": MOUNTS}))
    assert backing.mount_of("/srv/lin/pool", mounted) == Mount("/srv/lin", "/dev/sdd1"), "the last"
    assert backing.mount_of("/srv/linstor", mounted) == Mount("/", "/dev/sda1")
    assert backing.mount_of("/srv/with blank/x", mounted) == Mount("/srv/with blank", "/dev/sdc1")


def test_the_hosts_own_view_is_preferred(tmp_path: Path) -> None:
    files = {"proc/self/mountinfo": MOUNTS, "proc/1/mountinfo": MOUNTS.splitlines()[0]}
    assert backing.mounts(made(tmp_path, files)) == (Mount("/", "/dev/sda1"),)


def test_nothing_can_be_read(tmp_path: Path) -> None:
    assert backing.mounts(tmp_path) == ()
    assert backing.mount_of("/srv", ()) is None
    assert backing.active_groups(tmp_path) == frozenset()
    assert backing.zpool_imported("tank", tmp_path) is None


def test_zpools(tmp_path: Path) -> None:
    (tmp_path / "proc/spl/kstat/zfs/tank").mkdir(parents=True)
    assert backing.zpool_imported("tank", tmp_path) is True
    assert backing.zpool_imported("dozer", tmp_path) is False


def test_groups_with_an_active_volume(tmp_path: Path) -> None:
    files = {
        "sys/block/dm-0/dm/uuid": "LVM-abc",
        "sys/block/dm-0/dm/name": "my--vg-lv--1",
        "sys/block/dm-1/dm/uuid": "CRYPT-LUKS2-x",
        "sys/block/dm-1/dm/name": "other-luks",
        "sys/block/dm-2/dm/uuid": "LVM-def",
    }
    assert backing.active_groups(made(tmp_path, files)) == {"my-vg"}


@pytest.mark.parametrize(
    ("name", "group"), [("vg0-thin", "vg0"), ("a--b-c", "a-b"), ("plain", "plain")]
)
def test_the_group_in_a_name(name: str, group: str) -> None:
    assert backing.group_of(name) == group
