# SPDX-License-Identifier: Apache-2.0
"""Start an instance as Incus would, and acknowledge the warning it left behind (contract.md safety 7 and 10)."""

from tidegate.actuators import attempt
from tidegate.actuators.attempt import Attempt
from tidegate.clients import errors
from tidegate.clients.incus.client import IncusClient
from tidegate.clients.incus.wire import Operation
from tidegate.core.action import AcknowledgeWarning, StartInstance
from tidegate.core.facts import InstanceFacts
from tidegate.probes import translate_incus

START_WITHIN = 300.0
"""Seconds for one start; mount(2) alone is tried for 10 s per volume (facts/incus.md A11)."""
SEND_WITHIN = 60.0
_GONE = frozenset({"Evacuated", "Evacuating", "Restoring"})


class InstanceActuator:
    """Starts instances of this member."""

    def __init__(self, incus: IncusClient) -> None:
        self._incus = incus

    async def start(self, action: StartInstance) -> Attempt:
        """Do ``action``, if nobody decided otherwise meanwhile."""
        try:
            found = await self._read(action)
            refusal = self._refusal(found, action) or await self._not_here(found)
        except errors.ClientError as error:
            return attempt.of_trouble(error, sent=False)
        if refusal is not None:
            return attempt.seen(refusal, before=found.status)
        return attempt.seen(await self._started(action), before=found.status)

    async def _started(self, action: StartInstance) -> Attempt:
        try:
            operation = await self._start(action)
        except errors.ClientError as error:
            return await self._after_trouble(error, action)
        if operation.err:
            return self._failure(operation.err)
        if operation.status_code < 200:
            # It goes on in Incus, and nobody is to blame yet: the world tells later what came of it.
            return attempt.uncertain(
                "instance.slow", f"the start was not over after {START_WITHIN:.0f} s"
            )
        return attempt.seen(attempt.done("instance.started", "started"), after="Running")

    async def acknowledge(self, action: AcknowledgeWarning) -> Attempt:
        """Acknowledge the warning, if it is still new."""
        try:
            warnings = await self._incus.warnings()
            if not any(
                warning.uuid == action.uuid and warning.status == "new" for warning in warnings
            ):
                return attempt.void(
                    "warning.not-new", "the warning is resolved, acknowledged or gone by now"
                )
            await self._incus.acknowledge_warning(action.uuid)
        except errors.ClientError as error:
            return attempt.of_trouble(error, sent=True)
        return attempt.done(
            "warning.acknowledged", "its warning about a failed start was acknowledged"
        )

    async def _read(self, action: StartInstance) -> InstanceFacts:
        project, name = action.instance.project, action.instance.name
        found = await self._incus.instance(project, name)
        return next(iter(translate_incus.instances([found], own_volumes={}, member=None).values()))

    def _refusal(self, found: InstanceFacts, action: StartInstance) -> Attempt | None:
        if found.runs:
            return attempt.void("instance.runs", "it runs already")
        if found.status != "Stopped":
            return attempt.void("instance.not-stopped", f"its status is {found.status} by now")
        # The power state does not count here: a start that failed late leaves STOPPED (facts/incus.md A21), and a stop by
        # somebody after a start shows in the time of last use.
        if found.autostart == "false":
            return attempt.void("instance.not-wanted", "it should not start at boot any more")
        if found.last_used_at != action.last_used_at:
            return attempt.void(
                "instance.started-meanwhile",
                "somebody started and stopped it meanwhile; that will counts",
            )
        return None

    async def _not_here(self, found: InstanceFacts) -> Attempt | None:
        server = await self._incus.server()
        if not server.environment.server_clustered:
            return None
        own = server.environment.server_name
        if found.location != own:
            return attempt.void("instance.elsewhere", f"it lives on {found.location} by now")
        member = await self._incus.cluster_member(own)
        if member.status in _GONE:
            return attempt.void("incus.evacuated", f"this cluster member is {member.status}")
        return None

    async def _start(self, action: StartInstance) -> Operation:
        instance = action.instance
        operation = await self._incus.start_instance(
            instance.project, instance.name, stateful=action.stateful, deadline=SEND_WITHIN
        )
        try:
            return await self._incus.wait_operation(operation, deadline=START_WITHIN)
        except errors.ClientError as error:
            if error.code != "incus.not-found":
                raise
            # It was taken, and is forgotten by now: incusd was started anew under it, or it was over for 5 s (facts/incus.md R52).
            text = "incusd does not know the start's operation any more"
            lost = errors.Trouble(code="incus.disconnected", text=text, hint=error.trouble.hint)
            raise errors.ClientError(lost) from error

    async def _after_trouble(self, error: errors.ClientError, action: StartInstance) -> Attempt:
        """The answer was lost or refused: what is true now decides."""
        try:
            if (await self._read(action)).runs:
                return attempt.done("instance.started", "started (its answer was lost)")
        except errors.ClientError:
            pass  # the first trouble says more
        return attempt.of_trouble(error, sent=True)

    def _failure(self, message: str) -> Attempt:
        if "already running" in message:  # facts/incus.md R48, G26
            return attempt.done("instance.runs", "it runs already")
        return attempt.failed("instance.start-failed", message)
