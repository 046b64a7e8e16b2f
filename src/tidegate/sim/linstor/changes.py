# SPDX-License-Identifier: Apache-2.0
"""The calls that change definitions: groups, resource and volume definitions, node properties, reconnect.

Entries and their codes as recorded (tests/data/linstor a0, a_healthy, b10, c1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tidegate.sim.linstor import build, rc, store, view
from tidegate.sim.linstor.answer import Answer, Call, Entries, Request, Wait
from tidegate.sim.linstor.lookup import Finder, warn_not_connected
from tidegate.sim.linstor.node import Status

if TYPE_CHECKING:
    from tidegate.sim.linstor import world as worlds


class FilterBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``select_filter``."""

    place_count: int | None = None
    additional_place_count: int | None = None
    node_name_list: list[str] | None = None
    storage_pool: str | None = None
    storage_pool_list: list[str] | None = None
    storage_pool_diskless_list: list[str] | None = None
    layer_stack: list[str] | None = None
    provider_list: list[str] | None = None
    diskless_on_remaining: bool | None = None
    diskless_type: str | None = None


class GroupBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """POST and PUT of a resource group."""

    name: str = ""
    description: str | None = None
    props: dict[str, str] = {}
    peer_slots: int | None = None
    select_filter: FilterBody = msgspec.field(default_factory=FilterBody)
    override_props: dict[str, str] = {}
    delete_props: list[str] = []
    delete_namespaces: list[str] = []


class PropsBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """PUT of properties."""

    override_props: dict[str, str] = {}
    delete_props: list[str] = []
    delete_namespaces: list[str] = []
    resource_group: str | None = None


class LayerBody(msgspec.Struct, kw_only=True):
    """One layer of a new definition."""

    type: str


class DefinitionFields(msgspec.Struct, kw_only=True):
    """The inner part of POST resource-definitions."""

    name: str
    resource_group_name: str = store.DEFAULT_GROUP
    props: dict[str, str] = {}
    layer_data: list[LayerBody] = []


class DefinitionBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """POST resource-definitions."""

    resource_definition: DefinitionFields


class VolumeFields(msgspec.Struct, kw_only=True):
    """The inner part of POST volume-definitions."""

    size_kib: int
    volume_number: int | None = None


class VolumeBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """POST volume-definitions."""

    volume_definition: VolumeFields
    drbd_minor_number: int | None = None


class SizeBody(msgspec.Struct, kw_only=True):
    """PUT volume-definitions/{nr}."""

    size_kib: int = 0
    override_props: dict[str, str] = {}
    delete_props: list[str] = []


def apply_props(
    props: dict[str, str], body: PropsBody | GroupBody, entries: Entries, code: int
) -> None:
    """Set and delete properties; the answer names what was set and what went."""
    if body.override_props:
        props |= body.override_props
        keys = ",".join(body.override_props)
        entries.add(code, f"Successfully set property key(s): {keys}")
    gone = [key for key in body.delete_props if props.pop(key, None) is not None]
    for space in body.delete_namespaces:
        found = [key for key in props if key.startswith(f"{space}/")]
        gone += [key for key in found if props.pop(key, None) is not None]
    if gone:
        entries.add(code | rc.DELETED, f"Successfully deleted property key(s): {','.join(gone)}")


