# SPDX-License-Identifier: Apache-2.0
"""Why the DRBD module was not there when it was needed (facts/incus.md 2.3, facts/fullstack-observed.md)."""

import re
from collections.abc import Iterator
from typing import Final

from tidegate.boot.case import Case, name, secs
from tidegate.boot.errors import Wrong
from tidegate.boot.model import Confidence, Event, InstanceStory, Kind


def failed(case: Case) -> Event | None:
    """Return the line in which somebody else than the satellite says that the module could not be loaded: at best one that names it."""
    found = [e for e in case.facts.all(Kind.MODULE_FAILED) if e.data.get("by") != "satellite"]
    return min(found, key=lambda e: (e.data.get("by") == "signature", not e.detail), default=None)


def _was_without_module(story: InstanceStory) -> bool:
    return any(attempt.code == Wrong.MODULE_MISSING for attempt in story.attempts)


def module(case: Case, wrong: Wrong, events: list[Event], end: float | None) -> str:
    """Return the cause for a DRBD module that was not there (or too old) when it was needed."""
    if wrong is Wrong.MODULE_OLD:
        return _old(case, events)
    facts = case.facts
    begin = events[0].at
    loaded = facts.first(Kind.MODULE_LOADED, after=begin)
    known = next((key for key in case.graph.nodes if key.startswith("drbd.module-")), "")
    if known:
        return known
    times = [loaded.at if loaded is not None else None, end]
    times += [story.started for story in case.instances if _was_without_module(story)]
    came = min((at for at in times if at is not None and at > begin), default=None)
    said = failed(case)
    unit = facts.first(Kind.UNIT_TIMEOUT, _LOADER) or facts.first(Kind.UNIT_FAILED, _LOADER)
    code = "drbd.module-late" if came is not None else "drbd.module-missing"
    reason = _reason(said)
    if reason and came is None and not reason.startswith("not found"):
        code = "drbd.module-refused"
    until = f"until {secs(came)}" if came is not None else "as long as the lines go"
    key = case.graph.add(
        code,
        "host",
        f"The DRBD module was not loaded when Incus asked for it at {secs(begin)}, {until}"
        f"{f': {reason}' if reason else ''}; Incus's LINSTOR driver does not load without it.",
        begin=said.at if said is not None and said.at < begin else begin,
        end=came,
        events=[said, unit, *events[:3], events[-1], loaded],
        not_seen=("“drbd: initialized” of the kernel before that",),
        confidence=_sure(said),
    )
    if unit is not None and (unit.kind is Kind.UNIT_TIMEOUT or not reason):
        _unit(case, key, unit, said)
    return key


_LOADER: Final = "unit/systemd-modules-load.service"
_REASONS: Final = (
    ("key|signature|unsigned", "the kernel did not accept its signature (Secure Boot)"),
    ("find module|not found", "not found for this kernel"),
    ("version|Exec format|symbol", "it was made for another kernel"),
    ("not permitted", "the kernel does not allow it (lockdown)"),
)
"""What the line of whoever tried to load the module means, for a person."""


def texts() -> Iterator[str]:
    """Yield the regexes by which reasons are known."""
    yield from (words for words, _ in _REASONS)


def _reason(said: Event | None) -> str:
    if said is None or not said.detail:
        return ""
    for words, text in _REASONS:
        if re.search(words, said.detail, re.IGNORECASE):
            return f"{text} (“{said.detail[:100]}”)"
    return ""


def _sure(said: Event | None) -> Confidence:
    """Return how sure a refused module is DRBD's: the kernel's own line about a signature does not name it."""
    named = said is None or said.data.get("by") != "signature"
    return Confidence.CERTAIN if named else Confidence.LIKELY


def _old(case: Case, events: list[Event]) -> str:
    return case.graph.add(
        "drbd.module-old",
        "host",
        f"A DRBD older than 9 was loaded: “{events[0].detail[:160]}”.",
        begin=events[0].at,
        events=events[:4],
    )


def _unit(case: Case, key: str, unit: Event, said: Event | None) -> None:
    by = " by its start time-out" if unit.kind is Kind.UNIT_TIMEOUT else ""
    cause = case.graph.add(
        "unit.failed",
        unit.subject,
        f"{name(unit.subject)}, which loads the module, failed at {secs(unit.at)}{by}.",
        begin=unit.at,
        events=[unit, said],
    )
    case.graph.link(cause, key, "it loads the modules that are listed in modules-load.d", [unit])
