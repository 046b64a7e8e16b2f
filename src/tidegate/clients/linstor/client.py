# SPDX-License-Identifier: Apache-2.0
"""The LINSTOR client: several controllers, one of them active; every call bounded.

Which calls are safe to poll was measured with a hung satellite (facts/linstor-observed.md D): those
marked "asks no satellite" answered in well under a second, those marked "waits for satellites" blocked
until the satellite's connection was given up (7 s) and then failed with controller.lost-satellite,
or did not answer at all. Poll only the former.
"""

import contextlib
import urllib.parse
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Sequence
from typing import Final, TypeVar

from tidegate.clients import http
from tidegate.clients.errors import ClientError, Trouble
from tidegate.clients.linstor import answers, endpoints, failover, sse, wire

QUICK: Final = 5.0
"""Seconds for a call that asks no satellite; a controller's first answer after its start takes 4.3 s."""
SLOW: Final = 20.0
"""Seconds for a call that waits for satellites; a lost one is noticed by the controller after 7 s."""
ACTION: Final = 30.0
"""Seconds for reconnect and make-available; the latter waits up to 15 s by itself."""

_EVENTS: Final = "text/event-stream"
_T = TypeVar("_T")


class LinstorClient:
    """Asks whichever controller is active; raises `ClientError` and nothing else.

    The controller that answered last is asked first; when it is gone, all are asked for their version
    at once and the first to answer wins. A call is repeated on another controller at most once, and
    only if it did nothing on the first. `own` are (host, port) pairs of our own guard, which are never
    asked. `connect_limit` (seconds) bounds name look-up, TCP and TLS of each attempt.
    """

    def __init__(
        self,
        to: endpoints.Endpoints,
        *,
        own: Collection[tuple[str, int]] = (),
        connect_limit: float = http.CONNECT_LIMIT,
    ) -> None:
        self._controllers = failover.Controllers(to, own=own, connect_limit=connect_limit)

    @property
    def urls(self) -> tuple[str, ...]:
        """The controllers that may be asked, in order of preference; our own addresses left out."""
        return self._controllers.urls

    @property
    def active(self) -> str | None:
        """The controller that answered last, None when none does at the moment."""
        return self._controllers.active

    async def aclose(self) -> None:
        """Close all connections; calls under way fail."""
        await self._controllers.aclose()

    # --- calls that ask no satellite: safe to poll -------------------------------------------

    async def version(self, *, deadline: float = QUICK) -> wire.Version:
        """Version of the active controller; proves that it answers, nothing more. Asks no satellite."""
        return await self._controllers.call(
            "GET", failover.VERSION_PATH, failover.read_version, deadline=deadline
        )

    async def health(self, *, deadline: float = QUICK) -> wire.Health:
        """Whether the controller's services and data base work, in its own words. Asks no satellite.

        Needs no token (facts/linstor.md 4.7).
        """
        return await self._controllers.call(
            "GET", "/health", answers.read_health, deadline=deadline
        )

    async def passphrase(self, *, deadline: float = QUICK) -> str:
        """Whether the master passphrase is unset, locked or unlocked. From REST API 1.25 on. Asks no satellite."""
        found = await self._get(
            "/v1/encryption/passphrase", wire.PassphraseStatus, deadline=deadline
        )
        return found.status

    async def nodes(self, *, deadline: float = QUICK) -> tuple[wire.Node, ...]:
        """All nodes with their connection status. Asks no satellite."""
        return await self._get("/v1/nodes", tuple[wire.Node, ...], deadline=deadline)

    async def node(self, name: str, *, deadline: float = QUICK) -> wire.Node:
        """One node; controller.not-found when LINSTOR does not know it. Asks no satellite."""
        return await self._get(f"/v1/nodes/{_quote(name)}", wire.Node, deadline=deadline)

    async def resource_definitions(
        self,
        *,
        with_volume_definitions: bool = False,
        props: Sequence[str] = (),
        deadline: float = QUICK,
    ) -> tuple[wire.ResourceDefinition, ...]:
        """All definitions whose properties match every item of `props` (KEY or KEY=VALUE).

        `with_volume_definitions` adds sizes and DRBD minors. Asks no satellite.
        """
        query = [("props", item) for item in props]
        if with_volume_definitions:
            query.append(("with_volume_definitions", "true"))
        return await self._get(
            "/v1/resource-definitions",
            tuple[wire.ResourceDefinition, ...],
            query=query,
            deadline=deadline,
        )

    async def placements(self, rd: str, *, deadline: float = QUICK) -> tuple[wire.Resource, ...]:
        """The placements of a definition on all nodes, without `volumes`. Asks no satellite.

        Empty when nothing is placed; controller.not-found when there is no such definition.
        """
        path = f"/v1/resource-definitions/{_quote(rd)}/resources"
        return await self._get(path, tuple[wire.Resource, ...], deadline=deadline)

    async def placement(self, rd: str, node: str, *, deadline: float = QUICK) -> wire.Resource:
        """One placement, without `volumes`; controller.not-found without one. Asks no satellite."""
        path = f"/v1/resource-definitions/{_quote(rd)}/resources/{_quote(node)}"
        return await self._get(path, wire.Resource, deadline=deadline)

    async def storage_pools(
        self, *, cached: bool = True, nodes: Sequence[str] = (), deadline: float | None = None
    ) -> tuple[wire.StoragePool, ...]:
        """The storage pools, of `nodes` or of all; `deadline` defaults to QUICK or SLOW.

        With `cached` (the default) capacities are those last known and no satellite is asked; without,
        the call waits for the satellites of all thin pools concerned.
        """
        query = [("nodes", node) for node in nodes]
        if cached:
            query.append(("cached", "true"))
        limit = deadline or (QUICK if cached else SLOW)
        return await self._get(
            "/v1/view/storage-pools", tuple[wire.StoragePool, ...], query=query, deadline=limit
        )

    # --- calls that wait for satellites: on demand only --------------------------------------

    async def volumes(
        self, rd: str, node: str, *, deadline: float = SLOW
    ) -> tuple[wire.Volume, ...]:
        """The volumes of one placement. WAITS FOR THE SATELLITE of `node` (thin pools).

        Incus asks this for the device path. controller.lost-satellite when the satellite is lost
        meanwhile, also at its ordinary stop (facts/linstor-observed.md A2).
        """
        path = f"/v1/resource-definitions/{_quote(rd)}/resources/{_quote(node)}/volumes"
        return await self._get(path, tuple[wire.Volume, ...], deadline=deadline)

    async def view_resources(
        self, nodes: Sequence[str], resources: Sequence[str] = (), *, deadline: float = SLOW
    ) -> tuple[wire.Resource, ...]:
        """Placements with their volumes. WAITS FOR THE SATELLITES of `nodes`; never poll this.

        5 to more than 8 s while a satellite is busy (facts/fullstack-observed.md). An unknown node is
        controller.not-found, an unknown resource an empty answer (facts/linstor-observed.md A15).
        """
        query = [("nodes", node) for node in nodes]
        query += [("resources", resource) for resource in resources]
        return await self._get(
            "/v1/view/resources", tuple[wire.Resource, ...], query=query, deadline=deadline
        )

    # --- calls that change something -----------------------------------------------------------

    async def reconnect(self, node: str, *, deadline: float = ACTION) -> tuple[wire.ApiCallRc, ...]:
        """Make the controller dial the satellite anew. WAITS FOR THE SATELLITE, without limit of its own.

        Closes a connection that exists and so restarts the full sync: contract.md, safety 8. A node that
        does not answer gives a warning entry within 1.3 s (facts/linstor-observed.md C).
        """
        return await self._change("PUT", f"/v1/nodes/{_quote(node)}/reconnect", deadline=deadline)

    async def make_available(
        self, rd: str, node: str, *, deadline: float = ACTION
    ) -> tuple[wire.ApiCallRc, ...]:
        """Have the definition placed on the node. WAITS FOR SATELLITES if it is not yet placed.

        An existing placement is success at once, even on an offline node, and proves no device; so is
        a new one on a node in CONNECTED (facts/linstor.md 5, facts/linstor-observed.md A4).
        """
        path = f"/v1/resource-definitions/{_quote(rd)}/resources/{_quote(node)}/make-available"
        return await self._change("POST", path, deadline=deadline)

    # --- events -----------------------------------------------------------------------------------

    async def events(
        self,
        path: str = "/v1/events/nodes",
        *,
        last_event_id: str = "",
        deadline: float = QUICK,
        opened: Callable[[], None] = lambda: None,
    ) -> AsyncGenerator[sse.Event, None]:
        """Server-sent events until the controller closes the stream; then, or when it breaks, raises.

        `opened` is called when the controller has begun to answer: nothing that it tells from now on is missed.

        `/v1/events/drbd/promotion` with `last_event_id="current"` starts with a dump of what is; no
        stream tells of a connection status (facts/linstor.md 4.7). `deadline` is for the start; an
        idle stream has no limit, but a dead host is noticed by TCP. Close it: `contextlib.aclosing`.
        """
        headers = {"Accept": _EVENTS}
        if last_event_id:
            headers["Last-Event-ID"] = last_event_id
        parser = sse.Parser()
        stream = self._controllers.stream(
            path, headers, content_type=_EVENTS, deadline=deadline, opened=opened
        )
        async with contextlib.aclosing(stream):
            async for chunk in stream:
                for event in _fed(parser, chunk, path):
                    yield event
        raise ClientError(
            Trouble(
                code="controller.disconnected",
                text=f"the controller ended the event stream {path}",
                hint="it stopped or restarted just now; it is asked again",
            )
        )

    async def _get(
        self,
        path: str,
        shape: type[_T],
        *,
        deadline: float,
        query: Iterable[tuple[str, str]] = (),
    ) -> _T:
        def read(answer: http.Answer, url: str) -> _T:
            found = answers.read(answer, shape, url)
            if isinstance(found, wire.Node | wire.Resource) and not found.name:
                raise answers.nameless(url)
            return found

        text = urllib.parse.urlencode(list(query), quote_via=urllib.parse.quote, safe="")
        target = f"{path}?{text}" if text else path
        return await self._controllers.call("GET", target, read, deadline=deadline)

    async def _change(
        self, method: str, path: str, *, deadline: float
    ) -> tuple[wire.ApiCallRc, ...]:
        def read(answer: http.Answer, url: str) -> tuple[wire.ApiCallRc, ...]:
            return answers.read(answer, tuple[wire.ApiCallRc, ...], url)

        return await self._controllers.call(method, path, read, deadline=deadline, json={})


def _fed(parser: sse.Parser, chunk: bytes, where: str) -> list[sse.Event]:
    try:
        return parser.feed(chunk)
    except sse.TooLongError as error:
        raise ClientError(
            Trouble(
                code="controller.garbage",
                text=f"{where}: {error}",
                hint="this is not what a LINSTOR controller sends",
            )
        ) from error


def _quote(name: str) -> str:
    return urllib.parse.quote(name, safe="")
