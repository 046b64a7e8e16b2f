# SPDX-License-Identifier: Apache-2.0
"""Events → phases: the stretches of a boot that have a name, in lanes."""

from collections.abc import Iterator, Sequence

from tidegate.boot import satellite
from tidegate.boot.case import Case, name
from tidegate.boot.facts import CONTROLLER_UNIT, GATE_UNIT, INCUS_UNIT, SATELLITE_UNIT, STARTUP_UNIT
from tidegate.boot.model import Event, Kind, Outcome, Phase


def make(case: Case) -> tuple[Phase, ...]:
    """Return the phases, by their beginning."""
    found = [
        *_host(case),
        *_storage(case),
        *_satellite(case),
        *_controller(case),
        *_incus(case),
        *_own(case),
        *_instances(case),
    ]
    return tuple(sorted(found, key=lambda phase: phase.begin))


def _phase(
    title: str,
    lane: str,
    begin: float | None,
    end: float | None,
    events: Sequence[Event | None],
    *,
    label: str,
    subject: str = "host",
    ok: bool = True,
    detail: str = "",
) -> Iterator[Phase]:
    if begin is None or (end is not None and end < begin):
        return
    yield Phase(
        name=label,
        title=title,
        subject=subject,
        begin=begin,
        end=end,
        lane=lane,
        ok=ok and end is not None,
        detail=detail,
        events=tuple(event for event in events if event is not None),
    )


def _host(case: Case) -> Iterator[Phase]:
    facts = case.facts
    first = next((e.at for e in facts.timeline.events if e.kind is not Kind.KERNEL_STARTED), None)
    kernel = facts.first(Kind.KERNEL_STARTED)
    if kernel is not None and first is not None:
        yield from _phase("kernel", "host", 0.0, max(first, kernel.at), [kernel], label="kernel")
    online = facts.first(Kind.UNIT_STARTED, "unit/network-online.target")
    waits = [e for e in facts.all(Kind.UNIT_STARTING) if "wait-online" in e.subject]
    begin = next(
        (
            e.at
            for e in facts.all(Kind.UNIT_STARTING)
            if "networkd.service" in e.subject or "NetworkManager.service" in e.subject
        ),
        waits[0].at if waits else None,
    )
    timeout = facts.first(Kind.NETWORK_TIMEOUT)
    yield from _phase(
        "network online",
        "host",
        begin,
        online.at if online is not None else None,
        [*waits[:1], timeout, online],
        label="network-online",
        ok=timeout is None,
    )


def _storage(case: Case) -> Iterator[Phase]:
    facts = case.facts
    imported = facts.all(Kind.STORAGE_IMPORTED)
    if imported:
        begin = next(
            (
                e.at
                for e in facts.all(Kind.UNIT_STARTING)
                if e.subject.startswith(("unit/zfs-import", "unit/lvm2-"))
            ),
            imported[0].at,
        )
        yield from _phase(
            "storage import",
            "storage",
            begin,
            imported[-1].at,
            [imported[0], imported[-1], *facts.all(Kind.STORAGE_MISSING)[:2]],
            label="storage-import",
        )
    loaded = facts.first(Kind.MODULE_LOADED)
    modules = facts.first(Kind.UNIT_STARTING, "unit/systemd-modules-load.service")
    failed = next(
        (e for e in facts.all(Kind.MODULE_FAILED) if e.data.get("by") != "satellite"), None
    )
    if loaded is not None or failed is not None:
        at = loaded.at if loaded is not None else None
        yield from _phase(
            "DRBD module",
            "storage",
            modules.at if modules is not None else (at if at is not None else 0.0),
            at,
            [modules, failed, loaded],
            label="drbd-module",
            ok=failed is None,
        )
    disks = [e for e in facts.all(Kind.DRBD_DISK) if e.data.get("to") == "UpToDate"]
    if disks:
        begin = facts.all(Kind.DRBD_DISK)[0].at
        firsts: dict[str, Event] = {}
        for event in disks:
            firsts.setdefault(event.subject, event)
        last = max(firsts.values(), key=lambda e: e.at)
        yield from _phase(
            "devices come up",
            "storage",
            begin,
            last.at,
            list(firsts.values())[:20],
            label="devices",
            subject="satellite",
            detail=f"{len(firsts)} resources",
        )


def _satellite(case: Case) -> Iterator[Phase]:
    facts = case.facts
    steps = satellite.start(facts)
    begun = steps.unit or steps.jvm
    if begun is None or not steps.spoke:
        return
    ended = facts.first(Kind.UNIT_TIMEOUT, SATELLITE_UNIT) or facts.first(
        Kind.UNIT_EXITED, SATELLITE_UNIT
    )
    ok = ended is None
    before: Event | None = begun
    for event, label, title in (
        (steps.listening, "satellite.jvm", "satellite starts (JVM)"),
        (steps.connected, "satellite.wait-controller", "satellite waits for a controller"),
        (steps.answered, "satellite.full-sync", "full sync"),
        (steps.ready, "satellite.first-run", "first run of devices"),
    ):
        if before is None:
            return
        yield from _phase(
            title,
            "satellite",
            before.at,
            event.at if event is not None else None,
            [before, event, ended if event is None else None],
            label=label,
            subject="satellite",
            ok=ok or event is not None,
        )
        before = event


