# SPDX-License-Identifier: Apache-2.0
"""What this machine has, read from files below a folder that stands for ``/``."""

import socket
from pathlib import Path

import pytest

from tidegate.core.facts import HostFacts
from tidegate.probes import base, host

TABLE = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0D26 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 17 1
   1: 0100007F:0016 0100007F:0D26 01 00000000:00000000 00:00000000 00000000     0        0 18 1
"""


def looked_at(root: Path, port: int = 3366) -> host.HostProbe:
    return host.HostProbe(root=root, satellite_port=port, clock=lambda: 7.0)


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


async def test_a_storage_node(tmp_path: Path) -> None:
    put(tmp_path / "sys/module/drbd/version", "9.3.3\n")
    put(tmp_path / "usr/share/linstor-server/bin/Satellite", "")
    put(tmp_path / "proc/net/tcp", TABLE.format(state="0A"))
    seen = await looked_at(tmp_path).look(base.Need())
    assert seen.at == 7.0
    assert seen.host is not None
    assert (seen.host.drbd_module, seen.host.satellite_present) == ("9.3.3", True)
    assert seen.host.satellite_listens is True


async def test_an_empty_host(tmp_path: Path) -> None:
    seen = await looked_at(tmp_path).look(base.Need())
    assert seen.host is not None
    assert (seen.host.drbd_module, seen.host.satellite_present) == (None, False)
    assert seen.host.satellite_listens is None, "the kernel's tables could not be read"


@pytest.mark.parametrize(
    ("state", "port", "expected"), [("0A", 3366, True), ("01", 3366, False), ("0A", 22, False)]
)
async def test_only_a_listening_socket_counts(
    tmp_path: Path, state: str, port: int, expected: bool
) -> None:
    put(tmp_path / "proc/net/tcp", TABLE.format(state=state))
    seen = await looked_at(tmp_path, port).look(base.Need())
    assert seen.host is not None
    assert seen.host.satellite_listens is expected


@pytest.mark.needs("linux")
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
async def test_a_real_port_is_seen(family: socket.AddressFamily) -> None:
    with socket.socket(family) as server:
        server.bind(("127.0.0.1" if family is socket.AF_INET else "::1", 0))
        port = server.getsockname()[1]
        before = await looked_at(Path("/"), port).look(base.Need())
        server.listen()
        after = await looked_at(Path("/"), port).look(base.Need())
    assert before.host is not None
    assert after.host is not None
    assert (before.host.satellite_listens, after.host.satellite_listens) == (False, True)


# --- what explains ---------------------------------------------------------------------------


def made(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


async def test_a_clock_that_is_set(tmp_path: Path) -> None:
    wall = [1000.0]
    now = [7.0]
    probe = host.HostProbe(
        root=tmp_path, satellite_port=3366, clock=lambda: now[0], wall=lambda: wall[0]
    )
    assert (await facts_of(probe)).clock_jump is None
    now[0], wall[0] = 8.0, 1001.5
    assert (await facts_of(probe)).clock_jump is None, "slewed, not set"
    now[0], wall[0] = 9.0, 4602.5
    jump = (await facts_of(probe)).clock_jump
    assert jump is not None
    assert (jump.seconds, jump.at) == (3600.0, 9.0)


async def test_what_lies_behind_storage_pools(tmp_path: Path) -> None:
    root = made(
        tmp_path,
        {
            "proc/self/mountinfo": "40 22 8:17 / /srv/lin rw - xfs /dev/sdb1 rw\n"
            "41 22 147:0 / /var/lib/linstor rw - ext4 /dev/drbd1000 rw\n",
            "sys/block/dm-0/dm/uuid": "LVM-abc",
            "sys/block/dm-0/dm/name": "vg0-thin",
            "srv/lin/pool/x": "",
        },
    )
    need = base.Need(
        storage={
            "files": ("FILE_THIN", "/srv/lin/pool"),
            "gone": ("FILE", "/srv/other"),
            "lvm": ("LVM_THIN", "vg0/thin"),
            "absent": ("LVM", "vg1"),
            "secret": ("FILE", "/home/x"),
        }
    )
    facts = await facts_of(looked_at(root), need)
    seen = {name: (one.present, one.mount) for name, one in facts.backings.items()}
    assert seen == {
        "files": (True, "/srv/lin"),
        "gone": (False, None),
        "lvm": (True, None),
        "absent": (None, None),
        "secret": (None, None),
    }
    assert facts.controller_database == "/dev/drbd1000"


async def test_a_module_that_is_not_loaded(tmp_path: Path) -> None:
    root = made(tmp_path, {"lib/modules/6.1/modules.dep": "updates/dkms/drbd.ko:\n"})
    probe = host.HostProbe(root=root, satellite_port=1, clock=lambda: 7.0, release="6.1")
    assert (await facts_of(probe)).drbd_file == "updates/dkms/drbd.ko"
    made(root, {"sys/module/drbd/version": "9.3.3\n"})
    assert (await facts_of(probe)).drbd_file is None, "loaded: that is what counts"


@pytest.mark.parametrize(
    ("command", "is_own"),
    [
        ("/usr/bin/java -Xmx2G com.linbit.linstor.core.Satellite", True),
        ("drbdsetup events2 all", True),
        ("lvs -o lv_name", False),
        ("zfs list -r", False),
    ],
)
def test_what_always_runs_beside_the_satellite(command: str, is_own: bool) -> None:
    assert host.is_own(command) is is_own


async def facts_of(probe: host.HostProbe, need: base.Need | None = None) -> HostFacts:
    seen = await probe.look(need or base.Need())
    assert seen.host is not None
    return seen.host
