# SPDX-License-Identifier: Apache-2.0
"""Who should run here and does not, in Incus's own order: :mod:`tidegate.health.intent`, with what recovery remembers of this boot."""

from collections.abc import Mapping

from tidegate.core import ids
from tidegate.core.facts import InstanceFacts, WarningFacts
from tidegate.core.ids import InstanceId
from tidegate.core.snapshot import Snapshot
from tidegate.health import intent
from tidegate.health.intent import Will
from tidegate.recovery.state import RecoveryState


def will(
    instance: InstanceFacts,
    snapshot: Snapshot,
    state: RecoveryState,
    failed: Mapping[InstanceId, WarningFacts] | None = None,
) -> Will:
    """Return what is wanted of ``instance`` now. Nothing is wanted of one while incusd was not heard of.

    ``failed`` is :func:`failures` of the snapshot, where somebody has it already.
    """
    if snapshot.incus is None and not instance.runs:
        return Will.EVACUATED
    return intent.will(
        instance,
        incus=snapshot.incus.value if snapshot.incus is not None else None,
        clock=intent.clock_of(snapshot),
        failures=failures(snapshot) if failed is None else failed,
        known=intent.Known(ran=state.ran, failed=state.failed),
    )


def autostart_warnings(snapshot: Snapshot) -> tuple[WarningFacts, ...]:
    """Return Incus's warnings about instances of this member that it failed to start, acknowledged ones included."""
    if snapshot.warnings is None:
        return ()
    incus = snapshot.incus.value if snapshot.incus is not None else None
    return intent.autostart_warnings(snapshot.warnings.value, incus)


def failures(snapshot: Snapshot) -> Mapping[InstanceId, WarningFacts]:
    """Return the newest warning about each instance that Incus gave up on."""
    if snapshot.warnings is None:
        return {}
    incus = snapshot.incus.value if snapshot.incus is not None else None
    return intent.failures_of(snapshot.warnings.value, incus)


def order(instance: InstanceFacts) -> tuple[bool, int, ids.InstanceId]:
    """Return the key that sorts instances as Incus starts them (facts/incus.md A4, A5).

    First those without priority and delay, then the others by falling priority (unset counts as 0), each by name.
    """
    return (is_sequenced(instance), -(instance.priority or 0), instance.id)


def is_sequenced(instance: InstanceFacts) -> bool:
    """Return True when Incus starts it one after another with its like, not in parallel (facts/incus.md A5)."""
    return instance.priority is not None or instance.delay is not None
