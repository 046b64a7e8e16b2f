# SPDX-License-Identifier: Apache-2.0
"""Peers that are not connected: when they are tried, and when their silence is said."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from tests import health_facts as facts
from tests.health_facts import N2, RD

from tidegate.clients import reach
from tidegate.core.drbd import DrbdPath
from tidegate.core.evidence import PortAnswer, Reach
from tidegate.core.snapshot import Liveness, Snapshot
from tidegate.probes import base, network, translate_drbd

PATH = DrbdPath(local=("10.0.0.1", 7000), peer=("10.0.0.2", 7000), established=False)


class Net:
    """A network that answers as it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.says: dict[str, Reach] = {}
        self.port = PortAnswer.REFUSED
        self.tried: list[tuple[str, tuple[int, ...]]] = []
        self.knocked: list[tuple[str, int]] = []
        monkeypatch.setattr(reach, "reach", self._reach)
        monkeypatch.setattr(reach, "knock", self._knock)
        monkeypatch.setattr(reach, "has_address", lambda address: address == "10.0.0.1")
        self.probe = network.NetworkProbe(clock=lambda: self.now)

    async def _reach(self, address: str, *, ports: Iterable[int], root: Path) -> Reach:
        self.tried.append((address, tuple(ports)))
        return self.says.get(address, Reach.SILENT)

    async def _knock(self, address: str, port: int) -> PortAnswer:
        self.knocked.append((address, port))
        return self.port

    async def look(self, snapshot: Snapshot) -> Any:
        seen = await self.probe.look(base.Need.of(snapshot, ()))
        assert seen.network is not None
        return seen.network


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> Net:
    return Net(monkeypatch)


def cut(**more: Any) -> Snapshot:
    link = facts.connection(state="Connecting", paths=(PATH,), **more)
    nodes = {"n1": facts.node(facts.N1), "n2": facts.node(N2, addresses=("192.168.1.2",))}
    return facts.world(drbd={RD: facts.drbd_resource(connections=(link,))}, nodes=nodes)


async def test_nobody_is_tried_while_all_are_connected(net: Net) -> None:
    link = facts.connection(paths=(PATH,))
    whole = facts.world(drbd={RD: facts.drbd_resource(connections=(link,))})
    seen = await net.look(whole)
    assert (seen.peers, net.tried) == ({}, [])
    assert seen.local == {"10.0.0.1": True}


async def test_silence_is_said_only_after_several_tries(net: Net) -> None:
    said = []
    for _ in range(network.SILENT_TRIES):
        said.append((await net.look(cut())).peers[N2].reachable)
        net.now += network.AGAIN
    assert said == [None, None, False]
    addresses = {address for address, _ in net.tried}
    assert addresses == {"10.0.0.2", "192.168.1.2"}, "DRBD's own, and what LINSTOR knew"


async def test_an_answer_counts_at_once_and_silence_begins_anew(net: Net) -> None:
    for _ in range(2):
        await net.look(cut())
        net.now += network.AGAIN
    net.says["192.168.1.2"] = Reach.ANSWERS
    assert (await net.look(cut())).peers[N2].reachable is True
    net.says.clear()
    net.now += network.AGAIN
    said = (await net.look(cut())).peers[N2]
    assert said.addresses.get("192.168.1.2") is None


async def test_a_network_of_our_own_that_is_down_proves_nothing(net: Net) -> None:
    net.says = {"10.0.0.2": Reach.NO_WAY, "192.168.1.2": Reach.NO_WAY}
    for _ in range(5):
        seen = await net.look(cut())
        net.now += network.AGAIN
    assert seen.peers[N2].reachable is None


async def test_it_is_not_tried_at_every_look(net: Net) -> None:
    await net.look(cut())
    before = len(net.tried)
    net.now += 0.25
    await net.look(cut())
    assert len(net.tried) == before


async def test_ports_of_a_peer_that_lives_and_stays_away(net: Net) -> None:
    net.says["10.0.0.2"] = Reach.ANSWERS
    fresh = await net.look(cut(since=net.now))
    assert (fresh.peers[N2].ports, net.knocked) == ({}, [])
    net.now += network.PORTS_AFTER
    seen = await net.look(cut(since=100.0))
    assert seen.peers[N2].ports == {"10.0.0.2:7000": PortAnswer.REFUSED}
    net.now += network.AGAIN
    again = await net.look(cut(since=100.0))
    assert (again.peers[N2].ports, len(net.knocked)) == (seen.peers[N2].ports, 1), "once a minute"


async def test_it_can_be_off() -> None:
    probe = network.NetworkProbe(clock=lambda: 1.0, off=True)
    assert (await probe.look(base.Need())).liveness is Liveness.OFF


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ipv4:10.0.0.1:7000", ("10.0.0.1", 7000)),
        ("ipv6:[fd00::1]:7001", ("fd00::1", 7001)),
        ("sdp:10.0.0.1:7000", None),
        ("", None),
        ("ipv4:10.0.0.1:x", None),
    ],
)
def test_addresses_as_drbd_prints_them(text: str, found: tuple[str, int] | None) -> None:
    assert translate_drbd.address(text) == found


async def test_an_address_of_our_own_is_no_peer(net: Net) -> None:
    """LINSTOR may list a node under an address that leads back to this host."""
    link = facts.connection(state="Connecting")
    nodes = {"n2": facts.node(N2, addresses=("10.0.0.1",))}
    net.says["10.0.0.1"] = Reach.ANSWERS
    snapshot = facts.world(drbd={RD: facts.drbd_resource(connections=(link,))}, nodes=nodes)
    seen = await net.look(snapshot)
    assert (seen.peers[N2].reachable, net.tried) == (None, [])
