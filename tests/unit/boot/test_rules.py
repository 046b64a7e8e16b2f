"""Causes that no recording shows: lines as the programs write them (facts/incus.md, facts/linstor.md, facts/*observed.md), and what must follow."""

import msgspec
import pytest
from tests import recordings
from tests.boot_journals import Journal, codes

from tidegate.boot import analyse
from tidegate.boot.codes import CODES, document
from tidegate.boot.model import BootAnalysis, Cause, Hints, Outcome, Status

ATTEMPT = 'level=warning msg="Failed auto start instance attempt" attempt={n} err="{err}" instance={name} maxAttempts=3 project=default'
LOST = 'level=error msg="Failed to auto start instance" err="{err}" instance={name} project=default'
POOL = 'level=error msg="Failed mounting storage pool" err="{err}" pool=remote'


def lose(journal: Journal, name: str, err: str, at: float) -> None:
    for n in (1, 2, 3):
        journal.incus(ATTEMPT.format(n=n, err=err, name=name), at=at + 5 * (n - 1))
    journal.incus(LOST.format(err=err, name=name), at=at + 10.01)


def cause(boot: BootAnalysis, code: str) -> Cause:
    return next(one for one in boot.causes if one.code == code)


def test_a_boot_without_fault_has_nothing_wrong() -> None:
    journal = Journal().host_up().satellite_up(2, connects=10, run=14).incus_up(20, 24)

    boot = journal.analyse()

    assert boot.status is Status.NOTHING_WRONG
    assert boot.first_causes == ()
    assert boot.verdict == "nothing wrong: Incus and what it starts were up at 24 s."


@pytest.mark.parametrize(
    ("err", "code"),
    [
        (
            'Get \\"http://10.0.0.1:3370/v1/nodes/n1\\": dial tcp 10.0.0.1:3370: connect: connection refused',
            "controller.refused",
        ),
        ("dial tcp 10.0.0.1:3370: connect: no route to host", "controller.unreachable"),
        ("dial tcp 10.0.0.1:3370: i/o timeout", "controller.black-holed"),
        ("dial tcp: lookup ctl.example on 127.0.0.53:53: server misbehaving", "controller.name"),
        ("x509: certificate has expired or is not yet valid", "controller.tls"),
        ("404 Not Found", "controller.node-unknown"),
        ("Message: 'no'; Cause: 'x'", "controller.error"),
        ("LINSTOR satellite executable not found", "satellite.not-installed"),
        ("mkdir /var/lib/incus/storage-pools/remote: no space left on device", "host.disk-full"),
    ],
)
def test_why_a_pool_was_not_mounted(err: str, code: str) -> None:
    journal = Journal().host_up().satellite_up(2, connects=3, run=4).incus_up(6, 9)
    journal.incus(POOL.format(err=err), at=6.3)

    boot = journal.analyse()

    assert codes(boot) == [code]
    assert "pool.unavailable:pool/remote" in boot.first_causes[0].effects
    assert any("Failed mounting" in line.text for line in boot.first_causes[0].evidence)


def test_the_satellite_never_gets_its_full_sync() -> None:
    journal = Journal().host_up().satellite_up(2).incus_up(6, 9)
    journal.satellite("Controller connected and authenticated (10.0.0.1:1/1)", at=10)
    journal.satellite("FullSync error: missing required ext tools 3", at=11, level="ERROR")
    journal.incus(POOL.format(err="Node n1 is offline"), at=6.3)
    journal.incus(POOL.format(err="Node n1 is offline"), at=66.3)

    boot = journal.analyse()

    assert codes(boot)[0] == "satellite.never-synced"
    assert "missing required ext tools" in boot.first_causes[0].sentence


def test_a_controller_that_comes_late_is_the_cause_of_a_late_satellite() -> None:
    journal = Journal().host_up().satellite_up(2, connects=80, run=84).incus_up(3, 5)
    journal.incus(POOL.format(err="Node n1 is offline"), at=3.3)

    boot = journal.analyse()

    assert codes(boot) == ["controller.late"]
    assert [one.code for one in boot.causes[:3]] == [
        "controller.late",
        "satellite.late",
        "pool.unavailable",
    ]


