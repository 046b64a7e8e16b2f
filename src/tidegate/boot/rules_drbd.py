# SPDX-License-Identifier: Apache-2.0
"""Why DRBD gave no data or refused to open: quorum, peers, disks (facts/drbd-observed.md, facts/linstor.md 7.4)."""

from typing import Final

from tidegate.boot import errors, satellite
from tidegate.boot.case import Case, name, secs, volumes
from tidegate.boot.errors import Wrong
from tidegate.boot.model import Confidence, Event, Kind

_NEAR: Final = 30.0
_LONG_AWAY: Final = 60.0
"""Seconds of trying after which a peer counts as away."""


def no_data(case: Case, events: list[Event], end: float | None) -> str:
    """Return the cause for a device that exists and gives no data; empty where its disk was only not attached yet."""
    facts = case.facts
    device = errors.device_of(events[0].detail)
    known = facts.devices().get(device, "")
    resource = f"resource/{known}"
    lost = _quorum(case, resource if known else "", events[0].at)
    if lost is not None:
        return quorum(case, lost, events)
    failed = facts.first(Kind.DRBD_IO_ERROR, resource)
    if failed is not None and failed.at <= events[-1].at:
        return disk_failed(case, resource)
    up = next(
        (
            e
            for e in facts.all(Kind.DRBD_DISK)
            if e.data.get("device") == device and e.data.get("to") == "UpToDate"
        ),
        None,
    )
    steps = satellite.start(facts)
    if up is None and not steps.spoke:
        return _undecided(case, events, end)
    state = _bad_disk(case, device, events[0].at)
    if state is not None and (up is None or up.at > events[-1].at):
        return _bad(case, resource, state, up.at if up is not None else end, events)
    if up is not None and up.at < events[0].at:
        return _up_and_silent(case, up, events, end)
    if up is None and steps.ready is not None and steps.ready.at < events[0].at:
        return _diskless(case, device, events, end)
    return ""


def _bad(case: Case, resource: str, state: Event, end: float | None, events: list[Event]) -> str:
    """Add the cause for a disk that had no good data, and what kept the node with the good ones away."""
    device = state.data["device"]
    key = case.graph.add(
        "drbd.no-data",
        f"device/{device}",
        f"{device} gave no data at {secs(events[0].at)}: its own disk was {state.data['to']} and no node with good data was connected.",
        begin=state.at,
        end=end,
        events=[state, *case.facts.all(Kind.DRBD_CONNECTION, state.subject)[-2:], *events[:3]],
        not_seen=("“conn( … -> Connected )” to a node with good data",),
    )
    case.graph.link(link_refused(case, resource), key, "the node with good data was not let in")
    case.graph.link(split_brain(case, resource), key, "the two nodes dropped their connection")
    return key


def _up_and_silent(case: Case, up: Event, events: list[Event], end: float | None) -> str:
    """Add the cause for a disk that is UpToDate and gives no data: an open for reading fails so without quorum (facts/linstor.md 7.4)."""
    device = up.data["device"]
    since = case.facts.all(Kind.DRBD_CONNECTION, up.subject)
    alone = not any(e.data.get("to") == "Connected" and e.at <= events[0].at for e in since)
    return case.graph.add(
        "drbd.quorum-lost" if alone else "drbd.no-data",
        up.subject if alone else f"device/{device}",
        f"{device} gave no data at {secs(events[0].at)} although its disk had been UpToDate since {secs(up.at)}: "
        f"{'no other node of it had connected, so it had no quorum' if alone else 'no quorum, or its data was outdated since'}.",
        begin=events[0].at,
        end=end,
        events=[up, *since[-2:], *events[:4]],
        confidence=Confidence.LIKELY,
        alternatives=("drbd.no-data" if alone else "drbd.quorum-lost",),
        tell="drbdsetup status --verbose at that time; the kernel's “quorum(” and “susp-io(” lines",
    )


def _diskless(case: Case, device: str, events: list[Event], end: float | None) -> str:
    """Add the cause for a device without a disk of its own and without a peer, after the run that brings disks up was over."""
    return case.graph.add(
        "drbd.no-data",
        f"device/{device}",
        f"{device} was there and gave no data at {secs(events[0].at)}: no line tells that its disk was attached, although the satellite's first run was over; "
        "without a disk of its own it needs a node with good data, and none was connected.",
        begin=events[0].at,
        end=end,
        events=events[:4],
        confidence=Confidence.LIKELY,
        not_seen=(f"“{device}: disk( … -> UpToDate )”",),
        alternatives=("drbd.quorum-lost", "drbd.io-error"),
        tell="drbdadm status; linstor resource list-properties NODE RESOURCE: DrbdOptions/SkipDisk is set by LINSTOR after a disk error and keeps the disk away at the next boots",
    )


