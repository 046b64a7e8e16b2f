# SPDX-License-Identifier: Apache-2.0
"""The simulated LINSTOR cluster: one object that holds everything and moves it along a virtual clock.

Who moves what: :mod:`connection` the controller's links to its satellites, :mod:`manager` the satellites' device-manager runs,
:mod:`replication` DRBD. Faults are looked up, never scripted; at each beginning and end of one everything is looked at again.
"""

import random
from collections.abc import Callable, Iterable
from typing import Any

from tidegate.sim import clock as clocks
from tidegate.sim import devices, drbd, faults
from tidegate.sim.linstor import build, calls, connection, manager, node, replication, store

EPOCH = 1_795_420_800.0
"""Unix time of the virtual zero if nobody says otherwise: the day of the recordings."""

Event = dict[str, Any]

_ASK_FOR_ACK = frozenset(
    {"volume-created", "volume-cloned", "volume-resized", "volume-deleted", "snapshot-created"}
    | {"snapshot-deleted", "snapshot-restored", "volume-rolled-back"}
    | {"device-appears", "device-vanishes"}
)


class LinstorWorld:
    """Controller, satellites, DRBD and device files of one scenario.

    Attributes:
        clock: the virtual clock; 0 is the local node's boot. Models of one machine share one: give it to each.
        local: the node whose ``/dev`` counts.
        listeners: called with every event (``kind`` first; see the face's documentation for the list).
        acks_wanted: volumes and device files of the local node must be acknowledged by :meth:`acknowledge` before the REST call
            that made them is answered (the boot lab makes real ones meanwhile).
    """

    def __init__(
        self,
        scenario: faults.Scenario,
        *,
        epoch: float = EPOCH,
        clock: clocks.VirtualClock | None = None,
    ) -> None:
        self.scenario = scenario
        self.timings = scenario.timings
        self.local = scenario.layout.local
        self.epoch = epoch
        self.clock = clock or clocks.VirtualClock()
        self.chance = random.Random(f"{scenario.seed}/chance")
        self.store = store.Store(scenario.seed)
        self.faults: list[faults.Fault] = []
        self.lives: dict[str, node.Life] = {}
        self.trees: dict[str, devices.DeviceTree] = {}
        self.drbd: dict[str, drbd.Node] = {}
        self.listeners: list[Callable[[Event], None]] = []
        self.acks_wanted = False
        self._outstanding: dict[int, str] = {}
        self._events = 0
        self._reports = 0
        self.connection = connection.Connections(self)
        self.manager = manager.DeviceManagers(self)
        self.replication = replication.Replicator(self)
        self.calls = calls.Calls(self)
        build.fill(self, scenario.layout)
        for fault in scenario.faults:
            self.add_fault(fault)

    # --- time and chance ---------------------------------------------------------------------
    @property
    def now(self) -> float:
        """Seconds of the virtual clock."""
        return self.clock.now

    @property
    def unix_ms(self) -> int:
        """The present as LINSTOR stamps it: Unix time in milliseconds."""
        return int((self.epoch + self.now) * 1000)

    def settle(self) -> None:
        """Let everything that is due now happen."""
        self.clock.advance(self.now)

    def vary(self, seconds: float) -> float:
        """``seconds`` with the scenario's jitter."""
        if not seconds or not self.timings.jitter:
            return seconds
        return seconds * self.chance.uniform(1 - self.timings.jitter, 1 + self.timings.jitter)

    # --- faults ------------------------------------------------------------------------------
    def add_fault(self, fault: faults.Fault) -> None:
        """Have a fault happen; its beginning and end are planned on the clock."""
        self.faults.append(fault)
        self.clock.at(fault.start, self.look_again)
        if fault.end is not None:
            self.clock.at(fault.end, self.look_again)

    def clear_faults(self, kind: faults.FaultKind | None = None, subject: str = "") -> None:
        """End faults now: all, those of a kind, or those of a kind and subject."""
        self.faults = [
            f
            for f in self.faults
            if (kind is not None and f.kind is not kind) or subject not in ("", f.subject)
        ]
        self.look_again()

    def fault(
        self, kind: faults.FaultKind, subject: str = faults.EVERY, on: str = ""
    ) -> faults.Fault | None:
        """The fault of this kind that ``subject`` (on node ``on``) has now, if any. Without a subject: any of the kind."""
        for fault in self.faults:
            here = not on or (fault.node or self.local) == on
            meant = subject == faults.EVERY or fault.hits(subject)
            if fault.kind is kind and here and meant and fault.active(self.now):
                return fault
        return None

    def ends(self, kinds: Iterable[faults.FaultKind]) -> float | None:
        """When the active faults of these kinds are over; None: never, or there are none."""
        wanted = frozenset(kinds)
        ends = [f.end for f in self.faults if f.kind in wanted and f.active(self.now)]
        known = [end for end in ends if end is not None]
        return max(known) if known and len(known) == len(ends) else None

    def look_again(self) -> None:
        """Something outside has changed: everybody looks at the faults again."""
        self.connection.look()
        self.replication.look()
        self.manager.look()

    # --- life --------------------------------------------------------------------------------
    def boot(self, name: str = "") -> None:
        """Switch a node on: its satellite starts (nothing happens if it runs)."""
        life = self.lives[name or self.local]
        life.powered = True
        self.connection.start_satellite(life)

    def power_off(self, name: str = "") -> None:
        """Cut a node's power: no FIN, DRBD and the device files are gone with the kernel."""
        life = self.lives[name or self.local]
        life.powered = life.started = life.run_over = False
        self.manager.abort(life)
        life.failed.clear()
        self.replication.host_gone(life.name)
        self.trees[life.name].first_loop = self.chance.randrange(4, 64)
        self.look_again()

    def new_boot(self, found: Iterable[faults.Fault]) -> None:
        """Power-cycle the local node and make the present the virtual zero, with these faults and no others.

        For the boot lab, where one controller outlives many boots: the power cut is noticed before the new boot begins.
        """
        self.clear_faults()
        self.power_off()
        for _ in range(10_000):
            due = self.clock.next_due()
            if due is None:
                break
            self.clock.advance(due)
        self.epoch += self.now
        self.clock = clocks.VirtualClock()
        for fault in found:
            self.add_fault(fault)
        self.boot()
        self.settle()

    # --- the controller's memory -------------------------------------------------------------
    def controller_restarts(self) -> None:
        """The controller process is gone: links and device paths are forgotten (facts/linstor.md 6.2)."""
        for life in self.lives.values():
            self.connection.forget(life)
        for placement in self.store.data.placements:
            for volume in placement.volumes:
                volume.device_path = None

    def new_report(self) -> str:
        """The id of a fresh error report."""
        self._reports += 1
        return f"{int(self.epoch):08X}-00000-{self._reports - 1:06d}"

    # --- events ------------------------------------------------------------------------------
    def emit(self, kind: str, *, node: str, resource: str = "", **fields: object) -> None:
        """Tell everybody who listens."""
        self._events += 1
        event: Event = {"event": kind, "id": self._events, "at": round(self.now, 6), "node": node}
        event |= {"resource": resource} if resource else {}
        event |= fields
        if self.acks_wanted and node == self.local and kind in _ASK_FOR_ACK:
            event["ack"] = True
            self._outstanding[self._events] = resource
        for listener in tuple(self.listeners):
            listener(event)

    def acknowledge(self, number: int) -> bool:
        """The lab has done what event ``number`` asked for. False: nothing was asked under that number."""
        return self._outstanding.pop(number, None) is not None

    def forget_acks(self) -> None:
        """Nobody will acknowledge any more (the subscriber is gone)."""
        self._outstanding.clear()

    def acknowledged(self, resource: str) -> bool:
        """True if nothing of ``resource`` waits for an acknowledgement."""
        return resource not in self._outstanding.values()

    def report(self, life: node.Life, name: str) -> None:
        """A satellite tells the controller of a resource that was up before it asked."""
        life.reported.add(name)
        side = self.drbd[life.name].resources.get(name)
        if side is not None:
            may = drbd.promotion(side).may
            self.emit("may-promote", node=life.name, resource=name, may_promote=may)

    # --- questions ---------------------------------------------------------------------------
    def open(self, path: str, name: str = "") -> int:
        """Ask what opening ``path`` read-only says on a node (default: the local one) says: 0 or an errno."""
        return self.trees[name or self.local].open(path)

    def module_loaded(self, name: str = "") -> bool:
        """True if ``/sys/module/drbd`` exists on the node."""
        life = self.lives[name or self.local]
        late = self.fault(faults.FaultKind.MODULE_LATE, life.name)
        return life.drbd and life.powered and late is None
