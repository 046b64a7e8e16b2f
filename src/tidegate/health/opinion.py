# SPDX-License-Identifier: Apache-2.0
"""What a layer says of one subject; ``judge`` adds the summary, which needs the opinions of others."""

from collections.abc import Mapping

import msgspec

from tidegate.core.finding import Finding, Grade
from tidegate.core.ids import Subject
from tidegate.core.snapshot import Source
from tidegate.health import catalogue


class Opinion(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict of a layer on one of its subjects."""

    subject: Subject
    findings: tuple[Finding, ...] = ()
    rests_on: tuple[Subject, ...] = ()
    wanted: bool = True
    good: str = ""
    """What to say when nothing is wrong."""
    used: bool = True
    """What the subject is for is possible at all; False for what is absent without anything being wrong."""

    @property
    def grade(self) -> Grade:
        """The worst grade of the findings that speak of the subject itself, not of a helping source."""
        grades = (mild(finding) for finding in self.findings)
        return max(grades, key=lambda grade: grade.badness, default=Grade.OK)

    @property
    def ready(self) -> bool:
        """True when nothing is failing or unknown."""
        return self.used and self.grade.badness <= Grade.DEGRADED.badness


class Doubt(msgspec.Struct, frozen=True, kw_only=True):
    """A finding in the making: what a pure rule found, before source, age and subject are known."""

    code: str
    observed: str
    grade: Grade | None = None
    since: float | None = None
    waiting: bool = False
    context: Mapping[str, str] = {}

    @property
    def blocks(self) -> bool:
        """True when the subject cannot be used because of it."""
        grade = self.grade or catalogue.CODES[self.code].grade
        return grade.badness > Grade.DEGRADED.badness

    def finding(
        self, subject: Subject, source: Source, age: float, context: Mapping[str, str]
    ) -> Finding:
        """Return the finding about ``subject``; ``age`` of the evidence in seconds, ``context`` for the remedy's placeholders."""
        return catalogue.finding(
            self.code,
            subject,
            self.observed,
            source=source,
            age=age,
            since=self.since,
            waiting=self.waiting,
            grade=self.grade,
            context={**context, **self.context},
        )


def mild(finding: Finding) -> Grade:
    """Return the grade that ``finding`` gives to its subject.

    A source that only helps and is lost is ``unknown`` itself, and leaves what it would have told about usable.
    """
    if finding.code == "source.lost" and finding.source in _HELPERS:
        return Grade.DEGRADED
    return finding.grade


_HELPERS = frozenset({Source.SYSTEMD, Source.DRBD, Source.DEVICES})
