# SPDX-License-Identifier: Apache-2.0
"""DRBD and plain devices along the clock: a resource comes up, its disk attaches, its peers connect, it resynchronises, it goes.

Order of the steps as recorded (facts/fullstack-observed.md "Power loss of n1", facts/early-observed.md E2): device file (Diskless,
StandAlone), Attaching, UpToDate, Connecting, Connected; after a crash UpToDate is not final: Outdated, SyncTarget, UpToDate follow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.sim import devices, drbd, faults
from tidegate.sim.linstor import store, wiring

if TYPE_CHECKING:
    from tidegate.sim.linstor import world as worlds

_KIND = faults.FaultKind


class Replicator:
    """The storage of all nodes below LINSTOR."""

    def __init__(self, world: worlds.LinstorWorld) -> None:
        self._world = world
        self._attached: set[tuple[str, str]] = set()
        self._linking: set[tuple[str, str, str]] = set()
        self._promotable: dict[tuple[str, str], bool | None] = {}

    # --- questions -------------------------------------------------------------------------------
    def is_up(self, placement: store.Placement) -> bool:
        """True if the resource is configured in DRBD, or, without DRBD, if its devices are there."""
        world = self._world
        if world.store.data.definitions[placement.definition].drbd:
            return placement.definition in world.drbd[placement.node].resources
        tree = world.trees[placement.node]
        return all(tree.of(placement.definition, v.number) for v in placement.volumes)

    def path(self, placement: store.Placement, number: int) -> str | None:
        """Where the volume's device is, as a satellite would tell: None while it is not up."""
        world = self._world
        definition = world.store.data.definitions[placement.definition]
        if definition.drbd:
            volume = world.drbd[placement.node].find(placement.definition, number)
            return f"/dev/drbd{volume.minor}" if volume else None
        file = world.trees[placement.node].of(placement.definition, number)
        return file.path if file else None

    def verdict(self, node: str, file: devices.DeviceFile) -> int:
        """What open(2) of an existing device file says."""
        world = self._world
        bad = world.fault(_KIND.DEVICE_CANNOT_OPEN, file.resource, node)
        if bad is not None:
            return bad.errno
        resource = world.drbd[node].resources.get(file.resource)
        return drbd.open_errno(resource, file.volume) if resource else 0

    def attached(self, node: str, name: str) -> bool:
        """True once the resource on this node is as far up as it gets by itself."""
        return (node, name) in self._attached

    # --- coming and going ------------------------------------------------------------------------
    def bring_up(self, placement: store.Placement) -> None:
        """What a satellite's run does to one resource; harmless if it is up."""
        world = self._world
        if not world.store.data.definitions[placement.definition].drbd:
            self._show_files(placement)
        elif not self.is_up(placement):
            node = world.drbd[placement.node]
            node.resources[placement.definition] = wiring.configured(world, placement)
            self.refresh(placement.definition)
            delay = world.vary(world.timings.attach)
            world.clock.after(delay / 2, lambda: self._set_disk(placement, drbd.Disk.ATTACHING))
            world.clock.after(delay, lambda: self._attach(placement))
        self._show_files(placement)

    def _set_disk(self, placement: store.Placement, disk: drbd.Disk) -> None:
        resource = self._world.drbd[placement.node].resources.get(placement.definition)
        if resource is None or wiring.without_disk(placement):
            return
        for volume in resource.volumes.values():
            volume.disk = disk
        self.refresh(placement.definition)

    def _attach(self, placement: store.Placement) -> None:
        world = self._world
        resource = world.drbd[placement.node].resources.get(placement.definition)
        if resource is None:
            return
        if not wiring.without_disk(placement):
            for volume in resource.volumes.values():
                volume.backing = world.store.backing(placement, volume.number)
            resource.attached = True
        self._attached.add((placement.node, placement.definition))
        self._set_disk(placement, drbd.Disk.UP_TO_DATE)
        self.refresh(placement.definition)

    def take_down(self, placement: store.Placement) -> None:
        """The resource leaves this node: files first, then DRBD; peers notice."""
        world, name = self._world, placement.definition
        for file in list(world.trees[placement.node]):
            if file.resource == name:
                world.trees[placement.node].vanish(file.path)
        world.drbd[placement.node].resources.pop(name, None)
        self._attached.discard((placement.node, name))
        self.refresh(name)

    def host_gone(self, node: str) -> None:
        """Power is cut. Resources that were Primary here will find that their peers went on without them."""
        world = self._world
        for resource in world.drbd[node].resources.values():
            placement = world.store.placement(resource.name, node)
            if placement is not None and resource.role is drbd.Role.PRIMARY:
                peers = resource.connections.values()
                placement.crashed = any(c.connected for c in peers) and not placement.diskless
        names = list(world.drbd[node].resources)
        world.drbd[node].down_all()
        self._attached = {key for key in self._attached if key[0] != node}
        for file in list(world.trees[node]):
            world.trees[node].vanish(file.path)
        for name in names:
            self.refresh(name)

    def promote(self, node: str, name: str, role: drbd.Role) -> None:
        """The device is opened for writing (auto-promote), or was closed by its last user."""
        resource = self._world.drbd[node].resources.get(name)
        if resource is not None and resource.role is not role:
            resource.role = role
            for volume in resource.volumes.values():
                volume.open = role is drbd.Role.PRIMARY
            self.refresh(name)

    # --- looking again ---------------------------------------------------------------------------
    def look(self) -> None:
        """Faults have changed: files, connections, quorum and roles follow."""
        world = self._world
        for placement in world.store.placements():
            if self.is_up(placement):
                self._show_files(placement)
        for name in {n for node in world.drbd.values() for n in node.resources}:
            self.refresh(name)

    def _show_files(self, placement: store.Placement) -> None:
        world, on = self._world, placement.node
        tree = world.trees[on]
        missing = world.fault(_KIND.DEVICE_MISSING, placement.definition, on)
        for number in range(len(placement.volumes)):
            there = tree.of(placement.definition, number)
            if missing is not None:
                if there is not None and missing.drbd_up:
                    tree.vanish(there.path)
                continue
            file = wiring.device_file(world, placement, number, there)
            if file is not None:
                tree.appear(file)

    def refresh(self, name: str) -> None:
        """Bring one resource's connections, roles and quorum on all nodes in line with each other and with the faults."""
        world = self._world
        sides = wiring.sides(world, name)
        for side in sides.values():
            for connection in side.connections.values():
                self._look_at_link(side, connection, sides)
        wiring.set_roles(world, name, sides)
        for node, side in sides.items():
            wiring.copy_peers(side, sides)
            wiring.set_quorum(world, node, side)
        for node, side in sides.items():
            self._tell(node, side)

    def _look_at_link(
        self, side: drbd.Resource, connection: drbd.Connection, sides: dict[str, drbd.Resource]
    ) -> None:
        world = self._world
        own = next(node for node, one in sides.items() if one is side)
        wanted = self._wanted(own, connection.peer, side.name, sides)
        if wanted is not drbd.Link.CONNECTED:
            connection.link = wanted
        elif not connection.connected:
            connection.link = drbd.Link.CONNECTING
            first, second = sorted((own, connection.peer))
            key = (side.name, first, second)
            if key not in self._linking:
                self._linking.add(key)
                delay = world.vary(world.timings.connect)
                world.clock.after(delay, lambda: self._connect(key))

    def _wanted(self, own: str, peer: str, name: str, sides: dict[str, drbd.Resource]) -> drbd.Link:
        world = self._world
        if not self.attached(own, name):
            return drbd.Link.STANDALONE
        if world.fault(_KIND.SPLIT_BRAIN, name) is not None and world.local in (own, peer):
            return drbd.Link.STANDALONE
        away = any(world.fault(_KIND.PEER_AWAY, n) for n in (own, peer) if n != world.local)
        there = peer in sides and self.attached(peer, name)
        return drbd.Link.CONNECTED if there and not away else drbd.Link.CONNECTING

    def _connect(self, key: tuple[str, str, str]) -> None:
        self._linking.discard(key)
        name, first, second = key
        world = self._world
        sides = wiring.sides(world, name)
        if not {first, second} <= set(sides):
            return
        if self._wanted(first, second, name, sides) is not drbd.Link.CONNECTED:
            return
        for own, peer in ((first, second), (second, first)):
            sides[own].connections[peer].link = drbd.Link.CONNECTED
        for own, peer in ((first, second), (second, first)):
            placement = world.store.placement(name, own)
            if placement is not None and placement.crashed and not wiring.without_disk(placement):
                self._resync(placement, sides[own], peer)
        self.refresh(name)

    def _resync(self, placement: store.Placement, side: drbd.Resource, peer: str) -> None:
        """This side was Primary when it crashed: what it shows as UpToDate is not final."""
        world = self._world
        placement.crashed = False
        length = world.vary(world.timings.resync)
        if not length:
            return

        def to(disk: drbd.Disk, replication: drbd.Replication) -> None:
            if world.drbd[placement.node].resources.get(side.name) is not side:
                return
            for number, volume in side.volumes.items():
                volume.disk = disk
                side.connections[peer].volumes[number].replication = replication
            self.refresh(side.name)

        to(drbd.Disk.OUTDATED, drbd.Replication.ESTABLISHED)
        target = drbd.Replication.SYNC_TARGET
        world.clock.after(length / 10, lambda: to(drbd.Disk.INCONSISTENT, target))
        done = drbd.Replication.ESTABLISHED
        world.clock.after(length, lambda: to(drbd.Disk.UP_TO_DATE, done))

    def _tell(self, node: str, side: drbd.Resource) -> None:
        """Promotability has changed: the controller's event stream hears of it if the satellite reports."""
        may = drbd.promotion(side).may
        if self._promotable.get((node, side.name)) is not may:
            self._promotable[node, side.name] = may
            self._world.emit("may-promote", node=node, resource=side.name, may_promote=may)
