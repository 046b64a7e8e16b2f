"""Faults as servers tell them: each has its first cause, in words that name it, and what is not storage's is not laid at its door.

The texts are the real programs' (their sources stand in the catalogue); the boots are made by hand, as no recording of them is at hand.
"""

import msgspec
import pytest
from tests.boot_journals import Journal, codes

from tidegate.boot import analyse
from tidegate.boot.model import Outcome, Status
from tidegate.report import masking

UNIT = "linstor-satellite.service"
CONTROLLER = "linstor-controller.service"
GET = 'Failed to connect to Linstor: Failed to create Linstor client: Get \\"http://10.20.0.9:3370/v1/controller/version\\": '
ROOT = "/var/lib/incus/storage-pools/remote/containers/c1"
NO_NODE = "open /dev/drbd1001: no such file or directory"
NO_DATA = "open /dev/drbd1001: no data available"
RES = "drbd incus-volume-a"
DISK = f"{RES}/0 drbd1001: disk( Attaching -> "


class Fault(msgspec.Struct, kw_only=True):
    """One boot: a satellite that comes up at 6 s (or does not), an Incus that asks at 7 s, and what is different."""

    code: str
    says: str
    """Words that must stand in the first cause's sentence, or in its lines."""
    lines: list[tuple[str, float, str]] = []
    """Who, when, what: ``kernel``, ``systemd``, ``satellite`` (its own words), ``java`` (words without its prefix), ``controller``, or a program."""
    up: bool = True
    """Whether the satellite comes up: connected at 15, first run over at 20."""
    module: bool = True
    offline: tuple[float, ...] = (7.0,)
    pool: str = ""
    """Error of the pool at 7, 67 and 127 instead of OFFLINE."""
    start: str = ""
    """Error of the three attempts to start c1, from 67 on."""
    incus: bool = True
    """Whether incusd comes up."""
    status: Status | None = None


def boot_of(fault: Fault) -> Journal:
    journal = Journal().host_up()
    if not fault.module:
        journal.lines = [line for line in journal.lines if "drbd" not in line.message]
    if fault.up:
        journal.satellite_up(6.0, connects=15.0, run=20.0)
    if fault.incus:
        journal.incus_up(6.5, 8.0)
    for at in (7.0, 67.0, 127.0) if fault.pool else fault.offline:
        err = fault.pool or "Node n1 is offline"
        word = "loading" if "DRBD" in err or "executable" in err else "mounting"
        journal.incus(
            f'level=error msg="Failed {word} storage pool" err="{err}" pool=remote', at=at
        )
    for number in (1, 2, 3) if fault.start else ():
        journal.incus(
            f'level=warning msg="Failed auto start instance attempt" attempt={number} err="{fault.start}" instance=c1 maxAttempts=3 project=default',
            at=62.2 + 5 * number,
        )
    if fault.start:
        journal.incus(
            f'level=error msg="Failed to auto start instance" err="{fault.start}" instance=c1 project=default',
            at=77.3,
        )
    for who, at, text in fault.lines:
        say(journal, who, at, text)
    journal.say("CRON", "(root) CMD (true)", at=max(140.0, journal.now))
    journal.lines.sort(key=lambda line: line.at or 0.0)
    return journal


def say(journal: Journal, who: str, at: float, text: str) -> None:
    match who:
        case "kernel":
            journal.kernel(text, at=at, priority=4)
        case "systemd":
            journal.systemd(text, at=at, priority=4)
        case "satellite":
            level = "ERROR" if "[Report" in text or "FullSync error" in text else "INFO"
            journal.satellite(text, at=at, level=level)
        case "java":
            journal.satellite(text, at=at, level="")
        case "controller":
            journal.say(
                "Controller",
                f"2026-11-24 00:00:00.000 [Main] ERROR LINSTOR/Controller/ff0000 SYSTEM - {text}",
                at=at,
                unit=CONTROLLER,
            )
        case _:
            journal.say(who, text, at=at, priority=4, unit=f"{who}.service")


def ends(
    status: str, at: float = 6.4, *, result: str = "exit-code"
) -> list[tuple[str, float, str]]:
    code = "killed" if result in {"signal", "oom-kill"} else "exited"
    return [
        ("systemd", 6.1, f"Started {UNIT} - LINSTOR Satellite Service."),
        ("systemd", at, f"{UNIT}: Main process exited, code={code}, status={status}"),
        ("systemd", at + 0.01, f"{UNIT}: Failed with result '{result}'."),
    ]


