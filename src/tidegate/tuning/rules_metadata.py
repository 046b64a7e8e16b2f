# SPDX-License-Identifier: Apache-2.0
"""DRBD's metadata: what it lies on, and what its activity log costs. Commands are printed and never run."""

from collections.abc import Iterable
from typing import Final

from tidegate.tuning import figure, result
from tidegate.tuning.advice import Advice, Rule, When
from tidegate.tuning.facts import HostFacts, Volume, Writes
from tidegate.tuning.figure import Seen, size, span

EXTENT: Final = 4 * 1024 * 1024
"""Bytes that one entry of the activity log stands for: after a crash all of it is resynchronised (drbd.conf(5), ``al-extents``)."""
USUAL_EXTENTS: Final = 1237
"""DRBD's own default of ``al-extents``."""
WORTH_A_CRASH: Final = 10.0


def external(facts: HostFacts) -> Advice | None:
    """Metadata away from a slow disk, if small synced writes were measured on it and on something quicker."""
    slow = _measured_on(facts, rotational=True)
    quick = _measured_on(facts, rotational=False)
    if slow is None or quick is None:
        return None
    on_it = [volume for volume in facts.volumes if set(volume.meta) & set(slow.media)]
    updates = sum(_updates(volume) for volume in on_it)
    known = facts.phase("instances")
    if not updates or known is None:
        return None
    each = slow.timing.median - quick.timing.median
    return Advice(
        id="metadata-medium",
        title="put DRBD's metadata on a quicker disk than its data",
        gain=min(updates * each, known[0]),
        source=figure.estimate(
            f"{updates} updates of activity logs × ({span(slow.timing.median)} − {span(quick.timing.median)}), at most the "
            f"{known[0]:.1f} s in which instances start, the median of {figure.counted(known[1])}"
        ),
        evidence=tuple(_evidence(facts, on_it, slow, quick)),
        change=(
            "linstor storage-pool create lvmthin NODE meta VG/THINPOOL    on the quicker disk",
            "linstor resource-group set-property GROUP StorPoolNameDrbdMeta meta",
            "it counts for resources made from then on; others by a new replica: linstor resource create, then delete the old one",
        ),
        risk="a volume then needs both disks; each new replica is a full resync",
        undo="linstor resource-group set-property GROUP StorPoolNameDrbdMeta",
        measure="instances",
    )


def activity_log(facts: HostFacts) -> Advice | None:
    """A long activity log spares writes and costs resync after a crash."""
    now, usual = crash_bytes(facts.volumes), crash_bytes(facts.volumes, USUAL_EXTENTS)
    if now is None or usual is None or not facts.resync_rate:
        return None
    gain = (now - usual) / facts.resync_rate
    if gain < WORTH_A_CRASH:
        return None
    most = max(volume.al_extents or 0 for volume in facts.volumes)
    return Advice(
        id="activity-log",
        title="a shorter activity log, for less to resynchronise after a crash",
        gain=gain,
        source=figure.estimate(
            f"({size(now)} − {size(usual)} with al-extents {USUAL_EXTENTS}) / {size(facts.resync_rate)} per second, the rate allowed"
        ),
        evidence=(
            Seen(
                text=f"al-extents is up to {most} on {len(facts.volumes)} volumes: after a crash up to {size(now)} are resynchronised",
                source=figure.read(facts.at, "drbdsetup show"),
            ),
        ),
        change=(f"linstor controller drbd-options --al-extents {USUAL_EXTENTS}",),
        risk="more updates of the metadata while instances write in many places",
        undo=f"linstor controller drbd-options --al-extents {most}",
        measure=result.RESYNCED,
        when=When.CRASH,
    )


def crash_bytes(volumes: Iterable[Volume], most: int | None = None) -> float | None:
    """Return what is resynchronised after a crash at most, with no more than ``most`` extents each; None when no volume says."""
    known = [volume for volume in volumes if volume.al_extents is not None]
    if not known:
        return None
    return float(sum(_crash(volume, most) for volume in known))


def _crash(volume: Volume, most: int | None) -> int:
    extents = volume.al_extents or 0
    return min(EXTENT * (extents if most is None else min(extents, most)), volume.size)


def _updates(volume: Volume) -> int:
    """Updates of the log while instances start: as many as since the volume was attached, at most one per extent."""
    return min(volume.al_writes or 0, volume.al_extents or USUAL_EXTENTS)


def _measured_on(facts: HostFacts, *, rotational: bool) -> Writes | None:
    for one in facts.writes:
        media = [facts.media[name] for name in one.media if name in facts.media]
        if media and any(medium.rotational for medium in media) is rotational:
            return one
    return None


def _evidence(
    facts: HostFacts, volumes: list[Volume], slow: Writes, quick: Writes
) -> Iterable[Seen]:
    inside = sum(volume.internal for volume in volumes)
    yield Seen(
        text=f"the metadata of {len(volumes)} volumes lies on {', '.join(slow.media)}, {inside} of them with their data",
        source=figure.read(facts.at, "DRBD's configuration and /sys/block"),
    )
    for one in (slow, quick):
        kinds = ", ".join(facts.media[name].kind for name in one.media if name in facts.media)
        yield Seen(
            text=f"a small synced write in {one.directory} ({kinds}): {span(one.timing.median)}",
            source=figure.measured(one.timing.at, len(one.timing.seconds)),
        )


RULES: Final[tuple[Rule, ...]] = (external, activity_log)
