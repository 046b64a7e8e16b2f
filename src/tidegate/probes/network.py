# SPDX-License-Identifier: Apache-2.0
"""Peers that DRBD is not connected to: does their machine live, is it only the link, or is it our own network?

Each is tried every few seconds, and said to be silent only after several tries on end: on this word, with the controller gone, a
volume may be used without its peer (contract.md, safety 1).
"""

import asyncio
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from tidegate.clients import reach
from tidegate.core.evidence import NetworkFacts, PeerReach, PortAnswer, Reach
from tidegate.core.ids import NodeName
from tidegate.core.snapshot import Liveness, Observation, Source
from tidegate.probes import base

AGAIN: Final = 4.0
"""Seconds between two tries of a peer."""
SILENT_TRIES: Final = 3
"""Tries without an answer on end before an address is said to be silent."""
PORTS_AFTER: Final = 20.0
"""Seconds for which a peer that lives has to be unconnected before the ports of its DRBD are knocked at."""
PORTS_AGAIN: Final = 60.0
"""Seconds between two such knocks: DRBD writes a line about each."""
MOST_PEERS: Final = 16
MOST_ADDRESSES: Final = 4
MOST_PORTS: Final = 2


class _Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What came of trying a peer so far."""

    peer: base.Peer
    at: float
    told: Mapping[str, Reach] = {}
    silent: Mapping[str, int] = {}
    """Address -> tries on end that nothing came back of."""
    ports: Mapping[str, PortAnswer] = {}
    ports_at: float = float("-inf")


class NetworkProbe:
    """Tries from the network of this process; ``root`` stands for ``/``; with ``off``, nothing is ever sent."""

    source = Source.NETWORK

    def __init__(self, *, clock: base.Clock, root: Path = Path("/"), off: bool = False) -> None:
        self._clock = clock
        self._root = root
        self._off = off
        self._tried: Mapping[NodeName, _Tried] = {}

    async def look(self, need: base.Need) -> Observation:
        """Say which of our addresses are there and how the peers that are due can be reached."""
        if self._off:
            return base.silent(self.source, self._clock(), Liveness.OFF)
        return await base.bounded(self.source, self._clock, self._look(need))

    async def _look(self, need: base.Need) -> Observation:
        peers = dict(sorted(need.peers.items())[:MOST_PEERS])
        due = [name for name, peer in peers.items() if self._is_due(name, peer)]
        async with asyncio.TaskGroup() as group:
            tries = {name: group.create_task(self._try(name, peers[name])) for name in due}
        kept = {name: tried for name, tried in self._tried.items() if name in peers}
        self._tried = kept | {name: task.result() for name, task in tries.items()}
        facts = NetworkFacts(
            local={address: reach.has_address(address) for address in need.own_addresses},
            peers={name: _facts(tried) for name, tried in sorted(self._tried.items())},
        )
        return Observation(source=self.source, at=self._clock(), network=facts)

    def _is_due(self, name: NodeName, peer: base.Peer) -> bool:
        last = self._tried.get(name)
        return last is None or last.peer != peer or self._clock() - last.at >= AGAIN

    async def _try(self, name: NodeName, peer: base.Peer) -> _Tried:
        before = self._tried.get(name)
        # What answers at an address of our own is us: a name or a tunnel that leads back proves nothing of the peer.
        others = (address for address in peer.addresses if not reach.has_address(address))
        addresses = list(itertools.islice(others, MOST_ADDRESSES))
        async with asyncio.TaskGroup() as group:
            tries = {
                address: group.create_task(
                    reach.reach(address, ports=_ports(peer, address), root=self._root)
                )
                for address in addresses
            }
        told = {address: task.result() for address, task in tries.items()}
        counted = before.silent if before is not None else {}
        silent = {
            address: counted.get(address, 0) + 1
            for address, said in told.items()
            if said is Reach.SILENT
        }
        now = self._clock()
        ports, at = (before.ports, before.ports_at) if before is not None else ({}, float("-inf"))
        lives = Reach.ANSWERS in told.values()
        if not lives:
            ports = {}
        elif now - peer.since >= PORTS_AFTER and now - at >= PORTS_AGAIN:
            ports, at = await self._knock(peer), now
        return _Tried(peer=peer, at=now, told=told, silent=silent, ports=ports, ports_at=at)

    async def _knock(self, peer: base.Peer) -> dict[str, PortAnswer]:
        chosen = peer.drbd[:MOST_PORTS]
        async with asyncio.TaskGroup() as group:
            tries = [group.create_task(reach.knock(*place)) for place in chosen]
        said = zip(chosen, (one.result() for one in tries), strict=True)
        return {
            f"[{address}]:{port}" if ":" in address else f"{address}:{port}": answer
            for (address, port), answer in said
            if answer is not None
        }


def _ports(peer: base.Peer, address: str) -> tuple[int, ...]:
    """Return the ports of ``peer`` that prove its life when nothing else at ``address`` answers."""
    drbd = [port for place, port in peer.drbd if place == address][:1]
    return tuple(drbd) + ((peer.satellite_port,) if peer.satellite_port is not None else ())


def _facts(tried: _Tried) -> PeerReach:
    """Leave out addresses that have not been silent often enough yet: nothing is known of them."""
    return PeerReach(
        addresses={
            address: said
            for address, said in tried.told.items()
            if said is not Reach.SILENT or tried.silent.get(address, 0) >= SILENT_TRIES
        },
        ports=tried.ports,
    )
