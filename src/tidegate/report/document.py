# SPDX-License-Identifier: Apache-2.0
"""A report as plain values, ready to be written as JSON. Names and shapes here are an interface that scripts rely on."""

from collections.abc import Sequence
from typing import Any

import msgspec

from tidegate.core.finding import Finding, Report, SubjectState
from tidegate.core.snapshot import Snapshot

FORMAT = 1
"""Raised whenever a field changes its meaning or goes."""


def status(report: Report, snapshot: Snapshot, *, sentence: str = "") -> dict[str, Any]:
    """Return the whole report: sums per subject, findings worst first, liveness of sources. Times are seconds since boot."""
    return {
        "format": FORMAT,
        "node": report.node,
        "boot_id": snapshot.boot_id,
        "at": report.at,
        "grade": report.grade,
        "sentence": sentence,
        "subjects": [
            {
                "subject": str(state.subject),
                "grade": state.grade,
                "ready": state.ready,
                "wanted": state.wanted,
                "rests_on": [str(subject) for subject in state.rests_on],
                "summary": state.summary,
            }
            for state in report.subjects.values()
        ],
        "findings": [finding(found) for found in report.findings],
        "sources": {name: msgspec.to_builtins(state) for name, state in snapshot.sources.items()},
    }


def finding(found: Finding) -> dict[str, Any]:
    """Return one finding with its subject as text."""
    plain: dict[str, Any] = msgspec.to_builtins(found)
    plain["subject"] = str(found.subject)
    return plain


def chain(report: Report, state: SubjectState, steps: Sequence[Finding]) -> dict[str, Any]:
    """Return the chain of findings from ``state``'s subject down to its first cause."""
    return {
        "format": FORMAT,
        "node": report.node,
        "at": report.at,
        "subject": str(state.subject),
        "grade": state.grade,
        "ready": state.ready,
        "summary": state.summary,
        "chain": [finding(step) for step in steps],
        "first_cause": finding(steps[-1]) if steps else None,
    }
