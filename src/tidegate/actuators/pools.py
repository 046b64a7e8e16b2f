# SPDX-License-Identifier: Apache-2.0
"""Have Incus mount a pool again that it marked Unavailable, under the rules of contract.md safety 2."""

import asyncio
from collections.abc import Callable, Collection, Sequence

from tidegate.actuators import attempt
from tidegate.actuators.attempt import Attempt
from tidegate.clients import errors
from tidegate.clients.incus.client import IncusClient, Ready
from tidegate.clients.linstor.client import LinstorClient
from tidegate.core.action import ValidatePool
from tidegate.core.facts import DefinitionFacts, PoolFacts
from tidegate.core.ids import NodeName, ResourceName
from tidegate.probes import translate_incus, translate_linstor
from tidegate.recovery.comparison import KnownVolume, unknown_volumes

VALIDATE_WITHIN = 60.0
"""Seconds: the call also lists the pool's resource definitions, so it grows with them (facts/observed.md)."""
LOCAL_WITHIN = 1.0
"""Seconds for a controller to show that it can be asked after all, where local truth has to do otherwise."""
MOST_NAMED = 3


class PoolActuator:
    """Validates pools, one at a time by the planner's rule. ``linstor`` gives the client of the controllers in use now.

    ``kept`` gives the resource definitions that our guard shows Incus while no controller can be asked; it may read a file.
    """

    def __init__(
        self,
        incus: IncusClient,
        linstor: Callable[[], LinstorClient],
        node: Callable[[], NodeName],
        kept: Callable[[], Collection[DefinitionFacts]] = tuple,
    ) -> None:
        self._incus = incus
        self._linstor = linstor
        self._node = node
        self._kept = kept

    async def validate(self, action: ValidatePool) -> Attempt:
        """Do ``action``, if it may still be done."""
        try:
            pool = await self._pool(action)
            refusal = await self._refusal(pool, action)
        except errors.ClientError as error:
            return attempt.of_trouble(error, sent=False)
        before = (pool.status or "not loaded") if pool is not None else ""
        if refusal is not None:
            return attempt.seen(refusal, before=before)
        try:
            trouble = await self._call(action)
            after = await self._pool(action)
        except errors.ClientError as error:
            return attempt.seen(attempt.of_trouble(error, sent=True), before=before)
        if trouble is not None and (after is None or after.status != "Created"):
            return attempt.seen(attempt.of_trouble(trouble, sent=True), before=before)
        if after is None or after.status != "Created":
            status = after.status if after else "gone"
            text = f"validated, and its status is still {status}"
            failed = attempt.failed("pool.still-unavailable", text)
            return attempt.seen(failed, before=before, after=status or "")
        but = f", and then said: {trouble.trouble.text}" if trouble is not None else ""
        done = attempt.done("pool.mounted", f"Incus mounted it again{but}")
        return attempt.seen(done, before=before, after=after.status or "")

    async def _call(self, action: ValidatePool) -> errors.ClientError | None:
        """Have the pool mounted; returns what Incus refused: it lists the pool's volumes too, after the mount (facts/incus.md D61)."""
        try:
            await self._incus.recover_validate(action.pool, deadline=VALIDATE_WITHIN)
        except errors.ClientError as error:
            if error.code in attempt.ANSWER_LOST:
                raise
            return error
        return None

    async def _pool(self, action: ValidatePool) -> PoolFacts | None:
        server = await self._incus.server()
        member = server.environment.server_name if server.environment.server_clustered else None
        answers = await self._incus.pools(member=member)
        return translate_incus.pools(answers).get(action.pool)

    async def _refusal(self, pool: PoolFacts | None, action: ValidatePool) -> Attempt | None:
        """Return why nothing may be done now, or None (contract.md safety 2). What must hold is asked side by side."""
        if pool is None:
            return attempt.void("pool.gone", "Incus no longer has this pool")
        if pool.driver != "linstor":
            return attempt.void(
                "pool.other-driver",
                f"its driver is {pool.driver}; only LINSTOR pools are validated",
            )
        if pool.status != "Unavailable":
            return attempt.void(
                "pool.available", f"its status is {pool.status} by now; nothing to do"
            )
        ready, (status, definitions), volumes = await asyncio.gather(
            self._incus.ready(), self._told(action), self._incus.volumes(pool.name)
        )
        if ready is not Ready.READY:
            return attempt.void("incus.not-ready", "Incus is still in its own first pass")
        if status != "ONLINE":
            return attempt.void("satellite.not-online", f"the satellite is {status} again")
        if action.local and all(one.resource_group != pool.resource_group for one in definitions):
            text = f"no controller answers, and nothing is kept of what group {pool.resource_group} holds"
            return attempt.failed("pool.volumes-not-known", text)
        known = [KnownVolume(volume.project, volume.type, volume.name) for volume in volumes]
        unknown = unknown_volumes(definitions, pool, known)
        return _unknown(pool, unknown) if unknown else None

    async def _told(self, action: ValidatePool) -> tuple[str, Collection[DefinitionFacts]]:
        """Return the node's status and all resource definitions: the controller's; without one, what Incus will be answered.

        Our guard answers Incus from what was kept (`guard.local_truth`), so that is what Incus could find to mount.
        """
        try:
            async with asyncio.timeout(LOCAL_WITHIN if action.local else None):
                node, told = await asyncio.gather(
                    self._linstor().node(self._node()), self._linstor().resource_definitions()
                )
        except (TimeoutError, errors.ClientError):
            if not action.local:
                raise
            return "ONLINE", await asyncio.to_thread(self._kept)
        return node.connection_status, translate_linstor.definitions(told).values()


def _unknown(pool: PoolFacts, unknown: Sequence[ResourceName]) -> Attempt:
    names = ", ".join(unknown[:MOST_NAMED]) + (" and others" if len(unknown) > MOST_NAMED else "")
    which = "1 resource" if len(unknown) == 1 else f"{len(unknown)} resources"
    text = (
        f"pool {pool.name} is left to Incus's own minute: its database does not know {which} of group "
        f"{pool.resource_group} ({names}), which mounting it now would mount too"
    )
    return attempt.failed("pool.unknown-volumes", text)
