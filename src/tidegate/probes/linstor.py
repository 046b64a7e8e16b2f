# SPDX-License-Identifier: Apache-2.0
"""The LINSTOR controller, by calls that ask no satellite: a hung satellite must not blind us (facts/linstor-observed.md D)."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from tidegate.clients import errors
from tidegate.clients.linstor.client import LinstorClient
from tidegate.core.facts import DefinitionFacts, PlacementFacts, StoragePoolFacts
from tidegate.core.ids import NodeName, ResourceName
from tidegate.core.snapshot import Observation, Source
from tidegate.probes import base, translate_linstor

AT_ONCE: Final = 4
"""Calls under way at the same time: a controller that just came up has better things to do."""
PER_LOOK: Final = 40
"""Placements read in one fast look; with more wanted than that, each look goes on where the last ended."""
FAST: Final = 2.0
"""Looks that follow each other sooner than this (seconds) share the placements among them."""
SELDOM: Final = 5.0
"""Seconds between two readings of all definitions, while looks are fast."""
_EARLY: Final = 0.5
AT_REST: Final = 20.0
"""The same at rest: less than what makes them stale."""
IN_TURN: Final = 16
"""At rest so large a part of the placements of which the kernel knows all anyway is read at a time, one part after another."""
TURN_EVERY: Final = 9.0
"""Seconds from one part to the next at least: less than between two looks at rest."""


class LinstorProbe:
    """Asks ``client`` about ``node`` and the wanted resources; ``deadline`` is the limit of each call in seconds."""

    source = Source.LINSTOR

    def __init__(
        self, client: LinstorClient, *, node: NodeName, clock: base.Clock, deadline: float = 5.0
    ) -> None:
        self._client = client
        self._node = node
        self._clock = clock
        self._deadline = deadline
        self._seldom_at = float("-inf")
        self._looked_at = float("-inf")
        self._next = 0
        self._known: set[ResourceName] = set()
        self._turn = 0
        self._turned_at = float("-inf")
        self._encrypted = False
        self._silent_apis: set[str] = set()

    async def look(self, need: base.Need) -> Observation:
        """Say what the controller says: itself, all nodes, storage pools here, wanted placements; now and then definitions.

        LOST when it does not answer. A single call that fails later takes nothing else along: that section is left as it was.
        """
        limit = 1.8 * self._deadline
        return await base.bounded(self.source, self._clock, self._look(need), limit=limit)

    async def _look(self, need: base.Need) -> Observation:
        asked_at = self._clock()
        version = await self._client.version(deadline=self._deadline)
        now = self._clock()
        nodes = await self._client.nodes(deadline=self._deadline)
        # What is left of this look's time is theirs; whoever does not make it is read in the next.
        left = 1.6 * self._deadline - (self._clock() - asked_at)
        calls = base.Calls(self.source, at_once=AT_ONCE, limit=left)
        resting = need.urgency is base.Urgency.REST or now - self._looked_at >= FAST
        is_rest = need.urgency is base.Urgency.REST
        seldom = now - self._seldom_at >= (AT_REST if is_rest else SELDOM) - _EARLY
        self._looked_at = now
        async with asyncio.TaskGroup() as group:
            # At every look: a pool has no capacity until its satellite is back, and its volumes wait for that.
            pools = group.create_task(self._pools(calls))
            definitions = group.create_task(self._definitions(calls)) if seldom else None
            placements = {
                name: group.create_task(calls.ask(self._placements(name)))
                for name in self._share(need, resting=resting)
            }
        told_definitions = definitions.result() if definitions else None
        if told_definitions is not None:
            self._seldom_at = now
        told = {name: task.result() for name, task in placements.items()}
        placed: dict[str, tuple[PlacementFacts, ...]] = {
            name: found for name, found in told.items() if found is not None
        }
        self._next += len(placed)
        self._known = {name for name in need.resources if name in self._known or name in placed}
        return Observation(
            source=self.source,
            at=now,
            trouble=calls.troubles[0] if calls.troubles else None,
            controller=translate_linstor.controller(
                version,
                url=self._client.active or "",
                latency=now - asked_at,
                configured=self._client.urls,
                passphrase=await self._passphrase(calls, placed, version.rest_api_version),
            ),
            nodes=translate_linstor.nodes(nodes, self._node),
            storage_pools=pools.result(),
            definitions=told_definitions,
            placements=placed,
        )

    async def _passphrase(
        self,
        calls: base.Calls,
        placed: Mapping[str, tuple[PlacementFacts, ...]],
        api: str,
    ) -> str | None:
        """Ask whether encrypted volumes can come up, if there are any and this LINSTOR can say."""
        places = (place for found in placed.values() for place in found)
        self._encrypted = self._encrypted or any("LUKS" in place.layers for place in places)
        if not self._encrypted or api in self._silent_apis:
            return None
        try:
            return await self._client.passphrase(deadline=self._deadline) or None
        except errors.ClientError as error:
            if error.code in {"controller.not-linstor", "controller.error", "controller.not-found"}:
                self._silent_apis.add(api)  # older than REST API 1.25
            else:
                calls.troubles.append(error.trouble)
            return None

    async def _pools(self, calls: base.Calls) -> dict[str, StoragePoolFacts] | None:
        call = self._client.storage_pools(nodes=[self._node], deadline=self._deadline)
        told = await calls.ask(call)
        return None if told is None else translate_linstor.storage_pools(told, self._node)

    async def _definitions(self, calls: base.Calls) -> dict[str, DefinitionFacts] | None:
        told = await calls.ask(self._client.resource_definitions(deadline=self._deadline))
        return None if told is None else translate_linstor.definitions(told)

    def _share(self, need: base.Need, *, resting: bool) -> Sequence[ResourceName]:
        """Return whose placements this look reads, beginning where the last one ended."""
        names = need.resources
        first = self._next % len(names) if names else 0
        turned = [*names[first:], *names[:first]]
        if need.urgency is base.Urgency.REST:
            settled = [name for name in names if name in need.certain and name in self._known]
            left = set(settled) - set(self._in_turn(settled))
            return [name for name in turned if name not in left]
        return turned if resting else turned[:PER_LOOK]

    def _in_turn(self, settled: Sequence[ResourceName]) -> Sequence[ResourceName]:
        """Return the part of ``settled`` that is read in this look; none in looks between, which something told has brought about."""
        now = self._clock()
        if not settled or now - self._turned_at < TURN_EVERY:
            return ()
        self._turned_at = now
        part = -(-len(settled) // IN_TURN)
        first = self._turn % len(settled)
        self._turn += part
        return [*settled[first:], *settled[:first]][:part]

    async def _placements(self, name: ResourceName) -> tuple[PlacementFacts, ...]:
        """Return the placements of one resource; empty when it is gone."""
        try:
            told = await self._client.placements(name, deadline=self._deadline)
        except errors.ClientError as error:
            if error.code == "controller.not-found":
                return ()
            raise
        return translate_linstor.placements(told, self._node)
