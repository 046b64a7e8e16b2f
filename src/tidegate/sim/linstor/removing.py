# SPDX-License-Identifier: Apache-2.0
"""The calls that delete definitions and placed resources (facts/linstor.md 4.3; recorded: a_healthy, b10, c1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.sim import drbd
from tidegate.sim.linstor import rc, store, wiring
from tidegate.sim.linstor.answer import Call, Entries, Request, Wait
from tidegate.sim.linstor.lookup import Finder, warn_not_connected
from tidegate.sim.linstor.placing import kind_label

if TYPE_CHECKING:
    from tidegate.sim.linstor import world as worlds


class Removing:
    """Handlers of DELETE."""

    def __init__(self, finder: Finder) -> None:
        self._find = finder
        self._world: worlds.LinstorWorld = finder.world

    @property
    def _db(self) -> store.Store:
        return self._world.store

    def _in_use(self, placement: store.Placement) -> bool:
        side = self._world.drbd[placement.node].resources.get(placement.definition)
        return side is not None and side.role is drbd.Role.PRIMARY

    def definition(self, _request: Request, name: str) -> Call:
        """DELETE resource-definitions/{rd}: 200 with a warning if there is none (A14); 500 while in use."""
        entries = self._find.entries(rc.OP_DELETE | rc.OBJ_RSC_DFN, RscDfn=name)
        record = self._db.data.definitions.get(name)
        if record is None:
            text = f"Resource definition: {name} not found."
            details = f"Resource definition: {name}"
            return entries.add(rc.WARN_NOT_FOUND, text, details=details).answer()
        placed = self._db.placements(definition=name)
        used = next((p for p in placed if self._in_use(p)), None)
        if used is not None:
            text = f"Resource '{name}' on node '{used.node}' is still in use."
            return entries.add(rc.IN_USE, text).answer()
        if placed:
            entries.add(rc.DELETED, f"Resource definition '{name}' marked for deletion.")
        for placement in placed:
            yield from self._remove(placement, entries, f"Deletion of '{name}'")
            text = f"Resource '{name}' on '{placement.node}' marked for deletion"
            entries.add(rc.MODIFIED, text)
        world = self._world
        yield Wait(ready=lambda: world.acknowledged(name))
        if not self._db.placements(definition=name):
            self._db.data.definitions.pop(name, None)
            self._db.changed += 1
            details = f"Resource definition '{name}' UUID was: {record.uuid}"
            entries.add(rc.DELETED, f"Resource definition '{name}' deleted.", details=details)
        return entries.answer()

    def resource(self, _request: Request, name: str, node: str) -> Call:
        """DELETE resources/{node}."""
        entries = self._find.entries(rc.OP_DELETE | rc.OBJ_RSC, RscDfn=name, Node=node)
        placement = self._db.placement(name, node)
        if placement is None:
            text = f"Node: {node}, Resource: {name} not found."
            return entries.add(rc.WARN_NOT_FOUND, text).answer()
        if self._in_use(placement):
            text = f"Resource '{name}' on node '{node}' is still in use."
            return entries.add(rc.IN_USE, text).answer()
        what = f"Node: {node}, Resource: {name}"
        details = f"{what} UUID is: {placement.uuid}"
        entries.add(rc.DELETED, f"{what} marked for deletion.", details=details)
        if not self._world.lives[node].connected:
            warn_not_connected(entries, node)
            if "DELETE" not in placement.flags:
                placement.flags.append("DELETE")
            return entries.answer()
        yield from self._remove(placement, entries, f"Deletion of '{name}'")
        details = f"{what} UUID was: {placement.uuid}"
        entries.add(rc.DELETED, f"{what} deleted.", details=details)
        world = self._world
        yield Wait(ready=lambda: world.acknowledged(name))
        return entries.answer()

    def _remove(self, placement: store.Placement, entries: Entries, what: str) -> Call:
        """Take one placement away; on an unreachable node it stays, marked, until that is back."""
        world, node, name = self._world, placement.node, placement.definition
        if not world.lives[node].connected:
            warn_not_connected(entries, node)
            if "DELETE" not in placement.flags:
                placement.flags.append("DELETE")
            return entries.answer()
        trouble = yield from self._find.tell([node], entries, what)
        if trouble.status != 200:
            return trouble
        remove_now(world, placement)
        for volume in placement.volumes:
            pool = self._db.pool(volume.pool, node)
            if placement.diskless or pool is None:
                continue
            text = f"({node}) Volume number {volume.number} of resource '{name}' [{kind_label(pool.kind)}] deleted"
            refs = {"VlmNr": str(volume.number)}
            entries.add(rc.OP_DELETE | rc.OBJ_VLM | rc.DELETED, text, refs=refs)
        return entries.answer()


def remove_now(world: worlds.LinstorWorld, placement: store.Placement) -> None:
    """The satellite takes the resource down and its volumes are gone."""
    name = placement.definition
    world.replication.take_down(placement)
    life = world.lives[placement.node]
    life.reported.discard(name)
    life.failed.pop(name, None)
    world.store.data.placements.remove(placement)
    world.store.changed += 1
    wiring.adjust_peers(world, name)
    world.replication.refresh(name)
    if placement.diskless:
        return
    for volume in world.store.data.definitions[name].volumes:
        world.emit(
            "volume-deleted",
            node=placement.node,
            resource=name,
            volume=volume.number,
            minor=volume.minor,
        )
