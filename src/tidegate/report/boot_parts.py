# SPDX-License-Identifier: Apache-2.0
"""What text, page and picture of a boot have in common: order of rows, words for outcomes, times as people read them."""

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from tidegate.boot.model import (
    BootAnalysis,
    Cause,
    Confidence,
    Evidence,
    InstanceStory,
    Outcome,
    Phase,
    PoolStory,
    Status,
)

LANES: Final = ("host", "storage", "controller", "satellite", "tidegate", "incus", "instances")
"""Rows of a time line from the ground up; a lane that is not known comes last."""
WORDS: Final = {
    Status.NOTHING_WRONG: "nothing wrong",
    Status.LATE: "late",
    Status.DOWN: "something stayed down",
    Status.COMING_UP: "still coming up",
    Status.UNDECIDED: "undecided",
}
GRADES: Final = {
    Status.NOTHING_WRONG: "ok",
    Status.LATE: "degraded",
    Status.DOWN: "failing",
    Status.COMING_UP: "degraded",
    Status.UNDECIDED: "unknown",
}
"""The grade by whose colour a verdict is shown, and that decides the exit code."""
OUTCOMES: Final = {
    Outcome.RUNNING: "ok",
    Outcome.LATE: "degraded",
    Outcome.LOST: "failing",
    Outcome.WAITING: "degraded",
    Outcome.STOPPED: "unknown",
    Outcome.UNKNOWN: "unknown",
}
SURE: Final = {
    Confidence.CERTAIN: "certain",
    Confidence.LIKELY: "likely",
    Confidence.POSSIBLE: "possible",
}
_SHORTEST_SHOWN: Final = 0.05


def role(cause: Cause) -> str:
    """Return what a cause is in the story: its beginning, what followed, or a remark that explains nobody's trouble."""
    if cause.first:
        return "First cause"
    return "Worth knowing" if cause.note else "Then"


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """One stretch on the time line. ``grade`` is ok or failing; ``open`` when it never ended."""

    lane: str
    title: str
    begin: float
    end: float
    grade: str
    open: bool
    detail: str
    evidence: tuple[Evidence, ...] = ()


def horizon(analysis: BootAnalysis) -> float:
    """Return where the time line ends: shortly after the last thing that happened, not hours later with the journal."""
    ends = [analysis.path.end]
    for phase in analysis.phases:
        ends += [phase.begin, phase.end or 0.0]
    for story in analysis.instances:
        ends += [story.started or 0.0, *(attempt.at for attempt in story.attempts)]
    for pool in analysis.pools:
        ends += [pool.ready or 0.0, *(attempt.at for attempt in pool.attempts)]
    for cause in analysis.causes:
        ends += [cause.begin, cause.end or 0.0]
    last = max(ends, default=0.0)
    return max(1.0, min(analysis.length or last, last * 1.05) or last)


def bars(analysis: BootAnalysis) -> tuple[Bar, ...]:
    """Return the stretches of all lanes: phases as they are, instances from waiting or mounting to running."""
    end = horizon(analysis)
    found = [_phase(phase, end) for phase in analysis.phases]
    shown = {phase.subject for phase in analysis.phases if phase.lane == "instances"}
    found += [_story(story, end) for story in analysis.instances if story.subject not in shown]
    order = {lane: number for number, lane in enumerate(LANES)}
    return tuple(sorted(found, key=lambda bar: (order.get(bar.lane, 99), bar.begin, bar.end)))


def _phase(phase: Phase, end: float) -> Bar:
    lines = tuple(line for event in phase.events for line in event.evidence)
    return Bar(
        lane=phase.lane,
        title=phase.title or phase.name,
        begin=phase.begin,
        end=phase.end if phase.end is not None else end,
        grade="ok" if phase.ok else "failing",
        open=phase.end is None,
        detail=phase.detail,
        evidence=lines,
    )


def _story(story: InstanceStory, end: float) -> Bar:
    moments = [story.waiting_since, *(attempt.at for attempt in story.attempts), story.mount_begin]
    begin = min((at for at in moments if at is not None), default=story.started or end)
    return Bar(
        lane="instances",
        title=story.name,
        begin=begin,
        end=story.started if story.started is not None else end,
        grade=OUTCOMES[story.outcome],
        open=story.started is None,
        detail=what_came(story),
        evidence=story.evidence,
    )


def what_came(story: InstanceStory | PoolStory) -> str:
    """Return in words what came of an instance or a pool: "runs at 12.3 s, after 2 failed tries: Node x is offline"."""
    failed = [attempt for attempt in story.attempts if attempt.error]
    ready = story.started if isinstance(story, InstanceStory) else story.ready
    verb = "runs" if isinstance(story, InstanceStory) else "mounted"
    word = {
        Outcome.RUNNING: verb,
        Outcome.LATE: verb,
        Outcome.LOST: "lost: nobody tries again",
        Outcome.WAITING: "not up at the end of what was read",
        Outcome.STOPPED: "stopped",
        Outcome.UNKNOWN: "not told by the lines",
    }[story.outcome]
    if ready is not None and story.outcome in {Outcome.RUNNING, Outcome.LATE}:
        word += f" at {'' if story.exact else '≈ '}{seconds(ready)}"
    if failed:
        tries = f"{len(failed)} failed {'try' if len(failed) == 1 else 'tries'}"
        word += f", after {tries}: {failed[-1].error}"
    return word


def seconds(at: float) -> str:
    """Return a moment since boot: 0.3 s, 12.4 s, 312 s."""
    return f"{at:.1f} s" if abs(at) < 100 else f"{at:.0f} s"


_NO_YEAR: Final = 1972
"""The year that readers give to times without one (``clients.journal.text``); a clock that was never set shows 1970."""


def began(analysis: BootAnalysis) -> str:
    """Return when the boot began, by the machine's own clock, in UTC; "" when not known."""
    if analysis.began is None:
        return ""
    try:
        moment = dt.datetime.fromtimestamp(analysis.began, dt.UTC)
    except (OverflowError, OSError, ValueError):
        return ""
    if moment.year <= _NO_YEAR:
        day = "" if moment.day == moment.month == 1 else f"{moment:%d %b} "
        return f"{day}{moment:%H:%M:%S}"
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def effects(analysis: BootAnalysis, cause: Cause) -> Iterator[str]:
    """Yield in words what followed from ``cause``: sentences of later causes, subjects that were hit."""
    by_key = {one.key: one for one in analysis.causes}
    for effect in cause.effects:
        yield by_key[effect].sentence.rstrip(".") if effect in by_key else effect


def worst_first(
    stories: Sequence[InstanceStory] | Sequence[PoolStory],
) -> list[InstanceStory | PoolStory]:
    """Return stories, those that ended badly first, then the late, then as they came up."""
    badness = {"failing": 0, "degraded": 1, "unknown": 2, "ok": 3}
    return sorted(
        stories,
        key=lambda story: (badness[OUTCOMES[story.outcome]], story.subject),
    )


def name_of(boot: str) -> str:
    """Return a boot's id as short as it tells boots apart: a kernel's own id is random, a name made of a file's is not."""
    return boot[:12] if boot.isalnum() else boot[:32]


def said(line: Evidence) -> str:
    """Return what a line says, without the unit's name where systemd repeats it."""
    return line.text.removeprefix(f"{line.who}: ")


def place(line: Evidence) -> str:
    """Return where a line stands, as short as it can be found again."""
    if line.source and line.source != "journal" and line.line:
        return f"{line.source}:{line.line}"
    return line.source if line.source != "journal" else ""
