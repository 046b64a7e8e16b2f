# SPDX-License-Identifier: Apache-2.0
"""Have Incus mount a pool again that it marked Unavailable, under the rules of contract.md safety 2."""

import asyncio
from collections.abc import Callable, Sequence

from tidegate.actuators import attempt
from tidegate.actuators.attempt import Attempt
from tidegate.clients import errors
from tidegate.clients.incus.client import IncusClient, Ready
from tidegate.clients.linstor.client import LinstorClient
from tidegate.core.action import ValidatePool
from tidegate.core.facts import PoolFacts
from tidegate.core.ids import NodeName, ResourceName
from tidegate.probes import translate_incus, translate_linstor
from tidegate.recovery.comparison import KnownVolume, unknown_volumes

VALIDATE_WITHIN = 60.0
"""Seconds: the call also lists the pool's resource definitions, so it grows with them (facts/observed.md)."""
MOST_NAMED = 3


class PoolActuator:
    """Validates pools, one at a time by the planner's rule. ``linstor`` gives the client of the controllers in use now."""

    def __init__(
        self, incus: IncusClient, linstor: Callable[[], LinstorClient], node: Callable[[], NodeName]
    ) -> None:
        self._incus = incus
        self._linstor = linstor
        self._node = node

    async def validate(self, action: ValidatePool) -> Attempt:
        """Do ``action``, if it may still be done."""
        try:
            pool = await self._pool(action)
            refusal = await self._refusal(pool)
        except errors.ClientError as error:
            return attempt.of_trouble(error, sent=False)
        before = (pool.status or "not loaded") if pool is not None else ""
        if refusal is not None:
            return attempt.seen(refusal, before=before)
        try:
            await self._incus.recover_validate(action.pool, deadline=VALIDATE_WITHIN)
            after = await self._pool(action)
        except errors.ClientError as error:
            return attempt.seen(attempt.of_trouble(error, sent=True), before=before)
        if after is None or after.status != "Created":
            status = after.status if after else "gone"
            text = f"validated, and its status is still {status}"
            failed = attempt.failed("pool.still-unavailable", text)
            return attempt.seen(failed, before=before, after=status or "")
        done = attempt.done("pool.mounted", "Incus mounted it again")
        return attempt.seen(done, before=before, after=after.status or "")

    async def _pool(self, action: ValidatePool) -> PoolFacts | None:
        server = await self._incus.server()
        member = server.environment.server_name if server.environment.server_clustered else None
        answers = await self._incus.pools(member=member)
        return translate_incus.pools(answers).get(action.pool)

    async def _refusal(self, pool: PoolFacts | None) -> Attempt | None:
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
        linstor = self._linstor()
        ready, node, definitions, volumes = await asyncio.gather(
            self._incus.ready(),
            linstor.node(self._node()),
            linstor.resource_definitions(),
            self._incus.volumes(pool.name),
        )
        if ready is not Ready.READY:
            return attempt.void("incus.not-ready", "Incus is still in its own first pass")
        if node.connection_status != "ONLINE":
            return attempt.void(
                "satellite.not-online", f"the satellite is {node.connection_status} again"
            )
        known = [KnownVolume(volume.project, volume.type, volume.name) for volume in volumes]
        unknown = unknown_volumes(translate_linstor.definitions(definitions).values(), pool, known)
        return _unknown(pool, unknown) if unknown else None


def _unknown(pool: PoolFacts, unknown: Sequence[ResourceName]) -> Attempt:
    names = ", ".join(unknown[:MOST_NAMED]) + (" and others" if len(unknown) > MOST_NAMED else "")
    which = "1 resource" if len(unknown) == 1 else f"{len(unknown)} resources"
    text = (
        f"pool {pool.name} is left to Incus's own minute: its database does not know {which} of group "
        f"{pool.resource_group} ({names}), which mounting it now would mount too"
    )
    return attempt.failed("pool.unknown-volumes", text)
