# SPDX-License-Identifier: Apache-2.0
"""A tally, a snapshot and a report -> families of metrics. Pure; names and labels here are an interface that dashboards rely on."""

from collections.abc import Iterator, Mapping
from typing import Final

from tidegate.core.finding import Grade, Report
from tidegate.core.ids import SubjectKind
from tidegate.core.snapshot import Liveness, Snapshot, Source
from tidegate.metrics import guard, moments
from tidegate.metrics.tally import Tally
from tidegate.metrics.values import BootFigures, Family, MetricKind, Sample

MOST_NAMED: Final = 200
"""So many pools and so many instances that are down are named; how many there are is told whole."""
_NAMED: Final = (SubjectKind.POOL, SubjectKind.INSTANCE)


def families(
    tally: Tally, snapshot: Snapshot, report: Report, *, now: float, version: str
) -> tuple[Family, ...]:
    """Return everything that is exported at ``now`` (seconds since boot)."""
    return (
        _gauge("tidegate_build_info", "The running version.", Sample({"version": version}, 1.0)),
        *_boot(tally, snapshot),
        *_health(tally, snapshot, report),
        *_sources(snapshot, now),
        *_storage(tally),
        *_recovery(tally),
        *guard.families(snapshot),
    )


def _gauge(name: str, text: str, *samples: Sample) -> Family:
    return Family(name=name, kind=MetricKind.GAUGE, help=text, samples=samples)


def _boot(tally: Tally, snapshot: Snapshot) -> Iterator[Family]:
    yield _gauge(
        "tidegate_boot_time_seconds",
        "When this boot began, in seconds since the epoch.",
        Sample({}, snapshot.boot_wall),
    )
    yield _gauge(
        "tidegate_boot_moment_seconds",
        "Seconds from boot to the first time that this was so in this boot.",
        *(Sample({"moment": moment.value}, at) for moment, at in sorted(tally.moments.items())),
    )
    last = tally.moments.get(moments.Moment.LAST_INSTANCE)
    yield _gauge(
        "tidegate_boot_to_last_instance_seconds",
        "Seconds from boot until every wanted instance ran; absent while one does not.",
        *([Sample({}, last)] if last is not None else []),
    )
    yield _gauge(
        "tidegate_satellite_start_seconds",
        "Seconds that the start of LINSTOR's satellite took in this boot, by phase: jvm (its unit to its open port), connect (to "
        "ONLINE), devices (to the last wanted volume proven ready), total.",
        *(Sample({"phase": phase}, took) for phase, took in _satellite(tally)),
    )
    if tally.boot is not None:
        yield from _journal(tally.boot)


def _journal(boot: BootFigures) -> Iterator[Family]:
    """Yield what this boot's journal says: exact, and also of what was before the agent."""
    yield _gauge(
        "tidegate_boot_phase_seconds",
        "Seconds that a phase of this boot took, by its journal (tidegate boot show).",
        *(Sample({"phase": name}, took) for name, took in sorted(boot.phases.items())[:MOST_NAMED]),
    )
    yield _gauge(
        "tidegate_boot_status",
        "1 for the verdict on this boot: nothing-wrong, late, down, coming-up, undecided.",
        Sample({"status": boot.status}, 1.0),
    )
    codes = [cause.code for cause in boot.first_causes]
    yield _gauge(
        "tidegate_boot_first_causes",
        "First causes found in this boot's journal, by code.",
        *(Sample({"code": code}, float(codes.count(code))) for code in sorted(set(codes))),
    )
    yield _gauge(
        "tidegate_boot_pool_mount_attempts",
        "Attempts to mount a pool in this boot, by its journal and what came of them.",
        *(
            Sample({"pool": one.pool, "outcome": outcome}, float(count))
            for one in boot.mounts[:MOST_NAMED]
            for outcome, count in (("mounted", one.mounted), ("failed", one.failed))
        ),
    )
    yield _gauge(
        "tidegate_boot_instances",
        "Instances by what became of them in this boot, by its journal.",
        *(Sample({"outcome": name}, float(n)) for name, n in sorted(boot.instances.items())),
    )


_BY_JOURNAL: Final = {
    "jvm": ("satellite.jvm",),
    "connect": ("satellite.wait-controller", "satellite.full-sync"),
    "devices": ("satellite.first-run",),
}


def _satellite(tally: Tally) -> Iterator[tuple[str, float]]:
    """Yield the satellite's phases: by its own log where that was read, else as they were seen."""
    told = tally.boot.phases if tally.boot is not None else {}
    if not all(name in told for names in _BY_JOURNAL.values() for name in names):
        yield from satellite_phases(tally.moments)
        return
    sums = {phase: sum(told[name] for name in names) for phase, names in _BY_JOURNAL.items()}
    yield from sums.items()
    yield "total", sum(sums.values())


def satellite_phases(known: Mapping[moments.Moment, float]) -> Iterator[tuple[str, float]]:
    """Yield (phase, seconds) of the satellite's start, as far as its moments are known; ``total`` when all are."""
    for phase, begin, end in moments.SATELLITE_PHASES:
        if begin in known and end in known:
            yield phase, max(0.0, known[end] - known[begin])
    first, last = moments.SATELLITE_PHASES[0][1], moments.SATELLITE_PHASES[-1][2]
    if first in known and last in known:
        yield "total", max(0.0, known[last] - known[first])


