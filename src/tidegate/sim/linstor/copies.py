# SPDX-License-Identifier: Apache-2.0
"""Snapshots and clones (facts/linstor.md 4.3: the calls Incus makes).

The recordings hold no successful snapshot (FILE_THIN refuses them), so texts of success here follow the pattern of the recorded
calls; Incus looks only at the status and, for a clone, at ``status``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tidegate.sim.linstor import build, rc, store
from tidegate.sim.linstor.answer import Answer, Call, Request, Wait
from tidegate.sim.linstor.changes import Changes
from tidegate.sim.linstor.lookup import Finder

if TYPE_CHECKING:
    from tidegate.sim.linstor import world as worlds


class SnapshotBody(msgspec.Struct, kw_only=True):
    """POST snapshots."""

    name: str
    resource_name: str = ""
    nodes: list[str] = []


class RestoreBody(msgspec.Struct, kw_only=True):
    """POST snapshot-restore-*."""

    to_resource: str
    nodes: list[str] = []
    stor_pool_rename: dict[str, str] = {}


class CloneBody(msgspec.Struct, kw_only=True):
    """POST clone."""

    name: str
    resource_group: str = ""
    use_zfs_clone: bool | None = None
    volume_passphrases: list[str] = []
    layer_list: list[str] = []
    override_props: dict[str, str] = {}
    delete_props: list[str] = []


class Copies:
    """Handlers of snapshots and clones."""

    def __init__(self, finder: Finder, changes: Changes) -> None:
        self._find = finder
        self._changes = changes
        self._world: worlds.LinstorWorld = finder.world

    @property
    def _db(self) -> store.Store:
        return self._world.store

    def _emit(self, kind: str, record: store.Definition, **fields: object) -> None:
        for placement in self._db.placements(definition=record.name):
            if placement.diskless:
                continue
            for volume in record.volumes:
                self._world.emit(
                    kind,
                    node=placement.node,
                    resource=record.name,
                    volume=volume.number,
                    minor=volume.minor,
                    size_kib=volume.size_kib,
                    **fields,
                )

    # --- snapshots -------------------------------------------------------------------------------
    def make(self, request: Request, name: str) -> Call:
        """POST snapshots."""
        body = self._find.body(request.body, SnapshotBody)
        refs = {"RscDfn": name, "Snapshot": body.name}
        entries = self._find.entries(rc.OP_CREATE | rc.OBJ_SNAPSHOT, **refs)
        record = self._find.definition(name, into=entries)
        placed = [p for p in self._db.placements(definition=name) if not p.diskless]
        for placement in placed:
            pool = self._db.pool(placement.volumes[0].pool, placement.node)
            if pool is not None and pool.kind in ("FILE_THIN", "LVM", "DISKLESS"):
                text = f"Storage driver '{pool.kind}' does not support snapshots."
                details = f"Used for storage pool '{pool.name}' on '{pool.node}'.\nResource: {name}, Snapshot: {body.name}"
                return entries.add(
                    rc.SNAPSHOTS_NOT_SUPPORTED,
                    text,
                    details=details,
                    reports=(self._world.new_report(),),
                ).answer()
        one = store.Snapshot(
            name=body.name,
            uuid=self._db.new_uuid(),
            nodes=[p.node for p in placed],
            sizes_kib=[v.size_kib for v in record.volumes],
            created_ms=self._world.unix_ms,
        )
        record.snapshots.append(one)
        self._db.changed += 1
        self._emit("snapshot-created", record, snapshot=body.name)
        world = self._world
        trouble = yield from self._find.tell(one.nodes, entries, f"Snapshot '{body.name}'")
        yield Wait(ready=lambda: world.acknowledged(name))
        text = f"New snapshot '{body.name}' of resource '{name}' registered."
        details = f"Snapshot '{body.name}' of resource '{name}' UUID is: {one.uuid}"
        entries.add(rc.CREATED, text, details=details, refs={"UUID": one.uuid})
        return entries.answer(201) if trouble.status == 200 else trouble

    def delete(self, _request: Request, name: str, snapshot: str) -> Call:
        """DELETE snapshots/{s}."""
        entries = self._find.entries(rc.OP_DELETE | rc.OBJ_SNAPSHOT, RscDfn=name, Snapshot=snapshot)
        record = self._find.definition(name, into=entries)
        found = next((s for s in record.snapshots if s.name == snapshot), None)
        if found is None:
            text = f"Snapshot '{snapshot}' of resource '{name}' not found."
            return entries.add(rc.WARN_NOT_FOUND, text).answer()
        record.snapshots.remove(found)
        self._db.changed += 1
        self._emit("snapshot-deleted", record, snapshot=snapshot)
        world = self._world
        yield Wait(ready=lambda: world.acknowledged(name))
        text = f"Snapshot '{snapshot}' of resource '{name}' deleted."
        return entries.add(rc.DELETED, text).answer()

    def rollback(self, _request: Request, name: str, snapshot: str) -> Call:
        """POST snapshot-rollback/{s}."""
        entries = self._find.entries(rc.OP_MODIFY | rc.OBJ_SNAPSHOT, RscDfn=name, Snapshot=snapshot)
        record = self._find.definition(name, into=entries)
        self._find.snapshot(record, snapshot)
        self._emit("volume-rolled-back", record, snapshot=snapshot)
        world = self._world
        yield Wait(ready=lambda: world.acknowledged(name))
        text = f"Resource '{name}' rolled back to snapshot '{snapshot}'."
        return entries.add(rc.MODIFIED, text).answer()

    def restore_volumes(self, request: Request, name: str, snapshot: str) -> Answer:
        """POST snapshot-restore-volume-definition/{s}: the target gets the snapshot's volume definitions."""
        body = self._find.body(request.body, RestoreBody)
        entries = self._find.entries(rc.OP_CREATE | rc.OBJ_VLM_DFN, RscDfn=body.to_resource)
        record = self._find.definition(name, into=entries)
        one = self._find.snapshot(record, snapshot)
        target = self._find.definition(body.to_resource, into=entries)
        target.layers = target.layers or list(record.layers)
        target.volumes = build.new_volumes(self._world, one.sizes_kib, with_drbd=record.drbd)
        target.signatures = list(record.signatures)
        self._db.changed += 1
        text = f"Volume definitions restored from snapshot '{snapshot}' of resource '{name}'."
        return entries.add(rc.CREATED, text).answer()

    def restore(self, request: Request, name: str, snapshot: str) -> Call:
        """POST snapshot-restore-resource/{s}: the target is placed where the snapshot is, with its content."""
        body = self._find.body(request.body, RestoreBody)
        entries = self._find.entries(rc.OP_CREATE | rc.OBJ_RSC, RscDfn=body.to_resource)
        record = self._find.definition(name, into=entries)
        one = self._find.snapshot(record, snapshot)
        target = self._find.definition(body.to_resource, into=entries)
        if target.drbd and not target.port:
            target.port, target.secret = self._db.free_port(), self._db.new_secret()
        yield from self._populate("snapshot-restored", record, target, one.nodes, snapshot=snapshot)
        text = f"Resource '{body.to_resource}' restored from snapshot '{snapshot}' of resource '{name}'."
        return entries.add(rc.CREATED, text).answer(201)

    # --- clones ----------------------------------------------------------------------------------
    def clone(self, request: Request, name: str) -> Answer:
        """POST clone: answered at once; the copy goes on, see :meth:`clone_status`."""
        body = self._find.body(request.body, CloneBody)
        entries = self._find.entries(rc.OP_CREATE | rc.OBJ_RSC_DFN, RscDfn=body.name)
        record = self._find.definition(name, into=entries)
        group = body.resource_group or record.group
        target = self._changes.new_definition(body.name, group, list(record.layers), entries)
        if target is None:
            return entries.answer()
        target.props = {**record.props, **body.override_props}
        for key in body.delete_props:
            target.props.pop(key, None)
        sizes = [v.size_kib for v in record.volumes]
        target.volumes = build.new_volumes(self._world, sizes, with_drbd=record.drbd)
        target.signatures = list(record.signatures)
        target.clone_of, target.cloning = name, True
        nodes = [p.node for p in self._db.placements(definition=name) if not p.diskless]
        step = self._populate("volume-cloned", record, target, nodes)
        self._world.calls.start(step, lambda _answer: None)
        where = f"/v1/resource-definitions/{name}/clone/{body.name}"
        answer = {"location": where, "source_name": name, "clone_name": body.name}
        return Answer(status=201, body=answer)

    def clone_status(self, _request: Request, name: str, clone: str) -> Answer:
        """GET clone/{dst}."""
        self._find.definition(name)
        target = self._db.data.definitions.get(clone)
        if target is None or target.clone_of != name:
            raise self._find.refuse(rc.NOT_FOUND_RSC_DFN, "Cloned resource not found.")
        return Answer(body={"status": "CLONING" if target.cloning else "COMPLETE"})

    def _populate(
        self,
        kind: str,
        source: store.Definition,
        target: store.Definition,
        nodes: list[str],
        **fields: object,
    ) -> Call:
        """Place the target where its source is; the lab fills the volumes before they come up."""
        world = self._world
        placed = []
        for node in nodes:
            original = self._db.placement(source.name, node)
            pool = original.volumes[0].pool if original else build.any_pool(self._db, node)
            placed.append(build.place(world, target, node, pool))
        self._emit(kind, target, source=source.name, **fields)
        yield Wait(ready=lambda: world.acknowledged(target.name))
        for placement in placed:
            world.manager.create(placement)
        world.settle()
        online = [p for p in placed if world.lives[p.node].connected]
        yield Wait(ready=lambda: all(world.replication.is_up(p) for p in online))
        yield Wait(ready=lambda: world.acknowledged(target.name))
        target.cloning = False
        self._db.changed += 1
        return Answer()
