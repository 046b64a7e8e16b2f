# SPDX-License-Identifier: Apache-2.0
"""Mutes: out of the grade, not out of sight, and over when it gets worse. What is ready they never touch."""

from typing import Any

from tests import health_facts as facts
from tests.health_facts import THIN, world

from tidegate.config.policy import HealthPolicy
from tidegate.core import ids
from tidegate.core.evidence import ClockJump
from tidegate.core.facts import HostFacts, StoragePoolFacts
from tidegate.core.finding import Grade, Report
from tidegate.health import judge, mutes

CODE = "storage-pool.nearly-full"
POOL = ids.storage_pool(THIN)


def report(free: int = 30, **more: Any) -> Report:
    pools = {
        name: StoragePoolFacts(
            name=ids.StoragePoolName(name),
            node=facts.N1,
            provider="LVM_THIN",
            free_kib=free,
            total_kib=1000,
        )
        for name in (THIN,)
    }
    return judge.judge(world(storage_pools=pools, **more), HealthPolicy())


def test_a_muted_finding_is_seen_and_counts_in_no_grade() -> None:
    before = report()
    assert before.grade is Grade.DEGRADED
    mute = mutes.order(before, CODE, wall=0.0)
    told = mutes.apply(before, [mute], 10.0)
    assert told.report.grade is Grade.OK
    assert [(one.code, one.muted) for one in told.report.findings] == [(CODE, True)]
    assert told.report.ready(POOL)
    assert told.mutes == (mute,)


def test_it_is_over_when_it_gets_worse() -> None:
    mute = mutes.order(report(), CODE, wall=0.0)
    failing = report()
    worse = facts.edit(
        failing,
        findings=tuple(facts.edit(one, grade=Grade.FAILING) for one in failing.findings),
    )
    told = mutes.apply(worse, [mute], 10.0)
    assert told.mutes == ()
    assert told.ended[0][1] == "storage-pool/thin is failing now, it was degraded"
    assert not any(one.muted for one in told.report.findings)


def test_one_more_subject_is_worse() -> None:
    one = report()
    mute = mutes.order(one, CODE, wall=0.0)
    other = facts.edit(one.findings[0], subject=ids.Subject(ids.SubjectKind.STORAGE_POOL, "other"))
    told = mutes.apply(facts.edit(one, findings=(*one.findings, other)), [mute], 10.0)
    assert told.ended[0][1] == "it is about storage-pool/other too now"


def test_its_time_can_be_over() -> None:
    mute = mutes.order(report(), CODE, until=100.0, wall=0.0)
    assert mutes.apply(report(), [mute], 99.0).mutes == (mute,)
    assert mutes.apply(report(), [mute], 100.0).ended == ((mute, "its time is over"),)


def test_what_is_gone_and_comes_back_as_it_was_stays_muted() -> None:
    mute = mutes.order(report(), CODE, wall=0.0)
    assert mutes.apply(report(free=900), [mute], 5.0).mutes == (mute,)
    assert mutes.apply(report(), [mute], 10.0).mutes == (mute,)


def test_one_subject_only() -> None:
    mute = mutes.order(report(), CODE, subject="storage-pool/other", wall=0.0)
    told = mutes.apply(report(), [mute], 10.0)
    assert told.report.grade is Grade.DEGRADED


def test_a_failing_subject_is_not_ready_for_being_muted() -> None:
    bad = judge.judge(
        world(host=HostFacts(drbd_module="8.4.11", satellite_present=True)), HealthPolicy()
    )
    told = mutes.apply(bad, [mutes.order(bad, "host.drbd-module-old", wall=0.0)], 1.0)
    assert not told.report.ready(ids.HOST)


def test_what_else_is_wrong_with_the_subject_still_counts() -> None:
    both = judge.judge(
        world(
            host=HostFacts(
                drbd_module="8.4.11",
                satellite_present=True,
                clock_jump=ClockJump(seconds=60.0, at=5.0),
            )
        ),
        HealthPolicy(),
    )
    told = mutes.apply(both, [mutes.order(both, "host.drbd-module-old", wall=0.0)], 1.0)
    state = told.report.state(ids.HOST)
    assert state is not None
    assert state.grade is Grade.DEGRADED
