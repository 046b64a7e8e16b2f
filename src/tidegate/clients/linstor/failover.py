# SPDX-License-Identifier: Apache-2.0
"""Several controllers, one of them active: whom to ask, with what, within which time.

With controllers made highly available by drbd-reactor only one of the listed hosts has the port
open at a time (facts/linstor.md 10). The one that answered last is asked first; when it is gone, all
are asked for their version at once, and the first good answer wins, so one that is black-holed or
hangs delays nobody. Unlike golinstor (facts/linstor.md 4.3) an open port is not taken for an answer.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from typing import Final, TypeVar

import aiohttp
import yarl
from msgspec.structs import replace

import tidegate
from tidegate.clients import http, knock
from tidegate.clients.errors import ClientError, Trouble
from tidegate.clients.linstor import answers, endpoints, tls, wire

LOOP_HEADER: Final = "X-Tidegate-Loop"
"""Sent with every request, so that our own guard knows us and refuses (contract.md)."""

VERSION_PATH: Final = "/v1/controller/version"

# LINSTOR fails what cannot be given in a type asked for (facts/linstor-observed.md A13): /health is text.
_ACCEPT: Final = "application/json, */*;q=0.1"
_SYSTEM: Final = "controller"
_T = TypeVar("_T")
Read = Callable[[http.Answer, str], _T]
"""Makes a value of an answer from a URL, or raises `ClientError`."""

# The request was certainly not carried out: any call may be made again, elsewhere.
_UNTOUCHED: Final = frozenset(
    {
        "controller.refused",
        "controller.unreachable",
        "controller.timeout-connect",
        "controller.tls",
        "controller.redirected",
        "controller.not-linstor",
    }
)
# This controller is not (or no longer) the one to ask first.
_GONE: Final = _UNTOUCHED | {
    "controller.disconnected",
    "controller.garbage",
    "controller.timeout",
}


class Controllers:
    """The connections to all controllers that `to` lists, except `own` (see `LinstorClient`)."""

    def __init__(
        self,
        to: endpoints.Endpoints,
        *,
        own: Collection[tuple[str, int]],
        connect_limit: float,
        silent: dict[str, Trouble] | None = None,
    ) -> None:
        """``silent``: controllers from which nothing came back the last time, and what was said of them; kept here."""
        self._silent = {} if silent is None else silent
        self._to = endpoints.without(to, own)
        self._dropped = tuple(url for url in to.urls if url not in self._to.urls)
        self._connect_limit = connect_limit
        self._active: str | None = None
        self._answered: set[str] = set()
        self._search = asyncio.Lock()
        self._searches = 0
        self._last_failure: Trouble | None = None
        self._session: aiohttp.ClientSession | None = None
        self._tls: ssl.SSLContext | None = None

    @property
    def urls(self) -> tuple[str, ...]:
        """The controllers that may be asked, in order of preference."""
        return self._to.urls

    @property
    def active(self) -> str | None:
        """The controller that answered last, None when none does at the moment."""
        return self._active

    async def aclose(self) -> None:
        """Close all connections; calls under way fail."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def call(
        self,
        method: str,
        target: str,
        read: Read[_T],
        *,
        deadline: float,
        json: Mapping[str, object] | None = None,
    ) -> _T:
        """Ask the active controller, and one other if the first is gone and asking again does no harm.

        `target` is path and query, quoted. `deadline` (seconds) bounds all of it.
        """
        end = _now() + deadline
        base = await self._active_url(deadline)
        try:
            return await self._ask(base, method, target, read, deadline=_left(end), json=json)
        except ClientError as error:
            others = [url for url in self._to.urls if url != base]
            is_safe = error.code in _UNTOUCHED or (error.code in _GONE and method == "GET")
            if not (others and is_safe and end > _now()):
                raise
            base = await self._find(others, _left(end), {base: error.trouble})
        return await self._ask(base, method, target, read, deadline=_left(end), json=json)

    async def stream(
        self,
        target: str,
        headers: Mapping[str, str],
        *,
        content_type: str,
        deadline: float,
        opened: Callable[[], None],
    ) -> AsyncGenerator[bytes, None]:
        """The bytes of a body that goes on until the peer ends it; `deadline` is for its start, which `opened` is told."""
        end = _now() + deadline
        base = await self._active_url(deadline)
        url = base + target
        try:
            given, context = await self._credentials(base, _left(end))
            response = await http.open_stream(
                self._http(),
                url,
                deadline=_left(end),
                system=_SYSTEM,
                headers={**given, **headers},
                connect_limit=self._connect_limit,
                tls=context,
            )
            with contextlib.closing(response):
                if not _is(response, content_type):
                    answer = await http.read(
                        response, deadline=_left(end), system=_SYSTEM, where=url
                    )
                    raise ClientError(answers.check(answer, url) or answers.nameless(url).trouble)
                self._note(base, None)
                opened()
                async for chunk in http.chunks(response, system=_SYSTEM, where=url):
                    yield chunk
        except ClientError as error:
            self._note(base, error.code)
            raise

    async def _ask(
        self,
        base: str,
        method: str,
        target: str,
        read: Read[_T],
        *,
        deadline: float,
        json: Mapping[str, object] | None = None,
    ) -> _T:
        """One call to one controller; keeps account of whether that one is still the one to ask."""
        url = base + target
        end = _now() + deadline
        try:
            await self._heard_again(base, deadline)
            headers, context = await self._credentials(base, deadline)
            answer = await http.request(
                self._http(),
                method,
                url,
                deadline=_left(end),
                system=_SYSTEM,
                json=json,
                headers=headers,
                connect_limit=self._connect_limit,
                tls=context,
            )
            value = read(answer, url)
        except ClientError as error:
            better = self._explained(base, error.trouble)
            self._note(base, better.code)
            if better.code == "controller.timeout-connect":
                self._silent[base] = better
            raise ClientError(better) from error
        self._note(base, None)
        return value

    async def _heard_again(self, base: str, deadline: float) -> None:
        """Return at once, but for one that swallowed our packets: then when something comes back. Raises as before where nothing does."""
        if (trouble := self._silent.get(base)) is None:
            return
        place = yarl.URL(base)
        within = min(self._connect_limit, deadline)
        if not await knock.answers(place.host or "", place.port or 0, within=within):
            raise ClientError(trouble)
        self._silent.pop(base, None)

    def _note(self, base: str, code: str | None) -> None:
        """Remember how a call to `base` ended: None = well, else the code of its trouble."""
        if code not in _GONE:
            self._active = base
            self._answered.add(base)
        elif self._active == base:
            self._active = None
        if code == "controller.tls":
            self._tls = None  # certificates may have been renewed: read them again

    def _explained(self, base: str, trouble: Trouble) -> Trouble:
        """LINSTOR hangs up without a word on a TLS client it does not know (data/linstor g_tls), a TLS port on one without TLS."""
        if trouble.code == "controller.tls" and "unknown CA" in trouble.text:
            return replace(trouble, hint=f"{trouble.hint}: linstor.ca_file, or LS_ROOT_CA_FILE")
        is_silent = trouble.code == "controller.disconnected" and base not in self._answered
        if is_silent and base.startswith("http:"):
            return replace(trouble, hint=f"{trouble.hint}; if it stays: does that port want https?")
        if not is_silent:
            return trouble
        shown = (
            "the one we have is not trusted" if self._to.has_client_certificate else "we have none"
        )
        return Trouble(
            code="controller.tls",
            text=f"{base}: closed the connection right after the TLS handshake",
            hint=f"probably it wants a client certificate, and {shown}",
        )

    async def _active_url(self, deadline: float) -> str:
        """The controller to ask: the last good one, the only one, or the one that a search finds."""
        if not self._to.urls:
            raise ClientError(answers.none_configured(self._dropped))
        if self._active is not None:
            return self._active
        if len(self._to.urls) == 1:
            return self._to.urls[0]
        return await self._find(self._to.urls, deadline, {})

    async def _find(
        self, urls: Sequence[str], deadline: float, failed: Mapping[str, Trouble]
    ) -> str:
        """Find the active controller among `urls`; one search at a time, its result is shared."""
        seen = self._searches
        # A time-out here means that somebody else's search took all our time.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline), self._search:
                if self._active is None and self._searches == seen:
                    await self._race(urls, deadline, failed)
        if self._active is not None:
            return self._active
        raise ClientError(self._last_failure or _no_time(urls, deadline))

    async def _race(
        self, urls: Sequence[str], deadline: float, failed: Mapping[str, Trouble]
    ) -> None:
        """Ask all for their version; the first good answer makes its controller the active one."""
        failures = dict(failed)
        # A little less than the caller's time, so that every attempt can say how it failed.
        limit = deadline * 0.95
        winners: list[str] = []

        async def attempt(url: str) -> None:
            try:
                await self._ask(url, "GET", VERSION_PATH, read_version, deadline=limit)
            except ClientError as error:
                failures[url] = error.trouble
                return
            winners.append(url)
            for task in tasks:
                if task is not asyncio.current_task():
                    task.cancel()

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(attempt(url)) for url in urls]
        self._searches += 1
        self._active = winners[0] if winners else None
        self._last_failure = None if winners else answers.all_failed(failures)

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = http.tcp_session(
                agent=f"tidegate/{tidegate.__version__}", connect_limit=self._connect_limit
            )
        return self._session

    async def _credentials(
        self, base: str, deadline: float
    ) -> tuple[dict[str, str], ssl.SSLContext | None]:
        """The headers that say who we are, and the TLS context for https; both may read files."""
        try:
            async with asyncio.timeout(deadline):
                headers = {LOOP_HEADER: "1", "Accept": _ACCEPT}
                if (login := await tls.login(self._to)) is not None:
                    headers["Authorization"] = login
                if base.startswith("https:") and self._tls is None:
                    self._tls = await asyncio.to_thread(tls.context, self._to)
        except TimeoutError as error:
            raise ClientError(
                Trouble(
                    code="controller.timeout",
                    text=f"{base}: certificates or token could not be read within {deadline:g} s",
                    hint="check the file system that holds them",
                )
            ) from error
        return headers, self._tls if base.startswith("https:") else None


def read_version(answer: http.Answer, url: str) -> wire.Version:
    """Make a version of an answer; whatever answers without one is no LINSTOR controller."""
    if answer.status == 404:
        raise answers.nameless(url)
    found = answers.read(answer, wire.Version, url)
    if not (found.version and found.rest_api_version):
        raise answers.nameless(url)
    return found


def _is(response: aiohttp.ClientResponse, content_type: str) -> bool:
    kind = response.headers.get("Content-Type", "")
    return response.status == 200 and kind.startswith(content_type)


def _no_time(urls: Sequence[str], deadline: float) -> Trouble:
    return Trouble(
        code="controller.timeout",
        text=f"no controller of {', '.join(urls)} was found within {deadline:g} s",
        hint="the controllers hang or are very busy: look at their logs",
    )


def _now() -> float:
    return asyncio.get_running_loop().time()


def _left(end: float) -> float:
    """Seconds until `end`; never zero or less, which would mean "no limit" to some."""
    return max(end - _now(), 0.001)
