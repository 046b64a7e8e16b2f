# SPDX-License-Identifier: Apache-2.0
"""DRBD in this kernel, through ``drbdsetup``: local truth, true even with controller and satellite gone."""

from collections.abc import Callable, Mapping
from typing import Final

from tidegate.clients import errors
from tidegate.clients.drbd.client import DrbdClient
from tidegate.core.drbd import DrbdResource
from tidegate.core.snapshot import Liveness, Observation, Source
from tidegate.core.trouble import Trouble
from tidegate.probes import base, translate_drbd

QUORUM_EVERY: Final = 5.0
"""Seconds between two readings of the quorum rule, which costs a program run of its own and changes rarely."""
QUORUM_AT_REST: Final = 60.0
"""The same at rest while everything else is as it was: the rule follows diskless resources that come and go (facts/linstor.md 7.4)."""


class DrbdProbe:
    """Asks ``client``; with None, DRBD is switched off by configuration.

    ``wedged`` gives the kernel's line after which no program may be started any more that asks DRBD: it might never end.
    """

    source = Source.DRBD

    def __init__(
        self,
        client: DrbdClient | None,
        *,
        clock: base.Clock,
        wedged: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._client = client
        self._clock = clock
        self._wedged = wedged
        self._before: Mapping[str, DrbdResource] = {}
        self._mark = b""
        """Of the state that ``_before`` was made of."""
        self._quorum: Mapping[str, str | None] = {}
        self._quorum_at = float("-inf")
        self._quorum_asked: frozenset[str] = frozenset()

    async def look(self, need: base.Need) -> Observation:
        """Say how every resource of this node is now.

        Without the module no resource can be up: that is an answer, with the trouble beside it. Without tools nobody can say.
        """
        if self._client is None:
            return base.silent(self.source, self._clock(), Liveness.OFF)
        if (line := self._wedged()) is not None:
            return base.silent(self.source, self._clock(), Liveness.LOST, _unasked(line))
        return await base.bounded(self.source, self._clock, self._look(self._client, need.urgency))

    async def _look(self, client: DrbdClient, urgency: base.Urgency) -> Observation:
        try:
            mark, told = await client.snapshot_unless(self._mark)
        except errors.ClientError as error:
            if error.code == "drbd.no-tool":
                return base.silent(self.source, self._clock(), Liveness.OFF, error.trouble)
            if error.code != "drbd.no-module":
                raise
            self._before, self._mark = {}, b""
            return Observation(source=self.source, at=self._clock(), trouble=error.trouble, drbd={})
        now = self._clock()
        rests = told is None and urgency is base.Urgency.REST
        names = frozenset(self._before if told is None else told.resources)
        every = QUORUM_AT_REST if rests else QUORUM_EVERY
        await self._read_quorum(client, names, now, every)
        if told is None:
            self._before = translate_drbd.under(self._quorum, self._before)
        else:
            self._before = translate_drbd.resources(
                told.resources.values(), now=now, before=self._before, quorum=self._quorum
            )
            self._mark = mark
        return Observation(source=self.source, at=now, drbd=self._before)

    async def _read_quorum(
        self, client: DrbdClient, names: frozenset[str], now: float, every: float
    ) -> None:
        """Read the rule again when it is old or a resource is new. Not having it is no reason to lose the rest."""
        if names <= self._quorum_asked and now - self._quorum_at < every:
            return
        try:
            self._quorum = await client.quorum_policies()
        except errors.ClientError:
            self._quorum = {}
        self._quorum_at, self._quorum_asked = now, names


def _unasked(line: str) -> Trouble:
    return Trouble(
        code="drbd.wedged",
        text=f"DRBD is not asked any more, since the kernel says: {line}",
        hint="reboot this machine",
    )
