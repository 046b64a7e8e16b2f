# SPDX-License-Identifier: Apache-2.0
"""Why is this so? From a subject down the chain to the first cause, and what to do about that."""

from collections.abc import Mapping

import msgspec

from tidegate.core.finding import Finding, Report, SubjectState
from tidegate.core.ids import Subject


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One subject on the way, with the findings about it, worst first."""

    state: SubjectState
    findings: tuple[Finding, ...]

    @property
    def subject(self) -> Subject:
        """Whom the step is about."""
        return self.state.subject

    @property
    def remedy(self) -> str:
        """What to do about its worst finding; empty when nothing is wrong with it."""
        return self.findings[0].remedy if self.findings else ""


def why(report: Report, subject: Subject) -> tuple[Step, ...]:
    """Return the way from ``subject`` down to the first cause, which comes last; its ``remedy`` is the one to follow.

    The first cause is the deepest subject of the chain that is not ready. A subject that is ready, or whose trouble is its own,
    gives one step; one that the report does not know gives none.
    """
    state = report.state(subject)
    if state is None:
        return ()
    about: dict[Subject, list[Finding]] = {}
    for finding in report.findings:
        about.setdefault(finding.subject, []).append(finding)
    if state.ready:
        return (_step(state, about),)
    came_from: dict[Subject, Subject | None] = {subject: None}
    queue, deepest = [state], state
    while queue:
        here = queue.pop(0)
        if not here.ready and _rank(here, about) < _rank(deepest, about):
            deepest = here
        for below in here.rests_on:
            lower = report.state(below)
            if lower is not None and below not in came_from:
                came_from[below] = here.subject
                queue.append(lower)
    return tuple(_step(report.subjects[str(at)], about) for at in _way(deepest.subject, came_from))


def _rank(state: SubjectState, about: Mapping[Subject, list[Finding]]) -> tuple[int, bool, bool]:
    """Order candidates for the first cause: the deepest, then one that needs somebody, then one that says why."""
    findings = about.get(state.subject, [])
    waiting = all(finding.waiting for finding in findings)
    return (state.subject.kind.depth, waiting, not findings)


def _way(last: Subject, came_from: Mapping[Subject, Subject | None]) -> list[Subject]:
    way: list[Subject] = []
    at: Subject | None = last
    while at is not None:
        way.append(at)
        at = came_from[at]
    return way[::-1]


def _step(state: SubjectState, about: Mapping[Subject, list[Finding]]) -> Step:
    return Step(state=state, findings=tuple(about.get(state.subject, ())))
