# SPDX-License-Identifier: Apache-2.0
"""Who should run here, as Incus itself would decide it at boot (facts/incus.md A1-A5, A20-A35): decided once, for judge and recovery.

What a person or a guest stopped, moved, created or edited in this boot stays as they left it (contract.md safety 7). Recovery knows
more than the judge: which starts of ours failed, and who was seen running; that comes in as :class:`Known`.
"""

import enum
import urllib.parse
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Final

import msgspec

from tidegate.core.facts import IncusFacts, InstanceFacts, WarningFacts
from tidegate.core.ids import InstanceId, InstanceName, ProjectName
from tidegate.core.snapshot import Snapshot

AUTOSTART_FAILURE: Final = "Failed to autostart instance"
"""Type of the warning that Incus leaves for an instance that it gave up on (facts/incus.md R61)."""
EVACUATED: Final = frozenset({"Evacuated", "Evacuating", "Restoring"})
_ERROR: Final = "Error"
"""Nobody's will: Incus cannot tell how the instance is (facts/incus.md R42)."""
CLOCK_GRAIN: Final = 1.0
"""Seconds by which two readings of the wall clock may disagree; Incus's times are cut to seconds in places."""
_STARTING: Final = 2.0
"""Seconds after its stamp by which the start of an instance is over, on most hosts."""


class Will(enum.StrEnum):
    """What is wanted of an instance now."""

    RUNS = "runs"
    START = "start"
    """It should run here, and is stopped."""
    OFF = "off"
    """Its configuration does not start it at boot, or it was stopped before (facts/incus.md A1)."""
    ELSEWHERE = "elsewhere"
    EVACUATED = "evacuated"
    """This cluster member takes no instances now (facts/incus.md A2), or does not say whether it does."""
    NEW = "new"
    """Created in this boot: whoever made it decides when it runs."""
    STARTING = "starting"
    """Incus stamped it as used a moment ago and calls it stopped: as it shows one that it is just starting. Told of, never acted on."""
    STOPPED = "stopped"
    """It ran in this boot and was stopped, by a user or from within."""
    ODD = "odd"
    """It should run, and is neither running nor stopped (Error, …): reported, never acted on."""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of this boot beside Incus's own words; nothing, for the judge."""

    ran: AbstractSet[str] = frozenset()
    """Instances seen running in this boot, or started by us."""
    failed: Mapping[str, float] = {}
    """By instance: when a start ended without success (seconds since boot)."""


NOTHING: Final = Known()


class WallClock(msgspec.Struct, frozen=True, kw_only=True):
    """The clock that Incus stamps its instances by, as it shows now. It may have been wrong before: nothing stamped with a time to come says when.

    A host whose clock is behind when it boots (an empty battery, none at all) shows everything that it ran before as used in the future,
    until somebody sets the clock, if anybody does; one whose clock was ahead and is set back shows what it did since then so.
    """

    boot_wall: float
    """Seconds since the epoch at which this boot began."""
    now: float
    """Seconds since the epoch."""

    def is_of_this_boot(self, moment: float | None) -> bool:
        """Return True when what was stamped with ``moment`` happened since the boot."""
        return moment is not None and self.boot_wall <= moment <= self.now + CLOCK_GRAIN

    def is_later(self, moment: float | None, than: float) -> bool:
        """Return True when what was stamped with ``moment`` happened after ``than``."""
        return moment is not None and than < moment <= self.now + CLOCK_GRAIN


def clock_of(snapshot: Snapshot) -> WallClock:
    """Return the wall clock at the moment of ``snapshot``."""
    return WallClock(boot_wall=snapshot.boot_wall, now=snapshot.boot_wall + snapshot.at)


