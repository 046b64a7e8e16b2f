# SPDX-License-Identifier: Apache-2.0
"""What goes by is counted once, and only what was seen to come is called a moment of this boot."""

import msgspec
import pytest
from tests.hand_made import instance, report, state

from tidegate.agent import tuneview
from tidegate.core import ids
from tidegate.core.action import Outcome, OutcomeKind, StartInstance, ValidatePool
from tidegate.core.drbd import DrbdConnection, DrbdPeerDevice, DrbdResource
from tidegate.core.facts import InstanceFacts, PoolFacts
from tidegate.core.finding import Grade, Report
from tidegate.core.ids import (
    BootId,
    InstanceId,
    InstanceName,
    NodeName,
    PoolName,
    ProjectName,
    ResourceName,
    VolumeId,
)
from tidegate.core.snapshot import Fact, Snapshot, Source
from tidegate.metrics import expose, families
from tidegate.metrics.moments import Moment
from tidegate.metrics.tally import SETTLED, Tally, Told
from tidegate.metrics.values import Histogram, Measure
from tidegate.tuning import result

C1 = InstanceId(ProjectName("default"), InstanceName("c1"))
BEGAN = 1_795_000_000.0


def seen(
    at: float, *, pool: str | None = None, used: float | None = None, runs: bool = False
) -> tuple[Snapshot, Report]:
    pools = {"remote": PoolFacts(name=PoolName("remote"), driver="linstor", status=pool)}
    facts = InstanceFacts(
        id=C1,
        kind="container",
        status="Running" if runs else "Stopped",
        location="n1",
        autostart="true",
        last_power=None,
        last_used_at=None if used is None else BEGAN + used,
    )
    snapshot = Snapshot(
        at=at,
        boot_id=BootId("a"),
        boot_wall=BEGAN,
        node=NodeName("n1"),
        pools=Fact(value=pools, source=Source.INCUS, at=at, since=at) if pool else None,
        instances=Fact(value={"default/c1": facts}, source=Source.INCUS, at=at, since=at),
    )
    grade = Grade.OK if runs else Grade.FAILING
    told = report(states=(state(instance("c1"), grade),))
    return snapshot, msgspec.structs.replace(told, at=at)


def tally(born: float = 1.0) -> Tally:
    return Tally(satellite_unit="linstor-satellite.service", born=born)


def validated(at: float, kind: OutcomeKind = OutcomeKind.DONE) -> Outcome:
    action = ValidatePool(id="1", cause="x", pool=PoolName("remote"))
    return Outcome(action=action, kind=kind, code="c", text="t", started_at=at, ended_at=at + 0.2)


def test_a_start_is_split_where_incus_says_that_storage_was_done() -> None:
    count = tally()
    count.told(Told(what="starting", name="default/c1", at=10.0))
    count.told(Told(what="started", name="default/c1", at=13.0))
    measures = count.saw(*seen(14.0, used=12.0, runs=True))
    assert Measure("instance-start", "instance/default/c1", 3.0) in measures
    sums = {phase: histogram.sum for (_, phase), histogram in count.starts.items()}
    assert sums == {"total": 3.0, "storage": 2.0, "init": 1.0}


def test_a_start_that_failed_is_not_measured_and_the_next_one_is_from_its_own_beginning() -> None:
    count = tally()
    count.told(Told(what="starting", name="default/c1", at=10.0))
    count.told(Told(what="start-failed", name="default/c1", at=11.0))
    count.told(Told(what="starting", name="default/c1", at=15.0))
    count.told(Told(what="started", name="default/c1", at=16.0))
    count.saw(*seen(17.0, runs=True))
    assert count.starts["container", "total"].sum == pytest.approx(1.0)


def test_our_own_start_of_what_says_nothing_by_itself_is_measured() -> None:
    count = tally()
    action = StartInstance(id="1", cause="x", instance=C1)
    done = Outcome(
        action=action, kind=OutcomeKind.DONE, code="c", text="t", started_at=5.0, ended_at=9.0
    )
    count.outcome(done)
    count.saw(*seen(10.0, runs=True))
    assert count.starts["container", "total"].sum == 4.0
    assert count.actions == {("start-instance", "done"): 1}


