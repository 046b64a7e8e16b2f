# SPDX-License-Identifier: Apache-2.0
"""From a subject down to the first cause."""

from typing import Any

import pytest
from tests import health_facts as facts
from tests.health_facts import C1, VOL, nodes, world

from tidegate.config.policy import HealthPolicy
from tidegate.core import ids
from tidegate.core.facts import HostFacts, IncusFacts, IncusPhase, OpenResult
from tidegate.core.ids import Subject
from tidegate.core.snapshot import Source
from tidegate.core.trouble import Trouble
from tidegate.health.judge import judge
from tidegate.health.why import why

INSTANCE = ids.instance(C1)
STOPPED = {str(C1): facts.instance(status="Stopped")}


def codes(subject: Subject, **more: Any) -> list[str]:
    report = judge(world(**({"instances": STOPPED} | more)), HealthPolicy())
    return [finding.code for finding in why(report, subject)]


@pytest.mark.parametrize(
    ("more", "cause"),
    [
        ({"host": HostFacts(drbd_module=None, satellite_present=True)}, "host.drbd-module-absent"),
        (
            {"lost": {Source.LINSTOR: Trouble(code="controller.tls", text="no")}},
            "controller.tls",
        ),
        ({"nodes": nodes(n1="CONNECTED")}, "satellite.sync-slow"),
        ({"storage_pools": {}}, "storage-pool.missing"),
        (
            {"devices": {str(VOL): facts.device(opened=OpenResult.TIMED_OUT)}},
            "device.open-hangs",
        ),
        ({"incus": IncusFacts(phase=IncusPhase.AUTOSTART)}, "incus.autostart"),
        ({"pools": {}}, "pool.missing"),
        ({}, "instance.stopped"),
    ],
)
def test_the_first_cause_comes_last(more: dict[str, Any], cause: str) -> None:
    found = codes(INSTANCE, **more)
    assert found[-1] == cause
    assert found[0] == "instance.stopped"


def test_the_chain_goes_down_step_by_step() -> None:
    missing = {str(VOL): facts.device(exists=False, errno="ENOENT")}
    found = codes(INSTANCE, nodes=nodes(n1="OFFLINE"), devices=missing)
    assert found == ["instance.stopped", "device.node-missing", "satellite.offline"]


def test_local_truth_does_not_hide_the_controller() -> None:
    gone = {Source.LINSTOR: Trouble(code="controller.refused", text="refused")}
    assert codes(INSTANCE, lost=gone)[-1] == "controller.refused"


def test_of_several_findings_the_worst_is_the_cause() -> None:
    units = {"linstor-satellite.service": facts.unit(state="failed")}
    found = codes(ids.SATELLITE, at=100.0, nodes=nodes(n1="OFFLINE"), units=units)
    assert set(found) == {"satellite.offline", "satellite.unit-failed"}


def test_what_is_well_unwanted_or_unknown_has_no_why() -> None:
    assert codes(ids.SATELLITE) == []
    assert (
        codes(INSTANCE, instances={str(C1): facts.instance(status="Stopped", autostart="false")})
        == []
    )
    assert codes(Subject.parse("volume/nope/0")) == []


def test_a_degraded_subject_tells_its_remark() -> None:
    assert codes(ids.volume(VOL), lost={Source.LINSTOR: None}) == ["volume.on-local-truth"]
