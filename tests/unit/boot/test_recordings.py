"""Every recorded boot has its right first cause, with the lines that prove it. The table is the yardstick: file → what it was."""

import pytest
from tests import boot_journals

from tidegate.boot.model import BootAnalysis, Status

EXPECTED = {
    # a real node with a real satellite
    "real/r-crash.json.gz": ("satellite.late", Status.COMING_UP, "Node r1 is offline"),
    "real/r-notify-order.json.gz": ("", Status.NOTHING_WRONG, ""),
    "real/r-notify-ctrl-down.json.gz": (
        "satellite.start-timeout",
        Status.DOWN,
        "start operation timed out",
    ),
    "real/r-satellite-killed-15s.json.gz": ("satellite.killed", Status.DOWN, "status=9/KILL"),
    # the first boot lab
    "incus/s0-nominal-verbose.json.gz": ("", Status.NOTHING_WRONG, ""),
    "incus/s1-offline-25s.json.gz": ("satellite.offline", Status.LATE, "Node n1 is offline"),
    "incus/s4-devmissing-40s.json.gz": ("devices.late", Status.DOWN, "no such file or directory"),
    "incus/s6-http500-25s.json.gz": ("controller.error", Status.LATE, "fake failure"),
    # Incus, LINSTOR and DRBD 9
    "fullstack/s2-power-loss.json.gz": ("satellite.late", Status.LATE, "Node n1 is offline"),
    "fullstack/e0-stock-all-restarted.json.gz": (
        "devices.late",
        Status.DOWN,
        "open : no such file",
    ),
    "fullstack/e1-devices-first.json.gz": ("satellite.late", Status.LATE, "Node n1 is offline"),
    "fullstack/s6-recipe-notify-before-incus-controller-down.json.gz": (
        "drbd.split-brain",
        Status.LATE,
        "Split-Brain detected but unresolved",
    ),
    "fullstack/s6b-satellite.txt.gz": (
        "satellite.no-controller",
        Status.LATE,
        "NetComService started",
    ),
    # LINSTOR's own logs
    "linstor/b1_satellite_boot_controller_up.log.gz": ("", Status.NOTHING_WRONG, ""),
    "linstor/b2_controller_down_then_up_20s_after_satellite_start.log.gz": (
        "satellite.no-controller",
        Status.LATE,
        "NetComService started",
    ),
    "linstor/b11_satellite_boot_no_controller_60s.log.gz": (
        "satellite.no-controller",
        Status.LATE,
        "NetComService started",
    ),
    "linstor/c2_pool_directory_missing_at_start": (
        "storage.missing",
        Status.LATE,
        "df: /srv/pool-n1/data: No such file",
    ),
    "linstor/c6_one_backing_file_lost.log.gz": (
        "storage.made-anew",
        Status.LATE,
        "Volume number 0 of resource 'both' [FILE THIN] created",
    ),
    "linstor/b7_black_hole_30s.log.gz": (
        "controller.away",
        Status.LATE,
        "Establishing connection to node 'n1'",
    ),
    "linstor/c4_losetup_missing_at_start.log.gz": (
        "satellite.tool-missing",
        Status.LATE,
        "Failed to list loop back devices",
    ),
    "linstor/c8_device_manager_stuck_at_start.log.gz": (
        "satellite.stuck",
        Status.LATE,
        "Begin DeviceManager cycle 0",
    ),
    "linstor/d1_satellite_sigstop_40s.log.gz": (
        "satellite.false-online",
        Status.DOWN,
        "outdated fullsync (6, expected: 7)",
    ),
    "linstor/h_drbd_utils_without_module.log.gz": (
        "drbd.module-missing",
        Status.LATE,
        "DRBD9_KERNEL: NOT supported",
    ),
    # the boot lab, stock
    "lab/s0-stock.txt.gz": ("", Status.NOTHING_WRONG, ""),
    "lab/s1-stock.txt.gz": ("satellite.offline", Status.COMING_UP, "Node n1 is offline"),
    "lab/s1-stock.export.gz": ("satellite.offline", Status.COMING_UP, "Node n1 is offline"),
    "lab/s2-stock.txt.gz": ("controller.refused", Status.COMING_UP, "connection refused"),
    "lab/s3-stock.txt.gz": ("drbd.module-late", Status.COMING_UP, "Module not loaded"),
    "lab/s4-stock.txt.gz": ("devices.late", Status.DOWN, "no such file or directory"),
    "lab/s5-stock.txt.gz": ("devices.late", Status.LATE, "no such file or directory"),
    "lab/s6-stock.txt.gz": ("controller.error", Status.COMING_UP, "An unknown error occurred"),
    "lab/s7-stock.txt.gz": ("controller.no-answer", Status.LATE, "Starting incus.service"),
    "lab/s8-stock.txt.gz": ("controller.no-answer", Status.LATE, "Starting incus.service"),
    "lab/s9-stock.txt.gz": ("volume.path-missing", Status.DOWN, "open : no such file"),
    # the boot lab, with our agent
    "lab/s0-agent.txt.gz": ("", Status.NOTHING_WRONG, ""),
    "lab/s1-agent.txt.gz": ("satellite.offline", Status.LATE, "Node n1 is offline"),
    "lab/s2-agent.txt.gz": ("controller.refused", Status.LATE, "connection refused"),
    "lab/s3-agent.txt.gz": ("drbd.module-late", Status.LATE, "Module not loaded"),
    "lab/s4-agent.txt.gz": ("devices.late", Status.LATE, "no such file or directory"),
    "lab/s4-agent.json.gz": ("devices.late", Status.LATE, "no such file or directory"),
    "lab/s5-agent.txt.gz": ("devices.late", Status.LATE, "no such file or directory"),
    "lab/s6-agent.txt.gz": ("controller.error", Status.LATE, "An unknown error occurred"),
    "lab/s7-agent.txt.gz": ("controller.black-holed", Status.LATE, "no connection within"),
    "lab/s8-agent.txt.gz": ("controller.hung", Status.LATE, "no complete answer"),
    "lab/s9-agent.txt.gz": ("volume.path-missing", Status.LATE, "open : no such file"),
    # … and with our gate
    "lab/s0-gate-1.txt.gz": ("", Status.NOTHING_WRONG, ""),
    "lab/s1-gate-1.txt.gz": ("satellite.offline", Status.LATE, "Started linstor-satellite.service"),
    "lab/s1-gate-agent-1.txt.gz": ("satellite.offline", Status.LATE, "OFFLINE"),
    "lab/s4-gate-1.txt.gz": ("devices.late", Status.LATE, "holds Incus"),
    "lab/s5-gate-1.txt.gz": ("devices.late", Status.LATE, "holds Incus"),
    "lab/s6-gate-1.txt.gz": ("controller.error", Status.LATE, "answered 500"),
    "lab/s9-gate-1.txt.gz": ("volume.path-missing", Status.LATE, "holds Incus"),
    # … and with our guard, which answers Incus in the controller's place
    "lab/s4-guard-agent.txt.gz": ("devices.late", Status.LATE, "answered with not ready"),
    "lab/s7-guard-agent.txt.gz": ("controller.black-holed", Status.LATE, "no connection within"),
    "lab/s8-guard-agent.txt.gz": ("controller.hung", Status.LATE, "no complete answer"),
    "lab/s9-guard-agent.txt.gz": ("volume.path-missing", Status.LATE, "no device path"),
    "lab/s10-guard-agent.txt.gz": ("volume.path-missing", Status.LATE, "empty list of volumes"),
    "lab/guard-hung-always-guard-agent.txt.gz": ("guard.failed", Status.LATE, "Watchdog timeout"),
    "lab/chain-peer-agent.txt.gz": ("satellite.offline", Status.LATE, "n2 is not connected"),
    "lab/s10-stock.txt.gz": ("incus.panic", Status.DOWN, "index out of range [0] with length 0"),
    "lab/naive-recipe-stock.txt.gz": (
        "satellite.start-timeout",
        Status.DOWN,
        "start operation timed out",
    ),
    "lab/loop-agent.txt.gz": ("controller.refused", Status.LATE, "connection refused"),
    "lab/power-agent.txt.gz": (
        "incus.never-started",
        Status.LATE,
        "Finished incus-startup.service",
    ),
    "lab/naive-gate.txt.gz": ("controller.refused", Status.LATE, "Connection refused"),
    "lab/limit-closed-gate-agent.txt.gz": ("controller.refused", Status.LATE, "Connection refused"),
    "lab/limit-open-gate-agent.txt.gz": ("controller.refused", Status.LATE, "connection refused"),
    "lab/gone-gate.txt.gz": ("volume.unknown", Status.DOWN, "Resource definition not found"),
    "lab/power-gate.txt.gz": ("incus.never-started", Status.DOWN, "Finished incus-startup.service"),
    "lab/shutdown-gate-agent.txt.gz": ("", Status.COMING_UP, ""),
}
"""File → code of the first cause (empty: nothing wrong), verdict, and a text that the evidence must hold. The last boot of each file."""


