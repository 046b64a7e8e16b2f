# SPDX-License-Identifier: Apache-2.0
"""What this node can do while no controller can be asked and our guard answers Incus in its place (``guard.local_truth``). Pure.

Incus asks at every mount of a pool and every start of an instance; with the guard's answers it needs neither controller nor satellite
for it. So neither is waited for then, only for what local truth proves: volumes that may be used by the kernel's word and by the rule
against split brain (contract.md safety 1), the pool, host and incusd.
"""

from collections.abc import Mapping
from typing import Final

from tidegate.core import ids
from tidegate.core.finding import Report
from tidegate.core.ids import ResourceName, SubjectKind, VolumeId
from tidegate.core.snapshot import Liveness, Snapshot, Source

LINSTORS: Final = frozenset(
    {SubjectKind.CONTROLLER, SubjectKind.SATELLITE, SubjectKind.STORAGE_POOL}
)
"""What only a controller could vouch for."""
_NOTHING: Final[frozenset[SubjectKind]] = frozenset()


def holds(snapshot: Snapshot) -> bool:
    """Return True while what Incus asks is answered on local truth: no controller can be asked, and a guard that may answers."""
    if snapshot.source(Source.LINSTOR).liveness is not Liveness.LOST:
        return False
    if snapshot.guard is None or snapshot.source(Source.GUARD).liveness is not Liveness.UP:
        return False
    return snapshot.guard.value.answers and snapshot.guard.value.local_truth


def spared(snapshot: Snapshot) -> frozenset[SubjectKind]:
    """Return the kinds of subjects that nothing waits for now."""
    return LINSTORS if holds(snapshot) else _NOTHING


def wanted_resources(report: Report) -> tuple[ResourceName, ...]:
    """Return every resource that this node's autostart needs."""
    wanted = (
        VolumeId.parse(one.subject.name).resource
        for one in report.subjects.values()
        if one.subject.kind is SubjectKind.VOLUME and one.wanted
    )
    return tuple(dict.fromkeys(wanted))


def devices(snapshot: Snapshot, report: Report, resource: ResourceName) -> Mapping[str, str]:
    """Return volume number -> DRBD's device of a resource that may be used by the kernel's word; {} when it may not.

    Only volumes that the judge calls ready with the controller gone: up, usable by the rule against split brain, opened.
    """
    drbd = snapshot.drbd.value.get(resource) if snapshot.drbd is not None else None
    if drbd is None or snapshot.source(Source.DRBD).liveness is not Liveness.UP:
        return {}
    found: dict[str, str] = {}
    for device in drbd.devices:
        volume = VolumeId(resource, device.number)
        fact = snapshot.devices.get(str(volume))
        path = f"/dev/drbd{device.minor}"
        if not report.ready(ids.volume(volume)) or fact is None or fact.value.path != path:
            return {}
        found[str(device.number)] = path
    return found


def may_mount(snapshot: Snapshot, report: Report, *, leased: bool) -> bool:
    """Return True when Incus may be told that this node is ready: all that is needed here is; or something is, if ``leased``.

    In Incus's own pass a pool that comes too early costs the attempts of those whose volumes come later. Once recovery wants the pool
    mounted (``leased``) it starts each instance when its own volumes are there.
    """
    usable = [bool(devices(snapshot, report, name)) for name in wanted_resources(report)]
    return any(usable) if leased else bool(usable) and all(usable)
