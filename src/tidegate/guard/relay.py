# SPDX-License-Identifier: Apache-2.0
"""The transport: takes calls over HTTP, has the rules judge those that concern readiness, and passes all else on as it is.

Built on aiohttp's server and client: it never decodes a body, never follows a redirect, never repeats a call that changes anything, and
streams both ways. Plain HTTP on loopback towards Incus; TLS, certificate and token towards the controllers.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Final
from urllib.parse import unquote

import aiohttp
import msgspec
from aiohttp import hdrs, web

from tidegate import __version__
from tidegate.clients import errors, http
from tidegate.clients.linstor import failover
from tidegate.clients.linstor.endpoints import Endpoints
from tidegate.core.trouble import Trouble
from tidegate.guard import interface, limits, messages, passing, stats
from tidegate.guard.admission import Admission, Door, Refused
from tidegate.guard.directory import Directory, VersionAsker
from tidegate.guard.interface import (
    Answer,
    Call,
    CallClass,
    Forward,
    ForwardThen,
    Patience,
    Reply,
    Rules,
    Verdict,
)
from tidegate.guard.onward import Upstream, failed, late
from tidegate.guard.turns import Turns

JUDGE_WITHIN: Final = 1.0
ENDING: Final = 4.0
"""Seconds that calls under way get when the guard ends: less than the five that its unit gives it."""
CHUNK: Final = 64 * 1024
CONTROL: Final = "/tidegate/v1/"
_OURS: Final = frozenset({"host", "authorization", "content-length", "expect"})
_log = logging.getLogger("tidegate.guard")


class Guard:
    """One guard: Incus's calls in, the controllers' or the rules' answers out. ``clock`` gives seconds of CLOCK_BOOTTIME."""

    def __init__(
        self,
        rules: Rules,
        to: Endpoints,
        admission: Admission,
        *,
        node: str,
        clock: Callable[[], float],
        bounds: limits.Limits | None = None,
    ) -> None:
        none = Trouble(
            code="controller.none-configured",
            text="no LINSTOR controller is known",
            hint="name one with --controller, or in [linstor] controllers",
        )
        asker = VersionAsker(to, connect_limit=http.CONNECT_LIMIT)
        self.directory = Directory(to.urls, asker, none=none)
        self.upstream = Upstream(to, self.directory)
        self._rules = rules
        self._admission = admission
        self._node = node
        self._clock = clock
        self._bounds = bounds or limits.Limits()
        self._turns = Turns(self._bounds)
        self._counters = stats.Counters()
        self._began = clock()
        self._server = Door(self._handle, admission.uids, self._bounds, self._counters.refused)

    async def serve(self, sockets: Sequence[socket.socket], ready: asyncio.Event) -> None:
        """Serve on listening ``sockets`` until cancelled."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group, contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self.upstream.close)
            search = group.create_task(self.directory.run(), name="search")
            servers = []
            for one in sockets:
                make = (
                    loop.create_unix_server if one.family == socket.AF_UNIX else loop.create_server
                )
                servers.append(await make(self._server, sock=one, start_serving=False))
            try:
                for server in servers:
                    await server.start_serving()
                ready.set()
                await asyncio.Event().wait()
            finally:
                for server in servers:
                    server.close()
                await self._server.shutdown(ENDING)
                search.cancel()

    def stats(self) -> stats.Stats:
        """Return all counts."""
        found = self.directory
        since = found.unreached_since
        now = self._clock()
        lasted = asyncio.get_running_loop().time() - since if since is not None else 0.0
        return stats.Stats(
            version=__version__,
            started_at=self._began,
            at=now,
            node=self._node,
            controller=found.active,
            controllers=found.urls,
            trouble=str(found.trouble) if found.trouble is not None else "",
            unreached_since=None if since is None else now - lasted,
            switches=found.switches,
            connections=self._server.open,
            streams=self._turns.streams,
            refused=dict(self._counters.refused),
            rules=self._rules.counts(),
            classes=self._counters.classes(),
        )

    # --- one request ------------------------------------------------------------------------------

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            call = self._admitted(request)
        except Refused as refused:
            return self._refuse(refused)
        if request.transport is not None and call.peer.where == "unix":
            return await self._control(call)
        kind = self._rules.concerns(call)
        counter = self._counters.of(kind or messages.plain(request))
        counter.under_way += 1
        began = self._clock()
        status = "aborted"
        response: web.StreamResponse
        try:
            response = await self._answered(request, call, kind)
        except errors.ClientError as error:
            counter.troubles[error.code] += 1
            response = messages.whole(failed(error.trouble))
            status = str(response.status)
        else:
            if request.transport is not None and not request.transport.is_closing():
                status = str(response.status)
            if reason := response.headers.get(messages.REASON):
                counter.reasons[reason] += 1
        finally:
            counter.under_way -= 1
            counter.ended(status, self._clock() - began)
        return response

    def _refuse(self, refused: Refused) -> web.Response:
        """Answer, and log the 1st, 2nd, 4th, 8th…: who is refused must not be able to fill the log."""
        self._counters.refused[refused.reason] += 1
        times = self._counters.refused[refused.reason]
        if times & (times - 1) == 0:
            _log.info("refused, %s times so far: %s", times, refused)
        answer = messages.whole(refused.answer)
        answer.force_close()
        return answer

    def _admitted(self, request: web.BaseRequest) -> Call:
        """Return the call. Raises Refused."""
        target = request.raw_path
        peer = self._server.peer(request)
        if not target.startswith("/") or request.method == "CONNECT":
            raise Refused("absolute-uri", 400, "only paths are taken, no absolute addresses")
        if failover.LOOP_HEADER in request.headers:
            raise Refused(
                "loop", 508, "this call comes from Tidegate itself: the guard would ask itself"
            )
        if peer.where == "unix":
            if peer.uid not in self._admission.uids:
                raise Refused("peer", 403, "this user may not ask the guard")
        else:
            self._admission.check(request, peer)
            self._server.proven(request.protocol)
        path, _, query = target.partition("?")
        return Call(
            method=request.method,
            target=target,
            segments=tuple(unquote(part) for part in path.removeprefix("/").split("/")),
            query=query,
            headers=tuple(request.raw_headers),
            peer=peer,
            arrived_at=self._clock(),
        )

    async def _control(self, call: Call) -> web.StreamResponse:
        if call.method == "GET" and call.target == f"{CONTROL}stats":
            body = msgspec.json.encode(self.stats())
            return web.Response(body=body, content_type="application/json")
        own = await self._rules.control(call)
        return messages.whole(
            own or interface.plain_error(404, 0, f"Tidegate: no such path: {call.target}")
        )

    async def _answered(
        self, request: web.BaseRequest, call: Call, kind: CallClass | None
    ) -> web.StreamResponse:
        await messages.go_on(request)
        if kind is None:
            return await self._forward(request, messages.plain(request), call)
        body = await messages.small_body(request)
        if body is None:
            return await self._forward(request, kind, call)
        call = msgspec.structs.replace(call, body=body)
        verdict = await self._judged(call)
        match verdict:
            case Reply(answer=answer):
                return messages.whole(answer)
            case ForwardThen():
                return messages.whole(await self._waited(kind, call, verdict))
            case Forward():
                return await self._forward(request, kind, call, body=body)

    async def _judged(self, call: Call) -> Verdict:
        try:
            async with asyncio.timeout(JUDGE_WITHIN):
                return await self._rules.judge(call)
        except TimeoutError:
            _log.warning("the rules did not judge %s in time: it is forwarded", call.target)
        except Exception:  # a fault of ours must not come between Incus and its controller
            _log.exception("judging %s failed: report this as a bug", call.target)
        return Forward()

    async def _waited(self, kind: CallClass, call: Call, verdict: ForwardThen) -> Answer:
        """Have the call reviewed. One that nobody helps gives way to another verdict, should the rules come to one meanwhile."""
        if verdict.patience is not limits.UNHELPED:
            return await self._reviewed(kind, call, verdict)
        review = asyncio.ensure_future(self._reviewed(kind, call, verdict))
        try:
            while not (await asyncio.wait({review}, timeout=limits.JUDGED_AGAIN))[0]:
                now = msgspec.structs.replace(call, arrived_at=self._clock())
                other = await self._judged(now)
                if isinstance(other, Reply):
                    return other.answer
                if isinstance(other, ForwardThen) and other.patience is not limits.UNHELPED:
                    return await self._reviewed(kind, now, other)
            return await review
        finally:
            review.cancel()

    async def _reviewed(self, kind: CallClass, call: Call, verdict: ForwardThen) -> Answer:
        """Ask the controller, let the rules see its answer; at the limit what they said beforehand counts."""
        patience = verdict.patience or limits.PATIENCE[kind]
        got: Answer | None = None

        async def ask(
            *, limit: float, target: str | None = None, method: str | None = None
        ) -> Answer:
            return await self._asked(patience, call, limit, target, method)

        try:
            async with asyncio.timeout(max(0.0, call.arrived_at + verdict.limit - self._clock())):
                got = await ask(limit=verdict.limit)
                if got.trouble is not None and verdict.otherwise is not None:
                    other = await self._rules.review(call, got, ask)
                    return other or verdict.otherwise
                return await self._rules.review(call, got, ask) or got
        except TimeoutError:
            none = failed(late(call.target, verdict.limit))
            return verdict.otherwise or got or none
        except Exception:  # a fault of ours must not come between Incus and its controller
            _log.exception("reviewing %s failed: report this as a bug", call.target)
            if got is None:
                raise
            return got

    async def _asked(
        self,
        patience: Patience,
        call: Call,
        limit: float,
        target: str | None,
        method: str | None,
    ) -> Answer:
        """Make a call and take its answer whole; trouble is an answer too."""
        headers = await self._headers(
            (name, value)
            for name, value in messages.texts(call.headers)
            if name.lower() != "accept-encoding"
        )
        same = target is None
        try:
            async with asyncio.timeout(limit):
                response = await self.upstream.begin(
                    patience,
                    method or call.method,
                    target or call.target,
                    headers,
                    call.body or None if same else None,
                )
                async with response:
                    body = await response.content.read(interface.BODY_LIMIT + 1)
                    while not response.content.at_eof() and len(body) <= interface.BODY_LIMIT:
                        body += await response.content.read(CHUNK)
                    if len(body) > interface.BODY_LIMIT:
                        return failed(_too_big(call.target))
                    return Answer(
                        status=response.status,
                        reason=response.reason or "",
                        headers=passing.kept(response.raw_headers),
                        body=body,
                    )
        except errors.ClientError as error:
            return failed(error.trouble)
        except TimeoutError:
            return failed(late(call.target, limit))
        except (aiohttp.ClientError, OSError) as error:
            found = http.trouble(
                error, system="controller", where=call.target, deadline=limit, connect_limit=limit
            )
            return failed(found)

    async def _forward(
        self, request: web.BaseRequest, kind: CallClass, call: Call, *, body: bytes | None = None
    ) -> web.StreamResponse:
        """Pass the call on, and its answer back, piece by piece."""
        headers = await self._headers(messages.texts(call.headers))
        if body is None:
            body = await messages.small_body(request)
        data: bytes | AsyncIterator[bytes] | None = body or None
        if body is None:
            length = request.headers.get(hdrs.CONTENT_LENGTH)
            headers += [(hdrs.CONTENT_LENGTH, length)] if length is not None else []
            data = messages.pieces(request)
        async with self._turns.take(kind) as turn:
            patience = limits.PATIENCE[kind]
            response = await self.upstream.begin(patience, call.method, call.target, headers, data)
            async with response:
                if messages.is_endless(response):
                    turn.is_endless()
                return await passing.relay(request, response)

    async def _headers(self, given: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return what goes to the controller: all that came but what belongs to this connection, and our login for Incus's secret."""
        listed = list(given)
        named = {
            word.strip().lower()
            for name, value in listed
            if name.lower() == "connection"
            for word in value.split(",")
        }
        login = await self.upstream.login()
        kept = [(n, v) for n, v in listed if n.lower() not in passing.HOP | _OURS | named]
        for name, value in listed:
            if (
                name.lower() == "authorization"
                and login is None
                and not self._admission.knows(value)
            ):
                kept.append((name, value))
        if login is not None:
            kept.append(("Authorization", login))
        return [*kept, (failover.LOOP_HEADER, "1")]


def _too_big(target: str) -> Trouble:
    return Trouble(
        code="controller.too-big",
        text=f"the answer to {target.partition('?')[0]} is larger than {interface.BODY_LIMIT} bytes",
        hint="no node and no resource has so much to tell: report it",
    )