def test_who_mounted_a_pool_is_told_whichever_is_heard_first() -> None:
    for look_first in (False, True):
        count = tally()
        count.saw(*seen(1.0, pool="Unavailable"))
        if look_first:
            count.saw(*seen(2.0, pool="Created"))
        count.outcome(validated(1.9))
        count.saw(*seen(2.5, pool="Created"))
        count.saw(*seen(2.6 + SETTLED, pool="Created"))
        assert count.mounts == {
            ("remote", "incus", "failed"): 1,
            ("remote", "tidegate", "mounted"): 1,
        }


def test_incus_own_mount_is_counted_when_nobody_else_did_it() -> None:
    count = tally()
    count.saw(*seen(1.0, pool="Created"))
    count.saw(*seen(1.1 + SETTLED, pool="Created"))
    assert count.mounts == {("remote", "incus", "mounted"): 1}
    count.outcome(validated(9.0, OutcomeKind.VOID))
    assert sum(count.mounts.values()) == 1, "what was not done is no attempt"


def test_the_last_instance_is_noted_when_it_has_lasted_and_by_incus_own_word() -> None:
    count = tally()
    count.saw(*seen(1.0))
    assert not count.saw(*seen(2.0, runs=True))
    count.saw(*seen(2.5))
    count.told(Told(what="started", name="default/c1", at=3.01))
    count.saw(*seen(3.2, runs=True))
    (measure,) = count.saw(*seen(3.3 + SETTLED, runs=True))
    assert measure == Measure("last-instance", "", 3.01)
    assert not count.saw(*seen(100.0, runs=True))


def test_an_instance_that_is_just_being_started_is_not_left_out_of_the_last() -> None:
    """While a container starts it has been used in this boot and does not run, as if somebody had stopped it: nothing is wanted of it."""
    count = tally()
    count.saw(*seen(1.0))
    count.told(Told(what="starting", name="default/c1", at=2.0))
    for at in (2.5, 5.0):
        snapshot, _ = seen(at, used=2.4)
        others = report(states=(state(instance("c2")), state(instance("c1"), wanted=False)))
        count.saw(snapshot, msgspec.structs.replace(others, at=at))
    assert Moment.LAST_INSTANCE not in count.moments
    count.told(Told(what="started", name="default/c1", at=6.0))
    count.saw(*seen(6.1, used=2.4, runs=True))
    count.saw(*seen(6.2 + SETTLED, used=2.4, runs=True))
    assert count.moments[Moment.LAST_INSTANCE] == 6.0


def test_what_cannot_be_said_for_a_moment_takes_back_nothing_that_was_seen() -> None:
    """While all of them are being started, nothing is wanted."""
    count = tally()
    for at, how, wanted in (
        (1.0, "Off", True),
        (1.5, "Established", True),
        (2.0, "Established", False),
        (9.0, "Established", True),
    ):
        count.saw(*replicating(at, how, wanted=wanted))
    assert count.moments[Moment.VOLUMES_READY] == 1.5


def replicating(
    at: float, how: str, link_state: str = "Connected", *, wanted: bool = True
) -> tuple[Snapshot, Report]:
    """A volume that is wanted and replicates as told, beside one that only a peer uses and that is copied."""
    kinds = {
        "incus-volume-c1": (how, link_state),
        "incus-volume-peers": ("SyncTarget", "Connected"),
    }
    told = {name: resource(name, *seen) for name, seen in kinds.items()}
    snapshot = Snapshot(
        at=at,
        boot_id=BootId("a"),
        boot_wall=BEGAN,
        node=NodeName("n1"),
        drbd=Fact(value=told, source=Source.DRBD, at=at, since=at),
    )
    volume = ids.volume(VolumeId(ResourceName("incus-volume-c1"), 0))
    grade = Grade.DEGRADED if how == "SyncTarget" else Grade.OK
    made = report(states=(state(volume, grade, ready=how != "Off", wanted=wanted),))
    return snapshot, msgspec.structs.replace(made, at=at)


