# SPDX-License-Identifier: Apache-2.0
"""Why DRBD gave no data or refused to open: quorum, peers, disks (facts/drbd-observed.md, facts/linstor.md 7.4)."""

from typing import Final

from tidegate.boot import errors, satellite
from tidegate.boot.case import Case, name, secs, volumes
from tidegate.boot.errors import Wrong
from tidegate.boot.model import Confidence, Event, Kind

_NEAR: Final = 30.0


def no_data(case: Case, events: list[Event], end: float | None) -> str:
    """Return the cause for a device that exists and gives no data; empty where its disk was only not attached yet."""
    facts = case.facts
    lost = _quorum(case, events[0].at)
    if lost is not None:
        return quorum(case, lost, events)
    device = errors.device_of(events[0].detail)
    up = next(
        (
            e
            for e in facts.all(Kind.DRBD_DISK)
            if e.data.get("device") == device and e.data.get("to") == "UpToDate"
        ),
        None,
    )
    if up is None and not satellite.start(facts).spoke:
        return _undecided(case, events, end)
    state = _bad_disk(case, device, events[0].at)
    if state is not None and (up is None or up.at > events[-1].at):
        return case.graph.add(
            "drbd.no-data",
            f"device/{device}",
            f"{device} gave no data at {secs(events[0].at)}: its own disk was {state.data['to']} and no node with good data was connected.",
            begin=state.at,
            end=up.at if up is not None else end,
            events=[state, *case.facts.all(Kind.DRBD_CONNECTION, state.subject)[-2:], *events[:3]],
            not_seen=("“conn( … -> Connected )” to a node with good data",),
        )
    if up is not None and up.at < events[0].at:
        return case.graph.add(
            "drbd.no-data",
            f"device/{device}",
            f"{device} gave no data at {secs(events[0].at)} although its disk had been UpToDate since {secs(up.at)}: no quorum, or its data was outdated since.",
            begin=events[0].at,
            end=end,
            events=[up, *events[:4]],
            confidence=Confidence.LIKELY,
            alternatives=("drbd.quorum-lost",),
            tell="drbdsetup status --verbose at that time; the kernel's “quorum(” lines",
        )
    return ""


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


def _quorum(case: Case, at: float) -> Event | None:
    refused = [e for e in case.facts.all(Kind.DRBD_REFUSED) if "quorum" in e.detail.lower()]
    for event in sorted(
        [*case.facts.all(Kind.DRBD_QUORUM_LOST), *refused], key=lambda event: event.at
    ):
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
    return case.graph.add(
        "drbd.quorum-lost",
        lost.subject,
        f"DRBD had no quorum for {name(lost.subject)} at {secs(lost.at)}{counted}{f'; it came back at {secs(back.at)}' if back else ''}.",
        begin=lost.at,
        end=back.at if back is not None else None,
        events=[lost, *events[:3], back],
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
    bad = case.facts.first(Kind.DRBD_IO_ERROR) or case.facts.first(Kind.IO_ERROR)
    return case.graph.add(
        "drbd.io-error" if bad is not None and bad.kind is Kind.DRBD_IO_ERROR else "host.io-error",
        bad.subject if bad is not None else "host",
        f"Reading the volume failed at {secs(events[0].at)}: input/output error.",
        begin=bad.at if bad is not None else events[0].at,
        events=[bad, *events[:4]],
    )
