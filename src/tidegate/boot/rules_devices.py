# SPDX-License-Identifier: Apache-2.0
"""Why a device was not there, not readable, or did not hold what it should: satellite's runs, DRBD, what lies underneath.

How it works: ONLINE says that the full sync was accepted; devices come in the first run after it, one after another
(facts/fullstack-observed.md s2: 17 to 78 s later); ENOENT and, between node and attach, ENODATA are normal in that time; later ENODATA
means no quorum or no data (facts/drbd-observed.md), EMEDIUMTYPE that a peer is Primary.
"""

import itertools
from typing import Final

from tidegate.boot import (
    errors,
    rules_drbd,
    rules_module,
    rules_satellite,
    rules_storage,
    satellite,
)
from tidegate.boot.case import Case, name, secs, volumes
from tidegate.boot.errors import Wrong
from tidegate.boot.model import Confidence, Event, Kind
from tidegate.boot.rules_satellite import STUCK
from tidegate.boot.satellite import Start

_NEAR: Final = 30.0
_QUORUM_BY: Final = 30.0
"""Seconds within which quorum normally comes after a device came up."""


def why(case: Case, wrong: Wrong, events: list[Event], end: float | None) -> str:
    """Return the cause for errors of opening or mounting a device, or of LINSTOR making it available."""
    match wrong:
        case Wrong.PATH_MISSING:
            return _path_missing(case, events, end)
        case Wrong.DEVICE_MISSING:
            return late(case, events, end)
        case Wrong.NO_DATA:
            return _no_data(case, events, end)
        case Wrong.PEER_PRIMARY | Wrong.READ_ONLY:
            return rules_drbd.refused(case, wrong, events, end)
        case Wrong.NOT_MOUNTABLE:
            return _not_mountable(case, events)
        case Wrong.IO_ERROR:
            return rules_drbd.io_error(case, events)
        case Wrong.MODULE_MISSING | Wrong.MODULE_OLD:
            return rules_module.module(case, wrong, events, end)
        case Wrong.STORAGE_MISSING:
            return rules_storage.under(case) or _plain(case, "storage.missing", "host", events, end)
        case Wrong.BUSY:
            return _plain(case, "volume.busy", volumes(events), events, end)
        case Wrong.RESOURCE_UNKNOWN:
            return _plain(case, "volume.unknown", volumes(events), events, end)
        case _:
            return _not_available(case, events, end)


def _no_data(case: Case, events: list[Event], end: float | None) -> str:
    key = rules_drbd.no_data(case, events, end)
    if key.startswith("drbd.no-data:"):
        _underneath(case, key, satellite.start(case.facts), events[0].at)
    return key or late(case, events, end)


def _plain(case: Case, code: str, subject: str, events: list[Event], end: float | None) -> str:
    said = next((e for e in events if e.kind is not Kind.FS_ERROR), events[0])
    return case.graph.add(
        code,
        subject,
        f"{_MEANS[code]} at {secs(said.at)}: “{said.detail[:200]}”.",
        begin=events[0].at,
        end=end,
        events=events[:6],
    )


_MEANS: Final = {
    "storage.missing": "What lies under a storage pool was not there",
    "volume.busy": "The device was busy",
    "volume.unknown": "LINSTOR did not know the volume that Incus asked for",
    "volume.not-available": "LINSTOR could not make the volume available here",
    "volume.not-mountable": "The device was there and could not be mounted",
}


def late(case: Case, events: list[Event], end: float | None) -> str:
    """Return the cause for a device that did not exist when Incus opened it."""
    steps = satellite.start(case.facts)
    if not steps.spoke:
        return _late_unseen(case, events, end)
    begin, last = events[0].at, events[-1].at
    if steps.ready is not None and steps.ready.at < begin:
        return _late_after_run(case, events) or _missing_after_run(case, events, steps)
    key = case.graph.add(
        "devices.late",
        "satellite",
        f"LINSTOR called the node ONLINE{f' at {secs(steps.answered.at)}' if steps.answered is not None else ''} before its devices were there: "
        f"Incus tried {f'from {secs(begin)} to {secs(last)}' if last > begin else f'at {secs(begin)}'}, and the satellite's first run, which brings them up "
        f"one after another, was {f'over only at {secs(steps.ready.at)}' if steps.ready is not None else 'not over when the lines end'}{_first_disks(case)}.",
        begin=steps.answered.at if steps.answered is not None else begin,
        end=steps.ready.at if steps.ready is not None else end,
        events=[steps.answered, steps.run, *events[:2], *_disks(case), steps.ready],
        not_seen=_not_yet(case, events),
    )
    _underneath(case, key, steps, begin)
    return key


def _disks(case: Case) -> list[Event]:
    return [e for e in case.facts.all(Kind.DRBD_DISK) if e.data.get("to") == "UpToDate"][:2]


