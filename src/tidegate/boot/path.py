# SPDX-License-Identifier: Apache-2.0
"""The critical path: what the last instance waited for, from the first second to its start, without gaps."""

from typing import Final

import msgspec

from tidegate.boot import satellite
from tidegate.boot.case import Case, name, secs
from tidegate.boot.facts import GATE_UNIT, INCUS_UNIT, STARTUP_UNIT
from tidegate.boot.graph import evidence
from tidegate.boot.model import Cause, CriticalPath, Event, Kind, Outcome, Step

_WORTH: Final = 1.0
_WAKE: Final = 3.0
_SILENT: Final = ("controller.no-answer", "controller.black-holed", "controller.hung")


class _Mark(msgspec.Struct, kw_only=True):
    """A moment at which one step ends."""

    at: float
    text: str
    subject: str
    phase: str = ""
    advice: str = ""
    gain: bool = False
    share: float = 1.0
    event: Event | None = None


def make(case: Case, causes: tuple[Cause, ...]) -> CriticalPath:
    """Return the path to the last instance that ran; else to the last pool, else to Incus."""
    subject, end = _target(case)
    if not subject or end <= 0:
        return CriticalPath()
    marks = [mark for mark in _marks(case, causes, subject, end) if 0 < mark.at <= end]
    marks.sort(key=lambda mark: mark.at)
    steps: list[Step] = []
    before = 0.0
    for mark in marks:
        if mark.at - before < 1e-6:
            continue
        steps.append(_step(before, mark))
        before = mark.at
    if end - before > 1e-6:
        steps.append(
            Step(begin=before, end=end, subject=subject, sentence=f"{name(subject)} starts")
        )
    worst = max(steps, key=lambda step: step.gain, default=None)
    sentence = f"{name(subject)} was there at {secs(end)}"
    if worst is not None and worst.gain >= _WORTH:
        sentence += f"; {worst.advice}"
    return CriticalPath(subject=subject, end=end, steps=tuple(steps), sentence=f"{sentence}.")


def _step(before: float, mark: _Mark) -> Step:
    gain = (mark.at - before) * mark.share if mark.gain else 0.0
    advice = ""
    if mark.advice and gain >= _WORTH:
        advice = f"it would have been {secs(gain)} earlier if {mark.advice}"
    return Step(
        begin=before,
        end=mark.at,
        subject=mark.subject,
        sentence=mark.text,
        phase=mark.phase,
        gain=gain if advice else 0.0,
        advice=advice,
        evidence=evidence([mark.event]),
    )


def _target(case: Case) -> tuple[str, float]:
    ran = [story for story in case.instances if story.started is not None]
    if ran:
        last = max(ran, key=lambda story: story.started or 0.0)
        return last.subject, last.started or 0.0
    pools = [pool for pool in case.pools if pool.ready is not None]
    active = case.facts.first(Kind.UNIT_STARTED, INCUS_UNIT)
    late = [pool for pool in pools if pool.outcome is Outcome.LATE]
    if late:
        last_pool = max(late, key=lambda pool: pool.ready or 0.0)
        return last_pool.subject, last_pool.ready or 0.0
    if active is not None:
        return "incus", active.at
    steps = satellite.start(case.facts)
    return ("satellite", steps.ready.at) if steps.ready is not None else ("", 0.0)


def _marks(case: Case, causes: tuple[Cause, ...], subject: str, end: float) -> list[_Mark]:
    return [
        *_host(case),
        *_satellite(case, end),
        *_incus(case, causes),
        *_instance(case, subject, end),
    ]


def _at(
    event: Event | None,
    text: str,
    subject: str,
    phase: str = "",
    *,
    advice: str = "",
    share: float = 1.0,
) -> list[_Mark]:
    """Return the mark that ``event`` makes, if it is there. ``advice`` says what would save ``share`` of the step."""
    if event is None:
        return []
    mark = _Mark(at=event.at, text=text, subject=subject, phase=phase, event=event)
    if advice:
        mark.advice, mark.share, mark.gain = advice, share, True
    return [mark]


