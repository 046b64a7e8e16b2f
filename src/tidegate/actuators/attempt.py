# SPDX-License-Identifier: Apache-2.0
"""What an actuator returns before its times are known, and the one way in which a client's trouble becomes it."""

import msgspec

from tidegate.clients import errors
from tidegate.core.action import OutcomeKind

ANSWER_LOST = frozenset({"incus.timeout", "incus.disconnected", "incus.garbage"})
"""After these nobody knows whether the call was taken (facts/incus.md R4, R6)."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an action: kind, stable code, sentence, and what was seen of its subject before and after."""

    kind: OutcomeKind
    code: str
    text: str
    before: str = ""
    after: str = ""


def done(code: str, text: str) -> Attempt:
    """The postcondition was seen."""
    return Attempt(kind=OutcomeKind.DONE, code=code, text=text)


def void(code: str, text: str) -> Attempt:
    """A precondition did not hold any more; nothing was done."""
    return Attempt(kind=OutcomeKind.VOID, code=code, text=text)


def failed(code: str, text: str) -> Attempt:
    """It was done and did not succeed."""
    return Attempt(kind=OutcomeKind.FAILED, code=code, text=text)


def uncertain(code: str, text: str) -> Attempt:
    """It was sent, and what came of it will be seen later."""
    return Attempt(kind=OutcomeKind.UNCERTAIN, code=code, text=text)


def of_trouble(error: errors.ClientError, *, sent: bool) -> Attempt:
    """Return what a failed call means: uncertain when the change was ``sent`` and the answer lost, else failed."""
    kind = OutcomeKind.UNCERTAIN if sent and error.code in ANSWER_LOST else OutcomeKind.FAILED
    return Attempt(kind=kind, code=error.code, text=error.trouble.text)


def seen(made: Attempt, *, before: str = "", after: str = "") -> Attempt:
    """Return ``made`` with what was seen of its subject ``before`` and ``after``; what was noted already stays."""
    return msgspec.structs.replace(made, before=before or made.before, after=after or made.after)