def test_an_order_that_was_meant_and_does_not_act() -> None:
    journal = Journal().host_up()
    journal.systemd("Starting linstor-satellite.service - LINSTOR Satellite Service...", at=2)
    journal.incus_up(2.1, 4)
    journal.incus(POOL.format(err="Node n1 is offline"), at=2.4)
    journal.satellite("LINSTOR, Module Satellite", level="", at=2.5)
    journal.satellite("NetComService started on port /0:0:0:0:0:0:0:0:3366", at=12)
    journal.satellite("Controller connected and authenticated (10.0.0.1:1/1)", at=14)
    journal.satellite("FullSync sending response 3", at=16)
    journal.systemd("Started linstor-satellite.service - LINSTOR Satellite Service.", at=18)

    boot = journal.analyse()

    assert codes(boot) == ["order.broken"]
    assert "does not act on incus.service" in boot.first_causes[0].sentence


def test_a_circle_that_systemd_cut_is_named_with_the_job_thrown_away() -> None:
    journal = Journal()
    journal.systemd(
        "incus.service: Found ordering cycle on linstor-satellite.service/start", priority=3
    )
    journal.systemd(
        "incus.service: Job linstor-satellite.service/start deleted to break ordering cycle starting with incus.service/start",
        priority=3,
    )
    journal.host_up().incus_up(3, 5)
    journal.incus(POOL.format(err="Node n1 is offline"), at=3.3)

    boot = journal.analyse()

    assert codes(boot) == ["order.cycle"]
    assert "linstor-satellite.service" in boot.first_causes[0].sentence
    assert cause(boot, "satellite.not-started").key in boot.first_causes[0].effects


def test_a_satellite_killed_for_its_memory() -> None:
    journal = Journal().host_up().satellite_up(2)
    journal.kernel(
        "Out of memory: Killed process 308 (java) total-vm:4523456kB, anon-rss:1823456kB",
        at=9,
        priority=3,
    )
    journal.systemd(
        "linstor-satellite.service: Main process exited, code=killed, status=9/KILL",
        at=9.1,
        priority=4,
    )
    journal.systemd("linstor-satellite.service: Failed with result 'oom-kill'.", at=9.2, priority=4)
    journal.incus_up(10, 12)
    journal.incus(POOL.format(err="Node n1 is offline"), at=10.3)

    boot = journal.analyse()

    assert codes(boot) == ["host.out-of-memory"]
    assert [one.code for one in boot.causes[:3]] == [
        "host.out-of-memory",
        "satellite.killed",
        "pool.unavailable",
    ]
    assert boot.status is Status.DOWN


def test_a_volume_group_that_was_not_there() -> None:
    journal = Journal().host_up().satellite_up(2, connects=8)
    journal.satellite(
        "Volume group 'vg0' does not exist [Report number 6B03EFC8-63795-000002]",
        at=9.2,
        level="ERROR",
    )
    journal.satellite("Not calling 'systemd-notify' as NOTIFY_SOCKET is null", at=40, level="WARN")
    journal.incus_up(20, 45)
    lose(journal, "c1", "open /dev/drbd1000: no such file or directory", 21)

    boot = journal.analyse()

    assert codes(boot) == ["storage.missing"]
    assert boot.first_causes[0].subject == "storage/vg0"
    assert [one.code for one in boot.causes[:3]] == [
        "storage.missing",
        "devices.late",
        "instance.lost",
    ]


def test_the_module_that_did_not_load_because_its_unit_timed_out() -> None:
    journal = Journal()
    journal.systemd(
        "systemd-modules-load.service: start operation timed out. Terminating.", at=90, priority=4
    )
    journal.kernel("drbd: ran out of memory", at=90.1, priority=3)
    journal.incus_up(95, 130)
    journal.incus(
        'level=error msg="Failed loading storage pool" err="Could not determine DRBD module version: Module not loaded" pool=remote',
        at=95.3,
    )
    lose(journal, "c1", "Could not determine DRBD module version: Module not loaded", 96)

    boot = journal.analyse()

    assert codes(boot) == ["unit.failed"]
    assert [one.code for one in boot.causes[:2]] == ["unit.failed", "drbd.module-missing"]