def _host(case: Case) -> list[_Mark]:
    facts = case.facts
    first = next((e for e in facts.timeline.events if e.kind is not Kind.KERNEL_STARTED), None)
    online = facts.first(Kind.UNIT_STARTED, "unit/network-online.target")
    units = facts.first(Kind.UNIT_STARTED) or facts.first(Kind.KERNEL_STARTED)
    text = "kernel and early user space" if units is not None else "before what the lines tell"
    return [
        *_at(first, text, "host", "kernel"),
        *_at(online, "until the network was online", "host", "network-online"),
    ]


_TUNED: Final = "the satellite's JVM were tuned (`tidegate tune`: serial collector and C1 halve it)"


def _satellite(case: Case, end: float) -> list[_Mark]:
    """The satellite's steps, where Incus or its pools waited for them."""
    facts = case.facts
    steps = satellite.start(facts)
    incus = facts.first(Kind.UNIT_STARTING, INCUS_UNIT)
    late = any(pool.outcome in {Outcome.LATE, Outcome.WAITING} for pool in case.pools)
    ordered = incus is not None and steps.ready is not None and steps.ready.at <= incus.at + 1
    failed = bool(facts.all(Kind.INSTANCE_ATTEMPT_FAILED))
    if not (late or ordered or failed) or not steps.spoke:
        return []
    ready = steps.ready if (ordered or failed) else None
    if ready is not None and ready.at >= end:
        ready = None
    who = "satellite"
    return [
        *_at(steps.unit or steps.jvm, "until the satellite's unit was started", who),
        *_at(
            steps.listening,
            "the satellite's JVM starts, until its port is open",
            who,
            "satellite.jvm",
            advice=_TUNED,
            share=0.5,
        ),
        *_at(
            steps.connected,
            "the satellite waits for a controller to connect",
            "controller",
            "satellite.wait-controller",
            advice="the controller had been woken when the port was open",
        ),
        *_at(steps.answered, "full sync, until the node shows ONLINE", who, "satellite.full-sync"),
        *_at(ready, "the satellite's first run brings the devices up", who, "satellite.first-run"),
    ]


def _incus(case: Case, causes: tuple[Cause, ...]) -> list[_Mark]:
    facts = case.facts
    begun = facts.first(Kind.UNIT_STARTING, INCUS_UNIT)
    opened = None
    if begun is not None:
        opened = facts.first(Kind.UNIT_STARTED, STARTUP_UNIT, after=begun.at)
    late = any(cause.code == "drbd.module-late" for cause in causes)
    module = facts.first(Kind.MODULE_LOADED) if late else None
    gate = facts.first(Kind.UNIT_STARTED, GATE_UNIT)
    return [
        *_at(gate, "Tidegate's gate holds Incus", "host", "gate"),
        *_at(begun, "until incus.service was started", "incus"),
        *_silence(causes),
        *_at(module, "until the DRBD module was loaded", "host", "drbd-module"),
        *_at(opened, "incusd sets up data base, pools and networks", "incus", "incus.pools"),
        *_pools(case),
    ]


def _silence(causes: tuple[Cause, ...]) -> list[_Mark]:
    return [
        _Mark(
            at=cause.end,
            text="incusd stands still: the controller does not answer",
            subject="controller",
            gain=True,
            advice="the controller had answered",
        )
        for cause in causes
        if cause.code in _SILENT and cause.end is not None
    ]


def _pools(case: Case) -> list[_Mark]:
    return [
        _Mark(
            at=pool.ready,
            text=f"until Incus tried pool {pool.name} again (every 60 s)",
            subject=pool.subject,
            phase="pool.unavailable",
            gain=True,
            advice="the pool had been mounted at once (the agent does it)",
        )
        for pool in case.pools
        if pool.outcome is Outcome.LATE and pool.ready is not None
    ]


def _instance(case: Case, subject: str, end: float) -> list[_Mark]:
    facts = case.facts
    begin = facts.last(Kind.INSTANCE_STARTING, subject, before=end)
    failed = facts.last(Kind.INSTANCE_ATTEMPT_FAILED, subject, before=end)
    started = facts.first(Kind.INSTANCE_STARTED, subject)
    return [
        *_at(begin, "until its turn came (Incus starts few at a time)", "incus"),
        *_at(
            failed,
            f"failed attempts to start {name(subject)}",
            subject,
            advice="Incus had tried only when its device was there",
        ),
        _Mark(
            at=end,
            text=f"{name(subject)} starts",
            subject=subject,
            phase="instance.starts",
            event=started,
        ),
    ]
