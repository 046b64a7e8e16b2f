# SPDX-License-Identifier: Apache-2.0
"""Simulated boots: the table of facts/observed.md without and with Tidegate, and random schedules that must break no rule.

``python -m tidegate.sim.many --seed SEED`` tells the story of one; random ones that break no rule are in ``test_many.py``.
"""

import time

import msgspec
import pytest

from tidegate.config.policy import RecoveryPolicy
from tidegate.sim.chance import by_chance
from tidegate.sim.faults import Fault, FaultKind
from tidegate.sim.incus.timings import IncusTimings
from tidegate.sim.incus.values import InstanceSpec, MemberSpec, instance_id
from tidegate.sim.run import simulate
from tidegate.sim.schedule import (
    OBSERVED,
    Deed,
    Happening,
    Schedule,
    layout,
    observed,
    server,
)
from tidegate.sim.watch import Result
from tidegate.sim.wishes import HOPELESS

FIRST = 100
CHUNK = 10
FREE_OF_STOCK = 0.5
"""Seconds by which nothing may come up later than without us (contract.md, safety 11)."""


def up(result: Result, *names: str) -> list[float | None]:
    return [result.up[f"default/{name}"] for name in names]


class TestTheObservedTable:
    """facts/observed.md: stock Incus, seconds after the machine's start."""

    @pytest.mark.parametrize(
        ("key", "earliest", "latest"),
        [
            *(("s0", 1.7, 3.4), ("s1", 60, 63), ("s2", 60, 63), ("s5", 8, 14), ("s6", 60, 63)),
            *(("s7", 62, 72), ("s8", 40, 42)),
        ],
    )
    def test_stock(self, key: str, earliest: float, latest: float) -> None:
        found = up(simulate(observed(key), with_tidegate=False), "c1", "c2", "c3")
        assert all(moment is not None and earliest <= moment <= latest for moment in found), found

    def test_stock_loses_what_came_too_late_for_ever(self) -> None:
        result = simulate(observed("s4"), with_tidegate=False)
        assert up(result, "c1", "c2", "c3") == [None, None, None]
        assert up(result, "d1")[0] is not None
        assert None in up(simulate(observed("s9"), with_tidegate=False), "c1", "c2", "c3")

    def test_stock_holds_the_local_one_behind_a_controller_that_hangs(self) -> None:
        for key in ("s7", "s8"):
            (moment,) = up(simulate(observed(key), with_tidegate=False), "d1")
            assert moment is not None
            assert moment > 40

    @pytest.mark.parametrize("key", sorted(OBSERVED))
    def test_with_tidegate_all_run_soon_after_the_fault_and_incuss_own_pass_are_over(
        self, key: str
    ) -> None:
        schedule = observed(key)
        result = simulate(schedule)
        assert result.violations == ()
        over = max(schedule.calm_at, _first_pass_over(result))
        for name in ("c1", "c2", "c3"):
            (moment,) = up(result, name)
            assert moment is not None, f"{name} never ran"
            assert moment <= over + 1.5, f"{name} ran at {moment}, all was well at {over}"

    @pytest.mark.parametrize("key", sorted(OBSERVED))
    def test_with_tidegate_nothing_is_later_than_without(self, key: str) -> None:
        _no_worse(observed(key))


def _first_pass_over(result: Result) -> float:
    """The moment when the agent no longer waits for incusd's own first pass."""
    held = [at for at, text in result.timeline if "first pass" in text or "is starting" in text]
    told = [at for at, text in result.timeline if text.startswith("agent:")]
    return min((at for at in told if at > max(held)), default=0.0)


def _no_worse(schedule: Schedule) -> None:
    stock, ours = simulate(schedule, with_tidegate=False), simulate(schedule)
    for name, moment in stock.up.items():
        mine = ours.up[name]
        if moment is not None:
            assert mine is not None, f"{schedule.name}: {name} is lost with us, {moment} without"
            assert mine <= moment + FREE_OF_STOCK, f"{schedule.name}: {name} {mine}, {moment}"


