# SPDX-License-Identifier: Apache-2.0
"""Programs, modules and what the satellite has started."""

import os
from pathlib import Path

import pytest

from tidegate.clients.devices import programs

DEP = "kernel/fs/xfs/xfs.ko: kernel/lib/libcrc32c.ko\n"
OWN = "kernel/drivers/block/drbd/drbd.ko.xz: kernel/lib/lru_cache.ko.xz\n"
DKMS = "updates/dkms/drbd.ko: \nupdates/dkms/drbd_transport_tcp.ko: updates/dkms/drbd.ko\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (DEP, ""),
        ("", ""),
        (DEP + OWN, "kernel/drivers/block/drbd/drbd.ko.xz"),
        (DEP + DKMS, "updates/dkms/drbd.ko"),
        ("updates/dkms/drbd_transport_tcp.ko: updates/dkms/drbd.ko\n", ""),
    ],
)
def test_the_module_that_would_be_loaded(text: str, found: str) -> None:
    assert programs.parse_modules(text) == found


def test_a_kernel_without_a_list(tmp_path: Path) -> None:
    assert programs.drbd_file("6.12.1", tmp_path) is None
    (tmp_path / "lib/modules/6.12.1").mkdir(parents=True)
    (tmp_path / "lib/modules/6.12.1/modules.dep").write_text(DKMS)
    assert programs.drbd_file("6.12.1", tmp_path) == "updates/dkms/drbd.ko"


def test_what_is_installed(tmp_path: Path) -> None:
    (tmp_path / "usr/sbin").mkdir(parents=True)
    (tmp_path / "usr/sbin/drbdadm").touch()
    assert programs.installed(("drbdadm", "zfs"), tmp_path) == {"drbdadm": True, "zfs": False}


def test_what_a_unit_has_started(tmp_path: Path) -> None:
    group = tmp_path / "sys/fs/cgroup/system.slice/s.service"
    group.mkdir(parents=True)
    (group / "cgroup.procs").write_text("7\n8\n9\nodd\n")
    ticks = os.sysconf("SC_CLK_TCK")
    for pid, start, command in ((7, 10, "java\0Satellite"), (8, 40, "lvs\0-o\0lv_name\0")):
        place = tmp_path / "proc" / str(pid)
        place.mkdir(parents=True)
        fields = " ".join(["S", *["0"] * 18, str(start * ticks), "0"])
        (place / "stat").write_text(f"{pid} (a (strange) name) {fields}\n")
        (place / "cmdline").write_text(command)
    assert programs.started_by("s.service", tmp_path) == (
        programs.Running("java Satellite", 10.0),
        programs.Running("lvs -o lv_name", 40.0),
    )
    assert programs.started_by("other.service", tmp_path) == ()


def test_this_very_process_can_be_seen() -> None:
    found = programs._process(Path("/proc/self"))
    assert found is not None
    assert "python" in found.command
    assert found.since > 0
