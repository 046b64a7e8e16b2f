# SPDX-License-Identifier: Apache-2.0
"""LINSTOR's storage pools on this node: there, with real capacity, without an error report.

Neither ONLINE nor a path says that the volume group, zpool or directory behind a pool is there (facts/linstor.md 8.1); and LINSTOR
forgets reports at each listing, so a good answer is weak evidence and a bad one strong.
"""

from tidegate.core import ids
from tidegate.core.facts import StoragePoolFacts
from tidegate.core.finding import Finding
from tidegate.core.ids import StoragePoolName
from tidegate.core.snapshot import Source
from tidegate.health import catalogue
from tidegate.health.opinion import Opinion
from tidegate.health.view import View
from tidegate.health.wants import Wants

_DISKLESS = "DISKLESS"


def judge(view: View, wants: Wants) -> list[Opinion]:
    """Return an opinion on every storage pool that this node has or a wanted volume needs."""
    wanted = {
        place.storage_pool
        for resource in wants.wanted_resources
        if (place := view.placed_here(resource)) is not None and place.storage_pool is not None
    }
    known = view.snapshot.storage_pools
    names = {
        StoragePoolName(name)
        for name, facts in (known.value if known is not None else {}).items()
        if facts.provider != _DISKLESS
    }
    return [
        Opinion(
            subject=ids.storage_pool(name),
            findings=tuple(_findings(view, name)),
            rests_on=(ids.SATELLITE,),
            wanted=name in wanted,
            good=_good(view, name),
        )
        for name in sorted(names | wanted)
    ]


def _findings(view: View, name: StoragePoolName) -> list[Finding]:
    if view.storage_pools is None or not view.is_online:
        text = "no answer of this node's satellite about it"
        return [_finding(view, name, "storage-pool.not-known", text, waiting=True)]
    facts = view.storage_pools.get(name)
    if facts is None:
        text = f"{view.node} has no storage pool {name}"
        return [_finding(view, name, "storage-pool.missing", text)]
    if facts.provider == _DISKLESS:
        return []
    if facts.reports:
        return [_finding(view, name, "storage-pool.error", "; ".join(facts.reports))]
    return _capacity(view, name, facts)


def _capacity(view: View, name: StoragePoolName, facts: StoragePoolFacts) -> list[Finding]:
    if not facts.total_kib:
        shown = "no" if facts.total_kib is None else "zero"
        text = f"{shown} capacity shown"
        waiting = facts.total_kib is None and view.is_coming_up
        return [_finding(view, name, "storage-pool.no-capacity", text, waiting=waiting)]
    if facts.free_kib == 0:
        return [_finding(view, name, "storage-pool.full", "no free space")]
    return []


def _finding(
    view: View, name: StoragePoolName, code: str, observed: str, *, waiting: bool = False
) -> Finding:
    fact = view.snapshot.storage_pools
    return catalogue.finding(
        code,
        ids.storage_pool(name),
        observed,
        source=Source.LINSTOR,
        age=view.age(fact),
        since=fact.since if fact is not None else None,
        waiting=waiting,
        context={"pool": name, "node": view.node},
    )


def _good(view: View, name: StoragePoolName) -> str:
    facts = (view.storage_pools or {}).get(name)
    if facts is None or not facts.total_kib or facts.free_kib is None:
        return ""
    return f"{facts.provider}, {facts.free_kib / facts.total_kib:.0%} free"
