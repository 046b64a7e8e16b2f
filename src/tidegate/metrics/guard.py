# SPDX-License-Identifier: Apache-2.0
"""What the guard counts, as families. Pure."""

from collections.abc import Iterator

from tidegate.core.snapshot import Liveness, Snapshot, Source
from tidegate.metrics.values import Family, MetricKind, Sample


def families(snapshot: Snapshot) -> Iterator[Family]:
    """Yield the guard's families; none where it is not enabled. Counts begin anew when the guard does."""
    fact = snapshot.guard
    if fact is None or snapshot.source(Source.GUARD).liveness is not Liveness.UP:
        return
    seen = fact.value
    yield Family(
        name="tidegate_guard_up",
        kind=MetricKind.GAUGE,
        help="1 while the guard answers, 0 while it is enabled and does not.",
        samples=(Sample({}, float(seen.answers)),),
    )
    yield Family(
        name="tidegate_guard_calls",
        kind=MetricKind.COUNTER,
        help="Calls that the guard answered, by class; node is Incus mounting a pool.",
        samples=tuple(Sample({"class": name}, float(n)) for name, n in sorted(seen.calls.items())),
    )
    yield Family(
        name="tidegate_guard_call_seconds",
        kind=MetricKind.COUNTER,
        help="Seconds that those calls took together, holds included.",
        samples=tuple(Sample({"class": name}, took) for name, took in sorted(seen.seconds.items())),
    )
    yield Family(
        name="tidegate_guard_answers",
        kind=MetricKind.COUNTER,
        help="Answers that were not the controller's own, by reason.",
        samples=tuple(Sample({"reason": why}, float(n)) for why, n in sorted(seen.reasons.items())),
    )
