# SPDX-License-Identifier: Apache-2.0
"""One entry of the catalogue of findings."""

import msgspec

from tidegate.core.finding import Grade


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """What a finding code stands for. ``expected`` and ``remedy`` may hold placeholders in braces."""

    code: str
    grade: Grade
    means: str
    expected: str
    remedy: str
    needs_person: bool = False
    """Waiting cannot cure it."""

    @property
    def layer(self) -> str:
        """The part before the dot."""
        return self.code.partition(".")[0]


def failing(code: str, means: str, expected: str, remedy: str, *, person: bool = False) -> Code:
    """Return an entry whose finding means that the subject cannot be used."""
    return _entry(Grade.FAILING, code, means, expected, remedy, person=person)


def degraded(code: str, means: str, expected: str, remedy: str) -> Code:
    """Return an entry whose finding leaves the subject usable."""
    return _entry(Grade.DEGRADED, code, means, expected, remedy)


def unknown(code: str, means: str, expected: str, remedy: str) -> Code:
    """Return an entry whose finding means that nothing can be said."""
    return _entry(Grade.UNKNOWN, code, means, expected, remedy)


def _entry(
    grade: Grade, code: str, means: str, expected: str, remedy: str, *, person: bool = False
) -> Code:
    return Code(
        code=code,
        grade=grade,
        means=means,
        expected=expected,
        remedy=remedy,
        needs_person=person,
    )
