# SPDX-License-Identifier: Apache-2.0
"""Findings of which a person wants to hear no more: they stay visible and count in no grade, until it gets worse.

Nothing that is decided ever asks for a mute: what is ready stays ready, what is not stays what it is.
"""

from collections.abc import Iterable, Sequence

import msgspec

from tidegate.core.finding import Finding, Grade, Report, SubjectState
from tidegate.health.opinion import mild


class Mute(msgspec.Struct, frozen=True, kw_only=True):
    """One order to be quiet about findings of ``code``, about ``subject`` or, with "", about any."""

    code: str
    subject: str = ""
    until: float | None = None
    """Seconds since the epoch; None: until it gets worse or somebody ends it."""
    grade: Grade = Grade.DEGRADED
    """The worst grade that it covers: that of the findings when it was ordered."""
    subjects: tuple[str, ...] = ()
    """Whom it covered when it was ordered: one more makes it worse."""
    since: float = 0.0
    """Seconds since the epoch at which it was ordered."""

    def is_about(self, finding: Finding) -> bool:
        """Return True when it was meant for ``finding``."""
        return self.code == finding.code and self.subject in {"", str(finding.subject)}


class Muted(msgspec.Struct, frozen=True, kw_only=True):
    """A report with its mutes, those that go on, and those that have ended, each with the reason."""

    report: Report
    mutes: tuple[Mute, ...]
    ended: tuple[tuple[Mute, str], ...] = ()


def order(
    report: Report, code: str, *, subject: str = "", until: float | None = None, wall: float
) -> Mute:
    """Return the mute for what ``report`` says now of ``code``. What is not there yet is covered up to its usual grade."""
    wanted = Mute(code=code, subject=subject)
    found = [one for one in report.findings if wanted.is_about(one)]
    worst = max((one.grade for one in found), key=lambda grade: grade.badness, default=None)
    return Mute(
        code=code,
        subject=subject,
        until=until,
        grade=worst or Grade.DEGRADED,
        subjects=tuple(sorted({str(one.subject) for one in found})),
        since=wall,
    )


def apply(report: Report, mutes: Sequence[Mute], wall: float) -> Muted:
    """Return ``report`` as people are to hear it at ``wall`` (seconds since the epoch)."""
    kept, ended = [], []
    for mute in mutes:
        why = _end(mute, report, wall)
        if why:
            ended.append((mute, why))
        else:
            kept.append(mute)
    if not kept:
        return Muted(report=report, mutes=(), ended=tuple(ended))
    findings = tuple(_marked(finding, kept) for finding in report.findings)
    quiet = {str(finding.subject) for finding in findings if finding.muted}
    subjects = dict(report.subjects)
    for name in quiet:
        if (state := subjects.get(name)) is not None:
            subjects[name] = _without(state, findings)
    told = msgspec.structs.replace(report, findings=findings, subjects=subjects)
    return Muted(report=told, mutes=tuple(kept), ended=tuple(ended))


def _end(mute: Mute, report: Report, wall: float) -> str:
    """Return why ``mute`` ends now; "" when it goes on."""
    if mute.until is not None and wall >= mute.until:
        return "its time is over"
    found = [one for one in report.findings if mute.is_about(one)]
    worse = [one for one in found if one.grade.badness > mute.grade.badness]
    if worse:
        return f"{worse[0].subject} is {worse[0].grade} now, it was {mute.grade}"
    more = sorted({str(one.subject) for one in found} - set(mute.subjects))
    if mute.subject == "" and mute.subjects and more:
        return f"it is about {more[0]} too now"
    return ""


def _marked(finding: Finding, mutes: Iterable[Mute]) -> Finding:
    if any(mute.is_about(finding) for mute in mutes):
        return msgspec.structs.replace(finding, muted=True)
    return finding


def _without(state: SubjectState, findings: Iterable[Finding]) -> SubjectState:
    """Return the sum of a subject without what is muted; whether it is ready is not touched."""
    grades = [mild(one) for one in findings if one.subject == state.subject and not one.muted]
    grade = max(grades, key=lambda one: one.badness, default=Grade.OK)
    return msgspec.structs.replace(state, grade=grade)
