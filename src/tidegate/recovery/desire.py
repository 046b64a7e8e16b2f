# SPDX-License-Identifier: Apache-2.0
"""Who should run here and does not, as Incus itself would decide it at boot (facts/incus.md A1-A5, A20-A35).

What a person or a guest stopped, moved, created or edited in this boot stays as they left it (contract.md safety 7).
"""

import enum
import urllib.parse

from tidegate.core import ids
from tidegate.core.facts import IncusFacts, InstanceFacts, WarningFacts
from tidegate.core.ids import InstanceId, InstanceName, ProjectName
from tidegate.core.snapshot import Snapshot
from tidegate.recovery.state import RecoveryState

AUTOSTART_FAILURE = "Failed to autostart instance"
"""Type of the warning that Incus leaves for an instance that it gave up on (facts/incus.md R61)."""
_EVACUATED = frozenset({"Evacuated", "Evacuating", "Restoring"})
_CLOCK_GRAIN = 1.0
"""Seconds by which two readings of the wall clock may disagree; Incus's times are cut to seconds in places."""


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
    STOPPED = "stopped"
    """It ran in this boot and was stopped, by a user or from within."""
    ODD = "odd"
    """Neither running nor stopped (Error, …): reported, never acted on."""


def will(instance: InstanceFacts, snapshot: Snapshot, state: RecoveryState) -> Will:
    """Return what is wanted of ``instance`` now."""
    incus = snapshot.incus.value if snapshot.incus is not None else None
    if not _is_here(instance.location, incus):
        return Will.ELSEWHERE
    if instance.runs:
        return Will.RUNS
    if incus is None or _takes_none(incus):
        return Will.EVACUATED
    if instance.status != "Stopped":
        return Will.ODD
    if instance.created_at is not None and instance.created_at > snapshot.boot_wall:
        return Will.NEW
    if start_failed(instance, snapshot, state):
        # Its last start in this boot failed: the power state that the failure left (A21) is nobody's will.
        return Will.OFF if instance.autostart == "false" else Will.START
    if not instance.should_start:
        return Will.OFF
    if _started_in_this_boot(instance, snapshot, state):
        return Will.STOPPED
    return Will.START


def start_failed(instance: InstanceFacts, snapshot: Snapshot, state: RecoveryState) -> bool:
    """Return True when the last start of ``instance`` in this boot is known to have failed: ours, or Incus's own.

    A later start by somebody else moves ``last_used_at`` on, and then what is stopped was stopped on purpose.
    """
    if str(instance.id) in state.ran:
        return False
    moments = [
        warning.last_seen_at
        for warning in autostart_warnings(snapshot)
        if warning_about(warning) == instance.id and warning.last_seen_at is not None
    ]
    if (ended := state.failed.get(str(instance.id))) is not None:
        moments.append(snapshot.boot_wall + ended)
    used = instance.last_used_at
    return bool(moments) and (used is None or used <= max(moments) + _CLOCK_GRAIN)


def autostart_warnings(snapshot: Snapshot) -> tuple[WarningFacts, ...]:
    """Return Incus's warnings about instances of this member that it failed to start, acknowledged ones included."""
    if snapshot.warnings is None:
        return ()
    incus = snapshot.incus.value if snapshot.incus is not None else None
    return tuple(
        warning
        for warning in snapshot.warnings.value
        if warning.type == AUTOSTART_FAILURE and _is_here(warning.location, incus)
    )


def warning_about(warning: WarningFacts) -> InstanceId | None:
    """Return the instance that a warning's ``entity_url`` names: ``/1.0/instances/c1?project=web`` (facts/incus.md R62)."""
    url = urllib.parse.urlsplit(warning.entity_url)
    head, _, name = url.path.rpartition("/")
    if not head.endswith("/instances") or not name:
        return None
    project = urllib.parse.parse_qs(url.query).get("project", ["default"])[0]
    return InstanceId(ProjectName(project), InstanceName(urllib.parse.unquote(name)))


def order(instance: InstanceFacts) -> tuple[bool, int, ids.InstanceId]:
    """Return the key that sorts instances as Incus starts them (facts/incus.md A4, A5).

    First those without priority and delay, then the others by falling priority (unset counts as 0), each by name.
    """
    return (is_sequenced(instance), -(instance.priority or 0), instance.id)


def is_sequenced(instance: InstanceFacts) -> bool:
    """Return True when Incus starts it one after another with its like, not in parallel (facts/incus.md A5)."""
    return instance.priority is not None or instance.delay is not None


def _is_here(location: str, incus: IncusFacts | None) -> bool:
    """Return True when ``location`` is this member; a standalone server says "none" (facts/incus.md R41)."""
    if location in {"", "none"}:
        return True
    return incus is not None and incus.server_name is not None and location == incus.server_name


def _takes_none(incus: IncusFacts) -> bool:
    if incus.member_status in _EVACUATED:
        return True
    return bool(incus.clustered) and incus.member_status is None


def _started_in_this_boot(
    instance: InstanceFacts, snapshot: Snapshot, state: RecoveryState
) -> bool:
    used = instance.last_used_at
    return str(instance.id) in state.ran or (used is not None and used >= snapshot.boot_wall)
