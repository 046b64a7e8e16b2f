# SPDX-License-Identifier: Apache-2.0
"""What Tidegate's gate and guard held Incus for, and the cause that stands before it.

Where the guard answers, Incus hears of a node that is OFFLINE (or of a controller with an error) what the guard knows better: it says in its
own line what it is (``guard.rules``, ``guard.holding``), and that counts.
"""

import re
from typing import Final

from tidegate.boot import (
    rules_controller,
    rules_devices,
    rules_exit,
    rules_module,
    rules_satellite,
    rules_storage,
    satellite,
)
from tidegate.boot.case import Case, secs
from tidegate.boot.errors import Wrong
from tidegate.boot.model import Confidence, Event, Kind

_FAULT: Final = 5.0
"""Seconds of waiting that are more than a normal start."""
_NEAR: Final = 3.0
"""Seconds between what the guard says and what Incus says of it."""
_OWN_WORDS: Final = re.compile(r"Tidegate: \S+ cannot be used on \S+ yet: (?P<why>[^']*)")


_COUNTS: Final = re.compile(r"^waits for [\d.]+ s, \d+ of \d+ ready: ")


def by_guard(case: Case, events: list[Event], end: float | None) -> str:
    """Return the cause that the guard named, where Incus's errors are its answer; else empty."""
    first = events[0]
    words = _OWN_WORDS.search(first.detail)
    said = next((e for e in case.facts.all(Kind.GUARD_HELD) if abs(e.at - first.at) <= _NEAR), None)
    if words is None and (said is None or "offline" not in first.detail):
        return ""
    text = words["why"] if words is not None else (said or first).data.get("sentence", "")
    told = said or first
    wait = Event(
        kind=Kind.GUARD_HELD,
        subject=told.subject,
        at=told.at,
        data={"sentence": text},
        evidence=told.evidence,
    )
    volume = words is not None or "list of volumes" in text
    layer = "volume" if volume else layer_of(wait)
    until = end if end is not None else case.facts.end
    return cause(case, layer, wait, told.at, until)


def waited_for(case: Case, waits: list[Event], begin: float, end: float) -> list[str]:
    """Return the causes of what the gate, or the agent, waited for, as far as they are more than a normal start."""
    longest: dict[tuple[str, str], float] = {}
    firsts: dict[tuple[str, str], Event] = {}
    ends: dict[tuple[str, str], float] = {}
    starts = [begin, *(one.at for one in waits[1:])]
    for wait, since, after in zip(waits, starts, [*starts[1:], end], strict=True):
        layer = layer_of(wait)
        of = _of_volume(wait.data.get("sentence", ""))[0] if layer in _VOLUMES else ""
        longest[layer, of] = longest.get((layer, of), 0.0) + after - since
        firsts.setdefault((layer, of), wait)
        ends[layer, of] = after
    found = sorted(longest.items(), key=lambda item: -item[1])
    keys = [
        cause(case, group[0], firsts[group], begin, ends[group])
        for group, seconds in found
        if seconds >= _FAULT
    ]
    return [key for key in keys if key]


_VOLUMES: Final = frozenset({"volume", "device"})
_OF_VOLUMES: Final = (
    ("is not connected", "drbd.peer-away", "Volumes waited for another node that has them"),
    ("quorum", "drbd.quorum-lost", "Volumes had no quorum"),
    ("is Primary", "drbd.peer-primary", "Volumes were in use on another node"),
    ("device path", "volume.path-missing", "LINSTOR named no device for volumes"),
    ("list of volumes", "volume.path-missing", "LINSTOR named no device for volumes"),
)
"""Our own words about a volume, and the causes that they mean."""


def _of_volume(text: str) -> tuple[str, str]:
    """Return the cause that our words about a volume mean, and how it is said."""
    late = ("devices.late", "The node was ONLINE and its devices were not there")
    return next(((code, said) for words, code, said in _OF_VOLUMES if words in text), late)


_SUBJECT: Final = re.compile(
    r"(?:ready: |^)(?P<layer>host|controller|satellite|storage-pool|volume|pool|incus|instance)\b"
)


def layer_of(wait: Event) -> str:
    """Return the layer of what is waited for: by its field, or by its words."""
    cause = wait.data.get("cause", "")
    if cause:
        return cause.partition(".")[0]
    found = _SUBJECT.search(wait.data.get("sentence", ""))
    return found["layer"] if found is not None else ""


def cause(case: Case, layer: str, wait: Event, begin: float, end: float) -> str:
    """Return the cause of what was waited for from ``begin`` to ``end``; empty where it is a normal start."""
    text = _COUNTS.sub("", wait.data.get("sentence", ""))
    if layer == "satellite":
        return _satellite(case, begin, end)
    if layer == "controller":
        return _controller(case, wait, text, end)
    if layer in _VOLUMES:
        return _volume(case, wait, text, end)
    if layer == "host":
        return rules_module.module(case, Wrong.MODULE_MISSING, [wait], end)
    if layer == "storage-pool":
        return rules_storage.missing(case)
    return ""


def _satellite(case: Case, begin: float, end: float) -> str:
    steps = satellite.start(case.facts)
    gone = rules_exit.ended(case, end)
    if gone:
        return gone
    if not steps.spoke:
        return rules_satellite.why_offline(case, begin, end)
    return rules_satellite.no_controller(case, steps) or rules_satellite.never_synced(case, steps)


def _controller(case: Case, wait: Event, text: str, end: float) -> str:
    code = rules_controller.code_of_words(text) or {
        "controller.refused": "controller.refused",
        "controller.timeout": "controller.hung",
        "controller.timeout-connect": "controller.black-holed",
        "controller.error": "controller.error",
    }.get(wait.data.get("cause", ""), "")
    if not code:
        known = next((key for key in case.graph.nodes if key.startswith("controller.")), "")
        if known:
            return known  # it says less than what is known already
        code = "controller.unreachable"
    return case.graph.add(
        code,
        "controller",
        f"The controller did not answer as it should until {secs(end)}: {text[:160]}.",
        begin=wait.at,
        end=end,
        events=[wait],
    )


def _volume(case: Case, wait: Event, text: str, end: float) -> str:
    code, said = _of_volume(text)
    steps = satellite.start(case.facts)
    if steps.spoke and code == "devices.late":
        return rules_devices.standing_still(case, steps) or rules_storage.missing(case)
    return case.graph.add(
        code,
        "host" if code.startswith("drbd.") else "satellite",
        f"{said} until {secs(end)}: {text[:160]}.",
        begin=wait.at,
        end=end,
        events=[wait],
        confidence=Confidence.LIKELY,
    )