class TestWhatPeopleDo:
    def test_what_a_user_stops_stays_down(self) -> None:
        who = instance_id("c1")
        stop = Happening(at=30.0, deed=Deed.STOP, instance=who)
        kill = Happening(at=50.0, deed=Deed.KILL_AND_FORGET)
        schedule = msgspec.structs.replace(observed("s1"), happenings=(stop, kill))
        result = simulate(schedule)
        assert result.violations == ()
        assert "default/c1" not in result.runs
        assert {"default/c2", "default/c3", "default/d1"} <= result.runs

    def test_an_evacuated_member_gets_nothing_until_it_is_back(self) -> None:
        leave = Happening(at=10.0, deed=Deed.EVACUATE)
        back = Happening(at=60.0, deed=Deed.RESTORE)
        base = observed("s4")
        member = msgspec.structs.replace(base.server, members=_MEMBERS)
        schedule = msgspec.structs.replace(base, server=member, happenings=(leave, back))
        result = simulate(schedule)
        assert result.violations == ()
        moments = up(result, "c1", "c2", "c3")
        assert all(moment is not None and moment > 60 for moment in moments), moments

    @pytest.mark.parametrize("moment", [25.26, 25.38, 25.43, 25.5, 26.0])
    @pytest.mark.parametrize("deed", [Deed.KILL_AGENT, Deed.KILL_AND_FORGET])
    def test_killed_at_any_moment_it_loses_nothing(self, moment: float, deed: Deed) -> None:
        kill = Happening(at=moment, deed=deed)
        schedule = msgspec.structs.replace(observed("s1"), happenings=(kill,))
        result = simulate(schedule)
        assert result.violations == ()
        assert {"default/c1", "default/c2", "default/c3"} <= result.runs

    @pytest.mark.parametrize("key", ["s1", "s4", "s9"])
    def test_killed_before_and_after_each_of_its_steps_it_loses_nothing(self, key: str) -> None:
        """Each action in turn: killed when it is decided and not sent yet, and once more when it was sent."""
        base = observed(key)
        for step in range(1, 9):
            result = simulate(msgspec.structs.replace(base, killed_after=(step,)))
            assert result.violations == (), (key, step, result.timeline)
            assert {"default/c1", "default/c2", "default/c3"} <= result.runs

    @pytest.mark.parametrize("moment", [10.0, 25.3, 25.4, 25.6, 40.0])
    def test_power_lost_again_at_any_moment_loses_nothing(self, moment: float) -> None:
        """During recovery, before it, after it; the fault is there again for what is left of it."""
        schedule = msgspec.structs.replace(observed("s1"), power_lost_at=moment, horizon=200.0)
        result = simulate(schedule)
        assert result.violations == ()
        assert {"default/c1", "default/c2", "default/c3", "default/d1"} <= result.runs
        assert all(at is not None and at > moment for at in result.up.values())

    def test_what_was_stopped_before_the_power_was_lost_is_as_incus_has_it(self) -> None:
        stop = Happening(at=40.0, deed=Deed.STOP, instance=instance_id("c1"))
        schedule = msgspec.structs.replace(
            observed("s1"), happenings=(stop,), power_lost_at=60.0, horizon=250.0
        )
        result = simulate(schedule)
        assert result.violations == ()
        assert result.runs == {"default/c2", "default/c3", "default/d1"}

    @pytest.mark.parametrize("deed", [Deed.MOVE, Deed.REMOVE, Deed.START, Deed.GUEST_OFF])
    @pytest.mark.parametrize("moment", [20.0, 30.0])
    def test_what_somebody_does_meanwhile_wins(self, deed: Deed, moment: float) -> None:
        who = instance_id("c1")
        base = observed("s1")
        cluster = msgspec.structs.replace(base.server, members=_MEMBERS)
        happening = Happening(at=moment, deed=deed, instance=who)
        result = simulate(msgspec.structs.replace(base, server=cluster, happenings=(happening,)))
        assert result.violations == ()
        late = moment > 25.0
        runs = {Deed.MOVE: late, Deed.REMOVE: late, Deed.START: True, Deed.GUEST_OFF: not late}
        assert ("default/c1" in result.runs) is runs[deed]
        assert {"default/c2", "default/c3"} <= result.runs

    @pytest.mark.parametrize("seconds", [86400.0 * 365 * 26, 3600.0, -3600.0])
    def test_a_clock_that_is_wrong_at_boot_keeps_nothing_down(self, seconds: float) -> None:
        """An empty battery: what ran until the shutdown was used in a time to come; NTP sets the clock a minute later, or never."""
        base = observed("s4")
        true = base.server.epoch + seconds
        instances = tuple(
            msgspec.structs.replace(one, created_at=true - 9000.0, last_used_at=true - 600.0)
            for one in base.server.instances
        )
        wrong = msgspec.structs.replace(base.server, instances=instances)
        sets = Happening(at=60.0, deed=Deed.SET_CLOCK, seconds=seconds)
        for happenings in ((), (sets,)):
            result = simulate(
                msgspec.structs.replace(base, server=wrong, happenings=happenings, horizon=200.0)
            )
            assert result.violations == ()
            moments = up(result, "c1", "c2", "c3")
            assert all(moment is not None and moment < 42.0 for moment in moments), moments

    def test_an_incus_that_hangs_is_waited_for_with_a_reason(self) -> None:
        hangs = Happening(at=20.0, deed=Deed.HANG_INCUS)
        answers = Happening(at=50.0, deed=Deed.ANSWER_INCUS)
        result = simulate(msgspec.structs.replace(observed("s1"), happenings=(hangs, answers)))
        assert result.violations == ()
        said = [text for at, text in result.timeline if 25.0 < at < 50.0]
        assert any("incusd cannot be asked" in text for text in said), said
        assert {"default/c1", "default/c2", "default/c3"} <= result.runs

    def test_a_late_failure_is_not_taken_for_a_users_stop_after_a_kill(self) -> None:
        base = observed("s1")
        instances = tuple(
            msgspec.structs.replace(spec, late_failures=2 if spec.name == "c1" else 0)
            for spec in base.server.instances
        )
        server = msgspec.structs.replace(base.server, instances=instances)
        for moment in (25.5, 25.75, 26.2, 26.9):
            kill = Happening(at=moment, deed=Deed.KILL_AGENT)
            schedule = msgspec.structs.replace(base, server=server, happenings=(kill,))
            result = simulate(schedule)
            assert result.violations == ()
            assert "default/c1" in result.runs


