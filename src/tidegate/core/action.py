# SPDX-License-Identifier: Apache-2.0
"""What may be done, and what came of it. Nothing here can discard or diverge data (contract.md, safety)."""

import enum
from typing import TypeAlias

import msgspec

from tidegate.core import ids
from tidegate.core.ids import InstanceId, NodeName, PoolName, Subject, UnitName


class ValidatePool(msgspec.Struct, frozen=True, kw_only=True, tag="validate-pool"):
    """Have Incus mount a pool again that it marked Unavailable (``recover/validate``; contract.md safety 2)."""

    id: str
    cause: str
    pool: PoolName
    local: bool = False
    """No controller can be asked, and our guard answers Incus on local truth."""

    @property
    def subject(self) -> Subject:
        """What is acted on."""
        return ids.pool(self.pool)


class StartInstance(msgspec.Struct, frozen=True, kw_only=True, tag="start-instance"):
    """Start an instance that should run and does not, as Incus would."""

    id: str
    cause: str
    instance: InstanceId
    stateful: bool = False
    last_used_at: float | None = None
    """As seen when this was decided: if it has changed, somebody else started it meanwhile, and this is void."""
    decided_at: float | None = None
    """Seconds since boot; nothing that happened before was done by it."""

    @property
    def subject(self) -> Subject:
        """What is acted on."""
        return ids.instance(self.instance)


class StartUnit(msgspec.Struct, frozen=True, kw_only=True, tag="start-unit"):
    """Start a unit that should run and does not: ``incus.service`` that nothing started (facts/incus.md U2-U5), a satellite that died."""

    id: str
    cause: str
    unit: UnitName
    subject: Subject = ids.INCUS
    """What is acted on."""


class RestartUnit(msgspec.Struct, frozen=True, kw_only=True, tag="restart-unit"):
    """Restart ``incus.service``, which keeps running instances and tries everything again (facts/incus.md U43, U44)."""

    id: str
    cause: str
    unit: UnitName
    subject: Subject = ids.INCUS
    """What is acted on."""


class Reconnect(enum.StrEnum):
    """What a reconnect of the satellite is for; each has a budget and conditions of its own (contract.md safety 8)."""

    WAKE = "wake"
    """The satellite listens, and the controller's next round may be 20 s away (facts/linstor-observed.md A7, H)."""
    FALSE_ONLINE = "false-online"
    """ONLINE, and the full sync was never applied (facts/linstor-observed.md A1)."""
    FULL_SYNC = "full-sync"
    """The full sync failed, or a tool that was missing is there now: LINSTOR does not try again by itself (facts/linstor.md 3.1)."""


class ReconnectSatellite(msgspec.Struct, frozen=True, kw_only=True, tag="reconnect-satellite"):
    """Have the controller dial this node's satellite anew. It closes a connection that exists: never for a node that is fine."""

    id: str
    cause: str
    node: NodeName
    reason: Reconnect

    @property
    def subject(self) -> Subject:
        """What is acted on."""
        return ids.SATELLITE


class AcknowledgeWarning(msgspec.Struct, frozen=True, kw_only=True, tag="acknowledge-warning"):
    """Acknowledge Incus's warning about an instance that runs now; never delete it (contract.md safety 10)."""

    id: str
    cause: str
    uuid: str
    instance: InstanceId

    @property
    def subject(self) -> Subject:
        """What is acted on."""
        return ids.instance(self.instance)


Action: TypeAlias = (
    ValidatePool | StartInstance | StartUnit | RestartUnit | ReconnectSatellite | AcknowledgeWarning
)


class OutcomeKind(enum.StrEnum):
    """What came of an action."""

    DONE = "done"
    """The postcondition was seen."""
    VOID = "void"
    """A precondition, read again at the last moment, no longer held; nothing was done."""
    FAILED = "failed"
    UNCERTAIN = "uncertain"
    """Sent, and the answer was lost: the world decides what is true."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of ``action``: when (seconds since boot), with a stable code and a sentence."""

    action: Action
    kind: OutcomeKind
    code: str
    text: str
    started_at: float
    ended_at: float
    before: str = ""
    """What was seen of the subject at the last moment before; empty when it could not be looked at."""
    after: str = ""
    """What was seen of it afterwards."""
