# SPDX-License-Identifier: Apache-2.0
"""What the guard counts is exported where it is enabled, and nowhere else."""

from tests.health_facts import world

from tidegate.core import snapshot
from tidegate.core.facts import GuardFacts
from tidegate.core.snapshot import Liveness, Observation, Source
from tidegate.metrics import expose, guard

SEEN = GuardFacts(
    answers=True,
    controller="http://c:3370",
    calls={"node": 2, "volumes": 12},
    seconds={"node": 0.25, "volumes": 8.5},
    reasons={"not-ready": 1, "device-missing": 1},
    mounts=4,
    mounted=2,
    turned_away=1,
    holds={"device-missing": 3},
    held_seconds=9.5,
)


def text(seen: Observation) -> str:
    found = tuple(guard.families(snapshot.apply(world(), seen)))
    return expose.render(found)[0].decode()


def test_calls_times_and_reasons_are_exported() -> None:
    told = text(Observation(source=Source.GUARD, at=1000.0, guard=SEEN))
    assert "tidegate_guard_up 1.0" in told
    assert 'tidegate_guard_calls_total{class="node"} 2.0' in told
    assert 'tidegate_guard_call_seconds_total{class="volumes"} 8.5' in told
    assert 'tidegate_guard_answers_total{reason="not-ready"} 1.0' in told
    for result, count in (("ready", 2), ("turned-away", 1), ("failed", 1)):
        assert f'tidegate_guard_mounts_total{{result="{result}"}} {count}.0' in told
    assert 'tidegate_guard_holds_total{reason="device-missing"} 3.0' in told
    assert "tidegate_guard_held_seconds_total 9.5" in told


def test_a_dead_guard_is_zero_and_none_is_nothing() -> None:
    assert "tidegate_guard_up 0.0" in text(
        Observation(source=Source.GUARD, at=1000.0, guard=GuardFacts())
    )
    off = Observation(source=Source.GUARD, at=1000.0, liveness=Liveness.OFF)
    assert tuple(guard.families(snapshot.apply(world(), off))) == ()
    assert tuple(guard.families(world())) == ()
