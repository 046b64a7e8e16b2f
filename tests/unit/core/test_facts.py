# SPDX-License-Identifier: Apache-2.0
"""The few things facts say of themselves."""

import pytest

from tidegate.core.facts import InstanceFacts, PlacementFacts, UnitFacts
from tidegate.core.ids import (
    InstanceId,
    InstanceName,
    NodeName,
    ProjectName,
    ResourceName,
    UnitName,
)


def instance(
    *, status: str = "Stopped", autostart: str | None = None, power: str | None = None
) -> InstanceFacts:
    return InstanceFacts(
        id=InstanceId(ProjectName("default"), InstanceName("c1")),
        kind="container",
        status=status,
        location="none",
        autostart=autostart,
        last_power=power,
    )


@pytest.mark.parametrize(
    ("status", "runs"),
    [("Running", True), ("Ready", True), ("Frozen", True), ("Stopped", False), ("Error", False)],
)
def test_what_counts_as_running(status: str, runs: bool) -> None:
    assert instance(status=status).runs is runs


@pytest.mark.parametrize(
    ("autostart", "power", "should"),
    [
        ("true", "STOPPED", True),
        ("true", None, True),
        ("false", "RUNNING", False),
        (None, "RUNNING", True),
        ("", "RUNNING", True),
        ("last-state", "RUNNING", True),
        (None, "STOPPED", False),
        ("last-state", None, False),
    ],
)
def test_what_incus_would_start_at_boot(
    autostart: str | None, power: str | None, should: bool
) -> None:
    assert instance(autostart=autostart, power=power).should_start is should


def test_a_placement_without_a_disk_of_its_own() -> None:
    def placed(*flags: str, layers: tuple[str, ...] = ()) -> PlacementFacts:
        return PlacementFacts(
            resource=ResourceName("r"), node=NodeName("n1"), flags=flags, layers=layers
        )

    assert placed("DISKLESS", "TIE_BREAKER").is_diskless
    assert not placed("INACTIVE").is_diskless
    assert placed(layers=("LUKS", "DRBD", "STORAGE")).has_drbd
    assert not placed(layers=("STORAGE",)).has_drbd


@pytest.mark.parametrize(
    ("load_state", "installed"), [("loaded", True), ("not-found", False), ("masked", False)]
)
def test_whether_a_unit_is_installed(load_state: str, installed: bool) -> None:
    unit = UnitFacts(
        name=UnitName("a.service"), load_state=load_state, active_state="inactive", sub_state="dead"
    )
    assert unit.is_installed is installed
