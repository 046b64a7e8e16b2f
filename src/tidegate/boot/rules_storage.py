# SPDX-License-Identifier: Apache-2.0
"""What lies under LINSTOR's pools: not there, there and broken, full, mounted too late, or made anew where the old was not seen.

How it works (facts/linstor.md 8.1, linstor-observed.md A5, A19): a pool whose volume group, zpool or directory is not there does not
stop the full sync; the node is ONLINE, volumes do not come up. A directory that is not mounted is worse: the satellite makes it, and
new, empty volumes in it, and says nothing but that it created them.
"""

from typing import Final

from tidegate.boot import satellite
from tidegate.boot.case import Case, name, secs
from tidegate.boot.model import Confidence, Event, Kind

_MOUNT: Final = ".mount"
_NOT_A_POOL: Final = (
    "unit/sys-",
    "unit/dev-",
    "unit/proc-",
    "unit/run-",
    "unit/tmp.mount",
    "unit/boot",
    "unit/-.mount",
    "unit/var-lib-incus",
    "unit/var-lib-lxcfs",
)
_WHAT: Final = {
    Kind.STORAGE_BROKEN: ("storage.broken", "was not usable"),
    Kind.STORAGE_FULL: ("storage.full", "was full"),
}


def under(case: Case) -> str:
    """Return the cause that lies under LINSTOR's pools: missing, broken or full; else empty."""
    return missing(case) or _bad(case) or late_mount(case)


def missing(case: Case) -> str:
    """Return the cause if the volume group, zpool or directory of a LINSTOR pool was told to be missing; else empty."""
    found = [e for e in case.facts.all(Kind.STORAGE_MISSING) if e.subject != "storage/zfs"]
    by_satellite = any(e.data.get("what") for e in found)
    told = [e for e in found if by_satellite or not _came(case, e)]
    if not told:
        return ""
    named = next((e for e in told if e.subject != "storage/LINSTOR"), None)
    first = named or told[0]
    came = _came(case, first)
    what = next((e.data["what"] for e in told if e.data.get("what")), "storage")
    label = first.subject.partition("/")[2]
    danger = (
        " The satellite makes a missing directory itself and fills it with new, empty volumes."
        if what == "directory"
        else ""
    )
    said = next((e.detail for e in told if e.subject == first.subject and e.detail), "")
    return case.graph.add(
        "storage.missing",
        first.subject,
        f"{what} {label} was not there when the satellite needed it ({secs(first.at)})"
        f"{f': “{said[:160]}”' if said else ''}"
        f"{f'; it came at {secs(came.at)}' if came is not None else ''}.{danger}",
        begin=first.at,
        end=came.at if came is not None else None,
        events=[*(e for e in found if e.subject == first.subject), *told[:4], came],
        note=not by_satellite,  # until somebody was hit by it: not every volume group is LINSTOR's
    )


def _came(case: Case, told: Event) -> Event | None:
    """Return the line in which what was told to be missing is there: LVM tells of every disk until the last one has come."""
    imported = case.facts.all(Kind.STORAGE_IMPORTED, told.subject)
    return next((e for e in imported if e.at > told.at), None)


def _bad(case: Case) -> str:
    """Return the cause if a thin pool, zpool or array said that it is not usable; else empty."""
    for kind, (code, text) in _WHAT.items():
        found = case.facts.all(kind)
        if found:
            first = found[0]
            key = case.graph.add(
                code,
                first.subject,
                f"{name(first.subject)} {text} ({secs(first.at)}): “{first.detail[:160]}”.",
                begin=first.at,
                events=[*found[:5]],
            )
            for effect, cause in list(case.graph.nodes.items()):
                if cause.code == "drbd.io-error" and cause.begin >= first.at:
                    case.graph.link(key, effect, "its disk lies on it", found[:1])
            return key
    return ""


