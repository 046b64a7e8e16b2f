# SPDX-License-Identifier: Apache-2.0
"""The gate's decision: pass, wait on, or give up, with one sentence that names what is waited for.

Used by ``tidegate wait`` and by the unit that holds Incus back at boot. What cannot become ready by waiting is not waited for, and
neither is what is not here any more (contract.md, safety 9).
"""

import enum
from typing import Final

import msgspec

from tidegate.config.policy import FailPolicy
from tidegate.core import ids
from tidegate.core.finding import Finding, Grade, Report, SubjectState
from tidegate.core.ids import Subject, SubjectKind
from tidegate.health import catalogue


class VerdictKind(enum.StrEnum):
    """What to do now."""

    PASS = "pass"  # noqa: S105 - no password
    WAIT = "wait"
    GIVE_UP = "give-up"


class Exit(enum.IntEnum):
    """Exit codes, as settled in contract.md."""

    OK = 0
    FAILING = 1
    TIME_OUT = 3
    UNKNOWN = 5


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is waited for."""

    subject: Subject
    summary: str
    code: str = ""
    """Of the finding that says so; empty when nothing is known of the subject."""
    remedy: str = ""
    """What to do about it, for a person."""
    since: float | None = None
    """Seconds since boot from which on it has been so; None when not known."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What to do now, and why."""

    kind: VerdictKind
    sentence: str
    waiting_for: tuple[Waiting, ...] = ()
    """What is not ready, first causes first; after giving up, what was not."""
    exit_code: int = Exit.OK
    """For a command that ends with this verdict. Passing is 0 also when something is degraded: it can be used."""
    grade: Grade = Grade.OK
    """The worst grade among the subjects."""
    ready: int = 0
    total: int = 0


_DROPPED: Final = frozenset({"volume.gone", "volume.not-placed", "volume.elsewhere"})
"""A resource that is gone or no longer placed here is dropped from the wait (contract.md, safety 9)."""
_NAMED: Final = 3
"""So many causes are named in a sentence."""


def decide(
    report: Report,
    subjects: tuple[Subject, ...] = (),
    *,
    waited: float,
    limit: float,
    policy: FailPolicy = FailPolicy.OPEN,
) -> Verdict:
    """Decide about ``subjects`` after ``waited`` of at most ``limit`` seconds.

    Without subjects it is about the satellite and every wanted volume that is still there.
    """
    case = _Case(report)
    wanted = subjects or default_subjects(report)
    pending = [
        s for s in wanted if not report.ready(s) and not (case.is_dropped(s) and not subjects)
    ]
    grade = max((case.grade(subject) for subject in wanted), key=_badness, default=Grade.UNKNOWN)
    done = len(wanted) - len(pending)
    if not pending:
        return Verdict(
            kind=VerdictKind.PASS,
            sentence=_passed(report, wanted),
            grade=grade,
            ready=done,
            total=len(wanted),
        )
    kind, code = _patience(case, pending, waited=waited, limit=limit, policy=policy)
    causes = case.causes(pending)
    sentence = f"{_opening(kind, code, waited)}, {_count(done, len(wanted))}: {_named(causes)}"
    if kind is VerdictKind.GIVE_UP and code is Exit.FAILING and causes[0].remedy:
        sentence += f"; to do: {causes[0].remedy}"
    return Verdict(
        kind=kind,
        sentence=sentence,
        waiting_for=causes,
        exit_code=code,
        grade=grade,
        ready=done,
        total=len(wanted),
    )


def default_subjects(report: Report) -> tuple[Subject, ...]:
    """Return what is waited for unless told otherwise: the satellite, and every volume that something wanted needs."""
    satellite = report.state(ids.SATELLITE)
    volumes = tuple(
        state.subject
        for state in report.subjects.values()
        if state.subject.kind is SubjectKind.VOLUME and state.wanted
    )
    if satellite is not None and not satellite.wanted and not volumes:
        return ()
    return (ids.SATELLITE, *volumes)


def _patience(
    case: "_Case", pending: list[Subject], *, waited: float, limit: float, policy: FailPolicy
) -> tuple[VerdictKind, Exit]:
    """Return what to do about what is pending, and the exit code if that is the end."""
    if policy is FailPolicy.CLOSED:
        return VerdictKind.WAIT, Exit.OK
    if all(case.is_hopeless(subject) for subject in pending):
        return VerdictKind.GIVE_UP, Exit.FAILING
    if waited < limit:
        return VerdictKind.WAIT, Exit.OK
    unknown = all(case.is_unknown(subject) for subject in pending)
    return VerdictKind.GIVE_UP, Exit.UNKNOWN if unknown else Exit.TIME_OUT


