# SPDX-License-Identifier: Apache-2.0
"""Recorded boots and faults of a real LINSTOR: at each moment the report a person who knows the outcome would have written."""

import pytest
from tests import health_facts as facts
from tests.linstor_replay import (
    BOTH,
    PROGRESS,
    REPORTS,
    VOLUMES,
    always,
    between,
    frames,
)

from tidegate.config.policy import HealthPolicy
from tidegate.core import ids
from tidegate.health import why

CASES = (
    "b1_satellite_boot_controller_up",
    "b4_controller_restart_satellites_up",
    "b7_black_hole_30s",
    "c8_device_manager_stuck_at_start",
    "d1b_after_sigcont_online_but_no_device_manager",
)
BOOT, RESTART, HOLE, STUCK, FALSE = CASES
LATE, AGAIN, KILLED = (
    "b2_controller_down_then_up_20s_after_satellite_start",
    "b3_satellite_restart_devices_stay",
    "b6_controller_kill9_and_restart",
)
NO_POOL, NO_TOOL, FULL, ONE_LOST = (
    "c2_pool_directory_missing_at_start",
    "c4_losetup_missing_at_start",
    "c5_disk_full",
    "c6_one_backing_file_lost",
)
PEER_DOWN, NOBODY, STOPPED, HANGING, MEANWHILE, THROWS = (
    "b10_two_nodes_n2_down",
    "b11_satellite_boot_no_controller_60s",
    "d1_satellite_sigstop_40s",
    "d2_losetup_hangs_device_manager_stuck",
    "c1_make_available_through_a_start",
    "x1b_polls_while_every_prepare_throws",
)
WELL, NO_MODULE = "a_healthy", "h_drbd_utils_without_module"
ALL = (
    *(*CASES, LATE, AGAIN, KILLED, NO_POOL, NO_TOOL, FULL, ONE_LOST),
    *(PEER_DOWN, NOBODY, STOPPED, HANGING, MEANWHILE, THROWS, WELL, NO_MODULE),
)
NEVER = frozenset({FALSE, NO_POOL, ONE_LOST, MEANWHILE, THROWS, WELL, NO_MODULE})
"""In these it was never asked for again once it was there, or never came."""


# --- what must hold at every moment ---------------------------------------------------------------


@pytest.mark.parametrize("case", ALL)
def test_no_volume_is_ready_before_its_device_is(case: str) -> None:
    seen = frames(case)
    early = [
        (round(frame.at, 2), str(volume), frame.named.get(str(volume)))
        for frame in seen
        for volume in VOLUMES
        if frame.ready(volume) and not frame.is_there(volume)
    ]
    assert early == []
    assert any(frame.ready(BOTH) for frame in seen) or case in NEVER


@pytest.mark.parametrize("case", ALL)
def test_whatever_is_not_ready_says_why_and_what_to_do(case: str) -> None:
    for frame in frames(case):
        for volume in VOLUMES:
            subject = ids.volume(volume)
            if frame.ready(volume):
                continue
            steps = why.why(frame.report, subject)
            assert steps, (frame.at, str(volume))
            assert steps[-1].observed
            assert steps[-1].waiting or steps[-1].remedy, (frame.at, steps[-1])


@pytest.mark.parametrize(
    "case",
    [BOOT, RESTART, HOLE, STUCK, LATE, AGAIN, KILLED, NO_TOOL, FULL, PEER_DOWN, NOBODY],
)
def test_in_the_end_all_is_ready_again(case: str) -> None:
    last = frames(case)[-1]
    assert [str(volume) for volume in VOLUMES if not last.ready(volume)] == []
    assert last.report.ready(ids.SATELLITE)


# --- what a person would say, moment by moment -----------------------------------------------------


