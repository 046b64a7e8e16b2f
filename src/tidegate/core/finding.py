# SPDX-License-Identifier: Apache-2.0
"""A finding is a graded verdict about one subject, with evidence and remedy; a report is all findings of one moment."""

import enum
from collections.abc import Iterator, Mapping

import msgspec

from tidegate.core.ids import Subject
from tidegate.core.snapshot import Source


class Grade(enum.StrEnum):
    """How well a subject is. ``unknown`` is not ``ok``: what cannot be believed is not good news."""

    OK = "ok"
    DEGRADED = "degraded"
    UNKNOWN = "unknown"
    FAILING = "failing"

    @property
    def badness(self) -> int:
        """Order from good (0) to bad (3), for sorting and for "the worst of"."""
        return _BADNESS.index(self)


_BADNESS = tuple(Grade)


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What was found out about a subject.

    ``code`` is stable (``layer.slug``); texts are sentences for people. ``waiting`` marks trouble that is a normal part of
    coming up and needs nobody: it ends by itself, or becomes another finding.
    """

    code: str
    grade: Grade
    subject: Subject
    observed: str
    expected: str
    remedy: str
    source: Source
    age: float
    """Seconds since the evidence was last confirmed."""
    since: float | None = None
    """Seconds since boot from which on it has been like this."""
    waiting: bool = False
    muted: bool = False
    """A person wants to hear no more of it: it is shown, and counts in no grade. What is ready, and what is done, it never changes."""


class SubjectState(msgspec.Struct, frozen=True, kw_only=True):
    """The sum for one subject: its grade, whether it can be used now, and what it rests on."""

    subject: Subject
    grade: Grade
    ready: bool
    """May be used now for what it is for. A degraded subject may be ready; an unknown one never is."""
    rests_on: tuple[Subject, ...] = ()
    """What must be ready for this to be ready, from the ground up."""
    wanted: bool = True
    """Something that should run here needs it."""
    summary: str = ""
    """One short sentence for the status screen."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All findings at one moment (seconds since boot), and every subject's sum, keyed by the subject's text."""

    at: float
    node: str
    findings: tuple[Finding, ...]
    subjects: Mapping[str, SubjectState]

    def state(self, subject: Subject) -> SubjectState | None:
        """Return the sum for ``subject``; None when this node does not know it."""
        return self.subjects.get(str(subject))

    def ready(self, subject: Subject) -> bool:
        """Return True when ``subject`` is known and may be used now."""
        state = self.state(subject)
        return state is not None and state.ready

    def about(self, subject: Subject) -> tuple[Finding, ...]:
        """Return the findings about ``subject``, worst first."""
        found = [finding for finding in self.findings if finding.subject == subject]
        return tuple(sorted(found, key=lambda finding: -finding.grade.badness))

    def chain(self, subject: Subject) -> Iterator[SubjectState]:
        """Yield ``subject`` and all it rests on, each once, from ``subject`` down to the ground."""
        seen: set[str] = set()
        queue = [subject]
        while queue:
            state = self.state(queue.pop(0))
            if state is None or str(state.subject) in seen:
                continue
            seen.add(str(state.subject))
            queue.extend(state.rests_on)
            yield state

    @property
    def grade(self) -> Grade:
        """The worst grade among what is wanted; ``unknown`` when nothing is known at all."""
        grades = [state.grade for state in self.subjects.values() if state.wanted]
        return max(grades, key=lambda grade: grade.badness, default=Grade.UNKNOWN)