@pytest.mark.parametrize(
    ("kernel", "err", "code"),
    [
        (
            [
                "drbd r0: 1 of 3 nodes visible, need 2 for quorum",
                "drbd r0: Auto-promote failed: No quorum (-25)",
            ],
            "open /dev/drbd1000: no data available",
            "drbd.quorum-lost",
        ),
        (
            ["drbd r0 n2: conn( Connecting -> Connected ) peer( Unknown -> Primary ) [connected]"],
            "open /dev/drbd1000: wrong medium type",
            "drbd.peer-primary",
        ),
        (
            [
                "drbd r0: Auto-promote failed: Multiple primaries not allowed by config (-1)",
                "drbd r0 n2: peer( Secondary -> Primary ) [remote]",
            ],
            "Failed to mount: read-only file system",
            "drbd.peer-primary",
        ),
        (
            ["drbd r0/0 drbd1000: disk( Attaching -> UpToDate ) [attach]"],
            "open /dev/drbd1000: no data available",
            "drbd.quorum-lost",  # an UpToDate disk gives no data only without quorum
        ),
        (
            ["drbd r0/0 drbd1000: Local IO failed in drbd_request_endio. Detaching..."],
            "read /dev/drbd1000: input/output error",
            "drbd.io-error",
        ),
        (
            [],
            'Failed to mount \\"/dev/drbd1000\\" on \\"/x\\" using \\"ext4\\": invalid argument',
            "volume.not-mountable",
        ),
        (
            [],
            "Could not mount volume: Could not make resource available on node: no storage pool",
            "volume.not-available",
        ),
    ],
)
def test_why_an_instance_was_lost(kernel: list[str], err: str, code: str) -> None:
    journal = Journal().host_up().satellite_up(2, connects=4, run=6)
    for number, line in enumerate(kernel):
        journal.kernel(line, at=7 + number * 0.1)
    journal.incus_up(10, 25)
    lose(journal, "c1", err, 11)

    boot = journal.analyse()

    assert codes(boot)[0] == code
    assert "instance/default/c1" in boot.first_causes[0].effects
    assert boot.instances[0].outcome is Outcome.LOST
    assert boot.status is Status.DOWN


def test_a_split_brain_that_hurt_nobody_yet_is_told() -> None:
    journal = Journal().host_up().satellite_up(2, connects=4, run=6).incus_up(10, 12)
    journal.kernel(
        "drbd r0/0 drbd1000 n2: Split-Brain detected but unresolved, dropping connection!",
        at=7,
        priority=1,
    )

    boot = journal.analyse()

    assert codes(boot) == ["drbd.split-brain"]
    assert boot.status is not Status.NOTHING_WRONG


def test_incusd_crashes_on_an_empty_answer() -> None:
    journal = Journal().host_up().satellite_up(2, connects=4, run=6)
    journal.systemd("Starting incus.service - Incus - Main daemon...", at=10)
    for line in (
        "panic: runtime error: index out of range [0] with length 0",
        "goroutine 1 [running]:",
    ):
        journal.say("startup", line, unit="incus.service", at=11)
    journal.systemd(
        "incus.service: Main process exited, code=exited, status=2/INVALIDARGUMENT",
        at=11.1,
        priority=4,
    )

    boot = journal.analyse()

    assert codes(boot) == ["incus.panic"]
    assert "no volumes" in boot.first_causes[0].sentence
    assert boot.status is Status.DOWN


