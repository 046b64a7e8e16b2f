# SPDX-License-Identifier: Apache-2.0
"""LINSTOR's storage pools on this node."""

from typing import Any

import pytest
from tests.health_facts import N1, THIN, nodes, world

from tidegate.config.policy import HealthPolicy
from tidegate.core import ids
from tidegate.core.facts import StoragePoolFacts
from tidegate.core.ids import StoragePoolName
from tidegate.core.snapshot import Source
from tidegate.health.judge import judge

SUBJECT = ids.storage_pool(THIN)


def pools(name: StoragePoolName = THIN, **more: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "name": name,
        "node": N1,
        "provider": "LVM_THIN",
        "free_kib": 10,
        "total_kib": 100,
    }
    return {"storage_pools": {name: StoragePoolFacts(**(base | more))}}


@pytest.mark.parametrize(
    ("sections", "ready", "codes"),
    [
        (pools(), True, []),
        (pools(free_kib=0), True, ["storage-pool.full"]),
        (pools(total_kib=None, free_kib=None), False, ["storage-pool.no-capacity"]),
        (pools(total_kib=0, free_kib=0), False, ["storage-pool.no-capacity"]),
        (
            pools(reports=("Failed to query free space from storage pool (no such VG)",)),
            False,
            ["storage-pool.error"],
        ),
        (pools(StoragePoolName("other")), False, ["storage-pool.missing"]),
        (
            pools(total_kib=None, free_kib=None, reports=("No active connection to satellite",))
            | {"nodes": nodes(n1="OFFLINE")},
            False,
            ["storage-pool.not-known"],
        ),
        ({"lost": {Source.LINSTOR: None}}, False, ["storage-pool.not-known"]),
    ],
)
def test_storage_pool(sections: dict[str, Any], ready: bool, codes: list[str]) -> None:
    report = judge(world(**sections), HealthPolicy())
    assert report.ready(SUBJECT) is ready
    assert [finding.code for finding in report.about(SUBJECT)] == codes


def test_pools_that_nothing_wanted_needs_are_shown_without_a_finding() -> None:
    told = pools()["storage_pools"] | {
        name: StoragePoolFacts(
            name=StoragePoolName(name), node=N1, provider=provider, free_kib=None, total_kib=None
        )
        for name, provider in (("spare", "LVM"), ("DfltDisklessStorPool", "DISKLESS"))
    }
    report = judge(world(storage_pools=told), HealthPolicy())
    assert not report.subjects["storage-pool/spare"].wanted
    assert "storage-pool/DfltDisklessStorPool" not in report.subjects
    assert report.findings == ()
