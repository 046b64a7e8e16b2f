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
        name="tidegate_guard_mounts",
        kind=MetricKind.COUNTER,
        help="Times that Incus asked to mount a pool: told that the node is ready, turned away by the guard, or told by the controller that it is not.",
        samples=tuple(
            Sample({"result": result}, float(n))
            for result, n in (
                ("ready", seen.mounted),
                ("turned-away", seen.turned_away),
                ("failed", max(0, seen.mounts - seen.mounted - seen.turned_away)),
            )
        ),
    )
    yield Family(
        name="tidegate_guard_holds",
        kind=MetricKind.COUNTER,
        help="Calls for a volume that were held until it could be used, or until patience ended, by what was missing first.",
        samples=tuple(Sample({"reason": why}, float(n)) for why, n in sorted(seen.holds.items())),
    )
    yield Family(
        name="tidegate_guard_held_seconds",
        kind=MetricKind.COUNTER,
        help="Seconds that those calls were held together.",
        samples=(Sample({}, seen.held_seconds),),
    )
    yield Family(
        name="tidegate_guard_answers",
        kind=MetricKind.COUNTER,
        help="Answers that were not the controller's own, by reason.",
        samples=tuple(Sample({"reason": why}, float(n)) for why, n in sorted(seen.reasons.items())),
    )