def mounts_after(case: Case, at: float) -> list[Event]:
    """Return the mounts that may hold a pool and came after ``at``, or failed."""
    facts = case.facts
    came = [e for e in facts.all(Kind.UNIT_STARTED) if e.at > at]
    failed = facts.of(Kind.UNIT_FAILED, Kind.UNIT_TIMEOUT, Kind.UNIT_DEPENDENCY)
    return [
        event
        for event in sorted([*failed, *came], key=lambda e: e.at)
        if event.subject.endswith(_MOUNT) and not event.subject.startswith(_NOT_A_POOL)
    ]


def late_mount(case: Case) -> str:
    """Return the cause if a mount failed, or came after the satellite's first run, and volumes or reports show that it was needed; else empty."""
    facts = case.facts
    steps = satellite.start(facts)
    run = steps.run or steps.answered
    if run is None:
        return ""
    anew = created(case)
    reports = [e for e in facts.all(Kind.SATELLITE_ERROR) if e.data.get("class") == "report"]
    if not anew and not any("xternal command" in e.detail for e in reports):
        return ""
    mounts = mounts_after(case, run.at)
    if not mounts:
        return ""
    first = mounts[0]
    came = first.kind is Kind.UNIT_STARTED
    return case.graph.add(
        "storage.missing",
        first.subject,
        f"{name(first.subject)} {'came only at' if came else 'did not come'}{'' if came else ' at'} {secs(first.at)}, the satellite's first run began at {secs(run.at)}: "
        "if a pool of LINSTOR lies on it, the satellite saw an empty directory, and fills that with new, empty volumes.",
        begin=min(run.at, first.at),
        end=first.at if came else None,
        events=[run, *reports[:2], *anew[:3], first],
        confidence=Confidence.LIKELY,
        alternatives=("storage.made-anew", "satellite.error"),
        tell="findmnt and the pool's directory: linstor storage-pool list; the satellite's error reports",
    )


def created(case: Case) -> list[Event]:
    """Return the lines in which the satellite, in its first run, made volumes that nobody had asked for in this boot."""
    facts = case.facts
    steps = satellite.start(facts)
    if steps.answered is None or not steps.fresh:
        return []
    asked = set(facts.subjects(Kind.RESOURCE_REQUESTED))
    end = steps.ready.at if steps.ready is not None else steps.until
    begin = (steps.run or steps.answered).at
    return [
        event
        for event in facts.all(Kind.RESOURCE_CREATED)
        if begin <= event.at <= end and event.subject not in asked
    ]


def _filled(case: Case, resource: str) -> bool:
    """Return whether DRBD fills a new volume from a node that has the data: a placement of LINSTOR's own making, or a copy that is made good."""
    met = case.facts.all(Kind.DRBD_CONNECTION, resource)
    return bool(case.facts.all(Kind.DRBD_RESYNC, resource)) or any(
        event.data.get("to") == "Connected" for event in met
    )


def made_anew(case: Case) -> str:
    """Return the cause if the satellite made volumes in its first run that should have been there; else empty."""
    anew = created(case)
    if not anew:
        return ""
    names = list(dict.fromkeys(name(event.subject) for event in anew))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    key = case.graph.add(
        "storage.made-anew",
        "satellite",
        f"In its first run the satellite made new, empty volumes for {', '.join(names[:3])}{more} (from {secs(anew[0].at)} on): "
        "a start only brings up what is there, so where it looked the old ones were not.",
        begin=anew[0].at,
        events=[case.facts.first(Kind.SATELLITE_RUN_BEGAN), *anew[:5]],
        confidence=Confidence.LIKELY,
        alternatives=("a placement that was asked for in that moment",),
        tell="the controller's log of that time (“Resource definition created”); findmnt; what lies in the pool's directory or volume group",
        note=all(_filled(case, event.subject) for event in anew),
    )
    case.graph.link(under(case), key, "they were made where the old ones were not seen", anew[:2])
    return key
