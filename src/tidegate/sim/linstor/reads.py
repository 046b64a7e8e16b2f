# SPDX-License-Identifier: Apache-2.0
"""The GETs: what they show, which of them ask satellites, and what they answer for unknown names.

Sources: facts/linstor.md 4.2, 4.7; facts/linstor-observed.md A2, A3, A13, A15, section D.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tidegate.sim import faults
from tidegate.sim.linstor import node, rc, resource_view, store, view
from tidegate.sim.linstor.answer import Answer, Call, Request
from tidegate.sim.linstor.lookup import Finder

if TYPE_CHECKING:
    from tidegate.sim.linstor import world as worlds

VERSION = {
    "version": "1.34.0",
    "git_hash": "3e9306a9d8215606544c64c50ced150625ee4926",
    "build_time": "2026-06-02T10:45:56+00:00",
    "rest_api_version": "1.28.0",
}
_STATES = {status: number for number, status in enumerate(node.Status)}


def _page(items: list[Any], request: Request) -> list[Any]:
    """``limit`` and ``offset``; an offset without a limit is ignored (facts/linstor.md 4.1)."""
    limit = request.number("limit")
    offset = request.number("offset")
    return items[offset : offset + limit] if limit else items


class Reads:
    """Handlers of GET requests."""

    def __init__(self, finder: Finder) -> None:
        self._find = finder
        self._world: worlds.LinstorWorld = finder.world

    # --- controller ------------------------------------------------------------------------------
    def version(self, _request: Request) -> Answer:
        """The controller lives; says nothing about satellites."""
        return Answer(body=VERSION)

    def health(self, _request: Request) -> Answer:
        """200 without a body."""
        return Answer(body=None)

    def properties(self, _request: Request) -> Answer:
        """A fresh data base allows auto-evict (facts/linstor-observed.md B)."""
        return Answer(body={"DrbdOptions/AutoEvictAllowEviction": "True"})

    def passphrase(self, _request: Request) -> Answer:
        """Whether encrypted volumes can come up."""
        encrypted = any("LUKS" in d.layers for d in self._world.store.data.definitions.values())
        locked = self._world.fault(faults.FaultKind.STORAGE_LOCKED) is not None
        known = "locked" if locked else "unlocked"
        return Answer(body={"status": known if encrypted else "unset"})

    # --- nodes -----------------------------------------------------------------------------------
    def nodes(self, request: Request) -> Answer:
        """All nodes, or those asked for; unknown names give no error here (A15)."""
        wanted = request.values("nodes")
        names = sorted(n for n in self._world.store.data.nodes if not wanted or n in wanted)
        return Answer(body=_page([view.node(self._world, n) for n in names], request))

    def node(self, _request: Request, name: str) -> Answer:
        """One node."""
        if name not in self._world.store.data.nodes:
            raise self._find.refuse(rc.NOT_FOUND_NODE, f"Node '{name}' not found.")
        return Answer(body=view.node(self._world, name))

    def net_interfaces(self, _request: Request, name: str) -> Answer:
        """A node's net interfaces."""
        return Answer(body=[view.net_interface(self._find.node(name))])

    # --- pools -----------------------------------------------------------------------------------
    def view_pools(self, request: Request) -> Call:
        """Pools; asks the satellites of the thin ones unless ``cached=true``."""
        names = set(request.values("storage_pools"))
        nodes = self._node_filter(request)
        pools = [
            p
            for p in self._world.store.data.pools
            if (not names or p.name in names) and (not nodes or p.node in nodes)
        ]
        return (yield from self._pools(pools, request))

    def node_pools(self, request: Request, name: str) -> Call:
        """The pools of one node."""
        self._find.node(name)
        pools = [p for p in self._world.store.data.pools if p.node == name]
        return (yield from self._pools(pools, request))

    def node_pool(self, request: Request, name: str, pool: str) -> Call:
        """One pool."""
        self._find.node(name)
        found = self._world.store.pool(pool, name)
        if found is None:
            text = f"Storage pool '{pool}' on node '{name}' not found."
            raise self._find.refuse(rc.NOT_FOUND_STOR_POOL, text)
        answer = yield from self._pools([found], request)
        return answer if answer.status != 200 else Answer(body=answer.body[0])

    def _pools(self, pools: list[store.Pool], request: Request) -> Call:
        if not request.flag("cached"):
            trouble = yield from self._find.ask({p.node for p in pools if p.thin})
            if trouble.status != 200:
                return trouble
        ordered = sorted(pools, key=lambda p: (p.name.lower(), p.node))
        return Answer(body=_page([view.pool(self._world, p) for p in ordered], request))

    def _node_filter(self, request: Request) -> set[str]:
        names = set(request.values("nodes"))
        for name in sorted(names):
            self._find.node(name)
        return names

    # --- definitions -----------------------------------------------------------------------------
    def definitions(self, request: Request) -> Answer:
        """Definitions; ``props`` items are ``key`` or ``key=value``, and all must match."""
        wanted = [p.partition("=") for p in request.values("props")]
        names = set(request.values("resource_definitions"))
        found = []
        for record in sorted(self._world.store.data.definitions.values(), key=lambda d: d.name):
            props = view.definition_props(self._world, record)
            match = all(k in props and (not eq or props[k] == v) for k, eq, v in wanted)
            if match and (not names or record.name in names):
                found.append(record)
        volumes = request.flag("with_volume_definitions")
        shown = [view.definition(self._world, d, volumes=volumes) for d in found]
        return Answer(body=_page(shown, request))

    def definition(self, _request: Request, name: str) -> Answer:
        """One definition."""
        record = self._world.store.data.definitions.get(name)
        if record is None:
            text = f"Resource definition '{name}' not found."
            raise self._find.refuse(rc.NOT_FOUND_RSC_DFN, text)
        return Answer(body=view.definition(self._world, record))

    def volume_definitions(self, _request: Request, name: str) -> Answer:
        """A definition's volumes."""
        record = self._find.definition(name)
        return Answer(body=[view.volume_definition(self._world, record, v) for v in record.volumes])

    def sync_status(self, _request: Request, name: str) -> Answer:
        """True once no side waits for data."""
        self._find.definition(name)
        sides = (n.resources.get(name) for n in self._world.drbd.values())
        volumes = [v for side in sides if side for v in side.volumes.values() if v.backing]
        return Answer(body={"synced_on_all": all(v.disk == "UpToDate" for v in volumes)})

    # --- resources -------------------------------------------------------------------------------
    def resources(self, _request: Request, name: str) -> Answer:
        """Where a definition is placed; asks no satellite."""
        self._find.definition(name)
        placed = self._world.store.placements(definition=name)
        return Answer(body=[resource_view.resource(self._world, p) for p in placed])

    def resource(self, _request: Request, name: str, on: str) -> Answer:
        """One placed resource; asks no satellite."""
        self._find.definition(name)
        return Answer(body=resource_view.resource(self._world, self._find.placement(name, on)))

    def volumes(self, _request: Request, name: str, on: str) -> Call:
        """A placed resource's volumes; asks the satellite (A2)."""
        placement = self._find.placement(name, on, of_volumes=True)
        trouble = yield from self._find.ask(self._thin_nodes([placement]))
        if trouble.status != 200:
            return trouble
        empty = self._world.fault(faults.FaultKind.VOLUMES_EMPTY, name, on)
        shown = [] if empty else placement.volumes
        return Answer(body=[resource_view.volume(self._world, placement, v.number) for v in shown])

    def volume(self, request: Request, name: str, on: str, number: str) -> Call:
        """One volume."""
        answer = yield from self.volumes(request, name, on)
        if answer.status != 200:
            return answer
        found = [v for v in answer.body if str(v["volume_number"]) == number]
        if not found:
            text = f"Volume '{number}' of resource '{name}' on node '{on}' not found."
            raise self._find.refuse(rc.NOT_FOUND_VLM, text)
        return Answer(body=found[0])

    def view_resources(self, request: Request) -> Call:
        """Resources with volumes; asks the satellites of all with thin volumes, and knows no ``cached`` (A3)."""
        nodes = self._node_filter(request)
        names = {n.lower() for n in request.values("resources")}
        pools = set(request.values("storage_pools"))
        placed = [
            p
            for p in self._world.store.placements()
            if (not nodes or p.node in nodes)
            and (not names or p.definition.lower() in names)
            and (not pools or any(v.pool in pools for v in p.volumes))
        ]
        trouble = yield from self._find.ask(self._thin_nodes(placed))
        if trouble.status != 200:
            return trouble
        shown = [resource_view.resource(self._world, p, volumes=True) for p in placed]
        return Answer(body=_page(shown, request))

    def _thin_nodes(self, placed: list[store.Placement]) -> set[str]:
        found = set()
        for placement in placed:
            for volume in placement.volumes:
                pool = self._world.store.pool(volume.pool, placement.node)
                if pool is not None and pool.thin:
                    found.add(placement.node)
        return found

    # --- groups, snapshots, the rest -------------------------------------------------------------
    def groups(self, request: Request) -> Answer:
        """All resource groups."""
        records = sorted(self._world.store.data.groups.values(), key=lambda g: g.name)
        return Answer(body=_page([view.group(g) for g in records], request))

    def group(self, _request: Request, name: str) -> Answer:
        """One resource group."""
        return Answer(body=view.group(self._find.group(name)))

    def snapshots(self, _request: Request, name: str) -> Answer:
        """A definition's snapshots."""
        record = self._find.definition(name)
        return Answer(body=[view.snapshot(record, s) for s in record.snapshots])

    def snapshot(self, _request: Request, name: str, snapshot: str) -> Answer:
        """One snapshot."""
        record = self._find.definition(name)
        return Answer(body=view.snapshot(record, self._find.snapshot(record, snapshot)))

    def view_snapshots(self, request: Request) -> Answer:
        """All snapshots."""
        wanted = request.values("resources")
        shown = [
            view.snapshot(record, one)
            for record in self._world.store.data.definitions.values()
            if not wanted or record.name in wanted
            for one in record.snapshots
        ]
        return Answer(body=_page(shown, request))

    def error_reports(self, _request: Request) -> Call:
        """Error reports: none, but all satellites are asked."""
        trouble = yield from self._find.ask(set(self._world.lives))
        return trouble if trouble.status != 200 else Answer(body=[])

    def stats(self, _request: Request, what: str) -> Answer:
        """Counters."""
        data = self._world.store.data
        counts = {
            "nodes": len(data.nodes),
            "resource-groups": len(data.groups),
            "resource-definitions": len(data.definitions),
            "resources": len(data.placements),
            "storage-pools": len(data.pools),
        }
        if what not in counts:
            raise self.no_path(f"/v1/stats/{what}")
        return Answer(body={"count": counts[what]})

    def no_path(self, path: str) -> Exception:
        """404 for a path that does not exist."""
        text = f"Path '{path}' not found on server."
        details = "HTTP 404 Not Found"
        return self._find.refuse(rc.UNKNOWN_ERROR, text, status=404, details=details)

    def metrics(self, request: Request) -> Call:
        """The node states; with error reports (the default) it asks all satellites, and answers 200 whatever comes (A2)."""
        if request.flag("error_reports", default=True):
            yield from self._find.ask(set(self._world.lives))
        lines = ["# TYPE linstor_node_state gauge"]
        for name, life in sorted(self._world.lives.items()):
            lines.append(f'linstor_node_state{{node="{name}"}} {_STATES[life.status]}.0')
        return Answer(body="\n".join(lines) + "\n", content_type="text/plain")