class _Case:
    """A report, with its findings looked up by subject once."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._about: dict[Subject, list[Finding]] = {}
        for finding in report.findings:
            self._about.setdefault(finding.subject, []).append(finding)

    def grade(self, subject: Subject) -> Grade:
        """Return the grade of ``subject``; unknown when nobody knows it."""
        state = self._report.state(subject)
        return Grade.UNKNOWN if state is None else state.grade

    def is_dropped(self, subject: Subject) -> bool:
        """Return True when ``subject`` is not here any more."""
        return any(finding.code in _DROPPED for finding in self._about.get(subject, ()))

    def is_hopeless(self, subject: Subject) -> bool:
        """Return True when waiting cannot make ``subject`` ready: somebody has to do something below it first."""
        return any(
            catalogue.needs_person(finding.code) and finding.grade is Grade.FAILING
            for state in self._unready(subject)
            for finding in self._about.get(state.subject, ())
        )

    def is_unknown(self, subject: Subject) -> bool:
        """Return True when nothing below ``subject`` is known to be wrong: nobody could be asked."""
        return all(state.grade is not Grade.FAILING for state in self._unready(subject))

    def causes(self, pending: list[Subject]) -> tuple[Waiting, ...]:
        """Return the first causes of what is pending, from the ground up, each once."""
        found: dict[Subject, Waiting] = {}
        for subject in pending:
            cause = self._first_cause(subject)
            if cause is None:
                text = f"not known on {self._report.node}"
                found.setdefault(subject, Waiting(subject=subject, summary=text))
            elif cause.subject not in found:
                found[cause.subject] = Waiting(
                    subject=cause.subject,
                    summary=cause.summary,
                    code=self._worst(cause.subject, "code"),
                    remedy=self._worst(cause.subject, "remedy"),
                    since=self._since(cause.subject),
                )
        return tuple(
            sorted(found.values(), key=lambda cause: (cause.subject.kind.depth, cause.subject.name))
        )

    def _unready(self, subject: Subject) -> list[SubjectState]:
        return [state for state in self._report.chain(subject) if not state.ready]

    def _first_cause(self, subject: Subject) -> SubjectState | None:
        return min(self._unready(subject), key=lambda state: state.subject.kind.depth, default=None)

    def _worst(self, subject: Subject, what: str) -> str:
        found = self._about.get(subject, ())
        worst = max(found, key=lambda finding: finding.grade.badness, default=None)
        return str(getattr(worst, what)) if worst is not None else ""

    def _since(self, subject: Subject) -> float | None:
        found = self._about.get(subject, ())
        return min((f.since for f in found if f.since is not None), default=None)


def _badness(grade: Grade) -> int:
    return grade.badness


def _passed(report: Report, wanted: tuple[Subject, ...]) -> str:
    if not wanted:
        state = report.state(ids.CONTROLLER)
        why = f" ({state.summary})" if state is not None and state.summary else ""
        return f"nothing to wait for on {report.node}: no LINSTOR here{why}"
    if len(wanted) == 1:
        text = f"{wanted[0]} is ready"
    elif wanted[0] == ids.SATELLITE:
        text = f"satellite and {len(wanted) - 1} volumes are ready"
    else:
        text = f"all {len(wanted)} are ready"
    remarks = [s for subject in wanted if (s := report.state(subject)) and s.grade is not Grade.OK]
    if not remarks:
        return text
    more = f", and {len(remarks) - 1} more with remarks" if len(remarks) > 1 else ""
    return f"{text}; {remarks[0].subject}: {remarks[0].summary}{more}"


def _opening(kind: VerdictKind, code: Exit, waited: float) -> str:
    if kind is VerdictKind.WAIT:
        return f"waits for {waited:.0f} s"
    if code is Exit.FAILING:
        return "waiting does not help"
    if code is Exit.UNKNOWN:
        return f"gave up after {waited:.0f} s without an answer"
    return f"gave up after {waited:.0f} s"


def _count(done: int, total: int) -> str:
    return f"{done} of {total} ready" if total > 1 else "not ready"


def _named(causes: tuple[Waiting, ...]) -> str:
    groups: dict[str, list[Waiting]] = {}
    for cause in causes:
        groups.setdefault(cause.summary, []).append(cause)
    shown = list(groups.items())[:_NAMED]
    parts = [
        f"{group[0].subject}{f' and {len(group) - 1} more' if len(group) > 1 else ''}: {summary}"
        for summary, group in shown
    ]
    left = len(causes) - sum(len(group) for _, group in shown)
    return "; ".join(parts) + (f"; and {left} more" if left else "")