def _first_disks(case: Case) -> str:
    disks = [e for e in case.facts.all(Kind.DRBD_DISK) if e.data.get("to") == "UpToDate"]
    if not disks:
        return ""
    firsts: dict[str, float] = {}
    for event in disks:
        firsts.setdefault(event.data.get("device", event.subject), event.at)
    times = sorted(firsts.values())
    if len(times) == 1:
        return f" (the kernel says UpToDate at {secs(times[0])})"
    return f" (the kernel says UpToDate between {secs(times[0])} and {secs(times[-1])})"


def _not_yet(case: Case, events: list[Event]) -> tuple[str, ...]:
    """Say which devices the kernel had not yet told of at the first attempt on them."""
    told = []
    for device in dict.fromkeys(d for e in events if (d := errors.device_of(e.detail))):
        up = next(
            (
                e
                for e in case.facts.all(Kind.DRBD_DISK)
                if e.data.get("device") == device and e.data.get("to") == "UpToDate"
            ),
            None,
        )
        tried = next(e for e in events if errors.device_of(e.detail) == device)
        if up is None or up.at > tried.at:
            told.append(f"“{device}: disk( … -> UpToDate )” before the attempt at {secs(tried.at)}")
    return tuple(told[:4])


def _late_unseen(case: Case, events: list[Event], end: float | None) -> str:
    names = list(dict.fromkeys(d for e in events if (d := errors.device_of(e.detail))))
    found = next(
        (
            e
            for e in case.facts.all(Kind.FINDING)
            if e.data.get("code") == "device.missing" or "does not exist" in e.data.get("text", "")
        ),
        None,
    )
    over = next(
        (
            e
            for e in case.facts.all(Kind.FINDING_OVER)
            if e.data.get("code") == "device.missing" or "does not exist" in e.data.get("text", "")
        ),
        None,
    )
    key = case.graph.add(
        "devices.late",
        "satellite",
        f"Incus opened {', '.join(names[:4]) or 'devices'} from {secs(events[0].at)} to {secs(events[-1].at)}, and they did not exist"
        f"{f'; they came at {secs(over.at)}' if over is not None else ''}. The pool was mounted, so LINSTOR said ONLINE: that is before devices come.",
        begin=events[0].at,
        end=over.at if over is not None else end,
        events=[*events[:4], events[-1], found, over],
        confidence=Confidence.CERTAIN if found is not None else Confidence.LIKELY,
        not_seen=(
            "“Failed mounting storage pool”: the node was ONLINE",
            "the satellite's log of its first run",
        ),
        alternatives=() if found is not None else ("devices.missing",),
        tell=""
        if found is not None
        else "the satellite's lines “Begin/End DeviceManager cycle”, and the kernel's “disk( Attaching -> UpToDate )”",
    )
    _underneath(case, key, Start(), events[0].at)
    return key


def _late_after_run(case: Case, events: list[Event]) -> str:
    """Return the cause for a device that a later run brought up; empty where no line says that it came."""
    device = errors.device_of(events[0].detail)
    up = next(
        (
            e
            for e in case.facts.all(Kind.DRBD_DISK)
            if e.data.get("device") == device
            and e.data.get("to") == "UpToDate"
            and e.at > events[0].at
        ),
        None,
    )
    if up is None:
        return ""
    return case.graph.add(
        "devices.late",
        up.subject,
        f"{device} was UpToDate only at {secs(up.at)}, after Incus had tried it from {secs(events[0].at)} on: the satellite brought it up in a later run.",
        begin=events[0].at,
        end=up.at,
        events=[*events[:3], up],
    )


def _missing_after_run(case: Case, events: list[Event], steps: Start) -> str:
    assert steps.ready is not None
    key = case.graph.add(
        "devices.missing",
        volumes(events),
        f"The device was not there at {secs(events[0].at)} although the satellite's first run was over at {secs(steps.ready.at)}.",
        begin=events[0].at,
        events=[steps.ready, *events[:4]],
        confidence=Confidence.LIKELY,
        alternatives=("satellite.error", "devices.late"),
        tell="linstor resource list, and the satellite's error reports about that resource",
    )
    _underneath(case, key, steps, events[0].at)
    return key


def _underneath(case: Case, key: str, steps: Start, begin: float) -> None:
    """Link what stood in the way of the devices: storage missing, module, a run that stood still or never came, failed resources."""
    graph, facts = case.graph, case.facts
    never = rules_satellite.false_online(case)
    graph.link(never, key, "devices come in the run that never came")
    storage = rules_storage.under(case)
    if storage:
        graph.link(storage, key, "volumes cannot come up on what is not there")
    stuck = "" if never else standing_still(case, steps)
    if stuck:
        graph.link(stuck, key, "devices come in the run that stood still")
    loaded = facts.first(Kind.MODULE_LOADED)
    failed = rules_module.failed(case)
    if failed is not None and (loaded is None or loaded.at > begin):
        cause = rules_module.module(case, Wrong.MODULE_MISSING, [failed], None)
        graph.link(cause, key, "no DRBD device without the module", [failed])
    resources = [e for e in facts.all(Kind.RESOURCE_FAILED) if e.at <= begin + _NEAR]
    if resources and not storage:
        cause = errors_of(case, resources)
        graph.link(cause, key, "the satellite could not bring it up", resources[:2])