def attached(state: str = "UpToDate", at: float = 18.0) -> tuple[str, float, str]:
    return ("kernel", at, f"{DISK}{state} ) [attach]")


def module_refused(line: str, by: str = "") -> list[tuple[str, float, str]]:
    told = [("kernel", 1.4, by)] if by else []
    return [
        *told,
        ("systemd-modules-load", 1.5, line),
        ("systemd", 1.6, "systemd-modules-load.service: Failed with result 'exit-code'."),
        ("systemd", 1.6, "Failed to start systemd-modules-load.service - Load Kernel Modules."),
    ]


DOWN = (7.0, 67.0, 127.0)
NOT_LOADED = "Could not determine DRBD module version: Module not loaded"
NOT_MOUNTABLE = (
    f'Failed to mount \\"/dev/loop5\\" on \\"{ROOT}\\" using \\"ext4\\": invalid argument'
)

FAULTS = {
    # --- the satellite does not come up
    "no java": Fault(
        code="satellite.java",
        says="JAVA_HOME is not set",
        up=False,
        offline=DOWN,
        lines=[
            ("java", 6.3, "ERROR: JAVA_HOME is not set and no 'java' command could be found"),
            *ends("1/FAILURE"),
        ],
    ),
    "options of java": Fault(
        code="satellite.java",
        says="Unrecognized VM option 'UseSerialGCC'",
        up=False,
        offline=DOWN,
        lines=[
            ("java", 6.3, "Unrecognized VM option 'UseSerialGCC'"),
            ("java", 6.3, "Error: Could not create the Java Virtual Machine."),
            *ends("1/FAILURE"),
        ],
    ),
    "java is too old": Fault(
        code="satellite.java",
        says="UnsupportedClassVersionError",
        up=False,
        offline=DOWN,
        lines=[
            (
                "java",
                6.3,
                "\tjava.lang.UnsupportedClassVersionError: com/linbit/linstor/core/Satellite has been compiled by a more recent version",
            ),
            *ends("1/FAILURE"),
        ],
    ),
    "heap": Fault(
        code="satellite.java-memory",
        says="Java heap space",
        up=False,
        offline=DOWN,
        lines=[
            ("java", 10.0, "Terminating due to java.lang.OutOfMemoryError: Java heap space"),
            *ends("3/NOTIMPLEMENTED", 10.1),
        ],
    ),
    "program is not there": Fault(
        code="satellite.not-installed",
        says="/usr/share/linstor-server/bin/Satellite",
        up=False,
        offline=DOWN,
        lines=[
            (
                "java",
                6.2,
                f"{UNIT}: Failed at step EXEC spawning /usr/share/linstor-server/bin/Satellite: No such file or directory",
            ),
            *ends("203/EXEC", 6.2),
        ],
    ),
    "port is taken": Fault(
        code="satellite.port-taken",
        says="Address already in use",
        up=False,
        offline=DOWN,
        lines=[
            ("satellite", 11.0, "Address already in use [Report number 66F2B0A1-63795-000000]"),
            *ends("20/n/a", 11.5),
        ],
    ),
    "configuration": Fault(
        code="satellite.configuration",
        says="linstor_satellite.toml",
        up=False,
        offline=DOWN,
        lines=[
            (
                "java",
                7.0,
                "Unable to parse configuration file: '/etc/linstor/linstor_satellite.toml'",
            ),
            *ends("2/INVALIDARGUMENT", 7.1),
        ],
    ),
    "killed for its memory": Fault(
        code="host.out-of-memory",
        says="killed java",
        up=False,
        offline=DOWN,
        lines=[
            (
                "kernel",
                10.2,
                "Out of memory: Killed process 800 (java) total-vm:6543212kB, anon-rss:1823456kB",
            ),
            *ends("9/KILL", 10.3, result="oom-kill"),
        ],
    ),
    "again and again": Fault(
        code="satellite.failed",
        says="systemd gave it up",
        up=False,
        offline=DOWN,
        status=Status.DOWN,
        lines=[
            *ends("70/SOFTWARE", 7.0),
            ("systemd", 7.1, f"{UNIT}: Scheduled restart job, restart counter is at 1."),
            *[(who, at + 2, text) for who, at, text in ends("70/SOFTWARE", 7.0)],
            ("systemd", 9.2, f"{UNIT}: Start request repeated too quickly."),
        ],
    ),
    "another version": Fault(
        code="controller.version-mismatch",
        says="v1.33.2",
        up=False,
        offline=DOWN,
        lines=[
            ("systemd", 6.1, f"Started {UNIT} - LINSTOR Satellite Service."),
            ("java", 6.3, "LINSTOR, Module Satellite"),
            *(
                ("satellite", at, "Controller connected and authenticated (10.0.0.1:35898/1)")
                for at in (16.0, 26.0, 36.0)
            ),
            ("controller", 16.1, "Satellite 'n1' version mismatch(v1.33.2)."),
        ],
    ),
    "another version, told by nobody": Fault(
        code="satellite.never-synced",
        says="3 times",
        up=False,
        offline=DOWN,
        lines=[
            ("systemd", 6.1, f"Started {UNIT} - LINSTOR Satellite Service."),
            ("java", 6.3, "LINSTOR, Module Satellite"),
            *(
                ("satellite", at, "Controller connected and authenticated (10.0.0.1:35898/1)")
                for at in (16.0, 26.0, 36.0)
            ),
        ],
    ),
    "evicted": Fault(
        code="controller.turns-away",
        says="EVICTED",
        up=False,
        offline=DOWN,
        lines=[
            ("systemd", 6.1, f"Started {UNIT} - LINSTOR Satellite Service."),
            ("controller", 15.1, "Node n1 is evicted and will not be reconnected"),
        ],
    ),
    "drbd-utils are missing": Fault(
        code="satellite.tool-missing",
        says="drbd-utils",
        up=False,
        offline=DOWN,
        lines=[
            ("systemd", 6.1, f"Started {UNIT} - LINSTOR Satellite Service."),
            ("java", 6.3, "LINSTOR, Module Satellite"),
            ("satellite", 14.0, "Checking support for DRBD9_UTILS: NOT supported: "),
            ("satellite", 15.0, "Controller connected and authenticated (10.0.0.1:35898/1)"),
            ("satellite", 17.0, "FullSync error: missing required ext tools 3"),
        ],
    ),
    "false ONLINE": Fault(
        code="satellite.false-online",
        says="outdated",
        up=False,
        start=NO_NODE,
        lines=[
            ("systemd", 6.1, f"Started {UNIT} - LINSTOR Satellite Service."),
            ("java", 6.3, "LINSTOR, Module Satellite"),
            ("satellite", 15.0, "Controller connected and authenticated (10.0.0.1:35898/1)"),
            ("satellite", 16.0, "Ignored an incoming but outdated fullsync (3, expected: 4)"),
            ("satellite", 16.1, "FullSync successful 3"),
            ("satellite", 16.2, "FullSync sending response 3"),
        ],
    ),
    "a limit of its unit": Fault(
        code="host.out-of-memory",
        says="The memory limit of its unit",
        up=False,
        offline=DOWN,
        lines=[
            (
                "kernel",
                10.2,
                "Memory cgroup out of memory: Killed process 800 (java) total-vm:6543212kB, anon-rss:1823456kB",
            ),
            *ends("9/KILL", 10.3, result="oom-kill"),
        ],
    ),
    "a command before it": Fault(
        code="satellite.failed",
        says="a command of its unit before it failed",
        up=False,
        offline=DOWN,
        lines=[
            ("systemd", 6.2, f"{UNIT}: Control process exited, code=exited, status=1/FAILURE"),
            ("systemd", 6.3, f"{UNIT}: Failed with result 'exit-code'."),
        ],
    ),
    "too many watches": Fault(
        code="satellite.failed",
        says="it said “User limit of inotify instances reached",
        up=False,
        offline=DOWN,
        lines=[
            (
                "satellite",
                10.0,
                "User limit of inotify instances reached or too many open files [Report number 66F2B0A1-63795-000000]",
            ),
            *ends("20/n/a", 10.4),
        ],
    ),
    "incusd is killed": Fault(
        code="incus.ended",
        says="killed 9/KILL; it was there again at 23 s",
        status=Status.LATE,
        lines=[
            ("systemd", 20.0, "incus.service: Main process exited, code=killed, status=9/KILL"),
            ("systemd", 20.0, "incus.service: Failed with result 'signal'."),
            ("systemd", 20.3, "Starting incus.service - Incus - Main daemon..."),
            ("systemd", 23.0, "Started incus.service - Incus - Main daemon."),
        ],
    ),
    # --- the controller
    "another server answers": Fault(
        code="controller.error",
        says="looking for beginning of value",
        pool="invalid character '<' looking for beginning of value",
    ),
    "no passphrase": Fault(
        code="controller.passphrase",
        says="encryption key is not known yet",
        start=NO_NODE,
        lines=[
            (
                "satellite",
                18.0,
                "Skipped actions for encrypted resource 'incus-volume-a' because the encryption key is not known yet",
            )
        ],
    ),
    "no route": Fault(
        code="controller.unreachable",
        says="no route to host",
        pool=f"{GET}dial tcp 10.20.0.9:3370: connect: no route to host",
    ),
    "black hole": Fault(
        code="controller.black-holed",
        says="in time",
        pool=f"{GET}dial tcp 10.20.0.9:3370: i/o timeout",
    ),
    "no answer": Fault(
        code="controller.hung",
        says="did not answer",
        pool=f"{GET}context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
    ),
    "name": Fault(
        code="controller.name",
        says="not resolved",
        pool=f"{GET}dial tcp: lookup linstor.lan on 10.0.0.1:53: read udp 10.20.0.1:42313->10.0.0.1:53: i/o timeout",
    ),
    "plain and TLS": Fault(
        code="controller.tls",
        says="TLS failed",
        pool=f"{GET}http: server gave HTTP response to HTTPS client",
    ),
    "password": Fault(
        code="controller.denied",
        says="credentials",
        pool="Failed to connect to Linstor: Failed to create Linstor client: Message: 'Login failed. Bad credentials'",
    ),
    "its data base is held": Fault(
        code="controller.database",
        says="already in use",
        pool=f"{GET}dial tcp 127.0.0.1:3370: connect: connection refused",
        lines=[
            ("systemd", 6.1, f"Starting {CONTROLLER} - LINSTOR Controller Service..."),
            (
                "controller",
                11.0,
                "Database may be already in use: null. Possible solutions: close all other connection(s) [90020-197]",
            ),
            ("systemd", 11.5, f"{CONTROLLER}: Failed with result 'exit-code'."),
        ],
    ),
    # --- the module
    "module is not built": Fault(
        code="drbd.module-missing",
        says="not found for this kernel",
        module=False,
        pool=NOT_LOADED,
        start=NOT_LOADED,
        lines=module_refused("Failed to find module 'drbd'"),
    ),
    "secure boot": Fault(
        code="drbd.module-refused",
        says="signature",
        module=False,
        pool=NOT_LOADED,
        start=NOT_LOADED,
        lines=module_refused(
            "Failed to insert module 'drbd': Key was rejected by service",
            "Loading of module with unavailable key is rejected",
        ),
    ),
    "module of another kernel": Fault(
        code="drbd.module-refused",
        says="another kernel",
        module=False,
        pool=NOT_LOADED,
        start=NOT_LOADED,
        lines=module_refused(
            "Failed to insert module 'drbd': Exec format error",
            "drbd: disagrees about version of symbol module_layout",
        ),
    ),
    # --- DRBD
    "no quorum after a loss of all": Fault(
        code="drbd.quorum-lost",
        says="incus-volume-a",
        start=NO_DATA,
        lines=[
            ("kernel", 17.9, f"{RES}/0 drbd1001: disk( Diskless -> Attaching ) [attach]"),
            ("kernel", 18.0, f"{RES}: susp-io( no -> quorum ) [attach]"),
            attached(at=18.1),
        ],
    ),
    "no quorum, not told": Fault(
        code="drbd.quorum-lost",
        says="no other node of it had connected",
        start=NO_DATA,
        lines=[
            attached(),
            ("kernel", 18.2, f"{RES} n2: conn( Unconnected -> Connecting ) [connecting]"),
        ],
    ),
    "the good node is away": Fault(
        code="drbd.no-data",
        says="Outdated",
        start=NO_DATA,
        lines=[
            attached("Outdated"),
            ("kernel", 18.2, f"{RES} n2: conn( Unconnected -> Connecting ) [connecting]"),
        ],
    ),
    "the good node is not let in": Fault(
        code="drbd.link-refused",
        says="Authentication of peer failed",
        start=NO_DATA,
        lines=[attached("Outdated"), ("kernel", 18.4, f"{RES} n2: Authentication of peer failed")],
    ),
    "diskless after an error of before": Fault(
        code="drbd.no-data",
        says="no line tells that its disk was attached",
        start=NO_DATA,
        lines=[("kernel", 18.2, f"{RES} n2: conn( Unconnected -> Connecting ) [connecting]")],
    ),
    "split brain": Fault(
        code="drbd.split-brain",
        says="Split-Brain detected but unresolved",
        status=Status.LATE,
        lines=[
            attached(),
            (
                "kernel",
                18.5,
                f"{RES}/0 drbd1001 n2: Split-Brain detected but unresolved, dropping connection!",
            ),
            ("kernel", 18.7, f"{RES} n2: conn( Disconnecting -> StandAlone ) [disconnected]"),
        ],
    ),
    "dead disk": Fault(
        code="host.io-error",
        says="nvme1n1",
        start=NO_DATA,
        lines=[
            (
                "kernel",
                18.0,
                "I/O error, dev nvme1n1, sector 2048 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2",
            ),
            ("kernel", 18.2, f"{RES}/0 drbd1001: disk( Diskless -> Attaching ) [attach]"),
            ("kernel", 18.3, f"{RES}/0 drbd1001: Local IO failed in drbd_md_endio. Detaching..."),
            ("kernel", 18.4, f"{RES}/0 drbd1001: disk( Failed -> Diskless ) [go-diskless]"),
        ],
    ),
    # --- what lies under the pools
    "a disk of the volume group": Fault(
        code="storage.missing",
        says="is missing PV",
        start=NO_NODE,
        lines=[
            (
                "lvm",
                3.1,
                "  WARNING: VG vg1 is missing PV dW0XxT-aaaa (last written to /dev/sdb1).",
            ),
            (
                "satellite",
                18.0,
                "Failed to adjust DRBD resource incus-volume-a [Report number 66F2B0A1-63795-000002]",
            ),
        ],
    ),
    "thin pool is damaged": Fault(
        code="storage.broken",
        says="Manual repair required",
        start=NO_NODE,
        lines=[
            ("lvm", 3.1, "  Check of pool vg0/thin failed (status:64). Manual repair required!"),
            (
                "satellite",
                18.0,
                "Failed to adjust DRBD resource incus-volume-a [Report number 66F2B0A1-63795-000002]",
            ),
        ],
    ),
    "thin pool is full": Fault(
        code="storage.full",
        says="out-of-data-space",
        start=f'Failed to mount \\"/dev/drbd1001\\" on \\"{ROOT}\\" using \\"ext4\\": input/output error',
        lines=[
            attached(),
            (
                "kernel",
                19.0,
                "device-mapper: thin: 252:4: switching pool to out-of-data-space (queue IO) mode",
            ),
            (
                "kernel",
                66.0,
                f"{RES}/0 drbd1001: Local IO failed in drbd_request_endio. Detaching...",
            ),
        ],
    ),
    "zpool is suspended": Fault(
        code="storage.broken",
        says="tank",
        lines=[
            attached(),
            (
                "kernel",
                40.0,
                "WARNING: Pool 'tank' has encountered an uncorrectable I/O failure and has been suspended.",
            ),
        ],
    ),
    "zpool of another host": Fault(
        code="storage.missing",
        says="previously in use from another system",
        start=NO_NODE,
        lines=[
            ("zpool", 3.5, "cannot import 'tank': pool was previously in use from another system."),
            ("systemd", 3.6, "zfs-import-cache.service: Failed with result 'exit-code'."),
            (
                "satellite",
                16.0,
                "no zpool found with name 'tank' [Report number 66F2B0A1-63795-000001]",
            ),
        ],
    ),
    "the pool's directory is mounted late": Fault(
        code="storage.missing",
        says="srv-pool.mount came only at 40 s",
        start=NOT_MOUNTABLE,
        lines=[
            ("satellite", 15.5, "External command failed [Report number 66F2B0A1-63795-000001]"),
            ("satellite", 18.0, "Volume number 0 of resource 'incus-volume-a' [FILE THIN] created"),
            ("systemd", 40.0, "Mounted srv-pool.mount - /srv/pool."),
        ],
    ),
    "the pool's directory is never mounted": Fault(
        code="storage.made-anew",
        says="new, empty volumes for incus-volume-a",
        start=NOT_MOUNTABLE,
        lines=[
            ("satellite", 18.0, "Volume number 0 of resource 'incus-volume-a' [FILE THIN] created")
        ],
    ),
    # --- the host
    "file system of the host": Fault(
        code="host.file-system",
        says="Remounting filesystem read-only",
        incus=False,
        offline=(),
        lines=[
            ("kernel", 5.0, "EXT4-fs (sda2): Remounting filesystem read-only"),
            (
                "incus",
                7.6,
                'level=error msg="Failed to start the daemon" err="attempt to write a readonly database"',
            ),
            ("systemd", 7.7, "incus.service: Main process exited, code=exited, status=1/FAILURE"),
        ],
    ),
    "kernel": Fault(
        code="host.kernel-fault",
        says="NULL pointer dereference",
        up=False,
        start=NO_NODE,
        lines=[
            ("systemd", 6.1, f"Started {UNIT} - LINSTOR Satellite Service."),
            ("java", 6.3, "LINSTOR, Module Satellite"),
            ("satellite", 15.0, "Controller connected and authenticated (10.0.0.1:35898/1)"),
            ("satellite", 16.0, "Begin DeviceManager cycle 0"),
            ("satellite", 16.2, "FullSync sending response 3"),
            ("kernel", 18.0, "BUG: kernel NULL pointer dereference, address: 0000000000000010"),
        ],
    ),
    "incus.service is masked": Fault(
        code="incus.failed",
        says="Unit incus.service is masked",
        incus=False,
        offline=(),
        status=Status.DOWN,
        lines=[
            (
                "systemd",
                6.5,
                "incus.socket: Failed to queue service startup job (Maybe the service file is missing or not a non-template unit?): Unit incus.service is masked.",
            ),
            ("systemd", 6.5, "incus.socket: Failed with result 'resources'."),
        ],
    ),
    "a command before incusd": Fault(
        code="incus.failed",
        says="incus.service failed at 6.4 s (exit-code)",
        incus=False,
        offline=(),
        status=Status.DOWN,
        lines=[
            ("systemd", 6.2, "Starting incus.service - Incus - Main daemon..."),
            (
                "systemd",
                6.4,
                "incus.service: Control process exited, code=exited, status=1/FAILURE",
            ),
            ("systemd", 6.4, "incus.service: Failed with result 'exit-code'."),
        ],
    ),
    "attached only in a later run": Fault(
        code="devices.late",
        says="in a later run",
        start=NO_NODE,
        lines=[attached(at=100.0)],
    ),
    "the connection timed out": Fault(
        code="controller.black-holed",
        says="in time",
        pool=f"{GET}dial tcp 10.20.0.9:3370: connect: connection timed out",
    ),
    "socket of Incus": Fault(
        code="unit.failed",
        says="Address already in use",
        incus=False,
        offline=(),
        lines=[
            ("systemd", 3.9, "incus.socket: Failed to listen on sockets: Address already in use"),
            (
                "systemd",
                4.0,
                "Dependency failed for incus-startup.service - Incus - Startup check.",
            ),
        ],
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_the_first_cause_in_words_that_name_it(name: str) -> None:
    fault = FAULTS[name]

    boot = boot_of(fault).analyse()

    assert codes(boot)[:1] == [fault.code], boot.verdict
    first = boot.first_causes[0]
    assert fault.says in " ".join([first.sentence, *(line.text for line in first.evidence)])
    assert boot.status is not Status.NOTHING_WRONG
    if fault.start:
        assert boot.status in {Status.DOWN, Status.COMING_UP}
    if fault.status is not None:
        assert boot.status is fault.status


@pytest.mark.parametrize("name", FAULTS)
def test_a_masked_boot_tells_the_same_fault(name: str) -> None:
    journal = boot_of(FAULTS[name])
    masker = masking.Masker({"host": ["n1"], "instance": ["c1"], "pool": ["remote"]})

    boot = analyse(masker.entry(line) for line in journal.lines)

    assert codes(boot) == codes(journal.analyse())


OWN = {
    "network": 'Failed to start device \\"eth0\\": Parent device \\"br0\\" doesn\'t exist',
    "serial line": 'Failed to start device \\"ttyUSB0\\": Failed getting device attributes of \\"/dev/ttyUSB0\\": no such file or directory',
    "folder of the host": 'Failed to start device \\"data\\": Failed to setup device mount \\"data\\": stat /srv/nfs/data: no such file or directory',
    "network's own data base": 'Failed to start device \\"eth0\\": failed to connect to OVN: dial tcp 10.20.0.7:6641: connect: connection refused',
    "port": 'Failed to start device \\"web\\": Failed to listen on 0.0.0.0:80: listen tcp 0.0.0.0:80: bind: address already in use',
    "passed through": "Failed to run: /usr/bin/qemu-system-x86_64 -S -name vm1: exit status 1 (failed to open /dev/vfio/12: No such file or directory)",
    "memory of a virtual machine": "Failed to run: /usr/bin/qemu-system-x86_64: exit status 1 (cannot set up guest memory: Cannot allocate memory)",
    "AppArmor": "Failed to run: apparmor_parser -rWL /var/lib/incus/security/apparmor/cache: exit status 1 (syntax error)",
    "control groups": 'Failed to setup cgroup: cgroup2 controller \\"memory\\" not available',
    "configuration": 'Invalid config: Unknown configuration key: \\"limits.cpus\\"',
    "liblxc": "Failed to run: /usr/libexec/incus/incusd forklxc c1 /var/lib/incus/containers /run/incus/c1/lxc.conf: exit status 1",
    "another storage": "Failed to run: rbd --id admin map container_c1: exit status 110 (rbd: map failed: (110) Connection timed out)",
}


@pytest.mark.parametrize("name", OWN)
def test_what_is_an_instances_own_is_not_laid_at_storages_door(name: str) -> None:
    boot = boot_of(Fault(code="", says="", offline=(), start=OWN[name])).analyse()

    assert codes(boot)[0] in {"instance.failed", "instance.error"}
    assert {code.partition(".")[0] for code in codes(boot)} == {"instance"}
    (story,) = (one for one in boot.instances if one.name == "c1")
    assert story.outcome is Outcome.LOST
    assert boot.status is Status.DOWN


def test_each_volume_has_the_reason_of_its_own() -> None:
    journal = boot_of(
        Fault(
            code="",
            says="",
            offline=(),
            start=NO_DATA,
            lines=[
                attached("Outdated"),
                (
                    "kernel",
                    18.0,
                    "drbd incus-volume-b/0 drbd1002: disk( Attaching -> UpToDate ) [attach]",
                ),
                ("kernel", 18.1, "drbd incus-volume-b: susp-io( no -> quorum ) [attach]"),
            ],
        )
    )
    for number in (1, 2, 3):
        journal.incus(
            f'level=warning msg="Failed auto start instance attempt" attempt={number} err="open /dev/drbd1002: no data available" instance=c2 maxAttempts=3 project=default',
            at=80.0 + number,
        )
    journal.incus(
        'level=error msg="Failed to auto start instance" err="open /dev/drbd1002: no data available" instance=c2 project=default',
        at=84,
    )

    boot = journal.analyse()

    hit = {
        cause.code: [one for one in cause.effects if one.startswith("instance/")]
        for cause in boot.first_causes
    }
    assert hit["drbd.no-data"] == ["instance/default/c1"]
    assert hit["drbd.quorum-lost"] == ["instance/default/c2"]


def test_quorum_that_comes_with_the_peer_is_no_fault() -> None:
    journal = Journal().host_up().satellite_up(2, connects=4, run=8)
    for at, text in (
        (5.0, f"{RES}/0 drbd1001: disk( Diskless -> Attaching ) [attach]"),
        (5.1, f"{RES}: susp-io( no -> quorum ) [attach]"),
        (5.2, f"{DISK}UpToDate ) [attach]"),
        (6.0, f"{RES}: susp-io( quorum -> no ) [connected]"),
    ):
        journal.kernel(text, at=at)
    journal.incus_up(10, 14).kernel("drbd incus-volume-a: susp-io( no -> quorum ) [down]", at=90)
    journal.say("CRON", "(root) CMD (true)", at=140)

    boot = journal.analyse()

    assert boot.status is Status.NOTHING_WRONG, boot.verdict


def test_a_lasting_fault_that_hit_nobody_is_not_told_as_the_reason_of_a_late_pool() -> None:
    boot = boot_of(FAULTS["split brain"]).analyse()

    assert boot.verdict.startswith("First cause: Split brain of incus-volume-a")
    assert "Beside it, pool remote was unavailable" in boot.verdict
    assert codes(boot)[1] == "satellite.late"


def test_an_incusd_that_ended_did_not_wait_for_a_controller() -> None:
    journal = Journal().host_up().satellite_up(2, connects=4, run=6)
    journal.systemd("Starting incus.service - Incus - Main daemon...", at=10)
    journal.incus(
        'level=error msg="Failed to start the daemon" err="load closed segment: data checksum mismatch"',
        at=11,
    )
    journal.systemd("incus.service: Main process exited, code=exited, status=1/FAILURE", at=11.2)
    journal.systemd("incus.service: Failed with result 'exit-code'.", at=11.2)
    journal.say("CRON", "(root) CMD (true)", at=200)

    boot = journal.analyse()

    assert codes(boot) == ["incus.fatal"]
    assert boot.status is Status.DOWN


def test_a_satellite_that_had_to_start_again_is_late_for_what_ended_it() -> None:
    journal = boot_of(
        Fault(
            code="",
            says="",
            up=False,
            lines=[
                (
                    "kernel",
                    10.2,
                    "Out of memory: Killed process 800 (java) total-vm:6543212kB, anon-rss:1823456kB",
                ),
                *ends("9/KILL", 10.3, result="oom-kill"),
            ],
        )
    )
    journal.satellite_up(15.0, connects=25.0, run=30.0)
    journal.lines.sort(key=lambda line: line.at or 0.0)

    boot = journal.analyse()

    assert [cause.code for cause in boot.causes[:3]] == [
        "host.out-of-memory",
        "satellite.killed",
        "satellite.late",
    ]


def test_what_a_controller_says_of_its_own_end_is_not_the_satellites() -> None:
    journal = Journal().host_up().satellite_up(2, connects=4, run=6).incus_up(10, 12)
    journal.say(
        "Controller",
        "2026-11-24 00:00:00.000 [Thread-3] INFO  LINSTOR/Controller/ff0000 SYSTEM - Shutdown in progress",
        at=20,
        unit=CONTROLLER,
    )
    journal.say("CRON", "(root) CMD (true)", at=60)

    boot = journal.analyse()

    assert all(event.kind != "satellite.stopping" for event in boot.events)
    assert boot.status is Status.NOTHING_WRONG


def test_what_is_done_to_a_machine_that_runs_is_no_fault_of_its_boot() -> None:
    journal = Journal().host_up().satellite_up(2, connects=4, run=6).incus_up(10, 12)
    for at, line in (
        (300.0, f"Stopping {UNIT} - LINSTOR Satellite Service..."),
        (301.0, f"{UNIT}: Deactivated successfully."),
        (301.0, f"Stopped {UNIT} - LINSTOR Satellite Service."),
    ):
        journal.systemd(line, at=at)
    journal.satellite_up(302, connects=310, run=312)
    journal.satellite("DeviceManager waiting for service-condition", at=400)
    journal.satellite("Controller connected and authenticated (10.0.0.1:35898/2)", at=440)
    journal.satellite("FullSync successful 4", at=441)
    journal.say("CRON", "(root) CMD (true)", at=900)

    boot = journal.analyse()

    assert boot.status is Status.NOTHING_WRONG, boot.verdict
    assert [cause.code for cause in boot.causes if cause.note] == ["controller.away"]


def test_a_disk_that_fails_days_after_the_boot_is_worth_knowing_and_no_fault_of_the_boot() -> None:
    journal = Journal().host_up().satellite_up(2, connects=4, run=6).incus_up(10, 12)
    journal.kernel("I/O error, dev sdc, sector 12 op 0x0:(READ) flags 0x0 phys_seg 1", at=200_000)
    journal.say("CRON", "(root) CMD (true)", at=200_100)

    boot = journal.analyse()

    assert boot.status is Status.NOTHING_WRONG, boot.verdict
    assert [cause.code for cause in boot.causes] == ["host.io-error"]


def test_a_new_copy_that_drbd_fills_from_a_peer_is_no_fault() -> None:
    journal = Journal().host_up().satellite_up(2, connects=4, run=9)
    journal.satellite(
        "Volume number 0 of resource 'incus-volume-a' [LVM THIN] created", at=6
    ).kernel(f"{RES} n2: conn( Connecting -> Connected ) peer( Unknown -> Secondary )", at=7)
    journal.incus_up(10, 12).say("CRON", "(root) CMD (true)", at=60)

    boot = journal.analyse()

    assert boot.status is Status.NOTHING_WRONG, boot.verdict
    assert [cause.code for cause in boot.causes] == ["storage.made-anew"]
