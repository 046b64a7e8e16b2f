# SPDX-License-Identifier: Apache-2.0
"""Incus's REST calls in front of the model: the subset that our client uses (facts/incus.md section 5).

Requests hang for as long as Incus's would: all of them until a process listens, all but ``/internal`` until the API opens, changes of
state until incusd's own start is over (C3, R6).
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from tidegate.core import ids
from tidegate.sim.faces import incus_envelope, incus_events
from tidegate.sim.faces.pacer import Pacer
from tidegate.sim.incus import values, views
from tidegate.sim.incus.daemon import Daemon, Phase
from tidegate.sim.incus.model import Answer, IncusModel
from tidegate.sim.incus.operations import Operation
from tidegate.sim.incus.tasks import Signal, first_of
from tidegate.sim.incus.values import Refusal
from tidegate.sim.incus.warnings import WarningStatus

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _StateChange(msgspec.Struct):
    """Body of PUT /1.0/instances/NAME/state (R46)."""

    action: str
    timeout: int = -1
    force: bool = False
    stateful: bool = False


class _PoolName(msgspec.Struct):
    name: str


class _Recovery(msgspec.Struct):
    """Body of POST /internal/recover/validate (D61)."""

    pools: list[_PoolName] = []


class _WarningChange(msgspec.Struct):
    """Body of PUT /1.0/warnings/UUID (R64)."""

    status: str


class IncusApi:
    """The calls. ``answering``: the process that took the present connections from the socket's queue."""

    def __init__(self, model: IncusModel, pacer: Pacer) -> None:
        self._model = model
        self._pacer = pacer
        self.answering: Daemon | None = None

    def application(self) -> web.Application:
        """Return the web application that serves the calls."""
        app = web.Application(middlewares=[self._envelope])
        app.add_routes(self._routes())
        return app

    # --- waiting --------------------------------------------------------------------------------

    async def _until(self, signal: Signal) -> None:
        if signal.is_set:
            return
        future = asyncio.get_running_loop().create_future()
        signal.on_set(lambda: None if future.done() else future.set_result(None))
        self._pacer.wake()
        await future

    async def _listening(self) -> Daemon:
        """Return the process that takes the connection from the socket's queue."""
        while (daemon := self._model.daemon) is None or not daemon.listening.is_set:
            spawned = self._model.units.spawned
            waiting = spawned if daemon is None else first_of(daemon.listening, daemon.gone)
            await self._until(waiting)
        self.answering = daemon
        return daemon

    async def _open(self) -> Daemon:
        """Return the process, its API being open."""
        daemon = await self._listening()
        await self._until(daemon.api_open)
        self._pacer.catch_up()
        return daemon

    @web.middleware
    async def _envelope(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Bring time up to date, let the handler answer, and put errors into Incus's envelope."""
        self._pacer.catch_up()
        try:
            return await handler(request)
        except web.HTTPException as error:
            return incus_envelope.error(Refusal((error.reason or "").lower(), error.status))
        except msgspec.MsgspecError as error:
            return incus_envelope.error(Refusal(str(error), 400))
        finally:
            self._pacer.wake()

    def _routes(self) -> list[web.RouteDef]:
        get, put, post, delete = web.get, web.put, web.post, web.delete
        return [
            get("/internal/ready", self._ready),
            post("/internal/recover/validate", self._validate),
            get("/1.0", self._view(lambda d, _: views.server(self._model.world, d))),
            get("/1.0/storage-pools", self._view(self._pools)),
            get("/1.0/storage-pools/{pool}", self._view(self._pool)),
            get("/1.0/storage-pools/{pool}/volumes", self._view(self._volumes)),
            get("/1.0/instances", self._view(self._instances)),
            get("/1.0/instances/{name}", self._view(self._instance)),
            get("/1.0/instances/{name}/state", self._view(self._instance_state)),
            put("/1.0/instances/{name}/state", self._change_state),
            get("/1.0/operations", self._view(self._operations)),
            get("/1.0/operations/{id}", self._view(self._operation)),
            get("/1.0/operations/{id}/wait", self._wait),
            get("/1.0/warnings", self._view(self._warnings)),
            get("/1.0/warnings/{uuid}", self._view(self._warning)),
            put("/1.0/warnings/{uuid}", self._change_warning),
            delete("/1.0/warnings/{uuid}", self._view(self._delete_warning)),
            get("/1.0/projects", self._view(self._projects)),
            get("/1.0/cluster", self._view(lambda *_: views.cluster(self._model.world))),
            get("/1.0/cluster/members", self._view(self._members)),
            get("/1.0/cluster/members/{name}", self._view(self._member)),
            get("/1.0/events", self._events),
        ]

    def _view(self, look: Callable[[Daemon, web.Request], object]) -> Handler:
        """Make a handler of a function that only looks: it answers once the API is open."""

        async def handler(request: web.Request) -> web.StreamResponse:
            daemon = await self._open()
            found = look(daemon, request)
            return (
                incus_envelope.error(found)
                if isinstance(found, Refusal)
                else incus_envelope.sync(found)
            )

        return handler

    # --- /internal ------------------------------------------------------------------------------

    async def _ready(self, _: web.Request) -> web.StreamResponse:
        daemon = await self._listening()
        self._pacer.catch_up()
        if daemon.phase is Phase.STOPPING:
            return incus_envelope.error(Refusal("Daemon is shutting down", 503))
        if daemon.phase is not Phase.READY:
            return incus_envelope.error(Refusal("Daemon not ready yet", 503))
        return incus_envelope.sync({})

    async def _validate(self, request: web.Request) -> web.StreamResponse:
        """An error comes with HTTP 200 here (observed)."""
        body = msgspec.json.decode(await request.read(), type=_Recovery)
        pools = [pool.name for pool in body.pools]
        refusal = await self._ask(lambda reply: self._model.validate(pools, reply))
        if isinstance(refusal, Refusal):
            return incus_envelope.error(refusal, http_status=200)
        unknown = [
            {
                "name": volume.name,
                "type": "container" if volume.kind == "containers" else str(volume.kind),
                "snapshotCount": 0,
                "project": values.DEFAULT_PROJECT,
                "pool": pool,
            }
            for pool in pools
            for volume in self._model.world.unknown_volumes.get(pool, ())
        ]
        return incus_envelope.sync({"UnknownVolumes": unknown or None, "DependencyErrors": None})

    async def _ask(self, call: Callable[[Callable[[object], None]], None]) -> object:
        """Put a request to the model and wait for its answer; the model goes on without us if we are cancelled."""
        future = asyncio.get_running_loop().create_future()
        call(lambda answer: None if future.done() else future.set_result(answer))
        self._pacer.wake()
        await self._listening()  # so that the connection breaks with the process that took it
        return await future

    # --- reads ----------------------------------------------------------------------------------

    def _spec(self, request: web.Request) -> values.PoolSpec | None:
        name = request.match_info["pool"]
        return next((spec for spec in self._model.world.server.pools if spec.name == name), None)

    def _pools(self, daemon: Daemon, request: web.Request) -> object:
        world = self._model.world
        if _is_recursive(request):
            return views.pools(world, daemon)
        return [views.pool_url(spec) for spec in world.server.pools]

    def _pool(self, daemon: Daemon, request: web.Request) -> object:
        spec, server = self._spec(request), self._model.world.server
        if spec is None:
            return Refusal("Storage pool not found", 404)
        is_local = not server.is_clustered or request.query.get("target") == server.name
        return views.pool(self._model.world, daemon, spec, is_local=is_local)

    def _volumes(self, _: Daemon, request: web.Request) -> object:
        spec = self._spec(request)
        if spec is None:
            return Refusal("Storage pool not found", 404)
        found = views.volumes(self._model.world, spec.name)
        if request.query.get("all-projects") != "true":
            found = [body for body in found if body["project"] == _project(request)]
        return found

    def _instances(self, _: Daemon, request: web.Request) -> object:
        is_all = request.query.get("all-projects") == "true"
        if is_all and "project" in request.query:
            return Refusal("Cannot specify a project when requesting all projects", 400)
        world = self._model.world
        found = views.instances(world, project=None if is_all else _project(request))
        if not _is_recursive(request):
            return [values.instance_url(record.id) for record in found]
        return [views.instance(world, record) for record in found]

    def _id(self, request: web.Request) -> ids.InstanceId:
        return values.instance_id(request.match_info["name"], _project(request))

    def _instance(self, _: Daemon, request: web.Request) -> object:
        key = self._id(request)
        record = self._model.world.instances.get(key)
        if record is None:
            where = f'instance "{key.name}" in project "{key.project}"'
            return Refusal(f"Failed to fetch {where}: Instance not found", 404)
        return views.instance(self._model.world, record)

    def _instance_state(self, _: Daemon, request: web.Request) -> object:
        world, key = self._model.world, self._id(request)
        record = world.instances.get(key)
        if record is None:
            return Refusal("Instance not found", 404)
        status, code = views.instance_status(world, record)
        running = world.running.get(key)
        return {"status": status, "status_code": code, "pid": running.pid if running else 0}

    def _operations(self, daemon: Daemon, request: web.Request) -> object:
        found: dict[str, list[object]] = {}
        for operation in daemon.operations.all:
            shown = operation.body if _is_recursive(request) else f"/1.0/operations/{operation.id}"
            found.setdefault(operation.status.lower(), []).append(shown)
        return found

    def _operation(self, daemon: Daemon, request: web.Request) -> object:
        operation = daemon.operations.get(request.match_info["id"])
        return Refusal("Operation not found", 404) if operation is None else operation.body

    def _warnings(self, _: Daemon, request: web.Request) -> object:
        world = self._model.world
        if not _is_recursive(request):
            return [f"/1.0/warnings/{row.uuid}" for row in world.warnings]
        return [views.warning(world, row) for row in world.warnings]

    def _warning(self, _: Daemon, request: web.Request) -> object:
        row = self._model.warnings.get(request.match_info["uuid"])
        if row is None:
            return Refusal("Warning not found", 404)
        return views.warning(self._model.world, row)

    def _projects(self, _: Daemon, request: web.Request) -> object:
        found = views.projects(self._model.world)
        return found if _is_recursive(request) else [f"/1.0/projects/{p['name']}" for p in found]

    def _members(self, _: Daemon, request: web.Request) -> object:
        found = views.members(self._model.world)
        if not found:
            return Refusal("Server is not clustered")
        if _is_recursive(request):
            return found
        return [f"/1.0/cluster/members/{body['server_name']}" for body in found]

    def _member(self, _: Daemon, request: web.Request) -> object:
        found, name = views.members(self._model.world), request.match_info["name"]
        if not found:
            return Refusal("Server is not clustered")
        member = next((body for body in found if body["server_name"] == name), None)
        return Refusal("Cluster member not found", 404) if member is None else member

    async def _events(self, request: web.Request) -> web.StreamResponse:
        return await incus_events.stream(request, self._open, self._pacer, self._model)

    # --- changes --------------------------------------------------------------------------------

    async def _change_state(self, request: web.Request) -> web.StreamResponse:
        body = msgspec.json.decode(await request.read(), type=_StateChange)
        instance = self._id(request)

        def call(reply: Callable[[Answer], None]) -> None:
            self._model.change_state(
                instance, body.action, reply, is_forced=body.force, stateful=body.stateful
            )

        answer = await self._ask(call)
        assert isinstance(answer, Operation | Refusal)
        return (
            incus_envelope.error(answer)
            if isinstance(answer, Refusal)
            else incus_envelope.begun(answer)
        )

    async def _wait(self, request: web.Request) -> web.StreamResponse:
        """Headers at once, the body at the operation's end or at the time-out (R50)."""
        daemon = await self._open()
        operation = daemon.operations.get(request.match_info["id"])
        if operation is None:
            return incus_envelope.error(Refusal("Operation not found", 404))
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        seconds, over = float(request.query.get("timeout", "-1")), Signal()
        if seconds >= 0:
            self._model.clock.after(seconds, over.set)
        await self._until(first_of(operation.done, over))
        with contextlib.suppress(ConnectionError):  # whoever waited has gone
            await response.write(incus_envelope.sync_body(operation.body))
            await response.write_eof()
        return response

    async def _change_warning(self, request: web.Request) -> web.StreamResponse:
        body = msgspec.json.decode(await request.read(), type=_WarningChange)
        daemon = await self._open()
        row = self._model.warnings.get(request.match_info["uuid"])
        if row is None:
            return incus_envelope.error(Refusal("Warning not found", 404))
        if body.status not in {WarningStatus.NEW, WarningStatus.ACKNOWLEDGED}:
            return incus_envelope.error(
                Refusal("Status may only be set to acknowledge or new", 400)
            )
        row.status = WarningStatus(body.status)
        action = "warning-acknowledged" if row.status == "acknowledged" else "warning-reset"
        source = f"/1.0/warnings/{row.uuid}"
        daemon.events.lifecycle(action, row.uuid, row.project, by_api=True, source=source)
        return incus_envelope.sync({})

    def _delete_warning(self, daemon: Daemon, request: web.Request) -> object:
        row = self._model.warnings.get(request.match_info["uuid"])
        if row is None:
            return Refusal("Warning not found", 404)
        self._model.warnings.remove(row.uuid)
        source = f"/1.0/warnings/{row.uuid}"
        daemon.events.lifecycle(
            "warning-deleted", row.uuid, row.project, by_api=True, source=source
        )
        return {}


def _is_recursive(request: web.Request) -> bool:
    return request.query.get("recursion", "0") not in {"", "0"}


def _project(request: web.Request) -> str:
    return request.query.get("project") or values.DEFAULT_PROJECT
