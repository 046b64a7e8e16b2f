# SPDX-License-Identifier: Apache-2.0
"""How busy the processors were while the satellite's JVM started is measured once, when its port opens."""

from collections.abc import Iterator

from tests.hand_made import report

from tidegate.agent.meter import CPU_WAITED, Meter
from tidegate.core.facts import HostFacts
from tidegate.core.ids import BootId, NodeName
from tidegate.core.snapshot import Fact, Snapshot, Source
from tidegate.metrics.tally import Tally


def seen(at: float, *, listens: bool) -> Snapshot:
    facts = HostFacts(drbd_module=None, satellite_present=True, satellite_listens=listens)
    host = Fact(value=facts, source=Source.HOST, at=at, since=at)
    return Snapshot(at=at, boot_id=BootId("a"), boot_wall=0.0, node=NodeName("n1"), host=host)


def kept_with(waited: Iterator[float | None]) -> list[tuple[str, str, float]]:
    kept: list[tuple[str, str, float]] = []
    meter = Meter(Tally(satellite_unit="s", born=1.0), kept.extend, lambda: next(waited))
    for at, listens in ((1.0, False), (5.0, False), (9.0, True), (12.0, True), (30.0, True)):
        meter.saw(seen(at, listens=listens), report())
    return [one for one in kept if one[0] == CPU_WAITED]


def test_waiting_for_processors_until_the_port_is_open_is_kept_with_the_boot() -> None:
    assert kept_with(iter([0.5, 4.0, 9.9, 9.9])) == [(CPU_WAITED, "", 3.5)]


def test_a_kernel_that_does_not_tell_is_no_fault() -> None:
    assert kept_with(iter([None] * 9)) == []