def last(name: str) -> BootAnalysis:
    return boot_journals.recorded(name)[-1]


@pytest.mark.parametrize("name", EXPECTED)
def test_a_recorded_boot_has_its_first_cause_with_its_lines(name: str) -> None:
    code, status, line = EXPECTED[name]
    boot = last(name)

    assert boot_journals.codes(boot)[:1] == ([code] if code else [])
    assert boot.status is status, boot.verdict
    if code:
        reached = [cause for cause in boot.causes if not cause.note]
        texts = [found.text for cause in reached for found in cause.evidence]
        assert any(line in text for text in texts), texts
        assert all(found.line > 0 for cause in reached for found in cause.evidence)
    else:
        assert boot.verdict.startswith(("nothing wrong", "the machine was shut down while"))


def test_what_only_the_errors_of_both_files_tell_is_put_together() -> None:
    boot = last("linstor/c2_pool_directory_missing_at_start")

    (cause,) = boot.first_causes
    assert cause.subject == "storage//srv/pool-n1/data"
    assert "new, empty volumes" in cause.sentence


def test_the_killed_satellite_is_first_and_the_absent_controller_beside_it() -> None:
    boot = last("real/r-notify-ctrl-down.json.gz")

    assert boot_journals.codes(boot) == ["satellite.start-timeout", "controller.refused"]
    timeout = boot.first_causes[0]
    assert "no controller had connected" in timeout.sentence
    assert "“Controller connected and authenticated” before the time-out" in timeout.not_seen
    assert "pool.unavailable:pool/remote" in timeout.effects


