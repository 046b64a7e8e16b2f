# SPDX-License-Identifier: Apache-2.0
"""One word and one sentence for a boot."""

from tidegate.boot.case import Case, name, secs
from tidegate.boot.facts import CONTROLLER_UNIT, INCUS_UNIT, SATELLITE_UNIT, STARTUP_UNIT, Facts
from tidegate.boot.model import Cause, Kind, Outcome, PoolStory, Status

_FATAL = (
    "incus.panic",
    "incus.fatal",
    "incus.ended",
    "incus.failed",
    "controller.failed",
    "incus.never-started",
    "incus.start-limit",
    "incus.dependency-failed",
    "satellite.start-timeout",
    "satellite.killed",
    "satellite.failed",
    "satellite.stopped",
    "satellite.false-online",
    "satellite.not-started",
)
"""What does not end by itself."""


def status(case: Case, causes: tuple[Cause, ...]) -> Status:
    """Return the verdict in one word."""
    faults = [cause for cause in causes if not cause.note]
    if any(story.outcome is Outcome.LOST for story in case.instances):
        return Status.DOWN
    lasting = [cause for cause in faults if cause.code in _FATAL and not _over(case, cause)]
    if lasting:
        return Status.DOWN
    if any("host" in cause.effects for cause in faults):
        return Status.DOWN
    waiting = [pool for pool in case.pools if pool.outcome is Outcome.WAITING]
    if waiting or any(story.outcome is Outcome.WAITING for story in case.instances):
        return Status.COMING_UP
    if any(cause.end is None and cause.first for cause in faults):
        return Status.COMING_UP if not _complete(case) else Status.LATE
    if faults:
        begun = case.facts.begun(INCUS_UNIT) is not None
        return Status.LATE if _complete(case) or not begun else Status.COMING_UP
    return Status.NOTHING_WRONG if _complete(case) else _unfinished(case)


def _over(case: Case, cause: Cause) -> bool:
    """Return whether what a lasting fault ended was there again later."""
    facts = case.facts
    if cause.code.startswith("satellite."):
        back = _last(facts, Kind.SATELLITE_ANSWERED, None, Kind.UNIT_STARTED)
        gone = _last(facts, Kind.UNIT_EXITED, SATELLITE_UNIT, Kind.UNIT_FAILED, Kind.UNIT_STOPPED)
        return back > max(gone, cause.begin)
    if cause.code.startswith("controller."):
        return facts.first(Kind.UNIT_STARTED, CONTROLLER_UNIT, after=cause.begin) is not None
    return facts.first(Kind.UNIT_STARTED, INCUS_UNIT, after=cause.begin) is not None


def _last(facts: Facts, kind: Kind, subject: str | None, *kinds: Kind) -> float:
    """Return when the last of these events was: ``kind`` about ``subject``, the others about the satellite's unit."""
    found = [facts.last(kind, subject), *(facts.last(one, SATELLITE_UNIT) for one in kinds)]
    return max((event.at for event in found if event is not None), default=0.0)


def _complete(case: Case) -> bool:
    """Return whether the lines go as far as everything being up."""
    facts = case.facts
    if facts.begun(INCUS_UNIT) is not None:
        return facts.first(Kind.UNIT_STARTED, INCUS_UNIT) is not None
    if facts.begun(STARTUP_UNIT) is not None and not facts.all(Kind.UNIT_STARTED, STARTUP_UNIT):
        return False
    return (
        any(
            facts.first(kind) is not None
            for kind in (
                Kind.INCUS_STARTED,
                Kind.STARTUP_FINISHED,
                Kind.SATELLITE_READY,
                Kind.CONTROLLER_STARTED,
            )
        )
        or facts.first(Kind.SATELLITE_ANSWERED) is not None
    )


def _unfinished(case: Case) -> Status:
    begun = case.facts.begun(INCUS_UNIT) is not None
    spoke = any(
        case.facts.first(kind) is not None
        for kind in (
            Kind.SATELLITE_JVM,
            Kind.SATELLITE_LISTENING,
            Kind.UNIT_STARTED,
            Kind.KERNEL_STARTED,
        )
    )
    return Status.COMING_UP if begun or spoke else Status.UNDECIDED


