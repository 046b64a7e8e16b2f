# SPDX-License-Identifier: Apache-2.0
"""Actions carried out on a simulated node, with the preconditions that the real actuators read at the last moment.

The rules are those of :mod:`tidegate.actuators`; only the calls are the models' own.
"""

from collections.abc import Callable
from typing import Final, assert_never

from tidegate.core import ids
from tidegate.core.action import (
    AcknowledgeWarning,
    Action,
    Outcome,
    OutcomeKind,
    Reconnect,
    ReconnectSatellite,
    RestartUnit,
    StartInstance,
    StartUnit,
    ValidatePool,
)
from tidegate.sim.faults import CONTROLLER_KINDS
from tidegate.sim.incus.daemon import Phase
from tidegate.sim.incus.model import IncusModel
from tidegate.sim.incus.operations import SUCCESS, Operation
from tidegate.sim.incus.values import Refusal
from tidegate.sim.incus.views import instance_status
from tidegate.sim.incus.warnings import WarningStatus
from tidegate.sim.linstor.node import Status
from tidegate.sim.linstor.world import LinstorWorld

CALL: Final = 0.02
"""Seconds from the decision until the call has read its preconditions and is sent."""
VALIDATE_LIMIT: Final = 60.0
START_LIMIT: Final = 300.0
SEEN_WITHIN: Final = 5.0
LOOK: Final = 0.25
_ASKS_INCUS: Final = (ValidatePool, StartInstance, AcknowledgeWarning)
_UNSYNCED: Final = frozenset({Status.FULL_SYNC_FAILED, Status.MISSING_EXT_TOOLS})

Report = Callable[[Outcome], None]


