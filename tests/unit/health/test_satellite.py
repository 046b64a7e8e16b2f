# SPDX-License-Identifier: Apache-2.0
"""The satellite: what the controller says, what this host shows, and whether ONLINE can be believed."""

from typing import Any

import pytest
from tests import health_facts as facts
from tests.health_facts import N1, N2, RD, node, nodes, placement, world

from tidegate.config.policy import HealthPolicy
from tidegate.core import ids
from tidegate.core.facts import HostFacts
from tidegate.core.finding import Finding
from tidegate.core.ids import ResourceName
from tidegate.core.snapshot import Source
from tidegate.health.judge import judge

SILENT = {RD: (placement(N1, state_reported=False), placement(N2))}
OTHER = SILENT | {"other": (placement(N1, ResourceName("other")),)}


def found(**more: Any) -> tuple[bool, list[Finding]]:
    report = judge(world(**more), HealthPolicy())
    return report.ready(ids.SATELLITE), list(report.about(ids.SATELLITE))


def codes(**more: Any) -> tuple[bool, list[str]]:
    ready, findings = found(**more)
    return ready, [finding.code for finding in findings]


@pytest.mark.parametrize(
    ("status", "code", "waits"),
    [
        ("OFFLINE", "satellite.offline", True),
        ("CONNECTED", "satellite.connected", True),
        ("VERSION_MISMATCH", "satellite.version-mismatch", False),
        ("FULL_SYNC_FAILED", "satellite.full-sync-failed", False),
        ("AUTHENTICATION_ERROR", "satellite.authentication-error", False),
        ("OTHER_CONTROLLER", "satellite.other-controller", False),
        ("MISSING_EXT_TOOLS", "satellite.missing-ext-tools", False),
        ("DUPLICATE_UNAME", "satellite.duplicate-uname", False),
        ("SOMETHING_NEW", "satellite.other-status", True),
        ("", "satellite.other-status", True),
    ],
)
def test_only_online_is_ready(status: str, code: str, waits: bool) -> None:
    ready, findings = found(at=100.0, nodes=nodes(n1=status))
    assert (ready, [f.code for f in findings]) == (False, [code])
    assert findings[0].waiting is waits
    assert status in findings[0].observed


def test_online_is_ready_before_any_device_is_there() -> None:
    """Devices are judged as volumes, one by one."""
    assert codes(at=100.0, placements=SILENT) == (True, ["satellite.first-run"])


def test_offline_tells_what_this_host_shows() -> None:
    listening = HostFacts(drbd_module="9.3.3", satellite_present=True, satellite_listens=True)
    _, findings = found(at=100.0, nodes=nodes(n1="OFFLINE"), host=listening)
    assert findings[0].observed == "OFFLINE for 40 s (unit active, port open)"
    assert "linstor node reconnect n1" in findings[0].remedy


@pytest.mark.parametrize(
    ("unit", "code", "waits"),
    [
        ({"load_state": "not-found", "state": "inactive"}, "satellite.not-installed", False),
        ({"state": "failed", "result": "exit-code"}, "satellite.unit-failed", False),
        ({"state": "failed", "result": "timeout"}, "satellite.start-timeout", False),
        ({"state": "failed", "result": "start-limit-hit"}, "satellite.start-limit", False),
        (
            {"state": "activating", "sub_state": "auto-restart", "restarts": 1},
            "satellite.restarting",
            True,
        ),
        (
            {"state": "activating", "sub_state": "auto-restart", "restarts": 7},
            "satellite.restarting",
            False,
        ),
        ({"state": "inactive"}, "satellite.unit-inactive", True),
        ({"state": "inactive", "inactive_since": 80.0}, "satellite.unit-inactive", False),
    ],
)
def test_the_unit_explains_it(unit: dict[str, Any], code: str, waits: bool) -> None:
    units = {"linstor-satellite.service": facts.unit(**unit)}
    _, findings = found(at=100.0, nodes=nodes(n1="OFFLINE"), units=units)
    by_code = {finding.code: finding for finding in findings}
    assert set(by_code) == {"satellite.offline", code}
    assert by_code[code].waiting is waits
    assert by_code["satellite.offline"].waiting is (unit["state"] == "activating")


def test_a_unit_that_is_starting_is_waited_for() -> None:
    units = {"linstor-satellite.service": facts.unit(state="activating")}
    _, (finding,) = found(at=100.0, nodes=nodes(n1="OFFLINE"), units=units)
    assert finding.waiting


def test_the_unit_is_seen_without_a_controller_too() -> None:
    units = {"linstor-satellite.service": facts.unit(state="failed")}
    ready, found_codes = codes(lost={Source.LINSTOR: None}, units=units)
    assert (ready, set(found_codes)) == (False, {"satellite.not-known", "satellite.unit-failed"})


def test_unknown_to_linstor() -> None:
    ready, findings = found(nodes={"n2": node(N2)})
    assert (ready, [f.code for f in findings]) == (False, ["satellite.unknown-node"])
    assert "storage.linstor.satellite.name" in findings[0].remedy


def test_evicted_and_evacuating() -> None:
    gone = {"n1": node(N1, "OFFLINE", flags=("DELETE", "EVICTED"))}
    assert codes(nodes=gone)[1][0] == "satellite.evicted"
    moving = {"n1": node(N1, flags=("EVACUATE",)), "n2": node(N2)}
    assert codes(nodes=moving) == (True, ["satellite.evacuating"])


@pytest.mark.parametrize(
    ("at", "placements", "ready"),
    [
        (60.0 + 119.0, SILENT, True),
        (60.0 + 121.0, SILENT, False),
        (60.0 + 900.0, {RD: (placement(N1), placement(N2))}, True),
        # Nothing is placed here: there is nothing to report.
        (60.0 + 900.0, {RD: (placement(N2),)}, True),
        # One resource of this node is reported: the satellite is at work.
        (60.0 + 900.0, OTHER, True),
    ],
)
def test_online_without_any_report_is_not_believed_for_ever(
    at: float, placements: dict[str, Any], ready: bool
) -> None:
    """facts/linstor-observed.md A1: the false ONLINE after a hang."""
    is_ready, found_codes = codes(at=at, placements=placements)
    assert is_ready is ready
    assert ("satellite.false-online" in found_codes) is not ready
    silent = placements in (SILENT, OTHER)
    assert set(found_codes) - {"satellite.false-online"} == (
        {"satellite.first-run"} if silent else set()
    )


def test_no_drbd_layer_matters_only_where_drbd_is_wanted() -> None:
    bare = {"n1": node(N1, resource_layers=("STORAGE",)), "n2": node(N2)}
    assert codes(nodes=bare) == (False, ["satellite.no-drbd"])
    plain = {RD: (placement(N1, layers=("STORAGE",)),)}
    assert codes(nodes=bare, placements=plain) == (True, [])