def test_a_silent_start_says_what_it_may_have_been_and_what_would_tell() -> None:
    (cause,) = last("lab/s7-stock.txt.gz").first_causes

    assert cause.confidence == "possible"
    assert {"controller.black-holed", "controller.hung"} <= set(cause.alternatives)
    assert "TCP connection" in cause.tell


def test_three_instances_were_lost_and_the_fourth_is_not_among_them() -> None:
    boot = last("fullstack/e0-stock-all-restarted.json.gz")

    lost = [story.name for story in boot.instances if story.outcome == "lost"]
    assert lost == ["c1", "c2", "c3"]
    assert [cause.code for cause in boot.causes[:2]] == ["devices.late", "volume.path-missing"]


def test_a_log_without_a_separator_of_boots_is_split_where_the_daemon_starts() -> None:
    boots = boot_journals.recorded("fullstack/e0-incusd.log")

    assert len(boots) == 6
    assert boot_journals.codes(boots[-1])[0] == "volume.path-missing"


def test_an_incusd_never_started_after_a_power_cut_is_told_from_one_that_had_nothing_to_do() -> (
    None
):
    boots = boot_journals.recorded("lab/power-gate.txt.gz")

    assert [boot_journals.codes(boot) for boot in boots] == [
        [],
        ["incus.never-started"],
        ["incus.never-started"],
    ]
    assert [boot.ended for boot in boots] == [False, False, False]


def test_the_steps_of_the_satellite_are_as_its_own_log_says() -> None:
    boot = last("real/r-crash.json.gz")

    times = {phase.name: phase.seconds for phase in boot.phases if phase.lane == "satellite"}
    # 07:31:20.19 unit started … 07:31:39.844 port, 52.296 controller, 54.275 answer, 55.634 first run over
    assert times["satellite.wait-controller"] == pytest.approx(12.452, abs=0.05)
    assert times["satellite.full-sync"] == pytest.approx(1.979, abs=0.05)
    assert times["satellite.first-run"] == pytest.approx(1.359, abs=0.05)


def test_one_trouble_after_the_other_is_told_where_the_agent_waited_for_both() -> None:
    boot = last("lab/chain-peer-agent.txt.gz")

    assert boot_journals.codes(boot) == ["satellite.offline", "drbd.peer-away"]
