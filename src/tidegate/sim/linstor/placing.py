# SPDX-License-Identifier: Apache-2.0
"""The calls that place resources on nodes and take them away: spawn, autoplace, create, make-available, delete.

Sources: facts/linstor.md 5; facts/linstor-observed.md A4, A14, A20, A21 and the recordings a0, a_healthy, b10, c1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tidegate.sim import faults
from tidegate.sim.linstor import build, rc, store, wiring
from tidegate.sim.linstor.answer import Answer, Call, Entries, Request, Wait
from tidegate.sim.linstor.changes import Changes, FilterBody
from tidegate.sim.linstor.lookup import Finder, warn_not_connected
from tidegate.sim.linstor.node import Status

if TYPE_CHECKING:
    from tidegate.sim.linstor import world as worlds

_KIND = faults.FaultKind
READY_WAIT = 15.0
"""Seconds that LINSTOR waits for a new resource to become ready (facts/linstor.md 5)."""
DEFAULT_LAYERS = ["DRBD", "STORAGE"]


class SpawnBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """POST resource-groups/{rg}/spawn."""

    resource_definition_name: str
    volume_sizes: list[int] = []
    definitions_only: bool = False
    select_filter: FilterBody = msgspec.field(default_factory=FilterBody)
    partial: bool | None = None
    peer_slots: int | None = None


class PlaceBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """POST autoplace."""

    select_filter: FilterBody = msgspec.field(default_factory=FilterBody)
    diskless_on_remaining: bool | None = None
    layer_list: list[str] = []


class AvailableBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """POST make-available."""

    layer_list: list[str] = []
    diskful: bool = False
    drbd_tcp_ports: list[int] | None = None
    copy_all_snaps: bool | None = None
    snap_names: list[str] | None = None


class ResourceFields(msgspec.Struct, kw_only=True):
    """The inner part of POST resources/{node}."""

    props: dict[str, str] = {}
    flags: list[str] = []


class ResourceBody(msgspec.Struct, kw_only=True):
    """POST resources/{node}."""

    resource: ResourceFields = msgspec.field(default_factory=ResourceFields)
    layer_list: list[str] = []


def kind_label(kind: str) -> str:
    """A provider as LINSTOR's messages spell it."""
    return kind.replace("_", " ")