_MEMBERS = (MemberSpec(name="n1"), MemberSpec(name="n2"))


@pytest.mark.parametrize(("start", "end"), [(0.0, 20.0), (0.0, 70.0), (2.0, 50.0)])
def test_instances_on_another_storage_are_taken_up_and_their_pool_is_incuss_own(
    start: float, end: float
) -> None:
    """Ceph away at boot, for longer than Incus's minute, and only once the pool was mounted: then Incus gives its instance up for ever."""
    away = Fault(kind=FaultKind.FOREIGN_AWAY, start=start, end=end, subject="ceph")
    instances = (InstanceSpec(name="c1"), InstanceSpec(name="k1", pool="ceph"))
    schedule = Schedule(
        name="ceph",
        layout=layout(("c1",), nodes=1),
        server=server(instances, foreign=("ceph",)),
        faults=(away,),
        horizon=240.0,
    )
    result = simulate(schedule)
    assert result.violations == ()
    assert {"default/c1", "default/k1"} <= result.runs
    assert not any("ValidatePool pool/ceph" in text for _, text in result.timeline)


@pytest.mark.parametrize("kills", [(), (42.5, 60.0, 120.0, 200.0)])
def test_what_fails_by_its_own_fault_is_given_up_and_stays_so(kills: tuple[float, ...]) -> None:
    """Each start makes Incus show it as used and stopped for a moment: no reason to begin anew, and neither is a crash of ours."""
    base = observed("s1")
    instances = tuple(
        msgspec.structs.replace(one, late_failures=5 * HOPELESS if one.name == "c1" else 0)
        for one in base.server.instances
    )
    hopeless = msgspec.structs.replace(base.server, instances=instances)
    happenings = tuple(Happening(at=at, deed=Deed.KILL_AGENT) for at in kills)
    result = simulate(
        msgspec.structs.replace(base, server=hopeless, happenings=happenings, horizon=400.0)
    )
    assert result.violations == ()
    tries = [
        text
        for _, text in result.timeline
        if text.startswith("StartInstance instance/default/c1 (")
    ]
    assert len(tries) == RecoveryPolicy().instance_attempts
    said = [text for _, text in result.timeline if text.startswith("agent:")]
    assert "gave up on default/c1" in said[-1]
    assert {"default/c2", "default/c3", "default/d1"} <= result.runs


