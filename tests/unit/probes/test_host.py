# SPDX-License-Identifier: Apache-2.0
"""What this machine has, read from files below a folder that stands for ``/``."""

import socket
from pathlib import Path

import pytest

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
