# SPDX-License-Identifier: Apache-2.0
"""Incus's warnings (facts/incus.md R63, D14)."""

from itertools import count

from tidegate.sim.incus.warnings import AUTOSTART_FAILURE, POOL_UNAVAILABLE, Warnings, WarningStatus


class Times:
    now = 0.0


def table(times: Times) -> Warnings:
    numbers = count(1)
    return Warnings(lambda: times.now, lambda: f"u{next(numbers)}")


def test_one_row_per_entity_that_counts_and_comes_back() -> None:
    times = Times()
    warnings = table(times)
    warnings.upsert(POOL_UNAVAILABLE, "remote", "Node n1 is offline")
    times.now = 60.0
    warnings.upsert(POOL_UNAVAILABLE, "remote", "connection refused")
    warnings.upsert(
        AUTOSTART_FAILURE, "default/c1", "open", entity_url="/1.0/instances/c1?project=default"
    )
    pool, instance = warnings
    assert (pool.count, pool.first_seen, pool.last_seen) == (2, 0.0, 60.0)
    assert (pool.last_message, pool.severity, pool.entity_url) == ("connection refused", "high", "")
    assert (instance.severity, instance.status) == ("low", WarningStatus.NEW)
    warnings.resolve(POOL_UNAVAILABLE, "remote")
    seen = [pool.status]
    warnings.upsert(POOL_UNAVAILABLE, "remote", "again")
    seen.append(pool.status)
    assert seen == [WarningStatus.RESOLVED, WarningStatus.NEW]


def test_acknowledged_stays_acknowledged() -> None:
    warnings = table(Times())
    warnings.upsert(POOL_UNAVAILABLE, "remote", "Node n1 is offline")
    row = warnings.get("u1")
    assert row is not None
    row.status = WarningStatus.ACKNOWLEDGED
    warnings.upsert(POOL_UNAVAILABLE, "remote", "Node n1 is offline")
    assert row.status is WarningStatus.ACKNOWLEDGED


def test_a_fresh_start_resolves_what_is_older() -> None:
    times = Times()
    warnings = table(times)
    warnings.upsert(POOL_UNAVAILABLE, "remote", "old")
    times.now = 10.0
    warnings.upsert(POOL_UNAVAILABLE, "other", "new")
    warnings.resolve_older_than(5.0)
    assert [row.status for row in warnings] == [WarningStatus.RESOLVED, WarningStatus.NEW]
    warnings.remove("u1")
    assert [row.entity for row in warnings] == ["other"]
