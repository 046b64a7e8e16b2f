# SPDX-License-Identifier: Apache-2.0
"""Metrics, health endpoints and the status page over HTTP: read only, answered from memory.

This module imports ``aiohttp.web`` and ``prometheus_client``; ``agent.webdoor`` imports it when the first caller has come, so that the
agent's start does not pay for it.
"""

import ipaddress
import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from tidegate import __version__
from tidegate.core.finding import Report
from tidegate.core.snapshot import Liveness, Snapshot, Source
from tidegate.metrics import expose
from tidegate.metrics.values import Family
from tidegate.report import document, health_json, page
from tidegate.report.terminal import harmless

STUCK_AFTER: Final = 10.0
"""Seconds without a cycle of the loop after which the agent is not alive."""
_ASKED: Final = (
    Source.HOST,
    Source.SYSTEMD,
    Source.LINSTOR,
    Source.DRBD,
    Source.DEVICES,
    Source.INCUS,
)
"""What must have been heard of once before the agent counts as started."""
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Scene(Protocol):
    """What is shown."""

    @property
    def snapshot(self) -> Snapshot:
        """What is known."""

    @property
    def report(self) -> Report:
        """What it is worth."""

    @property
    def sentence(self) -> str:
        """What recovery does now, or why nothing."""

    @property
    def last_turn(self) -> float:
        """Seconds since boot at which the loop last judged."""


Families = Callable[[Snapshot, Report, float], tuple[Family, ...]]


def application(
    scene: Scene,
    families: Families,
    boottime: Callable[[], float],
    names: Collection[str] = frozenset(),
) -> web.Application:
    """Return what answers. ``families`` gives the metrics as of seconds since boot; ``names`` are those of this host."""
    answers = _Answers(scene, families, boottime)
    known = {"localhost", *(name.lower() for name in names)}
    made = web.Application(middlewares=[_guard(scene, known)], client_max_size=1024)
    made.on_response_prepare.append(_add_headers)
    made.add_routes(
        [
            web.get("/", answers.page),
            web.get("/fragment", answers.fragment),
            web.get("/status.json", answers.status),
            web.get("/metrics", answers.metrics),
            web.get("/health", answers.health),
            web.get("/livez", answers.livez),
            web.get("/startupz", answers.startupz),
            web.get("/readyz", answers.readyz),
        ]
    )
    return made


class _Answers:
    def __init__(self, scene: Scene, families: Families, boottime: Callable[[], float]) -> None:
        self._scene = scene
        self._families = families
        self._boottime = boottime

    async def page(self, _request: web.Request) -> web.Response:
        scene = self._scene
        return _html(page.render(scene.report, scene.snapshot, sentence=scene.sentence))

    async def fragment(self, _request: web.Request) -> web.Response:
        scene = self._scene
        return _html(page.fragment(scene.report, scene.snapshot, sentence=scene.sentence))

    async def status(self, _request: web.Request) -> web.Response:
        scene = self._scene
        return _json(document.status(scene.report, scene.snapshot, sentence=scene.sentence))

    async def metrics(self, request: web.Request) -> web.Response:
        found = self._families(self._scene.snapshot, self._scene.report, self._boottime())
        body, content_type = expose.render(found, request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def health(self, _request: web.Request) -> web.Response:
        scene = self._scene
        shown = health_json.document(
            scene.report, scene.snapshot, version=__version__, sentence=scene.sentence
        )
        status = 503 if shown["status"] == "fail" else 200
        return _json(shown, status=status, content_type="application/health+json")

    async def livez(self, _request: web.Request) -> web.Response:
        silent = self._boottime() - self._scene.last_turn
        if silent < STUCK_AFTER:
            return _lines(200, "alive")
        return _lines(503, f"the loop has not judged for {silent:.0f} s")

    async def startupz(self, _request: web.Request) -> web.Response:
        snapshot = self._scene.snapshot
        new = [str(s) for s in _ASKED if snapshot.source(s).liveness is Liveness.NEW]
        if new:
            return _lines(503, f"not yet heard of: {', '.join(new)}")
        return _lines(200, "started: every source has been heard of")

    async def readyz(self, _request: web.Request) -> web.Response:
        report = self._scene.report
        if health_json.is_good(report):
            return _lines(200, "ready")
        lines = (harmless(line) for line in health_json.unready(report))
        return _lines(503, f"not ready: {report.grade}", *lines)


def _guard(scene: Scene, names: Collection[str]) -> Any:
    """Return what refuses a browser that a page from elsewhere sends here by a name of its own (DNS rebinding)."""

    @web.middleware
    async def guarded(request: web.Request, handler: _Handler) -> web.StreamResponse:
        if not _is_for_us(request, {*names, scene.report.node.lower()}):
            raise web.HTTPMisdirectedRequest(
                text="ask by an address of this host, localhost or its name (web.names has others)\n"
            )
        return await handler(request)

    return guarded


def _is_for_us(request: web.Request, names: Collection[str]) -> bool:
    """Over TCP the host that was asked for must be an address or one of our names."""
    transport = request.transport
    if transport is None or not isinstance(transport.get_extra_info("sockname"), tuple):
        return True  # the unix socket: no browser can be sent there
    host = urlsplit(f"//{request.host}").hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host in names
    return True


async def _add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)


def _html(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/html", charset="utf-8")


def _json(
    value: Mapping[str, Any], *, status: int = 200, content_type: str = "application/json"
) -> web.Response:
    text = json.dumps(msgspec.to_builtins(value), indent=2, ensure_ascii=False) + "\n"
    return web.Response(status=status, body=text.encode(), headers={"Content-Type": content_type})


def _lines(status: int, *lines: str) -> web.Response:
    return web.Response(status=status, text="".join(f"{line}\n" for line in lines))