def test_incusd_refuses_to_start_because_its_images_lie_on_an_unavailable_pool() -> None:
    journal = Journal().host_up().satellite_up(2)
    journal.systemd("Starting incus.service - Incus - Main daemon...", at=10)
    journal.incus(POOL.format(err="Node n1 is offline"), at=10.3)
    journal.incus(
        'level=error msg="Failed to start the daemon" err="Failed to mount images storage: Failed to mount storage volume \\"remote/images\\": Storage pool is unavailable on this server"',
        at=10.4,
    )
    journal.systemd("incus.service: Failed with result 'exit-code'.", at=10.5, priority=4)

    boot = journal.analyse()

    assert codes(boot) == ["satellite.late"]
    assert [one.code for one in boot.causes[:3]] == [
        "satellite.late",
        "pool.unavailable",
        "incus.fatal",
    ]


def test_a_failed_requirement_keeps_incusd_from_starting() -> None:
    journal = Journal().host_up()
    journal.systemd("lxcfs.service: Failed with result 'exit-code'.", at=3, priority=4)
    journal.systemd("Failed to start lxcfs.service - FUSE filesystem for LXC.", at=3.1, priority=3)
    journal.systemd(
        "Dependency failed for incus.service - Incus - Main daemon.", at=3.2, priority=3
    )

    boot = journal.analyse()

    assert codes(boot) == ["unit.failed"]
    assert boot.first_causes[0].subject == "unit/lxcfs.service"
    assert [one.code for one in boot.causes[:2]] == ["unit.failed", "incus.dependency-failed"]


def test_incusd_is_killed_after_its_start_time_out() -> None:
    journal = Journal().host_up().satellite_up(2, connects=4, run=6)
    journal.systemd("Starting incus.service - Incus - Main daemon...", at=10)
    journal.incus(
        'level=warning msg="AppArmor support has been disabled because of lack of kernel support"',
        at=10.2,
    )
    journal.systemd(
        "incus.service: start-post operation timed out. Terminating.", at=610, priority=4
    )
    journal.systemd("incus.service: State 'stop-sigterm' timed out. Killing.", at=940, priority=4)

    boot = journal.analyse()

    assert codes(boot)[0] == "controller.no-answer"
    assert {"incus.start-timeout", "incus.killed"} <= {one.code for one in boot.causes}


def test_a_network_that_comes_late_stands_before_an_unreachable_controller() -> None:
    journal = Journal()
    journal.say(
        "systemd-networkd-wait-online",
        "Timeout occurred while waiting for network connectivity.",
        at=120,
        priority=3,
    )
    journal.systemd(
        "systemd-networkd-wait-online.service: Failed with result 'exit-code'.",
        at=120.1,
        priority=4,
    )
    journal.incus_up(121, 124)
    journal.incus(
        POOL.format(err="dial tcp 10.0.0.1:3370: connect: network is unreachable"), at=121.3
    )
    journal.say("systemd-networkd", "enp0s4: Gained carrier", at=150)

    boot = journal.analyse()

    assert codes(boot)[0] == "network.late"
    assert "150 s" in boot.first_causes[0].sentence


def test_a_controller_on_this_host_that_was_still_starting() -> None:
    journal = Journal().host_up().satellite_up(2)
    journal.systemd("Starting linstor-controller.service - LINSTOR Controller Service...", at=2.1)
    journal.incus_up(3, 5)
    journal.incus(POOL.format(err="dial tcp 127.0.0.1:3370: connect: connection refused"), at=3.3)
    journal.systemd("Started linstor-controller.service - LINSTOR Controller Service.", at=22)

    boot = journal.analyse()

    assert codes(boot) == ["controller.late"]
    assert [one.code for one in boot.causes[:2]] == ["controller.late", "controller.refused"]


def test_who_touched_the_socket_before_the_check() -> None:
    journal = Journal()
    journal.systemd("Listening on incus.socket - Incus - Daemon (unix socket).", at=1)
    journal.incus_up(1.5, 4)
    journal.incus(POOL.format(err="Node n1 is offline"), at=1.9)
    journal.systemd("Starting incus-startup.service - Incus - Startup check...", at=2.5)
    journal.satellite_up(3, connects=10, run=12)

    boot = journal.analyse()

    assert codes(boot) == ["incus.socket-early"]


