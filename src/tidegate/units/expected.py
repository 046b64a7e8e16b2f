# SPDX-License-Identifier: Apache-2.0
"""In which order this host's units should start, and why: what readiness asks for, and what its unit files say."""

from collections.abc import Iterator
from typing import Final

import msgspec

from tidegate.core.finding import Grade
from tidegate.units import names
from tidegate.units.dropins import STORAGE_UNITS
from tidegate.units.host import GUARD_SOCKET, GUARD_UNIT, READY_UNIT
from tidegate.units.packaging import INCUS_STARTUP, INCUS_UNIT, SATELLITE_UNIT
from tidegate.units.traps import Scene
from tidegate.units.tree import Load

CHAIN: Final = (SATELLITE_UNIT, READY_UNIT, GUARD_SOCKET, GUARD_UNIT, INCUS_UNIT, INCUS_STARTUP)
"""The units whose written orders are looked at one by one."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """``then`` must not begin before ``first`` is over, that is up or failed for good."""

    first: str
    then: str
    why: str
    grade: Grade
    ready: bool = False
    """Being up is not enough: what ``then`` looks for is there only when ``first`` says that it is ready."""
    needed: bool = True
    """``first`` has to be there at all; False for an order that counts only where it is started."""


def rules(scene: Scene) -> tuple[Rule, ...]:
    """Return every order that should have been kept, those that matter most first."""
    found: dict[tuple[str, str], Rule] = {}
    for rule in (*_of_incus(scene), *_of_storage(scene), *_written(scene)):
        found.setdefault((rule.first, rule.then), rule)
    return tuple(found.values())


def units(scene: Scene) -> tuple[str, ...]:
    """Return the names of all units that the rules speak of."""
    found = dict.fromkeys((SATELLITE_UNIT, INCUS_UNIT, INCUS_STARTUP))
    for rule in rules(scene):
        found.update(dict.fromkeys((rule.first, rule.then)))
    return tuple(found)


def _of_incus(scene: Scene) -> Iterator[Rule]:
    gated = READY_UNIT in scene.waits
    guarded = _is_started(scene, GUARD_SOCKET)
    if gated:
        why = "the gate proves the storage of Incus's instances ready"
        yield Rule(first=READY_UNIT, then=INCUS_UNIT, why=why, grade=Grade.FAILING)
    if guarded:
        for name in (GUARD_SOCKET, GUARD_UNIT):
            why = "the guard answers Incus's first question"
            yield Rule(first=name, then=INCUS_UNIT, why=why, grade=Grade.DEGRADED)
    held = gated or guarded
    why = (
        "what starts after the satellite is stopped before it"
        if held
        else "Incus asks once, when it starts, whether this node's storage is there"
    )
    yield Rule(
        first=SATELLITE_UNIT,
        then=INCUS_UNIT,
        why=why,
        grade=Grade.DEGRADED if held else Grade.FAILING,
        ready=not held,
    )


def _of_storage(scene: Scene) -> Iterator[Rule]:
    for pool in scene.host.storage_pools or ():
        for path in (path for place in pool.places for path in names.above(place)[:-1]):
            mount = names.from_path(path, "mount")
            if scene.index.unit(mount).load is Load.LOADED:
                why = f"the pool {pool.name} lies on it: in the bare mount point the satellite makes all volumes anew"
                yield Rule(first=mount, then=SATELLITE_UNIT, why=why, grade=Grade.FAILING)
    for name in STORAGE_UNITS:
        if _is_started(scene, name):
            why = "the satellite looks for its tools and pools when a controller connects, and not again"
            yield Rule(first=name, then=SATELLITE_UNIT, why=why, grade=Grade.DEGRADED, needed=False)


def _written(scene: Scene) -> Iterator[Rule]:
    for then in CHAIN:
        for first, why in scene.graph.afters(then).items():
            if _is_started(scene, first) and _meet(scene, first, then):
                yield Rule(first=first, then=then, why=why, grade=Grade.DEGRADED, needed=False)


def _meet(scene: Scene, first: str, then: str) -> bool:
    """Return whether ``first`` has a job when that of ``then`` is made; an order with one that comes later counts for nothing."""
    of_boot = scene.boot.jobs if scene.boot is not None else scene.start.jobs
    return then not in of_boot or first in of_boot


def _is_started(scene: Scene, name: str) -> bool:
    """Return whether a boot starts the unit, or a start of Incus does."""
    if scene.index.unit(name).load is not Load.LOADED:
        return False
    return has_job(scene, name)


def has_job(scene: Scene, name: str) -> bool:
    """Return whether the boot, or the start of Incus by its socket, makes a job for ``name``."""
    own = scene.graph.name(name)
    return scene.boot is None or own in scene.boot.jobs or own in scene.start.jobs
