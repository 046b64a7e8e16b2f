# SPDX-License-Identifier: Apache-2.0
"""DRBD's words -> facts. Pure; tested on recordings of a real DRBD 9.

DRBD does not say since when something is as it is. The rule against split brain needs to know (contract.md safety 1), so the
moment of the first sight is carried from one set of facts to the next.
"""

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from tidegate.clients.drbd import state
from tidegate.core.drbd import DrbdConnection, DrbdDevice, DrbdPath, DrbdPeerDevice, DrbdResource
from tidegate.core.ids import NodeName, ResourceName


def resources(
    found: Iterable[state.Resource],
    *,
    now: float,
    before: Mapping[str, DrbdResource] | None = None,
    quorum: Mapping[str, str | None] | None = None,
) -> dict[str, DrbdResource]:
    """Return the resources by name, as seen at ``now`` (seconds since boot).

    ``before`` is what this function returned last, for the moments of first sight; ``quorum`` the rule in force by resource.
    """
    known = before or {}
    policies = quorum or {}
    return {
        resource.name: _resource(
            resource, now, known.get(resource.name), policies.get(resource.name)
        )
        for resource in found
    }


def under(
    quorum: Mapping[str, str | None], found: Mapping[str, DrbdResource]
) -> Mapping[str, DrbdResource]:
    """Return ``found`` with the quorum rules in force; itself when they are what they were."""
    if all(one.quorum_policy == quorum.get(name) for name, one in found.items()):
        return found
    return {
        name: msgspec.structs.replace(one, quorum_policy=quorum.get(name))
        for name, one in found.items()
    }


def _resource(
    resource: state.Resource, now: float, before: DrbdResource | None, policy: str | None
) -> DrbdResource:
    devices = {device.number: device for device in before.devices} if before else {}
    connections = {link.peer: link for link in before.connections} if before else {}
    return DrbdResource(
        name=ResourceName(resource.name),
        role=resource.role,
        suspended=resource.suspended,
        may_promote=resource.may_promote,
        promotion_score=resource.promotion_score,
        quorum_policy=policy,
        devices=tuple(_device(d, now, devices.get(d.volume)) for d in resource.devices),
        connections=tuple(
            _connection(link, now, connections.get(NodeName(link.name)))
            for link in resource.connections
        ),
    )


def _device(device: state.Device, now: float, before: DrbdDevice | None) -> DrbdDevice:
    same = before is not None and before.minor == device.minor
    return DrbdDevice(
        number=device.volume,
        minor=device.minor,
        disk=device.disk,
        client=device.client,
        quorum=device.quorum is not False,
        since=before.since if before is not None and same else now,
    )


def _connection(
    link: state.Connection, now: float, before: DrbdConnection | None
) -> DrbdConnection:
    same = before is not None and before.state == link.state
    return DrbdConnection(
        peer=NodeName(link.name),
        state=link.state,
        role=link.role,
        since=before.since if before is not None and same else now,
        devices=tuple(
            DrbdPeerDevice(
                number=device.volume,
                disk=device.disk,
                replication=device.replication,
                client=device.client,
                done_percent=device.done,
            )
            for device in link.peer_devices
        ),
        paths=tuple(_paths(link.paths)),
    )


def _paths(found: Iterable[state.Path]) -> Iterator[DrbdPath]:
    """Yield the paths whose addresses can be read; RDMA and other families are left out."""
    for path in found:
        local, peer = address(path.local), address(path.peer)
        if local is not None and peer is not None:
            yield DrbdPath(local=local, peer=peer, established=path.established)


def address(text: str) -> tuple[str, int] | None:
    """Return (address, port) of what DRBD prints as ``ipv4:10.0.0.1:7000`` or ``ipv6:[fd00::1]:7000``."""
    family, _, rest = text.partition(":")
    host, _, port = rest.rpartition(":")
    if family not in {"ipv4", "ipv6"} or not host or not port.isdecimal() or len(port) > 5:
        return None
    return host.strip("[]"), int(port)
