# SPDX-License-Identifier: Apache-2.0
"""The gate's verdicts on a scene: believed at once or only when they last, repeated, and ended."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from tests import health_facts as facts
from tests.health_facts import VOL, nodes, world

from tidegate.agent import verdicts
from tidegate.config.policy import FailPolicy, GatePolicy, HealthPolicy
from tidegate.core import ids
from tidegate.core.facts import OpenResult
from tidegate.core.finding import Report
from tidegate.core.snapshot import Source
from tidegate.core.trouble import Trouble
from tidegate.gate.decide import Verdict, VerdictKind
from tidegate.health.judge import judge

PASS, WAIT, GIVE_UP = VerdictKind.PASS, VerdictKind.WAIT, VerdictKind.GIVE_UP
NO_DEVICES = {"devices": {str(VOL): facts.device(opened=OpenResult.FAILED, errno="ENODATA")}}
TLS = {"lost": {Source.LINSTOR: Trouble(code="controller.tls", text="not valid yet")}}


class Scene:
    """Reports one after another; each is there ``step`` seconds after the one before. Waiting takes no real time."""

    def __init__(self, *reports: Report, step: float = 1.0) -> None:
        self._reports = list(reports)
        self._step = step
        self.now = 100.0

    @property
    def report(self) -> Report:
        return self._reports[0]

    async def next_report(self) -> Report:
        await asyncio.sleep(0)
        self.now += self._step
        if len(self._reports) > 1:
            self._reports.pop(0)
        return self.report

    def clock(self) -> float:
        return self.now


def report(**more: Any) -> Report:
    return judge(world(**({"at": 100.0} | more)), HealthPolicy())


async def told(
    scene: Scene, *, most: int = 50, waited: float = 0.0, **policy: Any
) -> list[Verdict]:
    found: list[Verdict] = []
    stream = verdicts.stream(scene, scene.clock, GatePolicy(**policy), waited=waited)
    async for verdict in stream:
        found.append(verdict)
        if len(found) == most:
            await stream.aclose()
            break
    return found


def kinds(found: list[Verdict]) -> list[VerdictKind]:
    return [verdict.kind for verdict in found]


async def test_it_ends_with_the_first_pass() -> None:
    found = await told(Scene(report(**NO_DEVICES), report(nodes=nodes(n1="OFFLINE")), report()))
    assert kinds(found) == [WAIT, WAIT, PASS]
    assert [str(v.waiting_for[0].subject) for v in found[:2]] == [f"volume/{VOL}", "satellite"]
    assert found[1].waiting_for[0].code == "satellite.offline"


async def test_it_gives_up_at_the_limit_counting_what_was_waited_before() -> None:
    found = await told(Scene(report(**NO_DEVICES)), waited=297.0)
    assert kinds(found) == [WAIT, WAIT, WAIT, GIVE_UP]


async def test_fail_closed_does_not() -> None:
    found = await told(Scene(report(**NO_DEVICES)), waited=9999.0, policy=FailPolicy.CLOSED)
    assert kinds(found) == [WAIT] * 50
    hopeless = await told(Scene(report(**TLS)), policy=FailPolicy.CLOSED, hopeless_after=1.0)
    assert kinds(hopeless) == [WAIT] * 50


async def test_what_needs_a_person_must_last() -> None:
    found = await told(Scene(report(**TLS)), hopeless_after=3.0)
    assert kinds(found) == [WAIT, WAIT, WAIT, GIVE_UP]
    assert found[-1].sentence.startswith("waiting does not help")


async def test_what_needs_a_person_and_passes_is_forgotten() -> None:
    """A certificate is not valid before the clock is set: then it is."""
    bad, better = report(**TLS), report(**NO_DEVICES)
    found = await told(Scene(bad, bad, better, bad, bad, report()), hopeless_after=3.0)
    assert kinds(found) == [WAIT] * 5 + [PASS]


async def test_the_limit_counts_for_what_needs_a_person_too() -> None:
    found = await told(Scene(report(**TLS)), limit=2.0, hopeless_after=100.0)
    assert kinds(found) == [WAIT, WAIT, GIVE_UP]


async def test_of_many_causes_only_some_travel() -> None:
    wanted = facts.kept_map()
    many = msgspec.structs.replace(
        wanted,
        volumes=tuple(
            msgspec.structs.replace(wanted.volumes[0], id=ids.VolumeId.parse(f"rd{n}/0"))
            for n in range(60)
        ),
        instances=tuple(
            msgspec.structs.replace(wanted.instances[0], volumes=(ids.VolumeId.parse(f"rd{n}/0"),))
            for n in range(60)
        ),
    )
    made = report(wanted=many, silent=(Source.INCUS,), placements={}, definitions=None)
    (verdict,) = await told(Scene(made), most=1)
    assert len(verdict.waiting_for) <= verdicts.MOST_NAMED
    assert verdict.total == 61


async def test_it_repeats_itself_though_nothing_comes() -> None:
    class Silent(Scene):
        async def next_report(self) -> Report:
            await asyncio.Event().wait()
            raise AssertionError

    scene = Silent(report(**NO_DEVICES))
    clock: Callable[[], float] = asyncio.get_running_loop().time
    stream = verdicts.stream(scene, clock, GatePolicy(limit=0.05), waited=0.0)
    async with asyncio.timeout(5):
        found = [verdict async for verdict in stream]
    assert kinds(found) == [WAIT, GIVE_UP]


def test_the_cap_cuts_the_limit() -> None:
    assert verdicts.effective(GatePolicy(limit=900.0)).limit == GatePolicy().cap
    assert verdicts.effective(GatePolicy(limit=900.0, cap=1000.0)).limit == 900.0