def resource(name: str, how: str, link_state: str) -> DrbdResource:
    half = DrbdPeerDevice(number=0, disk="UpToDate", replication=how)
    link = DrbdConnection(
        peer=NodeName("n2"), state=link_state, role="Secondary", since=1.0, devices=(half,)
    )
    return DrbdResource(
        name=ResourceName(name),
        role="Primary",
        suspended="no",
        may_promote=True,
        promotion_score=10101,
        connections=(link,),
    )


@pytest.mark.parametrize(
    ("looks", "phases"),
    [
        ([(2.0, "SyncTarget"), (10.0, "SyncTarget"), (14.5, "Established")], (12.5, 12.5)),
        ([(2.0, "SyncSource"), (10.0, "SyncSource"), (14.5, "Established")], (12.5, 12.5)),
        ([(2.0, "Established")], (0.0, None)),
        ([(2.0, "Established"), (900.0, "SyncSource"), (990.0, "Established")], (0.0, None)),
        ([(2.0, "SyncTarget")], (None, None)),
    ],
    ids=["a-resync", "to-the-peer", "none", "hours-later", "not-over"],
)
def test_how_long_wanted_volumes_are_copied_at_the_start(
    looks: list[tuple[float, str]], phases: tuple[float | None, float | None]
) -> None:
    count = tally()
    count.saw(*replicating(1.5, "Off", "Connecting"))
    for at, how in looks:
        count.saw(*replicating(at, how))
        count.saw(*replicating(at + SETTLED, how))
    found = tuneview.phases({one.value: at for one, at in count.moments.items()})
    assert (found.get(result.RESYNC), found.get(result.RESYNCED)) == phases


def test_an_agent_that_came_late_knows_nothing_of_this_boot() -> None:
    count = tally(born=5000.0)
    for at in (5000.0, 5010.0, 5020.0):
        count.saw(*seen(at, runs=True))
    assert count.moments == {}


def test_what_an_agent_before_us_noted_stays() -> None:
    count = Tally(satellite_unit="s", born=50.0, known={"last-instance": 20.0, "pool-mount": 1.0})
    count.saw(*seen(60.0, runs=True))
    assert count.moments == {Moment.LAST_INSTANCE: 20.0}


def test_what_is_named_is_bounded_and_the_sums_are_whole() -> None:
    count = tally()
    many = tuple(state(instance(f"c{n}"), Grade.FAILING) for n in range(1000))
    snapshot, _ = seen(5.0)
    told = msgspec.structs.replace(report(states=many), at=5.0)
    count.saw(snapshot, told)
    found = families.families(count, snapshot, told, now=5.0, version="1")
    by_name = {family.name: family.samples for family in found}
    assert len(by_name["tidegate_instance_down_since_timestamp_seconds"]) == families.MOST_NAMED
    down = {s.labels["kind"]: s.value for s in by_name["tidegate_subjects_down"]}
    assert down["instance"] == 1000
    assert sum(len(samples) for samples in by_name.values()) < 400


@pytest.mark.parametrize(
    ("accept", "kind"), [("", "text/plain"), ("application/openmetrics-text", "application/open")]
)
def test_names_from_outside_are_escaped_in_both_formats(accept: str, kind: str) -> None:
    count = tally()
    snapshot, _ = seen(5.0)
    hostile = ids.pool(PoolName('a"b\nc\\d'))
    told = msgspec.structs.replace(report(states=(state(hostile, Grade.FAILING),)), at=5.0)
    count.saw(snapshot, told)
    found = families.families(count, snapshot, told, now=5.0, version="1")
    text, content_type = expose.render(found, accept)
    assert content_type.startswith(kind)
    assert b'pool="a\\"b\\nc\\\\d"' in text


def test_a_histogram_counts_into_every_bound_above() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 9.0, -1.0):
        histogram.observe(value)
    assert histogram.cumulative() == (("1.0", 3), ("2.0", 4), ("+Inf", 5))
    assert histogram.sum == 12.0