def test_incusd_that_nothing_starts_is_started() -> None:
    """facts/incus.md U4: the dump of the database is missing after a power loss."""
    base = observed("s0")
    server = msgspec.structs.replace(base.server, has_db_dump=False)
    schedule = msgspec.structs.replace(base, server=server)
    assert simulate(schedule, with_tidegate=False).runs == frozenset()
    result = simulate(schedule)
    assert result.violations == ()
    assert len(result.runs) == 4
    assert all(moment is not None and 60 < moment < 63 for moment in result.up.values())


def test_many_come_up_in_order_and_ever_more_at_once() -> None:
    """80 instances, three of them with a priority: the width grows while starts are quick, the order is Incus's."""
    names = tuple(f"c{number:02}" for number in range(80))
    ranks = {"c03": "1", "c05": "9", "c07": "5"}
    instances = tuple(
        InstanceSpec(
            name=name,
            config={"boot.autostart.priority": ranks[name]} if name in ranks else {},
        )
        for name in names
    )
    offline = Fault(kind=FaultKind.NODE_OFFLINE, end=25.0)
    schedule = Schedule(
        name="many",
        layout=layout(names, nodes=1),
        server=server(instances),
        faults=(offline,),
        horizon=60.0,
    )
    result = simulate(schedule)
    assert result.violations == ()
    moments = [moment for moment in result.up.values() if moment is not None]
    assert len(moments) == 80
    one_by_one = 80 * IncusTimings().instance_start
    assert max(moments) - 25.0 < one_by_one / 4, "more than the four at once that it begins with"
    ranked = up(result, "c05", "c07", "c03")
    assert ranked == sorted(ranked, key=lambda moment: moment or 0.0)
    plain = [moment for name, moment in result.up.items() if name[-3:] not in ranks]
    assert min(moment for moment in ranked if moment) > min(moment for moment in plain if moment)


def test_an_hour_takes_no_time() -> None:
    schedule = msgspec.structs.replace(observed("s1"), horizon=3600.0)
    simulate(schedule)
    began = time.process_time()
    result = simulate(schedule)
    assert result.cycles < 120
    assert time.process_time() - began < 1.0, (
        "far above the 50 ms that it takes, for a busy machine"
    )


def test_the_same_seed_runs_the_same_way() -> None:
    assert simulate(by_chance(7)).timeline == simulate(by_chance(7)).timeline


_OTHERWISE = {Deed.KILL_AND_FORGET, Deed.RESTART_INCUS, Deed.CRASH_INCUS}
"""What makes the two runs no longer the same: a memory that is lost, an Incus that starts anew in the middle of something else."""


@pytest.mark.parametrize("first", range(FIRST, FIRST + 40, CHUNK))
def test_random_schedules_are_never_worse_than_stock(first: int) -> None:
    for seed in range(first, first + CHUNK):
        schedule = by_chance(seed)
        if _OTHERWISE.isdisjoint(happening.deed for happening in schedule.happenings):
            _no_worse(schedule)
