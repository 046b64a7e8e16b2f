# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

from tidegate.clients.incus import socket


def test_the_environment_decides_first(tmp_path: Path) -> None:
    environ = {"INCUS_SOCKET": "/x/s", "INCUS_DIR": "/y"}
    assert socket.find(environ, root=tmp_path) == Path("/x/s")
    assert socket.find({"INCUS_DIR": "/y"}, root=tmp_path) == Path("/y/unix.socket")


def test_run_is_taken_only_where_it_is(tmp_path: Path) -> None:
    var = tmp_path / "var/lib/incus/unix.socket"
    run = tmp_path / "run/incus/unix.socket"
    assert socket.find({}, root=tmp_path) == var
    run.parent.mkdir(parents=True)
    run.touch()
    assert socket.find({}, root=tmp_path) == run
