# SPDX-License-Identifier: Apache-2.0
"""LINSTOR's storage pools on this node: there, with real capacity, without an error report.

Neither ONLINE nor a path says that the volume group, zpool or directory behind a pool is there (facts/linstor.md 8.1); and LINSTOR
forgets reports at each listing, so a good answer is weak evidence and a bad one strong.
"""

from collections.abc import Iterable
from typing import Final

from tidegate.core import ids
from tidegate.core.evidence import BackingFacts
from tidegate.core.facts import StoragePoolFacts
from tidegate.core.finding import Finding, Grade
from tidegate.core.ids import ResourceName, StoragePoolName
from tidegate.core.snapshot import Source
from tidegate.health import catalogue
from tidegate.health.opinion import Opinion
from tidegate.health.view import View
from tidegate.health.wants import Wants

_DISKLESS = "DISKLESS"
MAP_FILE: Final = "/var/lib/tidegate/wanted.json"
NEARLY_FULL: Final = 0.05
"""Share of a thin pool that should be free."""


def judge(view: View, wants: Wants) -> list[Opinion]:
    """Return an opinion on every storage pool that this node has or an instance's volume needs.

    Of an instance that only recovery knows to be wanted (its start failed late: facts/incus.md A21), too.
    """
    wanted = _under(view, wants.wanted_resources)
    needed = _under(view, {volume.resource for volume in wants.volumes})
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
        for name in sorted(names | needed)
    ]


def _under(view: View, resources: Iterable[ResourceName]) -> set[StoragePoolName]:
    """Return the storage pools that the replicas of ``resources`` on this node lie in."""
    places = (view.placed_here(resource) for resource in resources)
    return {place.storage_pool for place in places if place is not None and place.storage_pool}


def _findings(view: View, name: StoragePoolName) -> list[Finding]:
    seen = _seen_here(view, name)
    if seen is not None and seen.grade is Grade.FAILING:
        return [seen]
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
        text = "; ".join(facts.reports)
        return [_finding(view, name, "storage-pool.error", text), *([seen] if seen else [])]
    short = _capacity(view, name, facts) or _metadata(view, name, facts)
    return [*short, *([seen] if seen and short else [])]


def _seen_here(view: View, name: StoragePoolName) -> Finding | None:
    """Return what this host itself shows of what lies behind the pool, where that is trouble.

    LINSTOR does not tell: a pool whose directory is not mounted is made anew, empty (facts/linstor-observed.md A5), one whose
    volume group or zpool is missing shows its old capacity (facts/linstor.md 8.1).
    """
    host = view.snapshot.host
    seen = host.value.backings.get(name) if host is not None else None
    if seen is None or host is None or not view.is_fresh(host, Source.HOST):
        return None
    kind = _kind(view, name)
    if kind.startswith("ZFS") and seen.present is False:
        text = f"zpool {seen.place} is not imported here"
        return _local(view, name, "storage-pool.zpool-missing", text, place=seen.place)
    if kind.startswith("LVM") and seen.present is None:
        text = f"no volume of group {seen.place} is active here"
        return _local(view, name, "storage-pool.no-volume-seen", text, place=seen.place)
    if kind.startswith("FILE"):
        return _directory(view, name, seen)
    return None


def _directory(view: View, name: StoragePoolName, seen: BackingFacts) -> Finding | None:
    kept = view.snapshot.wanted
    before = next((one for one in kept.storage if one.pool == name), None) if kept else None
    if before is not None and before.mount and seen.mount and before.mount != seen.mount:
        text = (
            f"{seen.place} lies on {seen.mount} ({seen.device or 'unknown'}); "
            f"at the last good moment it lay on {before.mount} ({before.device or 'unknown'})"
        )
        mount = before.mount
        code = "storage-pool.mount-missing"
        return _local(view, name, code, text, place=seen.place, mount=mount)
    if seen.present is False:
        text = f"{seen.place} does not exist"
        return _local(view, name, "storage-pool.directory-missing", text, place=seen.place)
    return None


def _kind(view: View, name: StoragePoolName) -> str:
    """Return the pool's provider, also as LINSTOR told it some time ago: it never changes."""
    known = view.snapshot.storage_pools
    facts = known.value.get(name) if known is not None else None
    if facts is not None:
        return facts.provider
    kept = view.snapshot.wanted
    before = next((one for one in kept.storage if one.pool == name), None) if kept else None
    return before.provider if before is not None else ""


def _local(
    view: View,
    name: StoragePoolName,
    code: str,
    observed: str,
    **context: str,
) -> Finding:
    fact = view.snapshot.host
    return catalogue.finding(
        code,
        ids.storage_pool(name),
        observed,
        source=Source.HOST,
        age=view.age(fact),
        since=fact.since if fact is not None else None,
        waiting=view.is_coming_up and not catalogue.needs_person(code),
        context={"pool": name, "node": view.node, "map": MAP_FILE} | context,
    )


def _capacity(view: View, name: StoragePoolName, facts: StoragePoolFacts) -> list[Finding]:
    if not facts.total_kib:
        shown = "no" if facts.total_kib is None else "zero"
        text = f"{shown} capacity shown"
        # Zero is no more to be believed than nothing while a satellite is fresh.
        waiting = view.is_coming_up
        return [_finding(view, name, "storage-pool.no-capacity", text, waiting=waiting)]
    if facts.free_kib == 0:
        return [_finding(view, name, "storage-pool.full", "no free space")]
    share = (facts.free_kib or facts.total_kib) / facts.total_kib
    if facts.provider.endswith("_THIN") and share < NEARLY_FULL:
        text = f"{share:.1%} of {facts.total_kib / 2**20:.1f} GiB free"
        limit = f"{NEARLY_FULL:.0%}"
        return [_finding(view, name, "storage-pool.nearly-full", text, limit=limit)]
    return []


def _metadata(view: View, name: StoragePoolName, facts: StoragePoolFacts) -> list[Finding]:
    """Return that the thin pool's metadata are nearly full: then it goes read-only, however much room there is for data."""
    group, slash, pool = facts.backing.partition("/")
    if facts.provider != "LVM_THIN" or not slash:
        return []
    mapped = "-".join(part.replace("-", "--") for part in (group, pool))
    full = view.journal.thin_metadata.get(mapped)
    if full is None:
        return []
    text = f"its metadata were {full.percent:.0f}% full {view.lasts(full.at):.0f} s ago, says LVM"
    return [_finding(view, name, "storage-pool.nearly-full", text, limit=f"{NEARLY_FULL:.0%}")]


def _finding(
    view: View,
    name: StoragePoolName,
    code: str,
    observed: str,
    *,
    waiting: bool = False,
    **context: str,
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
        context={"pool": name, "node": view.node} | context,
    )


def _good(view: View, name: StoragePoolName) -> str:
    facts = (view.storage_pools or {}).get(name)
    if facts is None or not facts.total_kib or facts.free_kib is None:
        return ""
    return f"{facts.provider}, {facts.free_kib / facts.total_kib:.0%} free"
