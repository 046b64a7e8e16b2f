# SPDX-License-Identifier: Apache-2.0
"""Incus's storage pools, with the status of this member (facts/incus.md D54-D57).

Only the pools on LINSTOR rest on storage that we judge; the others matter to the instances on them.
"""

from typing import Final

from tidegate.core import ids
from tidegate.core.facts import PoolFacts
from tidegate.core.finding import Finding
from tidegate.core.ids import PoolName, Subject
from tidegate.core.snapshot import Source
from tidegate.health import catalogue
from tidegate.health.opinion import Opinion
from tidegate.health.view import View
from tidegate.health.wants import LINSTOR_DRIVER, Wants

CREATED: Final = "Created"
UNAVAILABLE: Final = "Unavailable"


def judge(view: View, wants: Wants) -> list[Opinion]:
    """Return an opinion on every pool that Incus has, or that something wanted needs."""
    known = {PoolName(name) for name in wants.pools or {}}
    names = known | wants.wanted_pools
    return [
        Opinion(
            subject=ids.pool(name),
            findings=tuple(_findings(view, wants, name)),
            rests_on=_rests_on(wants, name),
            wanted=name in wants.wanted_pools,
            good="mounted",
        )
        for name in sorted(names)
    ]


def _rests_on(wants: Wants, name: PoolName) -> tuple[Subject, ...]:
    facts = (wants.pools or {}).get(name)
    is_linstor = (
        facts.driver == LINSTOR_DRIVER if facts is not None else name in wants.linstor_pools
    )
    if not is_linstor:
        return (ids.INCUS,)
    below = tuple(ids.storage_pool(pool) for pool in wants.storage_pools_of.get(name, ()))
    return (ids.SATELLITE, *below, ids.INCUS)


def _findings(view: View, wants: Wants, name: PoolName) -> list[Finding]:
    if wants.pools is None:
        text = "Incus cannot be asked about it yet"
        return [_finding(view, name, "pool.not-known", text, waiting=True)]
    facts = wants.pools.get(name)
    if facts is None:
        return [_finding(view, name, "pool.missing", f"Incus has no pool {name}")]
    return _of_status(view, name, facts)


def _of_status(view: View, name: PoolName, facts: PoolFacts) -> list[Finding]:
    early = view.is_coming_up
    if facts.status is None:
        text = f"not loaded: {facts.error or 'no reason given'}"
        return [_finding(view, name, "pool.not-loaded", text, waiting=early)]
    if facts.status == CREATED:
        why = view.journal.unloaded_pools.get(name)
        if why is None:
            return _storage(view, name, facts)
        text = f"Created, and not mounted in this run of incusd: {why}"
        return [_finding(view, name, "pool.never-mounted", text, waiting=early)]
    if facts.status == UNAVAILABLE:
        return [_finding(view, name, "pool.unavailable", "Unavailable", waiting=early)]
    return [_finding(view, name, "pool.other-status", f"status {facts.status}")]


def _storage(view: View, name: PoolName, facts: PoolFacts) -> list[Finding]:
    """Return that the storage behind a mounted pool is gone: Incus itself never looks again (facts/incus.md D36)."""
    node = (view.nodes or {}).get(view.node)
    if facts.driver != LINSTOR_DRIVER or node is None or view.is_online:
        return []
    text = f"Created, and the satellite is {node.connection_status or 'without status'}"
    return [_finding(view, name, "pool.storage-gone", text, waiting=view.is_coming_up)]


def _finding(
    view: View, name: PoolName, code: str, observed: str, *, waiting: bool = False
) -> Finding:
    fact = view.snapshot.pools
    return catalogue.finding(
        code,
        ids.pool(name),
        observed,
        source=Source.INCUS,
        age=view.age(fact),
        since=fact.since if fact is not None else None,
        waiting=waiting,
        context={"pool": name},
    )