def test_the_gate_that_gave_up_names_what_it_waited_for() -> None:
    journal = Journal().host_up().satellite_up(2)
    journal.systemd(
        "Starting tidegate-ready.service - Tidegate: storage for Incus is ready...", at=2.5
    )
    journal.say(
        "tidegate",
        "holds Incus: waits for 1 s, 0 of 3 ready: satellite: OFFLINE for 1 s",
        at=3.5,
        unit="tidegate-ready.service",
    )
    journal.say(
        "tidegate",
        "Incus is let go after 300.0 s: satellite: OFFLINE for 300 s",
        at=302.5,
        unit="tidegate-ready.service",
        priority=4,
    )
    journal.systemd(
        "Finished tidegate-ready.service - Tidegate: storage for Incus is ready.", at=302.6
    )
    journal.incus_up(303, 306)
    journal.incus(POOL.format(err="Node n1 is offline"), at=303.3)

    boot = journal.analyse()

    assert codes(boot) == ["satellite.no-controller"]
    assert "gate.timed-out:host" in boot.first_causes[0].effects
    assert "Tidegate's gate let Incus go" in cause(boot, "gate.timed-out").sentence


def test_a_full_disk_is_told_whoever_says_so() -> None:
    journal = Journal().host_up().satellite_up(2, connects=4, run=6).incus_up(10, 12)
    journal.say(
        "rsyslogd", "file '/var/log/syslog': write error: No space left on device", at=9, priority=3
    )

    assert codes(journal.analyse()) == ["host.disk-full"]


def test_hints_tell_which_instances_should_run() -> None:
    journal = Journal().host_up()
    journal.systemd("Finished incus-startup.service - Incus - Startup check.", at=5)

    quiet = journal.analyse()
    told = journal.analyse(hints=Hints(instances={"default/c1": "remote"}))

    assert quiet.first_causes == ()
    assert codes(told) == ["incus.never-started"]
    assert told.status is Status.DOWN


def test_what_happens_at_shutdown_is_no_fault() -> None:
    journal = Journal().host_up().satellite_up(2, connects=4, run=6).incus_up(10, 12)
    journal.systemd("Stopped target multi-user.target - Multi-User System.", at=100)
    journal.systemd("Stopping linstor-satellite.service - LINSTOR Satellite Service...", at=100.1)
    journal.systemd("Stopped linstor-satellite.service - LINSTOR Satellite Service.", at=101)
    journal.incus(POOL.format(err="Node n1 is offline"), at=101.5)

    boot = journal.analyse()

    assert boot.ended
    assert boot.status is Status.NOTHING_WRONG


def test_every_code_has_a_meaning_and_a_remedy() -> None:
    for code, entry in CODES.items():
        layer, dot, slug = code.partition(".")
        assert layer, dot
        assert slug
        assert entry.means.endswith(".")
        assert entry.remedy


def test_a_disk_without_good_data_waits_for_its_peer() -> None:
    journal = Journal().host_up().satellite_up(2, connects=4, run=9)
    journal.kernel("drbd r0/0 drbd1000: disk( Attaching -> Outdated ) [attach]", at=6)
    journal.kernel("drbd r0 n2: conn( Unconnected -> Connecting ) [connecting]", at=6.1)
    journal.incus_up(10, 25)
    lose(journal, "c1", "open /dev/drbd1000: no data available", 11)

    boot = journal.analyse()

    assert codes(boot) == ["drbd.no-data"]
    assert "Outdated" in boot.first_causes[0].sentence


def test_a_mount_that_does_not_come_stops_the_boot() -> None:
    journal = Journal()
    journal.systemd(
        "dev-disk-by\\x2duuid-1234.device: Job dev-disk-by\\x2duuid-1234.device/start timed out.",
        at=90,
        priority=4,
    )
    journal.systemd(
        "Timed out waiting for device dev-disk-by\\x2duuid-1234.device - /dev/disk/by-uuid/1234.",
        at=90,
        priority=3,
    )
    journal.systemd("Dependency failed for srv-pool.mount - /srv/pool.", at=90.1, priority=3)
    journal.systemd(
        "Dependency failed for local-fs.target - Local File Systems.", at=90.2, priority=3
    )

    boot = journal.analyse()

    assert codes(boot) == ["unit.failed"]
    assert "emergency mode" in boot.first_causes[0].sentence
    assert boot.status is Status.DOWN