def test_a_satellite_boots() -> None:
    """OFFLINE for 38 s, CONNECTED for one, ONLINE 0.9 s before the last device is named right."""
    volume = ids.volume(BOTH)
    always(between(BOOT, 0.1, 1.0), ids.SATELLITE)
    always(between(BOOT, 0.1, 1.0), volume)
    always(between(BOOT, 2.0, 39.7), ids.SATELLITE, "satellite.offline")
    always(between(BOOT, 8.0, 39.7), volume, "volume.not-reported", "device.no-data")
    always(between(BOOT, 8.0, 39.7), ids.storage_pool(facts.THIN), "storage-pool.not-known")
    always(between(BOOT, 39.8, 40.9), ids.SATELLITE, "satellite.connected")
    online = between(BOOT, 41.2, 42.0)
    always(online, ids.SATELLITE)
    assert not any(frame.ready(volume) for frame in online for volume in VOLUMES[:3])
    always(between(BOOT, 42.1, 48.0), volume)


def test_a_kept_path_of_another_volumes_device_is_never_believed() -> None:
    """After ONLINE LINSTOR reports auto-a well at /dev/loop4, behind which another volume's file is by now."""
    (first, *_), subject = between(BOOT, 41.7, 42.0), ids.volume(VOLUMES[0])
    assert first.named["auto-a/0"] == "/dev/loop4"
    assert first.attached["/dev/loop4"] == "/srv/poolb-n1/thick-n1_00000.img"
    always(between(BOOT, 41.7, 42.0), subject, "device.wrong")
    (finding,) = first.report.about(subject)
    assert "/srv/poolb-n1/thick-n1_00000.img" in finding.observed
    assert finding.waiting, "the satellite's run puts it right"


def test_a_controller_restarts() -> None:
    """Nothing answers for 47 s; then nodes are OFFLINE and paths forgotten, although every device stayed."""
    gone = between(RESTART, 1.3, 48.0)
    always(gone, ids.CONTROLLER, "controller.refused")
    assert {frame.report.ready(ids.SATELLITE) for frame in gone} == {False}
    back = between(RESTART, 48.3, 51.0)
    always(back, ids.CONTROLLER)
    assert "satellite.offline" in back[0].codes(ids.SATELLITE)
    always(back, ids.volume(BOTH), "volume.not-reported", "volume.path-missing")
    # Reported and ONLINE, and still without a path: Incus would be told nothing to open.
    online = between(RESTART, 52.5, 54.1)
    always(online, ids.SATELLITE)
    always(online, ids.volume(BOTH), "volume.path-missing")
    assert all(frame.is_there(volume) for volume in VOLUMES for frame in between(RESTART, 55, 58))


def test_a_node_in_a_black_hole() -> None:
    """The loss is noticed after 7 s; the way back takes 12 s after the hole has closed."""
    always(between(HOLE, 8.5, 43.0), ids.SATELLITE, "satellite.offline")
    always(between(HOLE, 8.5, 43.0), ids.volume(BOTH), "volume.not-reported")
    always(between(HOLE, 43.5, 43.9), ids.SATELLITE, "satellite.connected")
    always(between(HOLE, 44.1, 56.0), ids.SATELLITE)


def test_online_with_a_device_manager_that_hangs() -> None:
    """ONLINE from 34 s on, not one device until 106 s: Incus takes that for ready."""
    stuck = between(STUCK, 34.5, 106.0)
    always(stuck, ids.volume(BOTH), "volume.not-reported", "device.no-data")
    assert not any(frame.ready(volume) for frame in stuck for volume in VOLUMES)
    always(between(STUCK, 107.5, 150.0), ids.volume(BOTH))


@pytest.mark.parametrize(("case", "since", "until"), [(STUCK, 34, 106), (FALSE, 0.1, 29)])
def test_an_online_that_nothing_follows_is_not_believed_for_ever(
    case: str, since: float, until: float
) -> None:
    """With the default of 120 s both recordings end too early: 15 s show the same."""
    policy = HealthPolicy(false_online_after=15.0)
    always(between(case, since + 1, since + 12, policy), ids.SATELLITE)
    late = between(case, since + 17, until, policy)
    always(late, ids.SATELLITE, "satellite.false-online")
    assert not any(frame.report.ready(ids.SATELLITE) for frame in late)
    told = {finding.code: finding for finding in late[-1].report.about(ids.SATELLITE)}
    assert "reconnect" in told["satellite.false-online"].remedy
    assert told[PROGRESS].observed.startswith("0 of ")


