# SPDX-License-Identifier: Apache-2.0
"""Why is this so? From a subject down the chain to the first cause, and what to do about that."""

from collections.abc import Mapping

from tidegate.core.finding import Finding, Report, SubjectState
from tidegate.core.ids import Subject


def why(report: Report, subject: Subject) -> tuple[Finding, ...]:
    """Return the findings from ``subject`` down to the first cause, which comes last: its remedy is the one to follow.

    The first cause is about the deepest subject of the chain that is not ready. On the way each subject gives its worst finding; the
    last gives all it has, the worst at the end. Empty for a subject that is well, that nobody wants, or that is not known.
    """
    state = report.state(subject)
    if state is None:
        return ()
    about: dict[Subject, list[Finding]] = {}
    for finding in report.findings:
        about.setdefault(finding.subject, []).append(finding)
    deepest, came_from = state, _ways_down(report, state)
    if not state.ready:
        below = [report.subjects[str(at)] for at in came_from]
        deepest = min(
            (lower for lower in below if not lower.ready), key=lambda lower: _rank(lower, about)
        )
    way = _way(deepest.subject, came_from)
    steps = [about[at][0] for at in way[:-1] if at in about]
    return (*steps, *reversed(about.get(way[-1], ())))


def _ways_down(report: Report, state: SubjectState) -> dict[Subject, Subject | None]:
    """Return every subject of the chain with the one that led to it, nearest first."""
    came_from: dict[Subject, Subject | None] = {state.subject: None}
    queue = [state]
    while queue:
        here = queue.pop(0)
        for below in here.rests_on:
            lower = report.state(below)
            if lower is not None and below not in came_from:
                came_from[below] = here.subject
                queue.append(lower)
    return came_from


def _rank(state: SubjectState, about: Mapping[Subject, list[Finding]]) -> tuple[bool, int, bool]:
    """Order candidates for the first cause: those with a finding, the deepest, then one that needs somebody."""
    findings = about.get(state.subject, [])
    return (not findings, state.subject.kind.depth, all(finding.waiting for finding in findings))


def _way(last: Subject, came_from: Mapping[Subject, Subject | None]) -> list[Subject]:
    way: list[Subject] = []
    at: Subject | None = last
    while at is not None:
        way.append(at)
        at = came_from[at]
    return way[::-1]
