# SPDX-License-Identifier: Apache-2.0
"""Whether a machine answers, on this machine's loopback."""

import socket
from collections.abc import Iterator

import pytest

from tidegate.clients import reach
from tidegate.core.evidence import PortAnswer, Reach


@pytest.fixture
def full() -> Iterator[int]:
    """A port that takes no connection any more and says nothing: its queue is full."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        waiting = []
        for _ in range(4):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(server.getsockname())
            waiting.append(client)
        yield server.getsockname()[1]
        for client in waiting:
            client.close()


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_our_own_addresses() -> None:
    assert reach.has_address("127.0.0.1")
    assert not reach.has_address("192.0.2.7")
    assert not reach.has_address("a-name")


async def test_a_port_that_is_open_refuses_or_says_nothing(full: int) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        open_port = server.getsockname()[1]
        assert await reach.knock("127.0.0.1", open_port) is PortAnswer.OPEN
    assert await reach.knock("127.0.0.1", closed_port()) is PortAnswer.REFUSED
    assert await reach.knock("127.0.0.1", full, deadline=0.2) is PortAnswer.SILENT
    assert await reach.knock("a-name", 1) is None, "names are never resolved"


async def test_a_refusal_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "HARMLESS", (closed_port(),))
    assert await reach.reach("127.0.0.1", deadline=0.3) is Reach.ANSWERS


async def test_silence_and_then_a_port_of_somebody(
    full: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_echo(address: str, deadline: float) -> PortAnswer | None:
        return PortAnswer.SILENT

    monkeypatch.setattr(reach, "_echo", no_echo)
    monkeypatch.setattr(reach, "HARMLESS", (full,))
    assert await reach.reach("127.0.0.1", ports=(full,), deadline=0.2) is Reach.SILENT
    assert await reach.reach("127.0.0.1", ports=(closed_port(),), deadline=0.2) is Reach.ANSWERS


async def test_where_we_cannot_send_nothing_is_said_of_the_peer() -> None:
    assert await reach.reach("a-name") is Reach.NO_WAY
    assert not reach.has_way("a-name")
    assert reach.has_way("127.0.0.1")


def test_an_echo_request_adds_up() -> None:
    """Its words sum up to all ones, as RFC 1071 has it."""
    message = reach._request(8)
    total = sum(int.from_bytes(message[i : i + 2], "big") for i in range(0, len(message), 2))
    while total >> 16:
        total = (total >> 16) + (total & 0xFFFF)
    assert total == 0xFFFF
