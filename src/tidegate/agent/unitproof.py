# SPDX-License-Identifier: Apache-2.0
"""The last proof of a plan: systemd's own opinion of it, before a file is written.

The host's units are written into a directory of their own, without and with what is planned, and ``systemd-analyze verify`` reads both.
What it says only of the second is an objection, and the plan is refused.
"""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from tidegate.clients import process, unitfiles
from tidegate.core.ids import AGENT_UNIT
from tidegate.core.trouble import Trouble
from tidegate.units import plan
from tidegate.units.host import GUARD_SOCKET, GUARD_UNIT, READY_UNIT, HostView, Options
from tidegate.units.packaging import INCUS_STARTUP, INCUS_UNIT, SATELLITE_UNIT
from tidegate.units.plan import Plan
from tidegate.units.tree import Index, Load, Tree

_DEADLINE: Final = 20.0
_ANCHORS: Final = (
    *("default.target", INCUS_UNIT, INCUS_STARTUP, SATELLITE_UNIT),
    *(AGENT_UNIT, READY_UNIT, GUARD_SOCKET, GUARD_UNIT),
)
_OF_ANOTHER_ROOT: Final = ("is not executable", "No such file or directory")
"""Programs are not in the directory that is looked at: that says nothing of the host."""


async def planned(view: HostView, options: Options) -> Plan:
    """Return ``plan.make`` with systemd's opinion on top; without ``systemd-analyze`` the reasons say so.

    Raises ClientError ``file.*`` when there is no room for a copy of the unit files.
    """
    made = plan.make(view, options)
    if made.refusals or not (made.changes or made.enable or made.disable):
        return made
    before, after = plan.trees(view, made)
    known, told = await asyncio.gather(_complaints(before), _complaints(after))
    if known is None or told is None:
        remark = "systemd-analyze could not be asked: the proof is Tidegate's own alone"
        return msgspec.structs.replace(made, reasons=(*made.reasons, remark))
    troubles = tuple(_objections(known, told))
    return plan.refused(made, troubles) if troubles else made


def _objections(known: frozenset[str], told: frozenset[str]) -> Iterator[Trouble]:
    # Which job goes for a circle that was there before differs from look to look; our own search has judged those.
    has_circle = any("ordering cycle" in line for line in known)
    for line in sorted(told - known):
        if has_circle and ("cycle" in line or "Found dependency" in line):
            continue
        yield Trouble(
            code="units.systemd-objects",
            text=f"systemd says of the units as planned: {line}",
            hint="the plan is not carried out; `systemctl cat` of the unit named here shows what it meets",
        )


async def _complaints(units: Tree) -> frozenset[str] | None:
    """Return what systemd says of ``units``, line by line; None when it cannot be asked."""
    index = Index(units)
    names = [name for name in _ANCHORS if index.unit(name).load is Load.LOADED]
    folder = await asyncio.to_thread(tempfile.TemporaryDirectory, prefix="tidegate-units-")
    try:
        root = Path(folder.name)
        await asyncio.to_thread(unitfiles.copy, units, root)
        done = await process.run(
            ["systemd-analyze", f"--root={root}", "verify", "--man=no", *names],
            deadline=_DEADLINE,
            env={"SYSTEMD_LOG_LEVEL": "info"},
        )
    finally:
        await asyncio.to_thread(folder.cleanup)
    if done.trouble is not None and done.trouble.code != "process.failed":
        return None
    lines = (done.stdout + done.stderr).decode("utf-8", "replace").splitlines()
    return frozenset(
        line.replace(str(root), "").strip()
        for line in lines
        if line.strip() and not any(word in line for word in _OF_ANOTHER_ROOT)
    )
