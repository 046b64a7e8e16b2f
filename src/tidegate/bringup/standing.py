# SPDX-License-Identifier: Apache-2.0
"""How a resource that devices-first is to bring up stands in DRBD, in words. Whether it may be used is ``health``'s matter."""

from typing import Final

import msgspec

from tidegate.core.drbd import DrbdResource
from tidegate.core.finding import Grade

_GOOD: Final = "UpToDate"


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One resource. ``ok``: its disk is up to date and all its peers are connected."""

    resource: str
    grade: Grade
    says: str


def of(name: str, found: DrbdResource | None, *, kept: bool) -> Standing:
    """Return how the resource ``name`` stands; ``found`` is what DRBD knows of it, ``kept`` whether LINSTOR left a file of it."""
    if found is None:
        why = "not up" if kept else "not up, and LINSTOR has left no file of it on this node"
        return Standing(resource=name, grade=Grade.FAILING, says=why)
    disks = [f"volume {each.number} {each.disk}" for each in found.devices]
    links = [f"{each.peer} {each.state}" for each in found.connections]
    good = all(each.disk == _GOOD or each.client for each in found.devices)
    linked = all(each.state == "Connected" for each in found.connections)
    grade = Grade.OK if good and linked and found.devices else Grade.DEGRADED
    return Standing(
        resource=name, grade=grade, says=", ".join(disks + links) or "up, without volumes"
    )


def sentence(up: int, all_of: int) -> str:
    """Return one line for ``systemctl status``."""
    if not all_of:
        return "nothing to bring up"
    return f"{up} of {all_of} resources are up"
