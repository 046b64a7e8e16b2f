# SPDX-License-Identifier: Apache-2.0
"""Incus's pools, as this member sees them."""

from typing import Any

import pytest
from tests import health_facts as facts
from tests.health_facts import C1, GROUP, POOL, world

from tidegate.config.policy import HealthPolicy
from tidegate.core import ids
from tidegate.core.facts import NeededVolume, PoolFacts
from tidegate.core.ids import PoolName
from tidegate.core.snapshot import Source
from tidegate.health.judge import judge

SUBJECT = ids.pool(POOL)
LOCAL = PoolName("local")


def pool(status: str | None, **more: Any) -> dict[str, Any]:
    facts_ = PoolFacts(name=POOL, driver="linstor", status=status, resource_group=GROUP, **more)
    return {"pools": {POOL: facts_}}


@pytest.mark.parametrize(
    ("sections", "ready", "code"),
    [
        (pool("Created"), True, None),
        (pool("Unavailable"), False, "pool.unavailable"),
        (pool("Pending"), False, "pool.other-status"),
        (
            pool(None, error="Could not determine DRBD module version: Module not loaded"),
            False,
            "pool.not-loaded",
        ),
        ({"pools": {}}, False, "pool.missing"),
        (
            {"silent": (Source.INCUS,), "wanted": facts.kept_map()},
            False,
            "pool.not-known",
        ),
    ],
)
def test_pool(sections: dict[str, Any], ready: bool, code: str | None) -> None:
    report = judge(world(**sections), HealthPolicy())
    assert report.ready(SUBJECT) is ready
    assert [finding.code for finding in report.about(SUBJECT)] == ([code] if code else [])


def test_the_error_of_a_pool_that_does_not_load_is_told() -> None:
    report = judge(
        world(**pool(None, error="LINSTOR satellite executable not found")), HealthPolicy()
    )
    assert "LINSTOR satellite executable not found" in report.about(SUBJECT)[0].observed


def test_only_a_pool_on_linstor_rests_on_storage() -> None:
    needs = (NeededVolume(pool=POOL, type="containers", name="c1"),)
    local = (NeededVolume(pool=LOCAL, type="custom", name="default_x"),)
    pools = pool("Created")["pools"] | {
        LOCAL: PoolFacts(name=LOCAL, driver="dir", status="Created")
    }
    report = judge(
        world(pools=pools, instances={str(C1): facts.instance(needs=needs + local)}), HealthPolicy()
    )
    rests = {
        name: [str(below) for below in report.subjects[name].rests_on]
        for name in ("pool/remote", "pool/local")
    }
    assert rests == {
        "pool/remote": ["satellite", "storage-pool/thin", "incus"],
        "pool/local": ["incus"],
    }