def sentence(case: Case, found: Status, causes: tuple[Cause, ...]) -> str:
    """Return the verdict as a sentence."""
    firsts = [cause for cause in causes if cause.first]
    if found is Status.NOTHING_WRONG:
        text = f"nothing wrong{_up(case)}"
        if any(cause.code == "host.power-loss" for cause in causes):
            text += "; the boot before had ended without a shutdown"
        return f"{text}."
    if found is Status.UNDECIDED:
        return "undecided: too little was read to tell what happened."
    hit = _hit(case, found, causes)
    if not firsts:
        ended = "the machine was shut down" if case.facts.shutdown is not None else "the lines end"
        return f"{hit or f'{ended} while things still came up'}."
    first = firsts[0]
    rest = len(firsts) - 1
    said = f"First cause: {_said(first)}."
    other = next((cause for cause in firsts[1:] if cause.effects), None)
    if hit and other is not None and not first.effects:
        said += f" Beside it, {hit[:1].lower()}{hit[1:]}: {_said(other)}."
        rest -= 1
    elif hit:
        said = f"{hit}. {said}"
    if rest:
        said += f" {rest} more first cause{'s' if rest > 1 else ''} below."
    return said


def _said(cause: Cause) -> str:
    maybe = {"certain": "", "likely": "probably: ", "possible": "possibly: "}[cause.confidence]
    return maybe + cause.sentence.rstrip(".")


def _up(case: Case) -> str:
    active = case.facts.first(Kind.UNIT_STARTED, INCUS_UNIT)
    if active is not None:
        return f": Incus and what it starts were up at {secs(active.at)}"
    ready = case.facts.first(Kind.SATELLITE_READY) or case.facts.first(Kind.SATELLITE_ANSWERED)
    return f": the satellite was ready at {secs(ready.at)}" if ready is not None else ""


def _names(subjects: list[str]) -> str:
    shown = ", ".join(name(subject) for subject in subjects[:4])
    return f"{shown} and {len(subjects) - 4} more" if len(subjects) > 4 else shown


def _named(subjects: list[str]) -> str:
    return f"instance{'s' if len(subjects) > 1 else ''} {_names(subjects)}"


def _pool(pool: PoolStory) -> str:
    if pool.outcome is Outcome.WAITING:
        return f"pool {pool.name} was unavailable to the end of the lines"
    if not pool.attempts or pool.ready is None:
        return f"pool {pool.name} came late"
    about = "" if pool.exact else "about "
    return f"pool {pool.name} was unavailable until {about}{secs(pool.ready)}"


def _hit(case: Case, found: Status, causes: tuple[Cause, ...]) -> str:
    lost = [story.subject for story in case.instances if story.outcome is Outcome.LOST]
    waiting = [story.subject for story in case.instances if story.outcome is Outcome.WAITING]
    late = [story.subject for story in case.instances if story.outcome is Outcome.LATE]
    pools = [pool for pool in case.pools if pool.outcome in {Outcome.LATE, Outcome.WAITING}]
    said = []
    if lost:
        said.append(f"{_named(lost)} stayed down")
    if waiting:
        said.append(f"{_named(waiting)} had not started when the lines end")
    if late:
        said.append(f"{_named(late)} came late")
    said += [_pool(pool) for pool in pools]
    held = next((cause for cause in causes if cause.code == "gate.held" and not cause.note), None)
    if held is None:
        keys = {effect for cause in causes if cause.first for effect in cause.effects}
        held = next((c for c in causes if c.code.startswith("gate.") and c.key in keys), None)
    if held is not None and not said:
        until = f"until {secs(held.end)}" if held.end is not None else "to the end of the lines"
        said.append(f"Tidegate's gate held Incus {until}")
    if not said and any(cause.first and "incus" in cause.effects for cause in causes):
        said.append(
            "Incus and all that it starts came late"
            if found is Status.LATE
            else "Incus did not come up"
        )
    if not said and found is Status.DOWN:
        said.append(
            "what should run was not started"
            if case.facts.begun(INCUS_UNIT) is None
            else "something stayed down"
        )
    if not said and found is Status.LATE:
        said.append("what was to start is up as far as the lines tell, beside a fault")
    text = "; ".join(said)
    return text[:1].upper() + text[1:]
