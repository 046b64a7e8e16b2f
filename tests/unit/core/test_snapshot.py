# SPDX-License-Identifier: Apache-2.0
"""What is known after an observation: values, ages, and since when it has been like this."""

import msgspec

from tidegate.core import snapshot
from tidegate.core.facts import DeviceFacts, HostFacts, NodeFacts, PlacementFacts
from tidegate.core.ids import BootId, NodeName, ResourceName
from tidegate.core.snapshot import Fact, Liveness, Observation, Snapshot, Source, SourceState
from tidegate.core.trouble import Trouble

N1 = NodeName("n1")
EMPTY = Snapshot(at=0.0, boot_id=BootId("b"), boot_wall=1000.0, node=N1)
TROUBLE = Trouble(code="controller.refused", text="no")


def nodes(at: float, status: str) -> Observation:
    node = NodeFacts(name=N1, connection_status=status)
    return Observation(source=Source.LINSTOR, at=at, nodes={"n1": node})


def device(path: str) -> DeviceFacts:
    return DeviceFacts(path=path, exists=True)


def placed(resource: str, *flags: str) -> tuple[PlacementFacts, ...]:
    return (PlacementFacts(resource=ResourceName(resource), node=N1, flags=flags),)


def after(*seen: Observation) -> Snapshot:
    result = EMPTY
    for one in seen:
        result = snapshot.apply(result, one)
    return result


def test_nothing_is_known_at_first() -> None:
    assert EMPTY.nodes is None
    assert EMPTY.source(Source.LINSTOR) == SourceState(liveness=Liveness.NEW)


def test_since_survives_while_the_value_stays_the_same() -> None:
    known = after(nodes(1.0, "ONLINE"), nodes(2.0, "ONLINE")).nodes
    assert known is not None
    assert (known.at, known.since, known.source) == (2.0, 1.0, Source.LINSTOR)
    known = after(nodes(1.0, "ONLINE"), nodes(2.0, "OFFLINE")).nodes
    assert known is not None
    assert (known.at, known.since) == (2.0, 2.0)


def test_a_section_not_looked_at_stays_with_its_age() -> None:
    host = Observation(
        source=Source.HOST, at=5.0, host=HostFacts(drbd_module=None, satellite_present=True)
    )
    known = after(nodes(1.0, "ONLINE"), host)
    assert known.nodes is not None
    assert known.nodes.age(known.at) == 4.0
    assert known.host is not None


def test_an_empty_section_replaces_what_was_known() -> None:
    known = after(nodes(1.0, "ONLINE"), Observation(source=Source.LINSTOR, at=2.0, nodes={})).nodes
    assert known is not None
    assert known.value == {}


def test_placements_are_added_one_by_one_and_removed_when_gone() -> None:
    def told(at: float, **sections: tuple[PlacementFacts, ...]) -> Observation:
        return Observation(source=Source.LINSTOR, at=at, placements=sections)

    known = after(told(1.0, a=placed("a"), b=placed("b")), told(2.0, a=placed("a", "DISKLESS")))
    assert (known.placements["a"].since, known.placements["b"].at) == (2.0, 1.0)
    known = snapshot.apply(known, told(3.0, b=(), c=()))
    assert set(known.placements) == {"a"}


def test_devices_are_added_one_by_one() -> None:
    def told(at: float, **found: DeviceFacts) -> Observation:
        return Observation(source=Source.DEVICES, at=at, devices=found)

    known = after(told(1.0, a=device("/dev/a"), b=device("/dev/b")), told(2.0, a=device("/dev/a")))
    assert (known.devices["a"].at, known.devices["a"].since) == (2.0, 1.0)
    assert known.devices["b"].at == 1.0


def test_a_lost_source_keeps_its_facts_and_says_since_when() -> None:
    def lost(at: float) -> Observation:
        return Observation(source=Source.LINSTOR, at=at, liveness=Liveness.LOST, trouble=TROUBLE)

    known = after(nodes(1.0, "ONLINE"), lost(3.0), lost(4.0))
    assert known.nodes is not None
    assert known.nodes.at == 1.0
    assert known.source(Source.LINSTOR) == SourceState(
        liveness=Liveness.LOST, since=3.0, answered_at=1.0, trouble=TROUBLE
    )
    back = snapshot.apply(known, nodes(5.0, "ONLINE"))
    assert back.source(Source.LINSTOR) == SourceState(
        liveness=Liveness.UP, since=5.0, answered_at=5.0
    )


def test_time_does_not_go_back_when_a_slow_source_tells_of_earlier() -> None:
    assert after(nodes(5.0, "ONLINE"), Observation(source=Source.HOST, at=4.0)).at == 5.0


def test_an_age_is_never_negative() -> None:
    assert Fact(value=1, source=Source.HOST, at=5.0, since=5.0).age(4.0) == 0.0


def test_the_snapshot_before_is_not_changed() -> None:
    first = after(nodes(1.0, "ONLINE"))
    snapshot.apply(first, Observation(source=Source.LINSTOR, at=2.0, placements={"a": placed("a")}))
    assert first.placements == {}


def test_a_snapshot_can_be_written_and_read_elsewhere() -> None:
    known = after(
        nodes(1.0, "ONLINE"),
        Observation(source=Source.DEVICES, at=2.0, devices={"a/0": device("/dev/a")}),
        Observation(source=Source.INCUS, at=3.0, liveness=Liveness.STARTING, trouble=TROUBLE),
    )
    assert msgspec.json.decode(msgspec.json.encode(known), type=Snapshot) == known
