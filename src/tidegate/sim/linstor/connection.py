# SPDX-License-Identifier: Apache-2.0
"""The controller's connections to its satellites: found lost, tried again in rounds, authenticated, synchronised.

Sources: facts/linstor.md 2.4, 3.2, 3.3; facts/linstor-observed.md A1, A7, A8.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tidegate.sim import faults
from tidegate.sim.linstor.node import Life, Status

if TYPE_CHECKING:
    from tidegate.sim.linstor import world as worlds

_KIND = faults.FaultKind


class Connections:
    """All connections of the one controller."""

    def __init__(self, world: worlds.LinstorWorld) -> None:
        self._world = world
        self._phase = world.chance.random()
        self._controller_up = True

    # --- what is so ------------------------------------------------------------------------------
    def controller_runs(self) -> bool:
        """True if the controller process runs (a port that merely refuses does not end it)."""
        gone = self._world.fault(_KIND.CONTROLLER_REFUSES)
        return gone is None or not gone.restarts

    def listening(self, life: Life) -> bool:
        """True if the satellite's port is open on its own machine."""
        late = self._world.fault(_KIND.SATELLITE_LATE, life.name)
        dead = self.unit_failed(life)
        return life.powered and life.started and late is None and not dead

    def unit_failed(self, life: Life) -> bool:
        """True if the satellite's process was killed and its unit, which nothing restarts, is failed (facts/linstor.md 2.1)."""
        dead = self._world.fault(_KIND.SATELLITE_DEAD, life.name)
        return dead is not None and life.revived_at < dead.start

    def _reachable(self, life: Life) -> bool:
        world = self._world
        if not (self.listening(life) and self.controller_runs()):
            return False
        away = world.fault(_KIND.NODE_OFFLINE, life.name) or self._peer_dead(life.name)
        return away is None and not self.mute(life)

    def _peer_dead(self, name: str) -> faults.Fault | None:
        away = self._world.fault(_KIND.PEER_AWAY, name)
        return away if away is not None and not away.alive and name != self._world.local else None

    def mute(self, life: Life) -> bool:
        """True if the satellite stands still: TCP is up, nothing answers."""
        return self._world.fault(_KIND.SATELLITE_MUTE, life.name) is not None

    # --- looking again ---------------------------------------------------------------------------
    def start_satellite(self, life: Life) -> None:
        """The unit starts; the port opens later."""
        if self.unit_failed(life):
            life.started = False
            life.revived_at = self._world.now
        if life.started:
            return
        world, link = self._world, life.link
        life.process += 1

        def reset() -> None:
            # the new kernel answers the old connection's pings with RST (facts/linstor-observed.md C, b8)
            if life.link == link and life.status is not Status.OFFLINE:
                self.forget(life)
                world.look_again()

        if life.status is not Status.OFFLINE:
            world.clock.after(world.vary(world.timings.noticed_close), reset)

        def opened() -> None:
            if life.powered:
                life.started = True
                world.look_again()

        world.clock.after(world.vary(world.timings.satellite), opened)

    def look(self) -> None:
        """Compare what is with what the controller has noticed, and plan what follows."""
        up = self.controller_runs()
        if self._controller_up and not up:
            self._world.controller_restarts()
        self._controller_up = up
        for life in self._world.lives.values():
            self._look_at(life)

    def _look_at(self, life: Life) -> None:
        if not self._reachable(life):
            if life.status is not Status.OFFLINE and not life.losing:
                self._plan_loss(life)
        elif life.status is Status.OFFLINE:
            self._plan_attempt(life)
        elif life.sync_waits and not self._held(life):
            life.sync_waits = False
            self._synchronised(life, life.link)

    def _held(self, life: Life) -> bool:
        return self._world.fault(_KIND.NODE_CONNECTED, life.name) is not None

    def _plan_loss(self, life: Life) -> None:
        world, link, process = self._world, life.link, life.process
        offline = world.fault(_KIND.NODE_OFFLINE, life.name)
        silent = not life.powered or self.mute(life) or (offline is not None and offline.silent)
        timings = world.timings
        delay = world.vary(timings.noticed_silent if silent else timings.noticed_close)
        life.losing = True

        def noticed() -> None:
            life.losing = False
            if life.link != link:
                return
            # a silent gap shorter than the detection passes unnoticed, a closed connection never does
            if not (silent and life.process == process and self._reachable(life)):
                self.forget(life)
                world.look_again()

        world.clock.after(delay, noticed)

    def forget(self, life: Life) -> None:
        """The connection is gone, and with it everything the satellite had reported (facts/linstor.md 3.5)."""
        self._world.manager.abort(life)
        life.link += 1
        gone = sorted(life.reported)
        life.reported.clear()
        life.sync_waits = False
        if gone:
            self._world.emit("state-gone", node=life.name, resources=gone)
        self._set(life, Status.OFFLINE)

    # --- rounds ----------------------------------------------------------------------------------
    def _plan_attempt(self, life: Life) -> None:
        world, period = self._world, self._world.timings.reconnect_round
        if life.attempt:
            return
        life.attempt = True
        moment = world.now
        if period:
            rounds = math.floor(moment / period - self._phase) + 1
            moment = (rounds + self._phase) * period
            moment += period * (world.chance.random() < world.timings.lost_round)
        world.clock.at(moment, lambda: self._attempt(life))

    def _attempt(self, life: Life) -> None:
        life.attempt = False
        if life.status is Status.OFFLINE and self._reachable(life):
            self.authenticate(life)

    def authenticate(self, life: Life) -> None:
        """The TCP connection is there: authentication, then the full sync."""
        world = self._world
        life.link += 1
        link = life.link

        def authenticated() -> None:
            if life.link == link and self._reachable(life):
                self._set(life, Status.CONNECTED)
                self._full_sync(life, link)

        world.clock.after(world.vary(world.timings.authenticate), authenticated)

    def _full_sync(self, life: Life, link: int) -> None:
        world, timings = self._world, self._world.timings
        placed = world.store.placements(node=life.name)
        length = world.vary(timings.full_sync + timings.full_sync_per_resource * len(placed))

        def known() -> None:
            # what DRBD knows already is reported before ONLINE (facts/early-observed.md E1)
            if life.link == link and self.manages(life):
                up = world.drbd[life.name].resources
                for placement in placed:
                    if placement.definition in up:
                        world.report(life, placement.definition)

        world.clock.after(length / 2, known)
        world.clock.after(length, lambda: self._synchronised(life, link))

    def _synchronised(self, life: Life, link: int) -> None:
        if life.link != link or life.status is not Status.CONNECTED:
            return
        if self._held(life):
            life.sync_waits = True
            return
        bad = self._world.fault(_KIND.NODE_STATUS, life.name)
        if bad is not None:
            self._set(life, Status(bad.status or Status.FULL_SYNC_FAILED))
        elif self._tools_missing(life):
            self._set(life, Status.MISSING_EXT_TOOLS)
        else:
            self._set(life, Status.ONLINE)
            self._world.manager.start(life)

    def _tools_missing(self, life: Life) -> bool:
        late = self._world.fault(_KIND.MODULE_LATE, life.name)
        if late is None or late.installed:
            return False
        db = self._world.store
        return any(db.data.definitions[p.definition].drbd for p in db.placements(node=life.name))

    def manages(self, life: Life) -> bool:
        """True if the satellite has a working device manager; false ONLINE is cured by a reconnect (A1)."""
        stuck = self._world.fault(_KIND.FALSE_ONLINE, life.name)
        return stuck is None or stuck.start <= life.cured_at

    def reconnect(self, life: Life) -> bool:
        """``PUT …/reconnect``: close, connect at once. False: the node cannot be reached."""
        life.cured_at = self._world.now
        self.forget(life)
        if not self._reachable(life):
            return False
        self.authenticate(life)
        return True

    def _set(self, life: Life, status: Status) -> None:
        if life.status is not status:
            was, life.status = life.status, status
            self._world.emit("node-status", node=life.name, status=status.value, was=was.value)