@pytest.mark.parametrize("case", [NO_POOL, ONE_LOST])
def test_a_volume_that_was_made_anew_and_empty_is_told_as_such(case: str) -> None:
    """facts/linstor-observed.md A5, A19: ONLINE, READY, every path there, and nothing says that the data are elsewhere."""
    emptied = [frame for frame in frames(case) if "device.empty" in frame.codes(ids.volume(BOTH))]
    assert emptied
    assert not any(frame.ready(BOTH) for frame in emptied)
    told = {one.code: one for one in emptied[-1].report.about(ids.volume(BOTH))}["device.empty"]
    assert "holds nothing, it held ext4" in told.observed
    assert "Start nothing on it" in told.remedy
    assert not told.waiting


def test_a_tool_that_was_missing_when_the_satellite_looked() -> None:
    """facts/linstor-observed.md A17: ONLINE, pools well, and the kind of storage among the unsupported."""
    told = [
        one
        for frame in frames(NO_TOOL)
        for one in frame.report.about(ids.SATELLITE)
        if one.code == "satellite.no-provider"
    ]
    assert told
    assert any("FILE_THIN is not among what n1 can do" in one.observed for one in told)
    assert "reconnect n1" in told[0].remedy


def test_another_nodes_satellite_is_down() -> None:
    """b10: nothing of this node's own is touched, so nothing is said of it but who is away."""
    found = between(PEER_DOWN, 1.0, 600.0)
    always(found, ids.SATELLITE)
    for volume in VOLUMES:
        always(found, ids.volume(volume))
    assert all(frame.ready(volume) for frame in found for volume in VOLUMES)


def test_a_satellite_boots_and_no_controller_is_there_for_a_minute() -> None:
    alone = between(NOBODY, 5.0, 80.0)
    always(alone, ids.CONTROLLER, "controller.refused")
    assert not any(frame.ready(volume) for frame in alone for volume in VOLUMES)
    told = alone[-1].report.about(ids.CONTROLLER)[0]
    assert "systemctl start linstor-controller" in told.remedy


def test_a_satellite_that_was_stopped_in_its_tracks() -> None:
    """d1: ONLINE is stale for 7 s, and the ONLINE that comes afterwards is false: by its own log it ignored the full sync."""
    always(between(STOPPED, 2.5, 8.0), ids.SATELLITE)
    away = between(STOPPED, 10.5, 44.5)
    always(away, ids.SATELLITE, "satellite.offline")
    after = between(STOPPED, 46.0, 70.0)
    assert not any(frame.ready(volume) for frame in after for volume in VOLUMES)
    told = {one.code: one for one in after[-1].report.about(ids.SATELLITE)}
    assert "0 of " in told[PROGRESS].observed
    assert "ignored an outdated full sync" in told[PROGRESS].observed


def test_a_device_manager_that_hangs_later_takes_no_device_away() -> None:
    found = between(HANGING, 2.0, 28.0)
    always(found, ids.SATELLITE)
    assert all(frame.ready(BOTH) for frame in found)


def test_online_though_not_one_volume_could_be_prepared() -> None:
    """x1b: READY=1 and ONLINE, every run fails, nothing is there (facts/linstor-observed.md A9, A10)."""
    found = between(THROWS, 9.0, 30.0)
    assert not any(frame.ready(volume) for frame in found for volume in VOLUMES)
    told = {one.code for one in found[-1].report.about(ids.SATELLITE)}
    assert {PROGRESS, REPORTS} <= told
    always(
        found,
        ids.volume(BOTH),
        *("volume.not-reported", "volume.path-missing", "device.not-looked"),
    )
