# SPDX-License-Identifier: Apache-2.0
"""Cut a schedule that breaks a rule down to what is needed to break it: the story that a person reads, and the test that is kept."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec

from tidegate.sim.chance import BY_PERMISSION
from tidegate.sim.faults import INSTANT, Layout
from tidegate.sim.incus.values import InstanceSpec
from tidegate.sim.schedule import PREFIX, Schedule

T = TypeVar("T")
MOST_RUNS = 400


def smallest(schedule: Schedule, fails: Callable[[Schedule], bool]) -> Schedule:
    """Return a schedule, smaller if possible, for which ``fails`` still holds; it is run at most :data:`MOST_RUNS` times."""
    runs = 0
    found = schedule
    again = True
    while again:
        again = False
        for candidate in _smaller(found):
            runs += 1
            if runs > MOST_RUNS:
                return found
            if _holds(candidate, fails):
                found, again = candidate, True
                break
    return found


def _holds(candidate: Schedule, fails: Callable[[Schedule], bool]) -> bool:
    try:
        return fails(candidate)
    except Exception:  # one that cannot be run at all is no smaller story of the same thing
        return False


def _smaller(schedule: Schedule) -> Iterator[Schedule]:
    """Yield schedules with one thing less, what tells most first."""
    for key in ("faults", "happenings"):
        for rest in _without_one(getattr(schedule, key)):
            yield msgspec.structs.replace(schedule, **{key: rest})
    for number, spec in enumerate(schedule.server.instances):
        yield _without_instance(schedule, number)
        if spec.config or spec.late_failures:
            plain = msgspec.structs.replace(spec, config={}, late_failures=0)
            yield _with_instance(schedule, number, plain)
    if schedule.timings != INSTANT:
        yield msgspec.structs.replace(schedule, timings=INSTANT)
    if schedule.stray:
        yield msgspec.structs.replace(schedule, stray=())
    if schedule.allows_more and not any(one.kind in BY_PERMISSION for one in schedule.faults):
        yield msgspec.structs.replace(schedule, allows_more=False)
    if schedule.killed_after:
        yield msgspec.structs.replace(schedule, killed_after=())
    if schedule.power_lost_at is not None:
        yield msgspec.structs.replace(schedule, power_lost_at=None)
    if not schedule.has_map:
        yield msgspec.structs.replace(schedule, has_map=True)
    if schedule.horizon > schedule.calm_at + schedule.patience:
        yield msgspec.structs.replace(schedule, horizon=schedule.calm_at + schedule.patience)


def _without_one(things: tuple[T, ...]) -> Iterator[tuple[T, ...]]:
    for number in range(len(things)):
        yield things[:number] + things[number + 1 :]


def _without_instance(schedule: Schedule, number: int) -> Schedule:
    """Take an instance away, and the volumes and happenings that are about it."""
    spec = schedule.server.instances[number]
    gone = set(schedule.resources_of(spec.id))
    instances = schedule.server.instances[:number] + schedule.server.instances[number + 1 :]
    needed = {name for other in instances for name in schedule.resources_of(other.id)}
    gone -= needed
    layout: Layout = msgspec.structs.replace(
        schedule.layout,
        resources=tuple(one for one in schedule.layout.resources if one.name not in gone),
    )
    return msgspec.structs.replace(
        schedule,
        layout=layout,
        server=msgspec.structs.replace(
            schedule.server,
            instances=instances,
            volumes=tuple(
                one
                for one in schedule.server.volumes
                if f"{PREFIX}{one.project}_{one.name}" not in gone
            ),
        ),
        faults=tuple(fault for fault in schedule.faults if fault.subject not in gone),
        happenings=tuple(one for one in schedule.happenings if one.instance != spec.id),
    )


def _with_instance(schedule: Schedule, number: int, spec: InstanceSpec) -> Schedule:
    instances = list(schedule.server.instances)
    instances[number] = spec
    server = msgspec.structs.replace(schedule.server, instances=tuple(instances))
    return msgspec.structs.replace(schedule, server=server)