class Placing:
    """Handlers of everything that places."""

    def __init__(self, finder: Finder, changes: Changes) -> None:
        self._find = finder
        self._changes = changes
        self._world: worlds.LinstorWorld = finder.world

    @property
    def _db(self) -> store.Store:
        return self._world.store

    # --- candidates ------------------------------------------------------------------------------
    def _supports(self, node: str, layers: list[str]) -> bool:
        return "DRBD" not in layers or self._world.lives[node].drbd

    def _pool_for(
        self, node: str, record: store.Definition, layers: list[str]
    ) -> store.Pool | None:
        """The pool that the autoplacer would take on a node; only connected nodes are looked at (facts/linstor.md 5)."""
        if not self._world.lives[node].connected or not self._supports(node, layers):
            return None
        named = self._db.data.groups[record.group].select_filter.storage_pool_list
        need = sum(v.size_kib for v in record.volumes)
        found = [
            p
            for p in self._db.data.pools
            if p.node == node
            and p.kind != "DISKLESS"
            and (not named or p.name in named)
            and self._world.fault(_KIND.POOL_MISSING, p.name, node) is None
            and (p.thin or p.free_kib >= need)
        ]
        return max(found, key=self._free, default=None)

    def _free(self, pool: store.Pool) -> int:
        """Free space as the autoplacer ranks it: each volume there already counts a little, so that placements alternate (a0)."""
        placed = (v for p in self._db.data.placements if p.node == pool.node for v in p.volumes)
        return pool.free_kib - 8 * sum(v.pool == pool.name for v in placed)

    def _settle_layers(self, record: store.Definition, layers: list[str]) -> None:
        if not record.layers:
            record.layers = list(layers)
        if record.drbd and not record.port:
            record.port, record.secret = self._db.free_port(), self._db.new_secret()
            for volume in record.volumes:
                volume.minor = volume.minor or self._db.free_minor()

    # --- spawn and autoplace ---------------------------------------------------------------------
    def spawn(self, request: Request, group: str) -> Call:
        """POST resource-groups/{rg}/spawn: definition, volumes and, unless definitions_only, placements."""
        body = self._find.body(request.body, SpawnBody)
        name = body.resource_definition_name
        entries = self._find.entries(rc.OP_CREATE | rc.OBJ_RSC_GRP, RscDfn=name, RscGrp=group)
        record_group = self._find.group(group)
        layers = record_group.select_filter.layer_stack or DEFAULT_LAYERS
        text = "Resource-group doesn't have any volume-groups, automatically assume partial mode."
        partial, entries.items = entries.add(rc.INFO_PARTIAL, text).items, []
        record = self._changes.new_definition(name, group, list(layers), entries)
        if record is None:
            return entries.answer()
        made, entries.items = entries.items, []
        record.volumes = build.new_volumes(self._world, body.volume_sizes, with_drbd=record.drbd)
        for volume in record.volumes:
            new = f"Volume definition with number '{volume.number}' successfully  created in resource definition '{name}'."
            code = rc.OP_CREATE | rc.OBJ_VLM_DFN | rc.CREATED
            entries.add(code, new, refs={"VlmNr": str(volume.number)})
        entries.items = [*partial, *entries.items, *made]
        if body.definitions_only:
            text = f"Resource definition {name} and {len(record.volumes)} created but no resources deployed"
            entries.add(rc.INFO_NO_RSC_SPAWNED, text, cause="--definitions-only was set")
            return entries.answer(201)
        yield from self._autoplace(record, body.select_filter, entries)
        if rc.http_status(entries.items) != 200:
            del self._db.data.definitions[name]
        return entries.answer(201)

    def autoplace(self, request: Request, name: str) -> Call:
        """POST resource-definitions/{rd}/autoplace."""
        body = self._find.body(request.body, PlaceBody)
        entries = self._find.entries(rc.OP_CREATE | rc.OBJ_RSC, RscDfn=name)
        record = self._find.definition(name, into=entries)
        self._settle_layers(record, body.layer_list or DEFAULT_LAYERS)
        yield from self._autoplace(record, body.select_filter, entries)
        return entries.answer(201)

    def _autoplace(self, record: store.Definition, body: FilterBody, entries: Entries) -> Call:
        filters = self._db.data.groups[record.group].select_filter
        count = body.place_count or filters.place_count or 2
        placed = self._db.placements(definition=record.name)
        missing = count - sum(not p.diskless for p in placed)
        taken = {p.node for p in placed}
        free = ((n, self._pool_for(n, record, record.layers)) for n in self._db.data.nodes)
        pools = {n: p for n, p in free if p is not None and n not in taken}
        best = sorted(pools, key=lambda n: (-self._free(pools[n]), n))[: max(missing, 0)]
        if len(best) < missing:
            return self._not_enough(record, count, entries)
        new = [build.place(self._world, record, n, pools[n].name) for n in best]
        entries.add(
            rc.OP_CREATE | rc.OBJ_RSC | rc.CREATED, "Successfully set property key(s): StorPoolName"
        )
        used = ", ".join(f"'{n} ({pools[n].name})'" for n in best)
        refs = {
            f"StoragePool/{i}/0": f"{pools[n].name},{pools[n].kind}" for i, n in enumerate(best)
        }
        refs |= {f"Node/{i}": n for i, n in enumerate(best)}
        text = f"Resource '{record.name}' successfully autoplaced on {len(best)} nodes"
        entries.add(rc.CREATED, text, details=f"Used nodes (storage pool name): {used}", refs=refs)
        new += self._tiebreaker(record)
        return (yield from self._create(record, new, entries))

    def _not_enough(self, record: store.Definition, count: int, entries: Entries) -> Answer:
        """No node supports the layers, or too few nodes have the pool (recorded: a0, drbd-try)."""
        unable = [n for n in sorted(self._db.data.nodes) if not self._supports(n, record.layers)]
        if unable:
            text = f"Satellite '{unable[0]}' does not support the following layers: [DRBD]"
            details = f"Resource group: {record.group}"
            report = (self._world.new_report(),)
            entries.items = []
            return entries.add(rc.UNSUPPORTED_LAYER, text, details=details, reports=report).answer()
        details = f"Not enough nodes fulfilling the following auto-place criteria:\n * has a deployed storage pool\n * {count} replicas"
        return entries.add(
            rc.NOT_ENOUGH_NODES, "Not enough available nodes", details=details
        ).answer()

    def _tiebreaker(self, record: store.Definition) -> list[store.Placement]:
        """Two diskful on three or more nodes: LINSTOR adds a diskless third by itself."""
        placed = self._db.placements(definition=record.name)
        others = sorted(set(self._db.data.nodes) - {p.node for p in placed})
        able = [
            n for n in others if self._supports(n, record.layers) and self._world.lives[n].connected
        ]
        if not record.drbd or len(placed) != 2 or any(p.diskless for p in placed) or not able:
            return []
        placement = build.place(self._world, record, able[0], "", diskless=True)
        placement.flags.append("TIE_BREAKER")
        return [placement]

    # --- making it so ----------------------------------------------------------------------------
    def _create(
        self, record: store.Definition, new: list[store.Placement], entries: Entries
    ) -> Call:
        """Have the satellites make what was placed, and wait for them, and for the lab."""
        world, name = self._world, record.name
        wiring.adjust_peers(world, name)
        for placement in new:
            if not placement.diskless:
                self._tell_lab(record, placement)
        yield Wait(ready=lambda: world.acknowledged(name))
        for placement in new:
            yield from self._create_one(record, placement, entries)
        yield Wait(ready=lambda: world.acknowledged(name))
        return entries.answer(201)

    def _tell_lab(self, record: store.Definition, placement: store.Placement) -> None:
        for volume in record.volumes:
            self._world.emit(
                "volume-created",
                node=placement.node,
                resource=record.name,
                volume=volume.number,
                minor=volume.minor,
                size_kib=volume.size_kib,
            )

    def _create_one(
        self, record: store.Definition, placement: store.Placement, entries: Entries
    ) -> Call:
        world, node = self._world, placement.node
        life = world.lives[node]
        code = rc.OP_CREATE | (entries.context & 0x007C0000) | rc.MODIFIED
        if life.status is not Status.ONLINE:
            world.manager.create(placement)
            warn_not_connected(entries, node)
            entries.add(code, f"Created resource '{record.name}' on '{node}'")
            return entries.answer(201)
        trouble = yield from self._find.tell(
            [node], entries, f"Registration of resource '{record.name}'"
        )
        if trouble.status != 200:
            return trouble
        world.manager.create(placement)
        end = world.now + READY_WAIT
        world.settle()
        yield Wait(ready=lambda: self._ready(placement) or world.now >= end, until=end)
        self._made(record, placement, entries, code, ready=self._ready(placement))
        return entries.answer(201)

    def _ready(self, placement: store.Placement) -> bool:
        replication = self._world.replication
        record = self._db.data.definitions[placement.definition]
        up = replication.is_up(placement)
        return up and (not record.drbd or replication.attached(placement.node, record.name))

    def _made(
        self,
        record: store.Definition,
        placement: store.Placement,
        entries: Entries,
        code: int,
        *,
        ready: bool,
    ) -> None:
        node, name = placement.node, record.name
        if not ready:
            text = f"Resource did not become ready on node '{node}' within reasonable time, check Satellite for errors."
            entries.add(rc.TYPE_WARN | 1, text)
            return
        for volume in placement.volumes:
            pool = self._db.pool(volume.pool, node)
            if placement.diskless or pool is None:
                continue
            text = f"({node}) Volume number {volume.number} of resource '{name}' [{kind_label(pool.kind)}] created"
            refs = {"VlmNr": str(volume.number)}
            entries.add(rc.OP_CREATE | rc.OBJ_VLM | rc.CREATED, text, refs=refs)
        if record.drbd:
            entries.add(code, f"({node}) Resource '{name}' [DRBD] adjusted.")
        entries.add(code, f"Created resource '{name}' on '{node}'")

    # --- one node --------------------------------------------------------------------------------
    def make_available(self, request: Request, name: str, node: str) -> Call:
        """POST make-available: a no-op on an existing placement, whatever its state (facts/linstor.md 5)."""
        body = self._find.body(request.body, AvailableBody)
        entries = self._find.entries(rc.OP_CREATE | rc.OBJ_RSC, RscDfn=name, Node=node)
        record = self._find.definition(name, into=entries)
        self._find.node(node, into=entries)
        placement = self._db.placement(name, node)
        details = f"Node: {node}, Resource: '{name}'"
        if placement is not None:
            if body.layer_list and body.layer_list != record.layers:
                text = "Layerstack of deployed resource does not match"
                report = (self._world.new_report(),)
                return entries.add(
                    rc.INVALID_LAYER_STACK, text, details=details, reports=report
                ).answer()
            if "TIE_BREAKER" in placement.flags:
                placement.flags.remove("TIE_BREAKER")
            return entries.add(0, "Resource already deployed as requested").answer()
        layers = record.layers or body.layer_list or DEFAULT_LAYERS
        pool = self._pool_for(node, record, layers)
        exists = any(not p.diskless for p in self._db.placements(definition=name))
        diskless = "DRBD" in layers and exists and not body.diskful
        if diskless and self._world.lives[node].connected and self._supports(node, layers):
            pool = self._db.pool(store.DISKLESS_POOL, node)
        if pool is None:
            word = "diskless" if diskless else "diskful"
            text = f"Autoplacer could not find {word} stor pool on node {node} matching resource-groups autoplace-settings"
            return entries.add(rc.NOT_FOUND_STOR_POOL, text, details=details).answer()
        yield from self._place_here(record, node, pool, entries, diskless=diskless, layers=layers)
        return entries.answer()

    def create(self, request: Request, name: str, node: str) -> Call:
        """POST resources/{node}: also on an OFFLINE node (201 with a warning, A4)."""
        body = self._find.body(request.body, ResourceBody)
        entries = self._find.entries(rc.OP_CREATE | rc.OBJ_RSC, RscDfn=name)
        record = self._find.definition(name, into=entries)
        self._find.node(node, into=entries)
        layers = record.layers or body.layer_list or DEFAULT_LAYERS
        diskless = "DISKLESS" in body.resource.flags
        named = body.resource.props.get("StorPoolName", "")
        pool = self._db.pool(named, node) if named else self._pool_for(node, record, layers)
        if diskless:
            pool = self._db.pool(store.DISKLESS_POOL, node)
        if pool is None:
            text = f"Storage pool '{named}' on node '{node}' not found."
            return entries.add(rc.NOT_FOUND_STOR_POOL, text).answer()
        yield from self._place_here(record, node, pool, entries, diskless=diskless, layers=layers)
        return entries.answer(201)

    def _place_here(
        self,
        record: store.Definition,
        node: str,
        pool: store.Pool,
        entries: Entries,
        *,
        diskless: bool,
        layers: list[str],
    ) -> Call:
        self._settle_layers(record, layers)
        placement = build.place(self._world, record, node, pool.name, diskless=diskless)
        name, new = (
            record.name,
            f"Resource '{record.name}' on node '{node}' UUID is: {placement.uuid}",
        )
        entries.add(rc.CREATED, "Successfully set property key(s): StorPoolName")
        text = f"New resource '{name}' on node '{node}' registered."
        entries.add(rc.CREATED, text, details=new, refs={"UUID": placement.uuid})
        for volume in placement.volumes:
            text = f"Volume with number '{volume.number}' on resource '{name}' on node '{node}' successfully registered"
            entries.add(
                rc.OP_CREATE | rc.OBJ_VLM | rc.CREATED,
                text,
                details=f"Volume UUID is: {volume.uuid}",
                refs={"VlmNr": str(volume.number), "Node": node},
            )
        return (yield from self._create(record, [placement], entries))