class Act:
    """One action on its way. It reports exactly one outcome, unless its agent was killed."""

    def __init__(
        self, action: Action, world: LinstorWorld, incus: IncusModel, report: Report
    ) -> None:
        self.action = action
        self.began = world.now
        self._world = world
        self._incus = incus
        self._report = report
        self._over = False
        world.clock.after(CALL, self._send)

    def forget(self) -> None:
        """Its agent is gone: what was sent goes on, nobody hears of it; what was not is never sent."""
        self._over = True

    def _end(self, kind: OutcomeKind, text: str = "", code: str = "sim") -> None:
        if self._over:
            return
        self._over = True
        self._report(
            Outcome(
                action=self.action,
                kind=kind,
                code=code,
                text=text,
                started_at=self.began,
                ended_at=self._world.now,
            )
        )

    def _send(self) -> None:
        if self._over:
            return
        if self._incus.hangs and isinstance(self.action, _ASKS_INCUS):
            # What is read again before the call is not answered either, so nothing is sent.
            text = "incusd does not answer"
            self._world.clock.after(
                SEEN_WITHIN, lambda: self._end(OutcomeKind.FAILED, text, "incus.timeout")
            )
            return
        match self.action:
            case ValidatePool():
                self._validate(self.action)
            case StartInstance():
                self._start(self.action)
            case AcknowledgeWarning():
                self._acknowledge(self.action)
            case StartUnit():
                self._start_unit(self.action)
            case RestartUnit():
                self._restart_incus()
            case ReconnectSatellite():
                self._reconnect(self.action)
            case _:
                assert_never(self.action)

    # --- pools -----------------------------------------------------------------------------------
    def _validate(self, action: ValidatePool) -> None:
        incus, world = self._incus, self._world
        if incus.phase is not Phase.READY:
            return self._end(OutcomeKind.VOID, "Incus is still in its own first pass")
        if incus.pool_status(action.pool) != "Unavailable":
            return self._end(OutcomeKind.VOID, "it is mounted by now")
        told = self._controller_answers() or not action.local
        if told and world.lives[world.local].status is not Status.ONLINE:
            return self._end(OutcomeKind.VOID, "the satellite is not ONLINE any more")
        if incus.world.unknown_volumes.get(action.pool):
            return self._end(OutcomeKind.FAILED, "resources unknown to Incus", "pool.unknown")
        self._limit(VALIDATE_LIMIT)
        incus.validate([action.pool], self._validated)
        return None

    def _validated(self, refusal: Refusal | None) -> None:
        if refusal is None:
            self._end(OutcomeKind.DONE)
        else:
            self._end(OutcomeKind.FAILED, refusal.text)

    # --- instances -------------------------------------------------------------------------------
    def _start(self, action: StartInstance) -> None:
        void = self._unwanted(action)
        if void:
            return self._end(OutcomeKind.VOID, void)
        self._limit(START_LIMIT)
        self._incus.change_state(action.instance, "start", self._accepted, stateful=action.stateful)
        return None

    def _unwanted(self, action: StartInstance) -> str:
        incus = self._incus
        if incus.phase is not Phase.READY:
            return "Incus is not ready"
        record = incus.world.instances.get(action.instance)
        if record is None:
            return "it is gone"
        status, _ = instance_status(incus.world, record)
        if status != "Stopped":
            return f"its status is {status} by now"
        if record.expanded_config.get("boot.autostart") == "false":
            return "it should not start at boot any more"
        # Times travel as text of microseconds.
        if abs((action.last_used_at or 0.0) - record.last_used_at) > 1e-3:
            return "somebody started it meanwhile"
        if record.location != incus.world.server.location:
            return f"it lives on {record.location} by now"
        return f"this member is {incus.world.member_status}" if incus.world.is_evacuated else ""

    def _accepted(self, answer: Operation | Refusal) -> None:
        if isinstance(answer, Refusal):
            return self._end(OutcomeKind.FAILED, answer.text)

        def ended() -> None:
            kind = OutcomeKind.DONE if answer.status == SUCCESS else OutcomeKind.FAILED
            self._end(kind, answer.err)

        answer.done.on_set(ended)
        return None

    # --- the rest --------------------------------------------------------------------------------
    def _acknowledge(self, action: AcknowledgeWarning) -> None:
        row = self._incus.warnings.get(action.uuid)
        if row is None or row.status is not WarningStatus.NEW:
            return self._end(OutcomeKind.VOID, "it is not new any more")
        row.status = WarningStatus.ACKNOWLEDGED
        return self._end(OutcomeKind.DONE)

    def _start_unit(self, action: StartUnit) -> None:
        if action.subject == ids.SATELLITE:
            return self._start_satellite()
        if self._incus.units.service.active != "inactive":
            return self._end(OutcomeKind.VOID, "it is not inactive any more")
        self._incus.units.start()
        return self._end(OutcomeKind.DONE)

    def _start_satellite(self) -> None:
        connection, life = self._world.connection, self._world.lives[self._world.local]
        if not connection.unit_failed(life):
            return self._end(OutcomeKind.VOID, "it has not failed any more")
        connection.start_satellite(life)
        return self._end(OutcomeKind.DONE)

    def _restart_incus(self) -> None:
        incus, world = self._incus, self._world
        if incus.phase is not Phase.READY:
            return self._end(OutcomeKind.VOID, "Incus is still in its own first pass")
        if world.lives[world.local].status is not Status.ONLINE:
            return self._end(OutcomeKind.VOID, "the satellite is not ONLINE any more")
        if incus.daemon is not None and any(
            operation.status != SUCCESS for operation in incus.daemon.operations.all
        ):
            return self._end(OutcomeKind.VOID, "an operation goes on")
        incus.units.restart()
        return self._end(OutcomeKind.DONE)

    def _reconnect(self, action: ReconnectSatellite) -> None:
        """As the actuator does it, with the satellite's own log in the place of false ONLINE's fault."""
        world = self._world
        connection, life = world.connection, world.lives[action.node]
        if not self._controller_answers():
            return self._end(
                OutcomeKind.FAILED, "the controller does not answer", "controller.refused"
            )
        fits = {
            Reconnect.WAKE: life.status is Status.OFFLINE and connection.listening(life),
            Reconnect.FALSE_ONLINE: life.status is Status.ONLINE and not connection.manages(life),
            Reconnect.FULL_SYNC: life.status in _UNSYNCED,
        }
        if not fits[action.reason]:
            return self._end(OutcomeKind.VOID, f"it is {life.status} by now")
        connection.reconnect(life)
        world.look_again()
        self._await_connected(action, world.now + SEEN_WITHIN)
        return None

    def _controller_answers(self) -> bool:
        trouble = any(self._world.fault(kind) is not None for kind in CONTROLLER_KINDS)
        return not trouble and self._world.connection.controller_runs()

    def _await_connected(self, action: ReconnectSatellite, until: float) -> None:
        if self._world.lives[action.node].status in {Status.CONNECTED, Status.ONLINE}:
            self._end(OutcomeKind.DONE)
        elif self._world.now >= until:
            self._end(OutcomeKind.FAILED, "not connected", "satellite.not-connected")
        elif not self._over:
            self._world.clock.after(LOOK, lambda: self._await_connected(action, until))

    def _limit(self, seconds: float) -> None:
        """Give up waiting after ``seconds``, or when incusd's process ends: nobody knows then what came of it."""
        self._world.clock.after(
            seconds, lambda: self._end(OutcomeKind.UNCERTAIN, "timed out", "incus.timeout")
        )
        if self._incus.daemon is not None:
            text = "connection reset"
            self._incus.daemon.gone.on_set(
                lambda: self._end(OutcomeKind.UNCERTAIN, text, "incus.disconnected")
            )
