# SPDX-License-Identifier: Apache-2.0
"""DRBD resources that are up here and belong to nobody: LINSTOR has forgotten them, and no file names them.

So it is after a node was lost in LINSTOR and made anew: what devices first, or ``drbd.service``, brought up from the files of before
stays up, since LINSTOR deletes the files alone of what it does not know (facts/early-observed.md, E2; facts/linstor.md 2.6).
"""

from typing import Final

from tidegate.core import ids
from tidegate.core.drbd import DrbdResource
from tidegate.core.finding import Finding
from tidegate.core.snapshot import Source
from tidegate.health import catalogue
from tidegate.health.view import View

SETTLED: Final = 30.0
"""Seconds for which a resource must have been up: its file is written before it comes up, and names are read every few seconds."""


def judge(view: View) -> list[Finding]:
    """Return a finding for each. Only while LINSTOR has this node ONLINE: before that it has not sorted out its files yet."""
    host = view.snapshot.host
    if host is None or not view.is_fresh(host, Source.HOST) or host.value.drbd_named is None:
        return []
    if view.drbd is None or not view.is_online or not view.definitions_fresh:
        return []
    named = frozenset(host.value.drbd_named)
    return [
        _finding(view, resource)
        for name, resource in sorted(view.drbd.items())
        if name not in named and view.placed_here(name) is None and _is_settled(view, resource)
    ]


def _is_settled(view: View, resource: DrbdResource) -> bool:
    since = [device.since for device in resource.devices]
    since += [connection.since for connection in resource.connections]
    return bool(since) and view.lasts(min(since)) >= SETTLED


def _finding(view: View, resource: DrbdResource) -> Finding:
    known = resource.name in view.definitions
    why = "LINSTOR has no replica of it here" if known else "LINSTOR does not know it"
    paths = ", ".join(f"/dev/drbd{device.minor}" for device in resource.devices)
    at = f" as {paths}" if paths else ""
    use = ", in use here (Primary)" if resource.role == "Primary" else ""
    return catalogue.finding(
        "drbd.orphan",
        ids.HOST,
        f"{resource.name} is up in DRBD{at}{use}; {why}, and no file on this node names it",
        source=Source.DRBD,
        age=view.age(view.snapshot.drbd),
        since=min((device.since for device in resource.devices), default=None),
        context={"resource": resource.name},
    )