def errors_of(case: Case, resources: list[Event]) -> str:
    """Return the cause for resources that the satellite reported as failed."""
    first = resources[0]
    names = list(dict.fromkeys(name(e.subject) for e in resources))
    reports = [e for e in case.facts.all(Kind.SATELLITE_ERROR) if e.data.get("class") == "report"]
    said = f": {first.detail}" if first.detail else ""
    key = case.graph.add(
        "satellite.error",
        "satellite",
        f"The satellite could not bring up {', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}{said}.",
        begin=first.at,
        events=[*resources[:4], *reports[:3]],
    )
    locked = [e for e in resources if "encryption key" in e.detail]
    if locked:
        closed = case.graph.add(
            "controller.passphrase",
            "controller",
            f"The controller had no master passphrase, so the satellite could not open encrypted volumes ({secs(locked[0].at)}).",
            begin=locked[0].at,
            events=locked[:4],
        )
        case.graph.link(closed, key, "they are encrypted", locked[:1])
    for resource in dict.fromkeys(e.subject for e in resources):
        case.graph.link(rules_drbd.disk_failed(case, resource), key, "its disk failed")
    case.graph.link(rules_storage.under(case), key, "volumes cannot come up on what is not there")
    return key


def standing_still(case: Case, steps: Start) -> str:
    """Return the cause if a run of the device manager stood still for as long as a command hangs; else empty."""
    facts = case.facts
    answered = steps.answered
    begun = facts.first(Kind.SATELLITE_RUN_BEGAN)
    if answered is None or begun is None:
        return ""
    end = steps.ready.at if steps.ready is not None else steps.until
    marks = [
        event.at
        for event in facts.of(
            Kind.DRBD_DISK,
            Kind.DRBD_CONNECTION,
            Kind.RESOURCE_ADJUSTED,
            Kind.SATELLITE_RUN_ENDED,
            Kind.RESOURCE_CREATED,
        )
        if answered.at <= event.at <= end
    ]
    marks = [answered.at, *marks, end]
    before, after = max(itertools.pairwise(marks), key=lambda pair: pair[1] - pair[0])
    if after - before < STUCK - 1:
        return ""
    tools = [
        e
        for e in facts.all(Kind.SATELLITE_TOOL_MISSING)
        + [e for e in facts.all(Kind.SATELLITE_ERROR) if e.data.get("class") == "report"]
        if before <= e.at <= after + 5
    ]
    return case.graph.add(
        "satellite.stuck",
        "satellite",
        f"The satellite's device manager stood still for {secs(after - before)} (from {secs(before)}): a command that it ran did not come back.",
        begin=before,
        end=after if steps.ready is not None else None,
        events=[begun, *tools[:2], steps.ready],
        confidence=Confidence.LIKELY,
        not_seen=("“Resource '…' [DRBD] adjusted” or “End DeviceManager cycle” in that time",),
    )


def _path_missing(case: Case, events: list[Event], end: float | None) -> str:
    steps = satellite.start(case.facts)
    key = case.graph.add(
        "volume.path-missing",
        "satellite",
        f"LINSTOR named no device for the volumes that Incus asked for from {secs(events[0].at)} to {secs(events[-1].at)} (it opened an empty path): "
        "after a restart of the controller it knows none until the satellite's first run is over.",
        begin=events[0].at,
        end=steps.ready.at if steps.ready is not None else end,
        events=[*events[:4], events[-1], steps.ready],
        confidence=Confidence.CERTAIN,
    )
    if steps.spoke and (steps.ready is None or steps.ready.at > events[0].at):
        cause = late(case, events, end)
        case.graph.link(cause, key, "paths are reported at the end of the first run", [steps.ready])
    return key


def _not_mountable(case: Case, events: list[Event]) -> str:
    device = errors.device_of(events[0].detail)
    said = [e for e in case.facts.all(Kind.FS_ERROR) if e.data.get("dev") == device]
    key = _plain(case, "volume.not-mountable", volumes(events), [*said[:2], *events], None)
    storage = rules_storage.made_anew(case) or rules_storage.under(case)
    case.graph.link(storage, key, "new, empty volumes were made where the old ones were not seen")
    return key


def _not_available(case: Case, events: list[Event], end: float | None) -> str:
    key = _plain(case, "volume.not-available", volumes(events), events, end)
    storage = rules_storage.under(case)
    if storage:
        case.graph.link(storage, key, "there is no place for it")
    return key
