# SPDX-License-Identifier: Apache-2.0
"""Who needs whom *ready*, and loops in that: what no order of systemd's shows.

systemd knows who starts after whom. It does not know that a satellite is ready only after a controller has spoken to it, that the
controller may live in an instance of the very Incus that waits for the satellite, or that its database may lie on a device
that this satellite brings up. A loop of such needs never resolves; when one of them ends by a time-out, it costs that time at
every boot.
"""

import enum
import math
from collections.abc import Iterator
from typing import Final

import msgspec

from tidegate.units import cycles

UNBOUNDED: Final = math.inf


class Part(enum.StrEnum):
    """What must be ready for something else."""

    GATE = "gate"
    SATELLITE = "satellite"
    CONTROLLER = "controller"
    CONTROLLER_INSTANCE = "controller-instance"
    CONTROLLER_VOLUME = "controller-volume"
    VOLUMES = "volumes"
    POOL = "pool"
    INCUS = "incus"


NAMES: Final = {
    Part.GATE: "the gate",
    Part.SATELLITE: "the satellite",
    Part.CONTROLLER: "the LINSTOR controller",
    Part.CONTROLLER_INSTANCE: "the instance that the controller lives in",
    Part.CONTROLLER_VOLUME: "the volume with the controller's database",
    Part.VOLUMES: "the volumes of this host",
    Part.POOL: "Incus's pool on LINSTOR",
    Part.INCUS: "Incus",
}


class Place(enum.StrEnum):
    """Where the controllers are that this host's satellite can be spoken to by."""

    OTHER_HOST = "other-host"
    THIS_HOST = "this-host"
    """A plain service of this host."""
    INSTANCE_HERE = "instance-here"
    """In an instance of this host's Incus, or one that may be moved here."""
    INSTANCE_ELSEWHERE = "instance-elsewhere"
    """In an instance of another member of this Incus cluster, and never here."""
    UNKNOWN = "unknown"


class BroughtUpBy(enum.StrEnum):
    """Who brings the volume of the controller's database up at boot."""

    SATELLITE = "satellite"
    SYSTEM = "system"
    """``drbd.service``, drbd-reactor: from the files the node kept, without controller or satellite (facts/linstor.md 2.6)."""
    UNKNOWN = "unknown"


class Controller(msgspec.Struct, frozen=True, kw_only=True):
    """Where the LINSTOR controllers of this cluster are, seen from this host."""

    place: Place = Place.UNKNOWN
    others: bool = False
    """There is another one, elsewhere, that can take over while this one is not up."""
    instance: str = ""
    """``PROJECT/NAME`` of the instance it lives in, where it does."""
    instance_on_linstor: bool = False
    """That instance's own volumes lie on LINSTOR."""
    database_on_drbd: bool = False
    """Its database lies on a DRBD device of this host."""
    brought_up_by: BroughtUpBy = BroughtUpBy.UNKNOWN
    because: str = ""
    """Why the place is UNKNOWN."""


class Hold(enum.StrEnum):
    """What Incus is held by while it starts."""

    NOTHING = "nothing"
    GATE = "gate"
    SATELLITE = "satellite"
    """``incus.service`` waits for a satellite unit of ``Type=notify`` itself: the circulating recipe."""


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """``part`` is ready only after ``other`` is; the wait ends after ``limit`` seconds even if it is not."""

    part: Part
    other: Part
    why: str
    limit: float = UNBOUNDED
    only: str = ""
    """In words, the one case in which it is so; "" for always."""


class Loop(msgspec.Struct, frozen=True, kw_only=True):
    """Needs that lead back to where they begin."""

    needs: tuple[Need, ...]

    @property
    def limit(self) -> float:
        """Seconds after which it ends by itself; infinite for a deadlock."""
        return min(need.limit for need in self.needs)

    @property
    def is_deadlock(self) -> bool:
        """True when none of its waits ever ends."""
        return math.isinf(self.limit)

    @property
    def only(self) -> str:
        """In words, the one case in which it closes; "" for at every boot."""
        return next((need.only for need in self.needs if need.only), "")

    @property
    def holds_incus(self) -> bool:
        """True when Incus itself is in it."""
        return any(need.part is Part.INCUS for need in self.needs)

    def __str__(self) -> str:
        chain = ", ".join(
            f"{NAMES[need.part]} {'wait' if need.part is Part.VOLUMES else 'waits'} for {NAMES[need.other]} ({need.why})"
            for need in self.needs
        )
        when = f" {self.only}" if self.only else ""
        if self.is_deadlock:
            return f"{chain}: none of them ever becomes ready{when}"
        return f"{chain}: that costs {self.limit:.0f} s{when or ' at every boot'}"


def loops(controller: Controller, hold: Hold, *, limit: float = UNBOUNDED) -> tuple[Loop, ...]:
    """Return every loop, one for each knot, when Incus is held so; ``limit`` (seconds) is the hold's own end."""
    needs = tuple(_needs(controller, hold, limit))
    endless = _loops(tuple(need for need in needs if math.isinf(need.limit)))
    # A loop that ends is told only where no deadlock lies within it.
    told = {need.part for loop in endless for need in loop.needs}
    ending = [loop for loop in _loops(needs) if told.isdisjoint(need.part for need in loop.needs)]
    return (*endless, *ending)


