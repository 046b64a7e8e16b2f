# SPDX-License-Identifier: Apache-2.0
"""A boot as plain values for JSON: verdict, causes in order with code, subject, confidence and lines, and everything else."""

import collections
from typing import Any

import msgspec

from tidegate.boot.model import BootAnalysis, Comparison
from tidegate.report.document import FORMAT


def show(analysis: BootAnalysis) -> dict[str, Any]:
    """Return the whole analysis. ``first_causes`` repeats the keys of the first causes, the most important first."""
    return {
        "format": FORMAT,
        "first_causes": [cause.key for cause in analysis.first_causes],
        **msgspec.to_builtins(analysis),
    }


def row(number: int, analysis: BootAnalysis) -> dict[str, Any]:
    """Return one line of the list of boots, with what can be counted and measured (seconds)."""
    return {
        "number": number,
        "boot": analysis.boot,
        "began": analysis.began,
        "length": analysis.length,
        "status": analysis.status,
        "verdict": analysis.verdict,
        "first_causes": [
            {"code": cause.code, "subject": cause.subject, "confidence": cause.confidence}
            for cause in analysis.first_causes
        ],
        "phases": {
            phase.name: phase.seconds
            for phase in reversed(analysis.phases)  # of several of a name the first counts
            if phase.seconds is not None and phase.lane != "instances" and phase.ok
        },
        "mounts": [
            {
                "pool": pool.name,
                "failed": sum(bool(attempt.error) for attempt in pool.attempts),
                "mounted": int(pool.ready is not None),
            }
            for pool in analysis.pools
        ],
        "instances": dict(collections.Counter(story.outcome for story in analysis.instances)),
    }


def compare(found: Comparison) -> dict[str, Any]:
    """Return two boots side by side; a change carries its ``delta``."""
    plain: dict[str, Any] = {"format": FORMAT, **msgspec.to_builtins(found)}
    for change, told in zip(found.changes, plain["changes"], strict=True):
        told["delta"] = change.delta
    return plain
