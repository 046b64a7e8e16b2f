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


def _host(case: Case) -> list[_Mark]:
    facts = case.facts
    marks = []
    kernel = next((e for e in facts.timeline.events if e.kind is not Kind.KERNEL_STARTED), None)
    if kernel is not None:
        marks.append(
            _Mark(
                at=kernel.at,
                text="kernel and early user space",
                subject="host",
                phase="kernel",
                event=kernel,
            )
        )
    online = facts.first(Kind.UNIT_STARTED, "unit/network-online.target")
    if online is not None:
        marks.append(
            _Mark(
                at=online.at,
                text="until the network was online",
                subject="host",
                phase="network-online",
                event=online,
            )
        )
    return marks


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
    marks = []
    begun = steps.unit or steps.jvm
    if begun is not None:
        marks.append(
            _Mark(
                at=begun.at,
                text="until the satellite's unit was started",
                subject="satellite",
                event=begun,
            )
        )
    if steps.listening is not None:
        marks.append(
            _Mark(
                at=steps.listening.at,
                text="the satellite's JVM starts, until its port is open",
                subject="satellite",
                phase="satellite.jvm",
                event=steps.listening,
                gain=True,
                share=0.5,
                advice="the satellite's JVM were tuned (`tidegate tune`: serial collector and C1 halve it)",
            )
        )
    if steps.connected is not None:
        marks.append(
            _Mark(
                at=steps.connected.at,
                text="the satellite waits for a controller to connect",
                subject="controller",
                phase="satellite.wait-controller",
                event=steps.connected,
                gain=True,
                advice="the controller had been woken when the port was open",
            )
        )
    if steps.answered is not None:
        marks.append(
            _Mark(
                at=steps.answered.at,
                text="full sync, until the node shows ONLINE",
                subject="satellite",
                phase="satellite.full-sync",
                event=steps.answered,
            )
        )
    if steps.ready is not None and (ordered or failed) and steps.ready.at < end:
        marks.append(
            _Mark(
                at=steps.ready.at,
                text="the satellite's first run brings the devices up",
                subject="satellite",
                phase="satellite.first-run",
                event=steps.ready,
            )
        )
    return marks


def _incus(case: Case, causes: tuple[Cause, ...]) -> list[_Mark]:
    facts = case.facts
    marks = []
    gate = facts.first(Kind.UNIT_STARTED, GATE_UNIT)
    if gate is not None:
        marks.append(
            _Mark(
                at=gate.at,
                text="Tidegate's gate holds Incus",
                subject="host",
                phase="gate",
                event=gate,
            )
        )
    begun = facts.first(Kind.UNIT_STARTING, INCUS_UNIT)
    if begun is not None:
        marks.append(
            _Mark(at=begun.at, text="until incus.service was started", subject="incus", event=begun)
        )
    marks += [
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
    module = facts.first(Kind.MODULE_LOADED)
    if module is not None and any(cause.code == "drbd.module-late" for cause in causes):
        marks.append(
            _Mark(
                at=module.at,
                text="until the DRBD module was loaded",
                subject="host",
                phase="drbd-module",
                event=module,
            )
        )
    opened = (
        facts.first(Kind.UNIT_STARTED, STARTUP_UNIT, after=begun.at) if begun is not None else None
    )
    if opened is not None:
        marks.append(
            _Mark(
                at=opened.at,
                text="incusd sets up data base, pools and networks",
                subject="incus",
                phase="incus.pools",
                event=opened,
            )
        )
    marks += [
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
    return marks


def _instance(case: Case, subject: str, end: float) -> list[_Mark]:
    facts = case.facts
    marks = []
    begin = facts.last(Kind.INSTANCE_STARTING, subject, before=end)
    if begin is not None:
        marks.append(
            _Mark(
                at=begin.at,
                text="until its turn came (Incus starts few at a time)",
                subject="incus",
                event=begin,
            )
        )
    failures = facts.all(Kind.INSTANCE_ATTEMPT_FAILED, subject)
    if failures:
        marks.append(
            _Mark(
                at=failures[-1].at,
                text=f"failed attempts to start {name(subject)}",
                subject=subject,
                event=failures[-1],
                gain=True,
                advice="Incus had tried only when its device was there",
            )
        )
    marks.append(
        _Mark(
            at=end,
            text=f"{name(subject)} starts",
            subject=subject,
            phase="instance.starts",
            event=facts.first(Kind.INSTANCE_STARTED, subject),
        )
    )
    return marks
