# SPDX-License-Identifier: Apache-2.0
"""The REST API of the model: which handler answers which request, and what a faulty controller answers instead."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tidegate.sim import faults
from tidegate.sim.linstor import changes, copies, placing, rc, reads, removing
from tidegate.sim.linstor.answer import Answer, Call, Request, Wait
from tidegate.sim.linstor.lookup import Finder, Refused

if TYPE_CHECKING:
    from tidegate.sim.linstor import world as worlds

Handler = Callable[..., Any]
_KIND = faults.FaultKind
_RD = "/v1/resource-definitions"
_RG = "/v1/resource-groups"


class Api:
    """All endpoints of one world."""

    def __init__(self, world: worlds.LinstorWorld) -> None:
        self._world = world
        finder = Finder(world)
        self._reads = reads.Reads(finder)
        self._changes = changes.Changes(finder)
        self._placing = placing.Placing(finder, self._changes)
        self._removing = removing.Removing(finder)
        self._copies = copies.Copies(finder, self._changes)
        self._finder = finder
        self._routes: list[tuple[str, re.Pattern[str], Handler]] = []
        self._add_reads()
        self._add_changes()

    def _route(self, method: str, path: str, handler: Handler) -> None:
        pattern = re.sub(r"\{\}", "([^/]+)", path)
        self._routes.append((method, re.compile(f"{pattern}/?"), handler))

    def _add_reads(self) -> None:
        one = self._reads
        routes: dict[str, Handler] = {
            "/v1/controller/version": one.version,
            "/v1/controller/properties": one.properties,
            "/v1/encryption/passphrase": one.passphrase,
            "/health": one.health,
            "/metrics": one.metrics,
            "/v1/nodes": one.nodes,
            "/v1/nodes/{}": one.node,
            "/v1/nodes/{}/net-interfaces": one.net_interfaces,
            "/v1/nodes/{}/storage-pools": one.node_pools,
            "/v1/nodes/{}/storage-pools/{}": one.node_pool,
            "/v1/view/storage-pools": one.view_pools,
            "/v1/view/resources": one.view_resources,
            "/v1/view/snapshots": one.view_snapshots,
            "/v1/error-reports": one.error_reports,
            "/v1/stats/{}": one.stats,
            _RD: one.definitions,
            f"{_RD}/{{}}": one.definition,
            f"{_RD}/{{}}/volume-definitions": one.volume_definitions,
            f"{_RD}/{{}}/sync-status": one.sync_status,
            f"{_RD}/{{}}/resources": one.resources,
            f"{_RD}/{{}}/resources/{{}}": one.resource,
            f"{_RD}/{{}}/resources/{{}}/volumes": one.volumes,
            f"{_RD}/{{}}/resources/{{}}/volumes/{{}}": one.volume,
            f"{_RD}/{{}}/snapshots": one.snapshots,
            f"{_RD}/{{}}/snapshots/{{}}": one.snapshot,
            f"{_RD}/{{}}/clone/{{}}": self._copies.clone_status,
            _RG: one.groups,
            f"{_RG}/{{}}": one.group,
        }
        for path, handler in routes.items():
            self._route("GET", path, handler)

    def _add_changes(self) -> None:
        change, place = self._changes, self._placing
        gone, copy = self._removing, self._copies
        routes: list[tuple[str, str, Handler]] = [
            ("PUT", "/v1/nodes/{}", change.change_node),
            ("PUT", "/v1/nodes/{}/reconnect", change.reconnect),
            ("POST", _RG, change.make_group),
            ("PUT", f"{_RG}/{{}}", change.change_group),
            ("DELETE", f"{_RG}/{{}}", change.delete_group),
            ("POST", f"{_RG}/{{}}/spawn", place.spawn),
            ("POST", _RD, change.make_definition),
            ("PUT", f"{_RD}/{{}}", change.change_definition),
            ("DELETE", f"{_RD}/{{}}", gone.definition),
            ("POST", f"{_RD}/{{}}/volume-definitions", change.make_volume),
            ("PUT", f"{_RD}/{{}}/volume-definitions/{{}}", change.resize),
            ("POST", f"{_RD}/{{}}/autoplace", place.autoplace),
            ("POST", f"{_RD}/{{}}/resources/{{}}", place.create),
            ("DELETE", f"{_RD}/{{}}/resources/{{}}", gone.resource),
            ("POST", f"{_RD}/{{}}/resources/{{}}/make-available", place.make_available),
            ("POST", f"{_RD}/{{}}/snapshots", copy.make),
            ("DELETE", f"{_RD}/{{}}/snapshots/{{}}", copy.delete),
            ("POST", f"{_RD}/{{}}/snapshot-rollback/{{}}", copy.rollback),
            (
                "POST",
                f"{_RD}/{{}}/snapshot-restore-volume-definition/{{}}",
                copy.restore_volumes,
            ),
            ("POST", f"{_RD}/{{}}/snapshot-restore-resource/{{}}", copy.restore),
            ("POST", f"{_RD}/{{}}/clone", copy.clone),
        ]
        for method, path, handler in routes:
            self._route(method, path, handler)

    def call(self, request: Request) -> Call:
        """Answer one request; a controller that refuses or hangs is the face's matter, this one answers."""
        world = self._world
        slow = world.fault(_KIND.CONTROLLER_SLOW)
        if slow is not None:
            end = world.now + slow.delay
            yield Wait(ready=lambda: world.now >= end, until=end)
        broken = world.fault(_KIND.CONTROLLER_500)
        if broken is not None:
            return self._broken(broken)
        try:
            return (yield from self._dispatch(request))
        except Refused as refused:
            return refused.answer
        finally:
            world.settle()

    def _dispatch(self, request: Request) -> Call:
        for method, pattern, handler in self._routes:
            match = pattern.fullmatch(request.path) if method == request.method else None
            if match is not None:
                result = handler(request, *match.groups())
                if inspect.isgenerator(result):
                    result = yield from result
                assert isinstance(result, Answer)
                return result
        raise self._reads.no_path(request.path)

    def _broken(self, fault: faults.Fault) -> Answer:
        """What a broken controller, or something in front of it, answers."""
        if fault.body == "html":
            page = "<html><body><h1>502 Bad Gateway</h1></body></html>"
            return Answer(status=500, body=page, content_type="text/html")
        if fault.body == "truncated":
            return Answer(status=500, body='[{"ret_code":-46116860184273')
        report = (self._world.new_report(),)
        message = "" if fault.body == "no-message" else "An unknown error occurred."
        return self._finder.entries().add(rc.UNKNOWN_ERROR, message, reports=report).answer()
