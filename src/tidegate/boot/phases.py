# SPDX-License-Identifier: Apache-2.0
"""Events → phases: the stretches of a boot that have a name, in lanes."""

from collections.abc import Iterator, Sequence

from tidegate.boot import satellite
from tidegate.boot.case import Case, name
from tidegate.boot.errors import Wrong
from tidegate.boot.facts import (
    CONTROLLER_UNIT,
    DEVICES_UNIT,
    GATE_UNIT,
    INCUS_UNIT,
    SATELLITE_UNIT,
    STARTUP_UNIT,
)
from tidegate.boot.model import Event, Kind, Outcome, Phase


def make(case: Case) -> tuple[Phase, ...]:
    """Return the phases, by their beginning."""
    found = [
        *_host(case),
        *_storage(case),
        *_devices(case),
        *_satellite(case),
        *_controller(case),
        *_incus(case),
        *_autostart(case),
        *_pools(case),
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


def _devices(case: Case) -> Iterator[Phase]:
    facts = case.facts
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


def _of_incus(
    title: str, label: str, begin: Event | None, end: Event | None, *more: Event, ok: bool = True
) -> Iterator[Phase]:
    """Yield the phase of incusd between two events, if the first is there."""
    if begin is not None:
        yield from _phase(
            title,
            "incus",
            begin.at,
            None if end is None else end.at,
            [begin, *more, end],
            label=label,
            subject="incus",
            ok=ok,
        )


def _incus(case: Case) -> Iterator[Phase]:
    facts = case.facts
    begun = facts.first(Kind.UNIT_STARTING, INCUS_UNIT)
    if begun is None:
        return
    database = facts.first(Kind.INCUS_DATABASE, after=begun.at)
    networks = facts.first(Kind.INCUS_NETWORKS, after=begun.at)
    pools = _pools_over(case, begun)
    failures = facts.of(Kind.POOL_MOUNT_FAILED, Kind.POOL_LOAD_FAILED)
    early = [event for event in failures if pools is None or event.at <= pools.at]
    if database is not None:
        yield from _of_incus("Incus: data base", "incus.database", begun, database)
    start = facts.first(Kind.INCUS_POOLS_BEGAN, after=begun.at) or database or begun
    title = "Incus: pools" if database is not None else "Incus: data base and pools"
    yield from _of_incus(title, "incus.pools", start, pools, *failures[:3], ok=not early)
    if networks is not None and pools is not None and networks.at > pools.at:
        yield from _of_incus("Incus: networks", "incus.networks", pools, networks)


def _pools_over(case: Case, begun: Event) -> Event | None:
    """Return the first event that shows that incusd is through with its pools."""
    facts = case.facts
    found = (
        facts.first(Kind.INCUS_POOLS_DONE, after=begun.at),
        facts.first(Kind.INCUS_NETWORKS, after=begun.at),
        facts.first(Kind.UNIT_STARTED, STARTUP_UNIT, after=begun.at),
        facts.first(Kind.UNIT_STARTED, INCUS_UNIT, after=begun.at),
    )
    return min((e for e in found if e is not None), key=lambda e: e.at, default=None)


def _autostart(case: Case) -> Iterator[Phase]:
    facts = case.facts
    begun = facts.first(Kind.UNIT_STARTING, INCUS_UNIT)
    if begun is None:
        return
    opened = facts.first(Kind.UNIT_STARTED, STARTUP_UNIT, after=begun.at)
    active = facts.first(Kind.UNIT_STARTED, INCUS_UNIT, after=begun.at)
    lost = facts.all(Kind.INSTANCE_LOST)
    start = opened or _pools_over(case, begun)
    yield from _of_incus(
        "Incus: autostart", "incus.autostart", start, active, *lost[:3], ok=not lost
    )


def _pools(case: Case) -> Iterator[Phase]:
    failures = case.facts.of(Kind.POOL_MOUNT_FAILED, Kind.POOL_LOAD_FAILED)
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
    held = facts.first(Kind.UNIT_STARTING, DEVICES_UNIT)
    let_go = facts.first(Kind.UNIT_STARTED, DEVICES_UNIT)
    yield from _phase(
        "devices first holds the satellite",
        "tidegate",
        held.at if held is not None else None,
        let_go.at if let_go is not None else None,
        [held, let_go],
        label="devices-first",
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
            own = story.attempts and all(
                attempt.code in {Wrong.NOT_STORAGE, Wrong.OTHER} for attempt in story.attempts
            )
            yield from _phase(
                f"{label} fails to start" if own else f"{label} waits for storage",
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
