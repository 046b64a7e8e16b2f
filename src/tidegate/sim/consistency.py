# SPDX-License-Identifier: Apache-2.0
"""What cannot be: states and scenarios that a real system never shows, each refused with a sentence.

Tests call :func:`check` after every step of a simulated run, so that no decision is proven on a world that does not exist;
:func:`check_scenario` refuses a scenario before it runs.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tidegate.sim import devices, drbd, faults
from tidegate.sim.linstor.node import Status

if TYPE_CHECKING:
    from tidegate.sim.linstor import store
    from tidegate.sim.linstor import world as worlds

_KIND = faults.FaultKind
_OF_NODES = frozenset(
    {
        _KIND.NODE_OFFLINE,
        _KIND.NODE_CONNECTED,
        _KIND.NODE_STATUS,
        _KIND.SATELLITE_LATE,
        _KIND.SATELLITE_DEAD,
        _KIND.SATELLITE_MUTE,
        _KIND.FALSE_ONLINE,
        _KIND.PEER_AWAY,
        _KIND.MODULE_LATE,
    }
)
_BACKED = (drbd.Disk.UP_TO_DATE, drbd.Disk.INCONSISTENT, drbd.Disk.OUTDATED, drbd.Disk.CONSISTENT)


class ImpossibleError(Exception):
    """A state or a scenario that cannot be; the text holds one sentence per reason."""


def refuse(problems: Iterator[str], what: str) -> None:
    """Raise :class:`ImpossibleError` if there are problems."""
    found = list(problems)
    if found:
        raise ImpossibleError(f"{what} is impossible: " + " ".join(found))


def check(world: worlds.LinstorWorld) -> None:
    """Refuse an impossible state of the world. Raises :class:`ImpossibleError`."""
    refuse(state_problems(world), f"the state at {world.now:.3f} s")


def check_scenario(scenario: faults.Scenario) -> None:
    """Refuse an impossible scenario. Raises :class:`ImpossibleError`."""
    refuse(scenario_problems(scenario), f"scenario {scenario.name!r}")


# --- states --------------------------------------------------------------------------------------
def state_problems(world: worlds.LinstorWorld) -> Iterator[str]:
    """A sentence for each thing in the world's present state that cannot be."""
    for name in world.lives:
        yield from _connection(world, name)
        yield from _drbd(world, name)
        yield from _files(world, name)
    for placement in world.store.data.placements:
        yield from _placement(world, placement)


def _connection(world: worlds.LinstorWorld, name: str) -> Iterator[str]:
    life = world.lives[name]
    if life.status is Status.OFFLINE:
        if life.reported:
            yield f"Node {name} is OFFLINE, yet the controller has state of {sorted(life.reported)}."
        if life.running:
            yield f"Node {name} is OFFLINE, yet its device manager began a run."
        return
    if not life.started and not life.losing:
        yield f"Node {name} is {life.status}, yet its satellite has not opened its port in this boot."
    if not world.connection.controller_runs():
        yield f"Node {name} is {life.status}, yet no controller runs that could have asked it."
    if life.status is Status.CONNECTED and life.run_over and life.running:
        yield f"Node {name} is CONNECTED, yet a run of its device manager is on."


def _drbd(world: worlds.LinstorWorld, name: str) -> Iterator[str]:
    life = world.lives[name]
    for resource in world.drbd[name].resources.values():
        if not life.powered:
            yield f"Node {name} has no power, yet DRBD resource {resource.name} is up there."
        for volume in resource.volumes.values():
            where = f"volume {resource.name}/{volume.number} on {name}"
            if volume.disk in _BACKED and not volume.backing:
                yield f"The disk of {where} is {volume.disk}, yet it has no backing device."
            if volume.client and volume.backing:
                yield f"The {where} is a diskless client, yet it has a backing device."
        yield from _links(world, name, resource)
        promotion = drbd.promotion(resource)
        if promotion.may and resource.role is drbd.Role.PRIMARY:
            yield f"Resource {resource.name} on {name} is Primary, yet DRBD says that it may be promoted."


def _links(world: worlds.LinstorWorld, name: str, resource: drbd.Resource) -> Iterator[str]:
    for connection in resource.connections.values():
        peer = world.drbd[connection.peer].resources.get(resource.name)
        back = peer.connections.get(name) if peer else None
        if connection.connected and (back is None or not back.connected):
            yield (
                f"Resource {resource.name} on {name} is Connected to {connection.peer}, "
                "yet not the other way round."
            )


def _files(world: worlds.LinstorWorld, name: str) -> Iterator[str]:
    life = world.lives[name]
    for file in world.trees[name]:
        if not life.powered:
            yield f"Node {name} has no power, yet {file.path} exists there."
        if file.major != devices.DRBD_MAJOR:
            continue
        if world.drbd[name].find(file.resource, file.volume) is None:
            yield f"{file.path} exists on {name}, yet DRBD resource {file.resource} is down."


