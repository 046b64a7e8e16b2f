# SPDX-License-Identifier: Apache-2.0
"""The host: module, program, and the sources that only help."""

from typing import Any

import pytest
from tests import health_facts as facts
from tests.health_facts import N1, RD, placement, world

from tidegate.config.policy import HealthPolicy
from tidegate.core import ids
from tidegate.core.facts import HostFacts
from tidegate.core.finding import Grade
from tidegate.core.snapshot import Source
from tidegate.core.trouble import Trouble
from tidegate.health.judge import judge

STORAGE_ONLY = {RD: (placement(N1, layers=("STORAGE",)),)}


def verdict(**more: Any) -> tuple[bool, Grade, list[str]]:
    report = judge(world(**more), HealthPolicy())
    state = report.subjects["host"]
    return state.ready, state.grade, [finding.code for finding in report.about(ids.HOST)]


def host(module: str | None = "9.3.3", *, program: bool = True) -> dict[str, Any]:
    return {"host": HostFacts(drbd_module=module, satellite_present=program)}


@pytest.mark.parametrize(
    ("more", "ready", "codes"),
    [
        (host(), True, []),
        (host("9.2.18"), True, []),
        (host("10.0.0"), True, []),
        (host(None), False, ["host.drbd-module-absent"]),
        (host("8.4.11"), False, ["host.drbd-module-old"]),
        (host("nonsense"), False, ["host.drbd-module-old"]),
        (host(program=False), False, ["host.satellite-missing"]),
        # Nothing with DRBD is wanted: only Incus's driver insists on the module.
        (host(None) | {"placements": STORAGE_ONLY}, True, ["host.drbd-module-absent"]),
        # No placement is known yet: DRBD is taken for granted.
        (host(None) | {"placements": {}}, False, ["host.drbd-module-absent"]),
        ({"silent": (Source.HOST,)}, False, ["source.new"]),
        ({"lost": {Source.HOST: None}}, False, ["source.lost"]),
        ({"stale": (Source.HOST,)}, False, ["source.stale"]),
        ({"off": (Source.HOST,)}, True, []),
    ],
)
def test_host(more: dict[str, Any], ready: bool, codes: list[str]) -> None:
    found = verdict(**more)
    assert (found[0], found[2]) == (ready, codes)


def test_a_host_without_linstor_misses_nothing() -> None:
    nothing: dict[str, Any] = {"instances": {}, "pools": {}, "off": (Source.LINSTOR,)}
    assert verdict(**host(None, program=False), **nothing) == (True, Grade.OK, [])


def test_a_module_that_is_late_is_waited_for() -> None:
    report = judge(world(at=90.0, **host(None)), HealthPolicy())
    (finding,) = report.about(ids.HOST)
    assert finding.waiting
    assert "modprobe drbd" in finding.remedy
    later = judge(world(at=1000.0, **host(None)), HealthPolicy())
    assert not later.about(ids.HOST)[0].waiting


def test_a_helping_source_that_is_lost_is_unknown_itself_and_leaves_the_host_usable() -> None:
    trouble = Trouble(code="systemd.timeout", text="the bus does not answer")
    report = judge(world(lost={Source.SYSTEMD: trouble}), HealthPolicy())
    (finding,) = report.about(ids.HOST)
    assert (finding.code, finding.grade) == ("source.lost", Grade.UNKNOWN)
    assert "the bus does not answer" in finding.observed
    assert report.subjects["host"].grade is Grade.DEGRADED
    assert report.ready(ids.volume(facts.VOL))
