# SPDX-License-Identifier: Apache-2.0
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidegate.clients.systemd import notify


@pytest.fixture(params=["path", "abstract"])
def systemd(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[socket.socket, dict[str, str]]]:
    """A notification socket of either kind and the environment that names it."""
    if request.param == "path":
        name = where = str(tmp_path / "notify")
    else:
        name = f"@tidegate-test-{uuid.uuid4()}"
        where = "\0" + name[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(where)
        receiver.settimeout(10)
        yield receiver, {"NOTIFY_SOCKET": name}


def test_messages_arrive_in_one_datagram(systemd: tuple[socket.socket, dict[str, str]]) -> None:
    receiver, environ = systemd
    assert notify.notify(notify.READY, notify.status("all\nis  well"), environ=environ)
    assert receiver.recv(4096) == b"READY=1\nSTATUS=all is well"


def test_every_message_that_we_send(systemd: tuple[socket.socket, dict[str, str]]) -> None:
    receiver, environ = systemd
    for message, expected in (
        (notify.WATCHDOG, b"WATCHDOG=1"),
        (notify.STOPPING, b"STOPPING=1"),
        (notify.extend_timeout(2.5), b"EXTEND_TIMEOUT_USEC=2500000"),
        (notify.reloading(12345), b"RELOADING=1\nMONOTONIC_USEC=12345"),
    ):
        assert notify.notify(message, environ=environ)
        assert receiver.recv(4096) == expected


def test_without_systemd_nothing_happens(tmp_path: Path) -> None:
    assert not notify.notify(notify.READY, environ={})
    assert not notify.notify(notify.READY, environ={"NOTIFY_SOCKET": ""})
    assert not notify.notify(notify.READY, environ={"NOTIFY_SOCKET": "vsock:2:1234"})
    assert not notify.notify(notify.READY, environ={"NOTIFY_SOCKET": str(tmp_path / "none")})


def test_a_systemd_that_does_not_read_blocks_nobody(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        sent = [notify.notify(notify.WATCHDOG, environ=environ) for _ in range(5000)]
    assert sent[0]
    assert not sent[-1]


def test_the_watchdog_is_for_whom_it_names() -> None:
    environ = {"WATCHDOG_USEC": "5000000", "WATCHDOG_PID": "17"}
    assert notify.watchdog_interval(environ, pid=17) == 5.0
    assert notify.watchdog_interval(environ, pid=18) is None
    assert notify.watchdog_interval({"WATCHDOG_USEC": "5000000"}, pid=18) == 5.0
    for wrong in ({}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "soon"}):
        assert notify.watchdog_interval(wrong, pid=17) is None