def disk_failed(case: Case, resource: str) -> str:
    """Return the cause if the disk under a resource failed; else empty."""
    event = case.facts.first(Kind.DRBD_IO_ERROR, resource)
    if event is None:
        return ""
    states = [e for e in case.facts.all(Kind.DRBD_DISK, resource) if e.data.get("to") == "Failed"]
    return case.graph.add(
        "drbd.io-error",
        resource,
        f"The disk under {name(resource)} failed at {secs(event.at)}: “{event.evidence[0].text[:160]}”.",
        begin=event.at,
        events=[event, *states[:2]],
    )


def link_refused(case: Case, resource: str) -> str:
    """Return the cause if two nodes of a resource saw each other and did not connect for good; else empty."""
    events = case.facts.all(Kind.DRBD_LINK_REFUSED, resource)
    if not events:
        return ""
    first = events[0]
    later = [
        e
        for e in case.facts.all(Kind.DRBD_CONNECTION, resource)
        if e.at >= first.at and e.data.get("peer") == first.data.get("peer")
    ]
    healed = next((e for e in later if e.data.get("to") == "Connected"), None)
    return case.graph.add(
        "drbd.link-refused",
        resource,
        f"{name(resource)} did not connect to {first.data.get('peer', 'its peer')} at {secs(first.at)}: “{first.detail[:120]}”"
        f"{f'; connected at {secs(healed.at)}' if healed is not None else ''}.",
        begin=first.at,
        end=healed.at if healed is not None else None,
        events=[first, *later[:2], healed],
        note=healed is not None,
    )


def split_brain(case: Case, resource: str) -> str:
    """Return the cause if a split brain of a resource was told; else empty."""
    event = case.facts.first(Kind.DRBD_SPLIT_BRAIN, resource)
    if event is None:
        return ""
    later = [e for e in case.facts.all(Kind.DRBD_CONNECTION, resource) if e.at > event.at]
    healed = next((e for e in later if e.data.get("to") == "Connected"), None)
    return case.graph.add(
        "drbd.split-brain",
        resource,
        f"Split brain of {name(resource)} with {event.data.get('peer', 'its peer')} at {secs(event.at)}: both changed data without each other"
        f"{f'; connected again at {secs(healed.at)}' if healed is not None else ''}.",
        begin=event.at,
        end=healed.at if healed is not None else None,
        events=[event, *(e for e in later[:2] if healed is None), healed],
    )


def by_themselves(case: Case) -> None:
    """Add what DRBD's lines say whether or not somebody was hurt by it yet."""
    facts = case.facts
    for subject in facts.subjects(Kind.DRBD_SPLIT_BRAIN)[:10]:
        split_brain(case, subject)
    for subject in facts.subjects(Kind.DRBD_IO_ERROR)[:10]:
        disk_failed(case, subject)
    for subject in facts.subjects(Kind.DRBD_LINK_REFUSED)[:10]:
        link_refused(case, subject)
    peers_away(case)
    for subject in facts.subjects(Kind.DRBD_QUORUM_LOST)[:10]:
        lost = facts.all(Kind.DRBD_QUORUM_LOST, subject)[-1]
        back = facts.first(Kind.DRBD_QUORUM_BACK, subject, after=lost.at)
        up = any(e.at <= lost.at for e in facts.all(Kind.DRBD_DISK, subject))
        if up and back is None and facts.end - lost.at > _NEAR:
            quorum(case, lost, [])


def _undecided(case: Case, events: list[Event], end: float | None) -> str:
    return case.graph.add(
        "devices.late",
        "satellite",
        f"The device was there at {secs(events[0].at)} and gave no data: its disk was not attached yet, or there was no quorum.",
        begin=events[0].at,
        end=end,
        events=events[:6],
        confidence=Confidence.POSSIBLE,
        alternatives=("drbd.quorum-lost", "drbd.no-data"),
        tell="the kernel's lines: “disk( Attaching -> UpToDate )” after it says late, “quorum( yes -> no )” or “No quorum” says no quorum",
    )


def _bad_disk(case: Case, device: str, at: float) -> Event | None:
    """Return the line that says that the disk of ``device`` had no good data at ``at``; attaching passes by itself and does not count."""
    found = None
    for event in case.facts.all(Kind.DRBD_DISK):
        if event.data.get("device") == device and event.at <= at:
            found = event
    bad = {"Outdated", "Inconsistent", "Failed"}
    return found if found is not None and found.data.get("to") in bad else None


def _quorum(case: Case, resource: str, at: float) -> Event | None:
    """Return the line that says that a resource had no quorum at ``at``; of any resource, where nothing tells whose the device is."""
    told = [
        *case.facts.all(Kind.DRBD_QUORUM_LOST),
        *(e for e in case.facts.all(Kind.DRBD_REFUSED) if "quorum" in e.detail.lower()),
    ]
    for event in sorted(told, key=lambda event: event.at):
        if resource and event.subject != resource:
            continue
        back = case.facts.first(Kind.DRBD_QUORUM_BACK, event.subject, after=event.at)
        if event.at <= at + _NEAR and (back is None or back.at > at):
            return event
    return None