def _health(tally: Tally, snapshot: Snapshot, report: Report) -> Iterator[Family]:
    yield _gauge(
        "tidegate_grade",
        "1 for the grade that this node has now, 0 for the others.",
        *(Sample({"grade": grade.value}, float(report.grade is grade)) for grade in Grade),
    )
    counted = [finding for finding in report.findings if not finding.muted]
    grades = [finding.grade for finding in counted]
    yield _gauge(
        "tidegate_findings",
        "Findings at this moment, by grade; `tidegate status` shows them.",
        *(Sample({"grade": grade.value}, float(grades.count(grade))) for grade in Grade),
    )
    codes: dict[tuple[str, str], int] = {}
    for finding in counted:
        if finding.grade is not Grade.OK:
            key = (finding.code, finding.grade.value)
            codes[key] = codes.get(key, 0) + 1
    yield _gauge(
        "tidegate_findings_by_code",
        "Findings that are not ok at this moment, by code (docs/findings.md) and grade.",
        *(Sample({"code": code, "grade": grade}, float(n)) for (code, grade), n in codes.items()),
    )
    yield _gauge(
        "tidegate_findings_muted",
        "Findings that somebody muted; they count in no grade.",
        Sample({}, float(len(report.findings) - len(counted))),
    )
    wanted = [state for state in report.subjects.values() if state.wanted]
    yield _gauge(
        "tidegate_subjects_wanted",
        "Subjects that what should run here needs, by kind.",
        *(
            Sample({"kind": kind.value}, float(sum(s.subject.kind is kind for s in wanted)))
            for kind in SubjectKind
        ),
    )
    yield _gauge(
        "tidegate_subjects_down",
        "Wanted subjects that are not ready at this moment, by kind.",
        *(
            Sample(
                {"kind": kind.value},
                float(sum(s.subject.kind is kind and not s.ready for s in wanted)),
            )
            for kind in SubjectKind
        ),
    )
    yield from (_down(kind, tally, snapshot, report) for kind in _NAMED)


def _down(kind: SubjectKind, tally: Tally, snapshot: Snapshot, report: Report) -> Family:
    down = sorted(
        (since, state.subject.name)
        for text, since in tally.down.items()
        if (state := report.subjects.get(text)) is not None and state.subject.kind is kind
    )
    return _gauge(
        f"tidegate_{kind.value}_down_since_timestamp_seconds",
        f"Since when a wanted {kind.value} is not ready, in seconds since the epoch; at most {MOST_NAMED} are named, the longest first.",
        *(Sample(_named(kind, name), snapshot.boot_wall + at) for at, name in down[:MOST_NAMED]),
    )


def _named(kind: SubjectKind, name: str) -> dict[str, str]:
    if kind is SubjectKind.POOL:
        return {"pool": name}
    project, _, instance = name.partition("/")
    return {"project": project, "instance": instance}


def _sources(snapshot: Snapshot, now: float) -> Iterator[Family]:
    states = {source: snapshot.source(source) for source in Source}
    yield _gauge(
        "tidegate_source_up",
        "1 while a source answers, 0 while it does not; absent where this host does not have it.",
        *(
            Sample({"source": source.value}, float(state.liveness is Liveness.UP))
            for source, state in states.items()
            if state.liveness is not Liveness.OFF
        ),
    )
    yield _gauge(
        "tidegate_source_age_seconds",
        "Seconds since a source last answered.",
        *(
            Sample({"source": source.value}, max(0.0, now - state.answered_at))
            for source, state in states.items()
            if state.answered_at is not None
        ),
    )


def _storage(tally: Tally) -> Iterator[Family]:
    yield Family(
        name="tidegate_pool_mount_attempts",
        kind=MetricKind.COUNTER,
        help="Attempts to mount a storage pool of Incus in this run of the agent, by who tried (incus, tidegate) and what came of it.",
        samples=tuple(
            Sample({"pool": pool, "by": by, "outcome": outcome}, float(count))
            for (pool, by, outcome), count in sorted(tally.mounts.items())[: 4 * MOST_NAMED]
        ),
    )
    yield Family(
        name="tidegate_pool_mount_seconds",
        kind=MetricKind.HISTOGRAM,
        help="How long mounting a pool took, where Tidegate asked for it.",
        samples=(Sample({}, tally.mount_seconds),),
    )
    yield Family(
        name="tidegate_volume_hold_seconds",
        kind=MetricKind.HISTOGRAM,
        help="How long a wanted volume was waited for until it was proven ready.",
        samples=(Sample({}, tally.holds),),
    )
    yield Family(
        name="tidegate_instance_start_seconds",
        kind=MetricKind.HISTOGRAM,
        help="How long the start of an instance took, by phase: storage (asked until its volumes are mounted), init (until it runs), "
        "total. Incus says nothing of the beginning of a virtual machine that it starts by itself.",
        samples=tuple(
            Sample({"type": kind, "phase": phase}, histogram)
            for (kind, phase), histogram in sorted(tally.starts.items(), key=lambda item: item[0])
        ),
    )


def _recovery(tally: Tally) -> Iterator[Family]:
    yield Family(
        name="tidegate_recovery_actions",
        kind=MetricKind.COUNTER,
        help="What Tidegate did to bring pools and instances back, by action and what came of it.",
        samples=tuple(
            Sample({"action": action, "outcome": outcome}, float(count))
            for (action, outcome), count in sorted(tally.actions.items())
        ),
    )