def _controller(case: Case) -> Iterator[Phase]:
    facts = case.facts
    begun = facts.begun(CONTROLLER_UNIT)
    starting = facts.first(Kind.CONTROLLER_STARTING)
    if begun is None and starting is not None:
        begun = starting.at
    started = facts.first(Kind.CONTROLLER_STARTED)
    yield from _phase(
        "controller starts",
        "controller",
        begun,
        started.at if started is not None else None,
        [starting, started],
        label="controller",
        subject="controller",
    )


def _incus(case: Case) -> Iterator[Phase]:
    facts = case.facts
    begun = facts.first(Kind.UNIT_STARTING, INCUS_UNIT)
    if begun is None:
        return
    database = facts.first(Kind.INCUS_DATABASE, after=begun.at)
    pools_began = facts.first(Kind.INCUS_POOLS_BEGAN, after=begun.at)
    opened = facts.first(Kind.UNIT_STARTED, STARTUP_UNIT, after=begun.at)
    done = facts.first(Kind.INCUS_POOLS_DONE, after=begun.at)
    networks = facts.first(Kind.INCUS_NETWORKS, after=begun.at)
    active = facts.first(Kind.UNIT_STARTED, INCUS_UNIT, after=begun.at)
    failures = facts.of(Kind.POOL_MOUNT_FAILED, Kind.POOL_LOAD_FAILED)
    pools_end = min(
        (e for e in (done, networks, opened, active) if e is not None),
        key=lambda e: e.at,
        default=None,
    )
    if database is not None:
        yield from _phase(
            "Incus: data base",
            "incus",
            begun.at,
            database.at,
            [begun, database],
            label="incus.database",
            subject="incus",
        )
    start = pools_began or database or begun
    yield from _phase(
        "Incus: pools" if database is not None else "Incus: data base and pools",
        "incus",
        start.at,
        pools_end.at if pools_end is not None else None,
        [start, *failures[:3], pools_end],
        label="incus.pools",
        subject="incus",
        ok=not [e for e in failures if pools_end is None or e.at <= pools_end.at],
    )
    if networks is not None and pools_end is not None and networks.at > pools_end.at:
        yield from _phase(
            "Incus: networks",
            "incus",
            pools_end.at,
            networks.at,
            [networks],
            label="incus.networks",
            subject="incus",
        )
    auto = opened or pools_end
    if auto is not None:
        lost = facts.all(Kind.INSTANCE_LOST)
        yield from _phase(
            "Incus: autostart",
            "incus",
            auto.at,
            active.at if active is not None else None,
            [auto, *lost[:3], active],
            label="incus.autostart",
            subject="incus",
            ok=not lost,
        )
    for pool in case.pools:
        if pool.outcome in {Outcome.LATE, Outcome.WAITING}:
            yield from _phase(
                f"pool {pool.name} unavailable",
                "incus",
                pool.asked,
                pool.ready,
                [e for e in failures if e.subject == pool.subject][:4],
                label="pool.unavailable",
                subject=pool.subject,
                ok=False,
                detail="" if pool.exact else "the end is inferred",
            )


def _own(case: Case) -> Iterator[Phase]:
    facts = case.facts
    begun = facts.first(Kind.UNIT_STARTING, GATE_UNIT)
    ended = facts.first(Kind.UNIT_STARTED, GATE_UNIT)
    gave_up = facts.first(Kind.GATE_TIMED_OUT)
    yield from _phase(
        "Tidegate's gate",
        "tidegate",
        begun.at if begun is not None else None,
        ended.at if ended is not None else None,
        [begun, *facts.all(Kind.GATE_WAITING)[:2], gave_up, ended],
        label="gate",
        ok=gave_up is None,
    )


def _instances(case: Case) -> Iterator[Phase]:
    for story in case.instances:
        if story.waiting_since is None and story.mount_begin is None:
            continue
        label, subject = name(story.subject), story.subject
        failed = case.facts.all(Kind.INSTANCE_ATTEMPT_FAILED, subject)
        lost = case.facts.all(Kind.INSTANCE_LOST, subject)
        begin = story.mount_begin
        if story.waiting_since is not None and (begin is None or story.waiting_since < begin):
            end = begin if begin is not None else story.started
            yield from _phase(
                f"{label} waits for storage",
                "instances",
                story.waiting_since,
                end,
                [*failed[:3], *lost[:1]],
                label="instance.waits",
                subject=subject,
                ok=story.outcome is not Outcome.LOST,
                detail="" if story.exact else "the end is inferred",
            )
        if begin is not None:
            yield from _phase(
                f"{label} starts",
                "instances",
                begin,
                story.started,
                [
                    case.facts.first(Kind.INSTANCE_STARTING, subject),
                    case.facts.first(Kind.INSTANCE_STARTED, subject),
                ],
                label="instance.starts",
                subject=subject,
            )
