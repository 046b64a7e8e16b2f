# SPDX-License-Identifier: Apache-2.0
"""Power is lost in the middle of a boot, recovery's included, and comes back: the boot that follows, made of what lasted."""

from typing import Final

import msgspec

from tidegate.sim import drbd
from tidegate.sim.faults import Fault, FaultKind
from tidegate.sim.incus.model import IncusModel
from tidegate.sim.incus.values import InstanceSpec, MemberSpec, ServerSpec
from tidegate.sim.incus.world import InstanceRecord
from tidegate.sim.linstor.world import LinstorWorld
from tidegate.sim.schedule import Deed, Schedule

DARK: Final = 5.0
"""Seconds from the loss of power until the kernel runs again."""
_OF_PROCESSES: Final = frozenset({FaultKind.SATELLITE_DEAD, FaultKind.SATELLITE_MUTE})
"""Faults of a process that the power loss ends with it."""
_OF_THE_BOOT: Final = frozenset(
    {Deed.PAUSE, Deed.RESUME, Deed.HANG_INCUS, Deed.ANSWER_INCUS, Deed.FILL_DISK}
)
"""What a boot does not outlive, and what ends it."""


def after(schedule: Schedule, world: LinstorWorld, incus: IncusModel) -> Schedule:
    """Return the boot that follows when ``schedule`` has come to the loss of power; its second 0 is :data:`DARK` seconds later.

    LINSTOR's and Incus's data bases last; what was Primary here finds its peer with newer bits, and every process is a new one.
    """
    assert schedule.power_lost_at is not None
    ago = schedule.power_lost_at + DARK
    found = (_left(fault, ago) for fault in schedule.faults)
    happenings = tuple(
        # What would have been done in the dark is done as soon as there is light.
        msgspec.structs.replace(one, at=max(1.0, one.at - ago))
        for one in schedule.happenings
        if one.at > schedule.power_lost_at and one.deed not in _OF_THE_BOOT
    )
    primary = {
        name
        for name, resource in world.drbd[world.local].resources.items()
        if resource.role is drbd.Role.PRIMARY
    }
    resources = tuple(
        msgspec.structs.replace(one, crashed=one.crashed or one.name in primary)
        for one in schedule.layout.resources
    )
    return msgspec.structs.replace(
        schedule,
        name=f"{schedule.name}, after power was lost",
        layout=msgspec.structs.replace(schedule.layout, resources=resources),
        server=_server(schedule.server, incus, ago),
        faults=tuple(fault for fault in found if fault is not None),
        happenings=happenings,
        killed_after=(),
        power_lost_at=None,
        horizon=schedule.horizon - schedule.power_lost_at,
    )


def _left(fault: Fault, ago: float) -> Fault | None:
    """Return what is left of a fault, in the seconds of the new boot."""
    if fault.end is not None and fault.end <= ago:
        return None
    if fault.kind in _OF_PROCESSES and fault.start <= ago:
        return None
    end = None if fault.end is None else fault.end - ago
    return msgspec.structs.replace(fault, start=max(0.0, fault.start - ago), end=end)


def _server(spec: ServerSpec, incus: IncusModel, ago: float) -> ServerSpec:
    """Return the server as its data base has it; the dump for the next start is as old as it was (facts/incus.md U4)."""
    records = incus.world.instances
    members = tuple(
        MemberSpec(name=one.name, status=incus.world.member_status)
        if one.name == spec.name
        else one
        for one in spec.members
    )
    return msgspec.structs.replace(
        spec,
        members=members,
        epoch=spec.epoch + ago + incus.world.clock_set,
        instances=tuple(_instance(records[one.id]) for one in spec.instances if one.id in records),
    )


def _instance(record: InstanceRecord) -> InstanceSpec:
    return msgspec.structs.replace(
        record.spec,
        config=dict(record.config),
        location=record.location if record.spec.location or record.location != "none" else None,
        created_at=record.created_at,
        last_used_at=record.last_used_at,
        late_failures=record.late_failures,
    )
