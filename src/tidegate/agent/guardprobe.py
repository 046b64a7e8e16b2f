# SPDX-License-Identifier: Apache-2.0
"""Our own guard: does it answer, which controller does it reach, and does Incus ask it at all?

Asked on its unix socket, over which nothing is forwarded. Where it is not enabled (`tidegate guard enable`) there is no such source.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import aiohttp
import msgspec

from tidegate.clients import errors, http
from tidegate.core.facts import GuardFacts
from tidegate.core.snapshot import Liveness, Observation, Source
from tidegate.core.trouble import Trouble
from tidegate.guard import record
from tidegate.guard.interface import CallClass
from tidegate.guard.stats import Stats
from tidegate.probes import base

SOCKET: Final = "run/tidegate-guard.sock"
STATS: Final = "/tidegate/v1/stats"
DEADLINE: Final = 2.0


class GuardProbe:
    """Asks the guard below ``root``; ``state_dir`` is where ``guard.json`` says that it is enabled."""

    source = Source.GUARD

    def __init__(self, state_dir: Path, *, clock: base.Clock, root: Path = Path("/")) -> None:
        self._record = state_dir / record.FILE
        self._socket = root / SOCKET
        self._clock = clock

    async def look(self, _need: base.Need) -> Observation:
        """Say how the guard is now. One that does not answer is a fact, not a lost source."""
        if not await asyncio.to_thread(self._record.exists):
            return base.silent(self.source, self._clock(), Liveness.OFF)
        return await base.bounded(self.source, self._clock, self._look(), limit=DEADLINE + 1.0)

    async def _look(self) -> Observation:
        try:
            found = facts(await self._ask())
        except errors.ClientError as error:
            found = GuardFacts(trouble=error.trouble)
        return Observation(source=self.source, at=self._clock(), guard=found)

    async def _ask(self) -> Stats:
        connector = aiohttp.UnixConnector(path=str(self._socket), force_close=True)
        async with aiohttp.ClientSession(connector=connector, trust_env=False) as session:
            answer = await http.request(
                session,
                "GET",
                f"http://tidegate{STATS}",
                deadline=DEADLINE,
                system="guard",
                where=f"{self._socket}: GET {STATS}",
            )
        try:
            return msgspec.json.decode(answer.body, type=Stats)
        except msgspec.MsgspecError as error:
            text = (
                f"{self._socket}: GET {STATS}: {answer.status}, and not the guard's counts: {error}"
            )
            raise errors.ClientError(
                Trouble(code="guard.garbage", text=text, hint="is it of another version?")
            ) from error


def facts(stats: Stats) -> GuardFacts:
    """Return what the guard's counts say. Pure."""
    calls = {name: one.calls for name, one in stats.classes.items()}
    return GuardFacts(
        answers=True,
        started_at=stats.started_at,
        controller=stats.controller,
        controller_trouble=stats.trouble,
        mounts=calls.get(CallClass.NODE, 0),
        volumes=calls.get(CallClass.VOLUMES, 0),
        calls={name.value: count for name, count in calls.items()},
        seconds={name.value: one.seconds for name, one in stats.classes.items()},
        local_truth=stats.rules.local_truth,
        reasons=_summed(one.reasons for one in stats.classes.values()),
        mounted=stats.rules.mounted,
        turned_away=stats.rules.turned_away,
        holds=stats.rules.holds,
        held_seconds=stats.rules.held_seconds,
    )


def _summed(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for one in counts:
        found.update(one)
    return dict(found)
