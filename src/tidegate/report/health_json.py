# SPDX-License-Identifier: Apache-2.0
"""A report as ``application/health+json`` (draft-inadarei-api-health-check-06), and what the probes of an orchestrator ask.

``pass`` is ok, ``warn`` degraded, ``fail`` failing and unknown: what cannot be believed is not good news.
"""

from typing import Any, Final

from tidegate.core.finding import Grade, Report
from tidegate.core.ids import SubjectKind
from tidegate.core.snapshot import Liveness, Snapshot, Source

MOST_CHECKS: Final = 200
_WORD: Final = {
    Grade.OK: "pass",
    Grade.DEGRADED: "warn",
    Grade.UNKNOWN: "fail",
    Grade.FAILING: "fail",
}


def document(report: Report, snapshot: Snapshot, *, version: str, sentence: str) -> dict[str, Any]:
    """Return the document: every single subject and source, and of the others those that are not ok."""
    checks: dict[str, list[dict[str, Any]]] = {}
    for name, state in report.subjects.items():
        if state.wanted and (state.subject.kind.is_single or state.grade is not Grade.OK):
            if len(checks) >= MOST_CHECKS:
                break
            entry: dict[str, Any] = {"componentType": _type(state.subject.kind)}
            entry["status"] = _WORD[state.grade]
            if state.grade is not Grade.OK:
                entry["output"] = state.summary
            checks[f"{name}:ready"] = [entry]
    for source in Source:
        at = snapshot.source(source)
        if at.liveness is not Liveness.OFF:
            up = at.liveness is Liveness.UP
            checks[f"source/{source}:up"] = [
                {"componentType": "component", "status": "pass" if up else "warn"}
            ]
    return {
        "status": _WORD[report.grade],
        "version": "1",
        "releaseId": version,
        "serviceId": report.node,
        "description": "Tidegate: storage and instances of this node",
        "notes": [sentence] if sentence else [],
        "checks": checks,
    }


def is_good(report: Report) -> bool:
    """Return True when the answer is 2xx: ok or degraded, and nothing that is wanted is down."""
    return report.grade in {Grade.OK, Grade.DEGRADED} and all(
        state.ready for state in report.subjects.values() if state.wanted
    )


def unready(report: Report) -> tuple[str, ...]:
    """Return a line for each wanted subject that is not ready, at most :data:`MOST_CHECKS`."""
    states = [state for state in report.subjects.values() if state.wanted and not state.ready]
    return tuple(f"{state.subject}: {state.summary}" for state in states[:MOST_CHECKS])


def _type(kind: SubjectKind) -> str:
    return (
        "datastore"
        if kind in {SubjectKind.VOLUME, SubjectKind.POOL, SubjectKind.STORAGE_POOL}
        else "component"
    )