def _placement(world: worlds.LinstorWorld, placement: store.Placement) -> Iterator[str]:
    definition = world.store.data.definitions.get(placement.definition)
    where = f"Resource {placement.definition} on {placement.node}"
    if definition is None:
        yield f"{where} is placed, yet there is no such definition."
        return
    if len(placement.volumes) != len(definition.volumes):
        yield f"{where} has {len(placement.volumes)} volumes, its definition {len(definition.volumes)}."
    if definition.drbd and any(v.minor is None for v in definition.volumes):
        yield f"{where} runs over DRBD, yet a volume has no minor number."


# --- scenarios -----------------------------------------------------------------------------------
def scenario_problems(scenario: faults.Scenario) -> Iterator[str]:
    """A sentence for each thing in the scenario that cannot be, or would have no effect."""
    layout = scenario.layout
    names = {n.name for n in layout.nodes}
    if layout.local not in names:
        yield f"The local node {layout.local!r} is not among the nodes {sorted(names)}."
    yield from _layout(layout, names)
    for fault in scenario.faults:
        yield from _times(fault)
        yield from _subject(fault, layout, names)
        yield from _sense(fault, layout)


def _layout(layout: faults.Layout, names: set[str]) -> Iterator[str]:
    groups = {g.name for g in layout.groups}
    minors = [m for r in layout.resources if r.minor for m in _minors(r)]
    for minor in sorted({m for m in minors if minors.count(m) > 1}):
        yield f"Two volumes have the minor number {minor}."
    for resource in layout.resources:
        placed = (*resource.nodes, *resource.diskless)
        for node in sorted(set(placed) - names):
            yield f"Resource {resource.name} is placed on node {node!r}, which does not exist."
        if resource.group not in groups:
            yield f"Resource {resource.name} belongs to group {resource.group!r}, which does not exist."
        if resource.diskless and not resource.nodes:
            yield f"Resource {resource.name} has diskless placements only, so nobody has its data."
        if resource.diskless and "DRBD" not in resource.layers:
            yield f"Resource {resource.name} is diskless somewhere, which needs the layer DRBD."
        if resource.crashed and (len(resource.nodes) < 2 or "DRBD" not in resource.layers):
            yield f"Resource {resource.name} crashed as Primary, yet no peer went on without it."
    for pool in layout.pools:
        if pool.node not in names:
            yield f"Pool {pool.name} is on node {pool.node!r}, which does not exist."
        if pool.free_kib > pool.total_kib:
            yield f"Pool {pool.name} on {pool.node} has more free space than it has space."


def _minors(resource: faults.ResourceSpec) -> range:
    return range(resource.minor, resource.minor + len(resource.sizes_kib))


def _times(fault: faults.Fault) -> Iterator[str]:
    if fault.end is not None and fault.end <= fault.start:
        yield f"{fault.kind} ends at {fault.end} s, which is not after its start at {fault.start} s."


def _subject(fault: faults.Fault, layout: faults.Layout, names: set[str]) -> Iterator[str]:
    known = {r.name for r in layout.resources}
    word = "resource"
    if fault.kind in _OF_NODES:
        known, word = names, "node"
    elif fault.kind is _KIND.POOL_MISSING:
        known, word = {p.name for p in layout.pools}, "storage pool"
    elif fault.kind in faults.CONTROLLER_KINDS:
        known, word = set(), "subject, because there is one controller; no"
    if fault.subject != faults.EVERY and fault.subject not in known:
        yield f"{fault.kind} is about {fault.subject!r}, but there is no such {word}."
    if fault.node and fault.node not in names:
        yield f"{fault.kind} is on node {fault.node!r}, which does not exist."


def _sense(fault: faults.Fault, layout: faults.Layout) -> Iterator[str]:
    kind = fault.kind
    if kind is _KIND.DEVICE_MISSING and fault.state_reported and not fault.drbd_up:
        yield "A device cannot be reported to the controller while DRBD is down (device-missing)."
    if kind is _KIND.DEVICE_CANNOT_OPEN and fault.errno == errno.ENOENT:
        yield "A device that exists does not answer ENOENT to open; use device-missing."
    if kind is _KIND.DEVICE_CANNOT_OPEN and fault.errno <= 0:
        yield "device-cannot-open needs the errno that open(2) gives."
    if kind is _KIND.NODE_STATUS:
        permanent = {s.value for s in Status} - {"OFFLINE", "CONNECTED", "ONLINE"}
        if fault.status not in permanent | {""}:
            yield f"node-status cannot be {fault.status!r}; it is one of {sorted(permanent)}."
    alone = all(len(r.nodes) + len(r.diskless) < 2 for r in layout.resources)
    peers = (_KIND.SPLIT_BRAIN, _KIND.PEER_PRIMARY, _KIND.PEER_AWAY)
    if kind in peers and alone:
        yield f"{kind} needs a resource that has a peer."
    if kind is _KIND.PEER_AWAY and fault.subject == layout.local:
        yield "peer-away is about another node, not the local one; use node-offline."
    if kind is _KIND.CONTENT_EMPTY and fault.start > 0:
        yield "A volume loses its content between boots, not while it is up: content-empty starts at 0."