def test_a_network_of_incus_that_does_not_come_up() -> None:
    journal = Journal().host_up().satellite_up(2, connects=4, run=6).incus_up(10, 12)
    journal.incus(
        'level=error msg="Failed initializing network" err="Failed starting: no such device" network=br0 project=default',
        at=10.3,
    )

    assert codes(journal.analyse()) == ["incus.network-failed"]


def test_a_cluster_without_a_leader_explains_the_silence() -> None:
    journal = Journal().host_up().satellite_up(2, connects=4, run=6)
    journal.systemd("Starting incus.service - Incus - Main daemon...", at=10)
    for at in (12, 22, 32, 42):
        journal.incus(
            'level=warning msg="Failed connecting to global database" attempt=6 err="no available cowsql leader server found"',
            at=at,
        )
    journal.systemd("Finished incus-startup.service - Incus - Startup check.", at=60)
    journal.systemd("Started incus.service - Incus - Main daemon.", at=61)

    assert codes(journal.analyse()) == ["incus.waiting-cluster"]


def test_lines_that_journald_threw_away_are_said() -> None:
    journal = Journal().host_up()
    journal.say("systemd-journald", "Suppressed 1234 messages from linstor-satellite.service")

    assert any(
        "1234 lines of linstor-satellite.service" in note for note in journal.analyse().notes
    )


def test_a_satellite_that_is_never_ready_holds_incus_for_ever() -> None:
    journal = Journal().host_up()
    journal.systemd("Starting linstor-satellite.service - LINSTOR Satellite Service...", at=2)
    journal.say("cron", "a quarter of an hour later", at=900)

    boot = journal.analyse()

    assert codes(boot) == ["satellite.never-ready"]
    assert "incus" in boot.first_causes[0].effects
    assert "deadlock" in boot.first_causes[0].tell


def test_an_incusd_that_only_the_agent_started_after_a_power_cut() -> None:
    first = Journal(boot="a" * 32).host_up().satellite_up(2, connects=3, run=4).incus_up(5, 7)
    second = Journal(boot="c" * 32).host_up().satellite_up(2, connects=3, run=4)
    second.systemd("Finished incus-startup.service - Incus - Startup check.", at=5)
    second.systemd("Starting incus.service - Incus - Main daemon...", at=60)
    second.systemd("Started incus.service - Incus - Main daemon.", at=62)
    later = [msgspec.structs.replace(line, wall=(line.wall or 0) + 1000) for line in second.lines]

    boot = analyse([*first.lines, *later])

    assert codes(boot) == ["incus.never-started"]
    assert boot.status is Status.LATE


def test_the_page_on_causes_is_current() -> None:
    current = (recordings.ROOT / "docs" / "causes.md").read_text(encoding="utf-8")

    assert current == document(), "run: .venv/bin/python tools/make_docs.py"


def test_a_report_of_the_satellite_that_hurt_nobody_is_a_remark() -> None:
    journal = Journal().host_up().satellite_up(2, connects=4, run=6)
    journal.satellite("Something odd [Report number 6B03EFC8-63795-000002]", at=6.5, level="ERROR")
    journal.incus_up(10, 12)

    boot = journal.analyse()

    assert boot.status is Status.NOTHING_WRONG
    assert [one.code for one in boot.causes] == ["satellite.error"]


@pytest.mark.parametrize(
    "line",
    [
        "I/O error, dev fd0, sector 0 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2",
        "Memory cgroup out of memory: Killed process 4711 (mysqld) total-vm:4523456kB",
    ],
)
def test_what_is_no_fault_of_the_host(line: str) -> None:
    journal = Journal().host_up().satellite_up(2, connects=4, run=6).incus_up(10, 12)
    journal.kernel(line, at=11, priority=3)

    assert journal.analyse().status is Status.NOTHING_WRONG
