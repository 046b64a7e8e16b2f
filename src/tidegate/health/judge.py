# SPDX-License-Identifier: Apache-2.0
"""From a snapshot to a report: every layer's opinion, from the ground up, and for each subject one sentence.

Pure: the same snapshot gives the same report, on this machine or another, today or from a recording.
"""

from tidegate.config.policy import HealthPolicy
from tidegate.core.finding import Finding, Report, SubjectState
from tidegate.core.ids import Subject
from tidegate.core.snapshot import Snapshot
from tidegate.health import (
    controller,
    host,
    incus,
    instance,
    pool,
    satellite,
    storage_pool,
    volume,
)
from tidegate.health.opinion import Opinion
from tidegate.health.view import View
from tidegate.health.wants import Wants


def judge(snapshot: Snapshot, policy: HealthPolicy) -> Report:
    """Return what ``snapshot`` is worth.

    ``ready`` and ``rests_on`` are as in docs/architecture.md. Findings about what nobody wants are left out. Findings come worst
    first, then from the ground up, then by subject.
    """
    view = View(snapshot, policy)
    wants = Wants(view)
    opinions = (
        host.judge(view, wants),
        controller.judge(view, wants),
        satellite.judge(view, wants),
        *storage_pool.judge(view, wants),
        *volume.judge(view, wants),
        incus.judge(view, wants),
        *pool.judge(view, wants),
        *instance.judge(view, wants),
    )
    findings = [f for opinion in opinions if opinion.wanted for f in _worst_first(opinion)]
    return Report(
        at=snapshot.at,
        node=snapshot.node,
        findings=tuple(sorted(findings, key=_place)),
        subjects=_states(opinions),
    )


def _place(finding: Finding) -> tuple[int, int, str]:
    subject = finding.subject
    return (-finding.grade.badness, subject.kind.depth, subject.name)


def _worst_first(opinion: Opinion) -> list[Finding]:
    return sorted(opinion.findings, key=lambda finding: (-finding.grade.badness, finding.waiting))


def _states(opinions: tuple[Opinion, ...]) -> dict[str, SubjectState]:
    """Sum up every subject. What a subject rests on always comes before it."""
    states: dict[str, SubjectState] = {}
    causes: dict[str, tuple[Subject, str]] = {}
    for opinion in opinions:
        key = str(opinion.subject)
        # What is ready may rest on what is not (a volume on local truth): whoever rests on it waits for that.
        cause = next(
            (causes[str(below)] for below in opinion.rests_on if str(below) in causes), None
        )
        if cause is not None:
            causes[key] = cause
        elif not opinion.ready and opinion.wanted:
            causes[key] = (opinion.subject, _own_text(opinion))
        states[key] = SubjectState(
            subject=opinion.subject,
            grade=opinion.grade,
            ready=opinion.ready,
            rests_on=opinion.rests_on,
            wanted=opinion.wanted,
            summary=_summary(opinion, cause),
        )
    return states


def _summary(opinion: Opinion, cause: tuple[Subject, str] | None) -> str:
    if cause is not None and not opinion.ready and opinion.wanted:
        subject, text = cause
        return f"waits for {subject}: {text}" if text else f"waits for {subject}"
    if opinion.findings and (opinion.wanted or not opinion.ready or not opinion.good):
        return _own_text(opinion)
    return opinion.good


def _own_text(opinion: Opinion) -> str:
    own = _worst_first(opinion)
    return own[0].observed if own else ""