def will(
    instance: InstanceFacts,
    *,
    incus: IncusFacts | None,
    clock: WallClock,
    failures: Mapping[InstanceId, WarningFacts],
    known: Known = NOTHING,
) -> Will:
    """Return what is wanted of ``instance``.

    Args:
        instance: As Incus shows it now.
        incus: The daemon; None: it was not heard of.
        clock: When this boot began and what time it is, as Incus stamps it.
        failures: What Incus gave up on (:func:`failures_of`).
        known: What is known beside that.
    """
    if not is_here(instance.location, incus):
        return Will.ELSEWHERE
    if instance.runs:
        return Will.RUNS
    if incus is not None and takes_none(incus):
        return Will.EVACUATED
    failed = start_failed(instance, clock=clock, failures=failures, known=known)
    # A power state that a failed start of this boot left (A21) is nobody's will.
    if instance.autostart == "false" or not (instance.should_start or failed is not None):
        return Will.OFF
    if clock.is_of_this_boot(instance.created_at):
        return Will.NEW
    ran = str(instance.id) in known.ran or clock.is_of_this_boot(instance.last_used_at)
    if failed is None and ran and instance.status != _ERROR:
        return Will.STARTING if _may_be_starting(instance, clock) else Will.STOPPED
    return Will.START if instance.status == "Stopped" else Will.ODD


def _may_be_starting(instance: InstanceFacts, clock: WallClock) -> bool:
    """Return True when ``instance`` may just be on its way up.

    Incus stamps a container as used before its init runs (facts/incus.md A30), and calls it stopped until the start is over (R42): for
    that moment it looks like one that ran and was stopped.
    """
    is_fresh = clock.is_later(instance.last_used_at, clock.now - _STARTING)
    return instance.status == "Stopped" and is_fresh


def start_failed(
    instance: InstanceFacts,
    *,
    clock: WallClock,
    failures: Mapping[InstanceId, WarningFacts],
    known: Known = NOTHING,
) -> str | None:
    """Return why the last start of ``instance`` in this boot failed, ours or Incus's own; None when none is known to have.

    A later start by somebody else moves ``last_used_at`` on, and then what is stopped was stopped on purpose. A warning that was
    acknowledged is judged to the second: we acknowledge when the instance runs, which it may have done a moment after the warning.
    """
    name = str(instance.id)
    if name in known.ran:
        return None
    used = instance.last_used_at
    ended = known.failed.get(name)
    if ended is not None and not clock.is_later(used, clock.boot_wall + ended + CLOCK_GRAIN):
        return "its last start failed"
    warning = failures.get(instance.id)
    if warning is None or warning.last_seen_at is None:
        return None
    grain = CLOCK_GRAIN if warning.status == "new" else 0.0
    return None if clock.is_later(used, warning.last_seen_at + grain) else warning.message


def autostart_warnings(
    warnings: Iterable[WarningFacts], incus: IncusFacts | None
) -> tuple[WarningFacts, ...]:
    """Return those of ``warnings`` about instances of this member that Incus failed to start, acknowledged ones included."""
    return tuple(
        warning
        for warning in warnings
        if warning.type == AUTOSTART_FAILURE and is_here(warning.location, incus)
    )


def failures_of(
    warnings: Iterable[WarningFacts], incus: IncusFacts | None
) -> dict[InstanceId, WarningFacts]:
    """Return the newest of :func:`autostart_warnings` about each instance."""
    found: dict[InstanceId, WarningFacts] = {}
    for warning in autostart_warnings(warnings, incus):
        about = warning_about(warning)
        if about is None:
            continue
        before = found.get(about)
        if before is None or (warning.last_seen_at or 0.0) >= (before.last_seen_at or 0.0):
            found[about] = warning
    return found


def warning_about(warning: WarningFacts) -> InstanceId | None:
    """Return the instance that a warning's ``entity_url`` names: ``/1.0/instances/c1?project=web`` (facts/incus.md R62)."""
    url = urllib.parse.urlsplit(warning.entity_url)
    head, _, name = url.path.rpartition("/")
    if not head.endswith("/instances") or not name:
        return None
    project = urllib.parse.parse_qs(url.query).get("project", ["default"])[0]
    return InstanceId(ProjectName(project), InstanceName(urllib.parse.unquote(name)))


def is_here(location: str, incus: IncusFacts | None) -> bool:
    """Return True when ``location`` is this member; a standalone server says "none" (facts/incus.md R41)."""
    if location in {"", "none"}:
        return True
    return incus is not None and incus.server_name is not None and location == incus.server_name


def takes_none(incus: IncusFacts) -> bool:
    """Return True when this cluster member starts no instance now, or does not say whether it does (facts/incus.md A2)."""
    if incus.member_status in EVACUATED:
        return True
    return bool(incus.clustered) and incus.member_status is None
