# SPDX-License-Identifier: Apache-2.0
import socket
from pathlib import Path

import pytest

from tidegate.clients.devices import host, listeners


def test_the_module_and_its_version(tmp_path: Path) -> None:
    assert host.module_version(tmp_path) is None
    (tmp_path / "sys/module/drbd").mkdir(parents=True)
    (tmp_path / "sys/module/drbd/version").write_text("9.3.3\n")
    assert host.module_version(tmp_path) == "9.3.3"


def test_the_satellite(tmp_path: Path) -> None:
    assert not host.satellite_present(tmp_path)
    (tmp_path / "usr/share/linstor-server/bin").mkdir(parents=True)
    (tmp_path / "usr/share/linstor-server/bin/Satellite").touch()
    assert host.satellite_present(tmp_path)


def test_links_by_resource(tmp_path: Path) -> None:
    folder = tmp_path / "dev/drbd/by-res/r"
    folder.mkdir(parents=True)
    (folder / "0").symlink_to("../../../drbd1000")
    (folder / "1").symlink_to("/dev/drbd1001")
    assert host.by_res("r", 0, tmp_path) == "/dev/drbd1000"
    assert host.by_res("r", 1, tmp_path) == "/dev/drbd1001"
    assert host.by_res("r", 2, tmp_path) is None


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (10, "::1")])
@pytest.mark.parametrize("kernel", [True, False], ids=["sock_diag", "proc"])
def test_a_port_that_listens(
    family: int, address: str, kernel: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not kernel:
        monkeypatch.setattr(listeners, "listens", lambda port: None)  # noqa: ARG005
    with socket.socket(family) as server:
        try:
            server.bind((address, 0))
        except OSError:
            pytest.skip(f"no {address} here")
        port = server.getsockname()[1]
        assert host.port_listening(port) is False  # bound, and nobody listens
        server.listen()
        assert host.port_listening(port) is True


def test_the_kernel_is_asked_and_answers() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        assert listeners.listens(port) is False
        server.listen()
        assert listeners.listens(port) is True


def test_a_machine_without_proc(tmp_path: Path) -> None:
    assert host.port_listening(3366, tmp_path) is None


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("[netcom]\ntype = 'ssl'\nport = 4711\n", {4711}),
        ("[netcom]\ntype = 'plain'\n", set()),
        ("netcom = 3\n", set()),
        ("torn [", set()),
        (None, set()),
    ],
)
def test_ports_of_the_satellite(tmp_path: Path, text: str | None, more: set[int]) -> None:
    if text is not None:
        (tmp_path / "etc/linstor").mkdir(parents=True)
        (tmp_path / "etc/linstor/linstor_satellite.toml").write_text(text)
    assert host.satellite_ports(tmp_path) == {3366, 3367} | more