class Changes:
    """Handlers of POST, PUT and DELETE of definitions."""

    def __init__(self, finder: Finder) -> None:
        self._find = finder
        self._world: worlds.LinstorWorld = finder.world

    @property
    def _db(self) -> store.Store:
        return self._world.store

    # --- groups ----------------------------------------------------------------------------------
    def make_group(self, request: Request) -> Answer:
        """POST resource-groups."""
        body = self._find.body(request.body, GroupBody)
        entries = self._find.entries(rc.OP_CREATE | rc.OBJ_RSC_GRP, RscGrp=body.name)
        if body.name in self._db.data.groups:
            entries.add(rc.EXISTS_RSC_GRP, f"Resource group '{body.name}' already exists.")
            return entries.answer()
        record = store.Group(
            name=body.name,
            uuid=self._db.new_uuid(),
            description=body.description or "",
            props=dict(body.props),
        )
        self._filter(record, body.select_filter)
        self._db.data.groups[body.name] = record
        self._db.changed += 1
        text = f"Resource group '{body.name}' UUID is: {record.uuid}"
        new = f"New resource group '{body.name}' created."
        entries.add(rc.CREATED, new, details=text, refs={"UUID": record.uuid})
        return entries.answer(201)

    def _filter(self, record: store.Group, body: FilterBody) -> None:
        filters = record.select_filter
        if body.place_count is not None:
            filters.place_count = body.place_count
        pools = body.storage_pool_list or ([body.storage_pool] if body.storage_pool else [])
        if pools:
            filters.storage_pool, filters.storage_pool_list = pools[0], list(pools)
        if body.layer_stack is not None:
            filters.layer_stack = list(body.layer_stack)

    def change_group(self, request: Request, name: str) -> Answer:
        """PUT resource-groups/{rg}."""
        body = self._find.body(request.body, GroupBody)
        record = self._find.group(name)
        entries = self._find.entries(rc.OP_MODIFY | rc.OBJ_RSC_GRP, RscGrp=name)
        apply_props(record.props, body, entries, rc.OP_CREATE | rc.OBJ_RSC_GRP | rc.CREATED)
        self._filter(record, body.select_filter)
        self._db.changed += 1
        text = f"Resource group '{name}' UUID is: {record.uuid}"
        modified = f"Resource group '{name}' modified."
        entries.add(rc.MODIFIED, modified, details=text, refs={"UUID": record.uuid})
        return entries.answer()

    def delete_group(self, _request: Request, name: str) -> Answer:
        """DELETE resource-groups/{rg}; refused while definitions use it."""
        record = self._find.group(name)
        entries = self._find.entries(rc.OP_DELETE | rc.OBJ_RSC_GRP, RscGrp=name)
        if any(d.group == name for d in self._db.data.definitions.values()):
            text = f"Cannot delete resource group '{name}' because it has existing resource definitions."
            return entries.add(rc.EXISTS_RSC_DFN, text).answer()
        del self._db.data.groups[name]
        self._db.changed += 1
        text = f"Resource group '{name}' UUID was: {record.uuid}"
        deleted = f"Resource group '{name}' deleted."
        entries.add(rc.DELETED, deleted, details=text, refs={"UUID": record.uuid})
        return entries.answer()

    # --- definitions -----------------------------------------------------------------------------
    def make_definition(self, request: Request) -> Answer:
        """POST resource-definitions. Without ``layer_data`` the layers are settled when it is first placed."""
        fields = self._find.body(request.body, DefinitionBody).resource_definition
        entries = self._find.entries(rc.OP_CREATE | rc.OBJ_RSC_DFN, RscDfn=fields.name)
        layers = [layer.type for layer in fields.layer_data]
        self.new_definition(fields.name, fields.resource_group_name, layers, entries)
        if entries.items and rc.http_status(entries.items) == 200:
            self._db.data.definitions[fields.name].props |= fields.props
        return entries.answer(201)

    def new_definition(
        self, name: str, group: str, layers: list[str], entries: Entries
    ) -> store.Definition | None:
        """A definition without volumes. None, with an entry that says why, if the name is taken."""
        if name in self._db.data.definitions:
            text = f"Resource definition '{name}' already exists."
            entries.add(rc.EXISTS_RSC_DFN, text)
            return None
        self._find.group(group)
        record = store.Definition(name=name, group=group, uuid=self._db.new_uuid(), layers=layers)
        if record.drbd:
            record.port, record.secret = self._db.free_port(), self._db.new_secret()
        self._db.data.definitions[name] = record
        self._db.changed += 1
        entries.add(
            rc.OP_CREATE | rc.OBJ_RSC_DFN | rc.CREATED,
            f"New resource definition '{name}' created.",
            details=f"Resource definition '{name}' UUID is: {record.uuid}",
            refs={"UUID": record.uuid, "RscDfn": name},
        )
        return record

    def make_volume(self, request: Request, name: str) -> Answer:
        """POST volume-definitions (200, recorded)."""
        fields = self._find.body(request.body, VolumeBody).volume_definition
        record = self._find.definition(name)
        number = len(record.volumes)
        entries = self._find.entries(rc.OP_CREATE | rc.OBJ_VLM_DFN, RscDfn=name)
        new = build.new_volumes(self._world, [fields.size_kib], with_drbd=record.drbd)[0]
        record.volumes.append(msgspec.structs.replace(new, number=number))
        self._db.changed += 1
        text = (
            f"New volume definition with number '{number}' of resource definition '{name}' created."
        )
        entries.add(rc.CREATED, text, refs={"VlmNr": str(number)})
        return entries.answer()

    def change_definition(self, request: Request, name: str) -> Call:
        """PUT resource-definitions/{rd}: stored at once, then every satellite that holds it must have heard."""
        body = self._find.body(request.body, PropsBody)
        entries = self._find.entries(rc.OP_MODIFY | rc.OBJ_RSC_DFN, RscDfn=name)
        record = self._find.definition(name, into=entries)
        apply_props(record.props, body, entries, rc.OP_CREATE | rc.OBJ_RSC_DFN | rc.CREATED)
        self._db.changed += 1
        entries.add(
            rc.MODIFIED,
            f"Resource definition '{name}' modified.",
            details=f"Resource definition '{name}' UUID is: {record.uuid}",
            refs={"UUID": record.uuid},
        )
        nodes = [p.node for p in self._db.placements(definition=name)]
        what = f"Modification of resource definition '{name}'"
        trouble = yield from self._find.tell(nodes, entries, what)
        return entries.answer() if trouble.status == 200 else trouble

    def resize(self, request: Request, name: str, number: str) -> Call:
        """PUT volume-definitions/{nr}: the devices grow."""
        body = self._find.body(request.body, SizeBody)
        record = self._find.definition(name)
        entries = self._find.entries(rc.OP_MODIFY | rc.OBJ_VLM_DFN, RscDfn=name, VlmNr=number)
        volume = next((v for v in record.volumes if str(v.number) == number), None)
        if volume is None:
            text = f"Volume number {number} of resource definition '{name}' not found."
            return entries.add(rc.NOT_FOUND_VLM, text).answer()
        volume.size_kib = body.size_kib or volume.size_kib
        self._db.changed += 1
        entries.add(
            rc.MODIFIED,
            f"Volume definition with number '{number}' of resource definition '{name}' modified.",
        )
        world = self._world
        for placement in self._db.placements(definition=name):
            side = world.drbd[placement.node].resources.get(name)
            if side is not None:
                side.volumes[volume.number].size_kib = volume.size_kib
            world.emit(
                "volume-resized",
                node=placement.node,
                resource=name,
                volume=volume.number,
                minor=volume.minor,
                size_kib=volume.size_kib,
            )
        world.replication.look()
        nodes = [p.node for p in self._db.placements(definition=name)]
        trouble = yield from self._find.tell(nodes, entries, f"Resize of '{name}'")
        yield Wait(ready=lambda: world.acknowledged(name))
        return entries.answer() if trouble.status == 200 else trouble

    # --- nodes -----------------------------------------------------------------------------------
    def change_node(self, request: Request, name: str) -> Call:
        """PUT nodes/{n}: properties; the only thing the node event stream tells of (facts/linstor.md 4.7)."""
        body = self._find.body(request.body, PropsBody)
        entries = self._find.entries(rc.OP_MODIFY | rc.OBJ_NODE, Node=name)
        record = self._find.node(name, into=entries)
        apply_props(record.props, body, entries, rc.OP_CREATE | rc.OBJ_NODE | rc.CREATED)
        self._db.changed += 1
        text = f"Node '{name}' UUID is: {record.uuid}"
        modified = f"Node '{name}' modified."
        entries.add(rc.MODIFIED, modified, details=text, refs={"UUID": record.uuid})
        self._world.emit("node-modified", node=name)
        for one in sorted(self._db.data.nodes):
            trouble = yield from self._find.tell([one], entries, f"Modification of node '{name}'")
            if trouble.status != 200:
                return trouble
            if self._world.lives[one].connected:
                entries.add(rc.MODIFIED, f"({one}) Node changes applied.")
        return entries.answer()

    def reconnect(self, _request: Request, name: str) -> Call:
        """PUT nodes/{n}/reconnect: closes first, waits 1 s for TCP, then without limit for the full sync (facts/linstor.md 4.7)."""
        entries = self._find.entries(rc.OP_MODIFY | rc.OBJ_NODE, Node=name)
        self._find.node(name, into=entries)
        world, life = self._world, self._world.lives[name]
        entries.add(0, f"Nodes [{name}] will be reconnected.")
        reached = world.connection.reconnect(life)
        link = life.link
        if not reached:
            if world.timings.reconnect_round:
                end = world.now + 1.0
                yield Wait(ready=lambda: world.now >= end, until=end)
            warn_not_connected(entries, name)
            return entries.answer()
        waiting = (Status.OFFLINE, Status.CONNECTED)
        yield Wait(ready=lambda: life.link != link or life.status not in waiting)
        if life.link != link:
            return entries.add(rc.UNKNOWN_ERROR, reports=(world.new_report(),)).answer()
        details = view.authenticated_details(world, name)
        entries.add(rc.AUTHENTICATED, f"Node '{name}' authenticated", details=details)
        return entries.answer()