def quorum(case: Case, lost: Event, events: list[Event]) -> str:
    """Return the cause for a resource without quorum."""
    back = case.facts.first(Kind.DRBD_QUORUM_BACK, lost.subject, after=lost.at)
    seen, need = lost.data.get("seen"), lost.data.get("need")
    counted = (
        f": {seen} of {lost.data.get('all')} nodes there, {need} needed" if seen and need else ""
    )
    away = _away(case, lost.subject, back.at if back is not None else case.facts.end)
    alone = f"; not connected: {', '.join(away)}" if away else ""
    return case.graph.add(
        "drbd.quorum-lost",
        lost.subject,
        f"DRBD had no quorum for {name(lost.subject)} at {secs(lost.at)}{counted}{alone}{f'; it came back at {secs(back.at)}' if back else ''}.",
        begin=lost.at,
        end=back.at if back is not None else None,
        events=[lost, *away.values(), *events[:3], back],
    )


def _away(case: Case, resource: str, at: float) -> dict[str, Event]:
    """Return the peers of a resource that were not connected just before ``at``, each with its last line."""
    last: dict[str, Event] = {}
    for event in case.facts.all(Kind.DRBD_CONNECTION, resource):
        if event.at < at:
            last[event.data.get("peer", "?")] = event
    return {peer: event for peer, event in last.items() if event.data.get("to") != "Connected"}


def peers_away(case: Case) -> None:
    """Say which nodes no volume found, where DRBD went on trying to the end of the lines: a node that was down, or a way that was not there."""
    facts = case.facts
    away: dict[str, list[Event]] = {}
    met: set[str] = set()
    for resource in facts.subjects(Kind.DRBD_CONNECTION):
        gone = _away(case, resource, facts.end + 1.0)
        met |= {
            e.data.get("peer", "?")
            for e in facts.all(Kind.DRBD_CONNECTION, resource)
            if e.data.get("peer", "?") not in gone
        }
        for peer, event in gone.items():
            if event.data.get("to") == "Connecting" and facts.end - event.at > _LONG_AWAY:
                away.setdefault(peer, []).append(event)
    for peer, events in sorted(away.items()):
        if peer not in met:
            case.graph.add(
                "drbd.peer-away",
                f"node/{peer}",
                f"No volume found node {peer} from {secs(events[0].at)} to the end of the lines ({len(events)} tried): it was down, or the way to it.",
                begin=min(event.at for event in events),
                events=events[:4],
                confidence=Confidence.LIKELY,
                note=True,
            )


def refused(case: Case, wrong: Wrong, events: list[Event], end: float | None) -> str:
    """Return the cause for a device that could not be opened, or not for writing."""
    near = [e for e in case.facts.all(Kind.DRBD_REFUSED) if abs(e.at - events[0].at) < _NEAR]
    said = " ".join(e.detail for e in near).lower()
    if "quorum" in said:
        return quorum(case, near[0], events)
    if wrong is Wrong.PEER_PRIMARY or "multiple primaries" in said:
        peer = case.facts.last(Kind.DRBD_PEER_PRIMARY, before=events[0].at + 1)
        who = f" on {peer.data['peer']}" if peer is not None and "peer" in peer.data else ""
        return case.graph.add(
            "drbd.peer-primary",
            peer.subject if peer is not None else volumes(events),
            f"The volume was in use{who} (Primary there) when Incus opened it at {secs(events[0].at)}.",
            begin=peer.at if peer is not None else events[0].at,
            end=end,
            events=[peer, *near[:2], *events[:3]],
        )
    return case.graph.add(
        "drbd.no-data",
        volumes(events),
        f"DRBD refused the volume for writing at {secs(events[0].at)}: no up-to-date data within reach.",
        begin=events[0].at,
        end=end,
        events=[*near[:2], *events[:3]],
        confidence=Confidence.CERTAIN if near else Confidence.LIKELY,
    )


def io_error(case: Case, events: list[Event]) -> str:
    """Return the cause for a device that cannot be read."""
    device = errors.device_of(events[0].detail)
    own = disk_failed(case, f"resource/{case.facts.devices().get(device, '')}")
    if own:
        return own
    bad = case.facts.first(Kind.DRBD_IO_ERROR) or case.facts.first(Kind.IO_ERROR)
    drbd = bad is not None and bad.kind is Kind.DRBD_IO_ERROR
    return case.graph.add(
        "drbd.io-error" if drbd else "host.io-error",
        bad.subject if bad is not None else "host",
        f"Reading the volume failed at {secs(events[0].at)}: “{events[0].detail[:160]}”.",
        begin=bad.at if bad is not None else events[0].at,
        events=[bad, *events[:4]],
    )