def held_by_itself(controller: Controller, hold: Hold, *, limit: float = UNBOUNDED) -> Loop | None:
    """Return the loop in which holding Incus holds what the hold waits for; None when there is none."""
    needs = tuple(_needs(controller, hold, limit))
    edges = _edges(needs)
    for knot in cycles.components(edges):
        if Part.INCUS in knot:
            return _loop(cycles.through(Part.INCUS, frozenset(knot), edges), needs)
    return None


def way_out(controller: Controller, loop: Loop) -> str:
    """Return what a person can do to end ``loop``."""
    parts = {need.part for need in loop.needs}
    instance = controller.instance or "the controller's instance"
    if Part.POOL in parts:
        return (
            f"move {instance} to a pool that is not LINSTOR's, or run a controller outside of Incus"
        )
    if Part.CONTROLLER_INSTANCE in parts:
        return (
            f"do not hold Incus: take the strategy guard; or run a controller outside of {instance}"
        )
    if Part.CONTROLLER_VOLUME in parts:
        return "have drbd-reactor or drbd.service bring up the volume of the controller's database"
    return "run a controller on a host that does not depend on this one"


def _loops(needs: tuple[Need, ...]) -> list[Loop]:
    edges = _edges(needs)
    return [_loop(cycles.shortest(knot, edges), needs) for knot in cycles.components(edges)]


def _edges(needs: tuple[Need, ...]) -> dict[str, list[str]]:
    edges: dict[str, list[str]] = {part: [] for part in Part}
    for need in needs:
        edges[need.part].append(need.other)
    return edges


def _loop(circle: tuple[str, ...], needs: tuple[Need, ...]) -> Loop:
    by_ends = {(str(need.part), str(need.other)): need for need in needs}
    pairs = zip(circle, (*circle[1:], circle[0]), strict=True)
    return Loop(needs=_from_above(tuple(by_ends[str(part), str(other)] for part, other in pairs)))


def _from_above(needs: tuple[Need, ...]) -> tuple[Need, ...]:
    """Tell the loop from Incus on, or from what comes next to it: that is where people look."""
    order = (Part.INCUS, Part.POOL, Part.SATELLITE)
    for first in order:
        for at, need in enumerate(needs):
            if need.part is first:
                return needs[at:] + needs[:at]
    return needs


def _needs(controller: Controller, hold: Hold, limit: float) -> Iterator[Need]:
    if hold is Hold.GATE:
        yield Need(part=Part.INCUS, other=Part.GATE, why="it is ordered after it", limit=limit)
        yield Need(part=Part.GATE, other=Part.VOLUMES, why="it proves each wanted one")
    if hold is Hold.SATELLITE:
        why = "it is ordered after it, and the unit is Type=notify"
        yield Need(part=Part.INCUS, other=Part.SATELLITE, why=why, limit=limit)
    yield Need(part=Part.VOLUMES, other=Part.SATELLITE, why="it makes their devices")
    yield Need(part=Part.POOL, other=Part.SATELLITE, why="Incus mounts it when the node is ONLINE")
    yield from _needs_of_controller(controller)


def _needs_of_controller(controller: Controller) -> Iterator[Need]:
    if controller.others:
        return  # another controller speaks to the satellite: nothing here has to come first
    spoken = "a controller must have synced it"
    yield Need(part=Part.SATELLITE, other=Part.CONTROLLER, why=spoken)
    if controller.place is Place.INSTANCE_HERE:
        name = f" {controller.instance}" if controller.instance else ""
        why = f"it lives in the instance{name}"
        yield Need(part=Part.CONTROLLER, other=Part.CONTROLLER_INSTANCE, why=why)
        yield Need(part=Part.CONTROLLER_INSTANCE, other=Part.INCUS, why="Incus starts it")
        if controller.instance_on_linstor:
            why = "its own volume lies on it"
            yield Need(part=Part.CONTROLLER_INSTANCE, other=Part.POOL, why=why)
    if controller.place is Place.INSTANCE_ELSEWHERE:
        yield from _needs_elsewhere(controller)
    if controller.database_on_drbd:
        why = "its database lies on DRBD of this host"
        yield Need(part=Part.CONTROLLER, other=Part.CONTROLLER_VOLUME, why=why)
        if controller.brought_up_by is not BroughtUpBy.SYSTEM:
            why = "neither drbd.service nor drbd-reactor is known to bring it up"
            yield Need(part=Part.CONTROLLER_VOLUME, other=Part.SATELLITE, why=why)


def _needs_elsewhere(controller: Controller) -> Iterator[Need]:
    """Incus starts no instance before its cluster's database has a quorum (facts/incus.md D5): of members that are held, it gets none."""
    name = f" {controller.instance}" if controller.instance else ""
    why = f"it lives in the instance{name} of another member"
    yield Need(part=Part.CONTROLLER, other=Part.CONTROLLER_INSTANCE, why=why)
    yield Need(
        part=Part.CONTROLLER_INSTANCE,
        other=Part.INCUS,
        why="there, Incus needs the votes of other members in its database",
        only="when the members of the cluster start together",
    )
