# SPDX-License-Identifier: Apache-2.0
"""The calls. Each has a deadline, makes a connection of its own and raises only ClientError.

A connection of its own, because incusd closes idle ones after 30 s and all of them when it restarts
(facts/incus.md R3, P7): on a unix socket a new one costs nothing, and no call can meet a dead one.
"""

import enum
import hashlib
import math
import types
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, Self, TypeVar
from urllib.parse import quote, unquote, urlencode

import aiohttp
import msgspec

from tidegate.clients import errors, http
from tidegate.clients.incus import answers, wire

T = TypeVar("T")

_CONNECTIONS = 64
_BODY_LIMIT = 256 * 1024 * 1024


class Ready(enum.StrEnum):
    """What ``/internal/ready`` says (R10)."""

    READY = "ready"
    """Incus's own first pass of starting instances is over."""
    STARTING = "starting"
    STOPPING = "stopping"


class PoolAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A pool, or why it could not be read: exactly one of ``pool`` and ``trouble``."""

    name: str
    pool: wire.Pool | None = None
    trouble: errors.Trouble | None = None


class IncusClient:
    """Incus behind ``socket``; use as an asynchronous context manager, or :meth:`close` it.

    ``deadline`` is the limit of a call in seconds where the call does not name its own. Codes:
    ``incus.no-socket``, ``incus.permission``, ``incus.refused``, ``incus.timeout`` (so answers a daemon
    that starts), ``incus.disconnected``, ``incus.starting``, ``incus.stopping``, ``incus.unavailable``
    (a pool), ``incus.not-found``, ``incus.error`` and ``incus.garbage``.

    systemd starts a daemon that was stopped when somebody connects to its socket (R7). ``before`` is awaited before each call's
    connection and may raise ClientError instead; for the same reason no call whose connection is lost is made once more.
    """

    def __init__(
        self,
        socket: Path,
        *,
        deadline: float = 5.0,
        before: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.socket = socket
        self._deadline = deadline
        self._before = before
        self._opened: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: types.TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all calls that still run."""
        if self._opened is not None:
            await self._opened.close()

    def session(self) -> aiohttp.ClientSession:
        """The session over the socket, made when first needed."""
        if self._opened is None or self._opened.closed:
            connector = aiohttp.UnixConnector(
                path=str(self.socket), force_close=True, limit=_CONNECTIONS
            )
            self._opened = aiohttp.ClientSession(connector=connector, trust_env=False)
        return self._opened

    async def ready(self, *, deadline: float | None = None) -> Ready:
        """How far Incus is; answers at once as soon as its listeners serve (R10).

        Before that it is ``incus.timeout``. Starts the daemon when it does not run, as every call.
        """
        try:
            await self._call("GET", "/internal/ready", deadline=deadline)
        except errors.ClientError as error:
            if error.code == "incus.starting":
                return Ready.STARTING
            if error.code == "incus.stopping":
                return Ready.STOPPING
            raise
        return Ready.READY

    async def server(self, *, deadline: float | None = None) -> wire.Server:
        """Version, name, pid and configuration of this member (R20)."""
        return await self._get("/1.0", wire.Server, deadline)

    async def pools(
        self, *, member: str | None = None, deadline: float | None = None
    ) -> tuple[PoolAnswer, ...]:
        """All storage pools, each read by itself: one that cannot be loaded fails a listing (D56).

        ``member`` is this member's name in a cluster: without it the status is not this member's (D55).
        ``deadline`` bounds each call. A pool that vanishes meanwhile is left out.
        """
        urls = await self._list("/1.0/storage-pools?recursion=0", str, deadline)
        found = []
        for url in urls:
            answer = await self._pool(_last_part(url), member, deadline)
            if answer is not None:
                found.append(answer)
        return tuple(found)

    async def _pool(
        self, quoted: str, member: str | None, deadline: float | None
    ) -> PoolAnswer | None:
        path = f"/1.0/storage-pools/{quoted}" + _query(target=member)
        try:
            pool = await self._get(path, wire.Pool, deadline)
        except errors.ClientError as error:
            if error.code == "incus.not-found":
                return None
            if error.code not in {"incus.error", "incus.unavailable"}:
                raise
            return PoolAnswer(name=unquote(quoted), trouble=error.trouble)
        return PoolAnswer(name=pool.name, pool=pool)

    async def volumes(self, pool: str, *, deadline: float | None = None) -> tuple[wire.Volume, ...]:
        """All volumes that Incus's data base knows in ``pool``, of all projects (R33)."""
        path = f"/1.0/storage-pools/{quote(pool, safe='')}/volumes?recursion=1&all-projects=true"
        return await self._list(path, wire.Volume, deadline)

    async def instances(self, *, deadline: float | None = None) -> tuple[wire.Instance, ...]:
        """All instances of all projects and members; ``recursion=1`` asks LINSTOR nothing (L57)."""
        return await self._list(_INSTANCES, wire.Instance, deadline)

    async def instances_unless(
        self, known: bytes, *, deadline: float | None = None
    ) -> tuple[bytes, tuple[wire.Instance, ...] | None]:
        """The mark of the answer, and the instances: None where ``known``, an earlier mark, is that of the same answer."""
        answer = await self._call("GET", _INSTANCES, deadline=deadline)
        mark = hashlib.blake2b(answer.metadata).digest()
        if mark == known:
            return mark, None
        return mark, answers.listing(answer, wire.Instance, f"GET {_INSTANCES}")

    async def instance(
        self, project: str, name: str, *, deadline: float | None = None
    ) -> wire.Instance:
        """One instance as it is now."""
        path = f"/1.0/instances/{quote(name, safe='')}" + _query(project=project)
        return await self._get(path, wire.Instance, deadline)

    async def projects(self, *, deadline: float | None = None) -> tuple[wire.Project, ...]:
        """All projects with their configuration."""
        path = "/1.0/projects?recursion=1"
        return await self._list(path, wire.Project, deadline)

    async def warnings(self, *, deadline: float | None = None) -> tuple[wire.Warning, ...]:
        """All warnings, resolved ones included (R60)."""
        path = "/1.0/warnings?recursion=1"
        return await self._list(path, wire.Warning, deadline)

    async def cluster_member(self, name: str, *, deadline: float | None = None) -> wire.Member:
        """One member of the cluster with its state (R80)."""
        return await self._get(
            f"/1.0/cluster/members/{quote(name, safe='')}", wire.Member, deadline
        )

    async def members(self, *, deadline: float | None = None) -> tuple[wire.Member, ...]:
        """All members of the cluster with their states (R80); ``incus.error`` on a standalone server."""
        return await self._list("/1.0/cluster/members?recursion=1", wire.Member, deadline)

    async def set_server(self, config: Mapping[str, str], *, deadline: float) -> None:
        """Set server keys, the others stay. Waits for Incus's own first pass (R6).

        A LINSTOR controller that this or another online member cannot reach is refused, and nothing is changed (D67, L5).
        After ``incus.timeout`` or ``incus.disconnected`` nobody knows: read the server again.
        """
        await self._call("PATCH", "/1.0", json={"config": dict(config)}, deadline=deadline)

    async def acknowledge_warning(self, uuid: str, *, deadline: float | None = None) -> None:
        """Mark a warning as seen; it stays in the list (R64)."""
        path = f"/1.0/warnings/{quote(uuid, safe='')}"
        await self._call("PUT", path, json={"status": "acknowledged"}, deadline=deadline)

    async def start_instance(
        self, project: str, name: str, *, stateful: bool = False, deadline: float | None = None
    ) -> str:
        """Ask Incus to start an instance; returns the id of the operation to wait for (R46).

        Blocks until Incus's own first pass is over (R6). After ``incus.timeout`` or
        ``incus.disconnected`` nobody knows whether the start was taken: read the instance again.
        """
        path = f"/1.0/instances/{quote(name, safe='')}/state" + _query(project=project)
        body = {"action": "start", "timeout": -1, "force": False, "stateful": stateful}
        answer = await self._call("PUT", path, json=body, deadline=deadline)
        operation = _last_part(answer.operation)
        if not operation:
            raise answers.garbage(f"PUT {path}", "no operation in the answer")
        return operation

    async def wait_operation(self, operation: str, *, deadline: float) -> wire.Operation:
        """Wait up to ``deadline`` seconds for an operation; it may still be running then (R50).

        A finished operation is forgotten after 5 s (R52): then ``incus.not-found``.
        """
        limit = max(0, math.floor(deadline))
        path = f"/1.0/operations/{quote(operation, safe='')}/wait?timeout={limit}"
        return await self._get(path, wire.Operation, deadline + 1)

    async def operations(self, *, deadline: float | None = None) -> int:
        """How many operations go on in all projects (R49): a restart of the daemon would wait for them, or cut them off."""
        path = "/1.0/operations?all-projects=true"
        answer = await self._call("GET", path, deadline=deadline)
        found = answers.metadata(answer, dict[str, list[str]], f"GET {path}")
        return sum(len(urls) for status, urls in found.items() if status not in _OVER)

    async def recover_validate(
        self, pool: str, *, deadline: float
    ) -> tuple[wire.UnknownVolume, ...]:
        """Have Incus mount ``pool`` (D61); returns volumes that its data base does not know.

        DANGER: it mounts such volumes, and a failing call makes a healthy pool unavailable for good
        (D64, D66). Call under the rules of the contract only. Raises ``incus.error`` with Incus's own
        words when the pool cannot be mounted.
        """
        body = {"pools": [{"name": pool}]}
        path = "/internal/recover/validate"
        answer = await self._call("POST", path, json=body, deadline=deadline)
        found = answers.metadata(answer, wire.Validation, f"POST {path}")
        return tuple(found.unknown_volumes or ())

    async def _get(self, path: str, kind: type[T], deadline: float | None) -> T:
        answer = await self._call("GET", path, deadline=deadline)
        return answers.metadata(answer, kind, f"GET {path}")

    async def _list(self, path: str, kind: type[T], deadline: float | None) -> tuple[T, ...]:
        answer = await self._call("GET", path, deadline=deadline)
        return answers.listing(answer, kind, f"GET {path}")

    async def _call(
        self, method: str, path: str, *, json: object = None, deadline: float | None
    ) -> wire.Envelope:
        what, limit = f"{method} {path}", self._deadline if deadline is None else deadline
        if self._before is not None:
            await self._before()
        try:
            answer = await http.request(
                self.session(),
                method,
                f"http://incus{path}",
                deadline=limit,
                system="incus",
                json=json,
                body_limit=_BODY_LIMIT,
                where=f"{self.socket}: {what}",
                once=True,
            )
        except errors.ClientError as error:
            raise answers.no_answer(error, what=what, socket=str(self.socket)) from error.__cause__
        return answers.envelope(answer.body, status=answer.status, what=what)


_INSTANCES: Final = "/1.0/instances?recursion=1&all-projects=true"
_OVER = frozenset({"success", "failure", "cancelled"})
"""Operations that ended are listed for 5 s (R52)."""


def _last_part(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]


def _query(**keys: str | None) -> str:
    given = {key: value for key, value in keys.items() if value}
    return f"?{urlencode(given, quote_via=quote)}" if given else ""
