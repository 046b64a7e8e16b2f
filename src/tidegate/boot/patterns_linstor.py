# SPDX-License-Identifier: Apache-2.0
"""What satellite and controller of LINSTOR say (1.33 and 1.34, "Log v2"; facts/linstor.md section 9, facts/linstor-observed.md).

The regexes are for the message alone: its prefix (time, thread, level, component) is taken off before (``linstor_line``), the level is
put in front of it again, as ``ERROR Failed to …``, because a few rules need it.
"""

from typing import Final

from tidegate.boot.model import Kind
from tidegate.boot.pattern import Pattern, Program


def _linstor(
    kind: Kind | None,
    literal: str,
    sample: str,
    *,
    regex: str = "",
    subject: str = "satellite",
    source: str = "seen",
    data: dict[str, str] | None = None,
) -> Pattern:
    return Pattern(
        program=Program.LINSTOR,
        kind=kind,
        literal=literal,
        regex=regex,
        subject=subject,
        sample=sample,
        source=source,
        versions="1.33 to 1.34",
        data=data or {},
    )


PATTERNS: Final = (
    # --- what a satellite and a controller say all day: first, because there are many ---------
    _linstor(None, "SpaceInfo: ", "INFO SpaceInfo: lvmthin -> 6032877/6291456"),
    _linstor(None, "REST/API ", "INFO REST/API RestClient(127.0.0.1; 'lab/1')/LstNode"),
    # --- satellite, in the order of a start -------------------------------------------------
    _linstor(Kind.SATELLITE_JVM, "LINSTOR, Module Satellite", "LINSTOR, Module Satellite"),
    _linstor(
        Kind.CONTROLLER_STARTING,
        "LINSTOR, Module Controller",
        "LINSTOR, Module Controller",
        subject="controller",
    ),
    _linstor(
        Kind.SATELLITE_LOADED,
        "Dependency injection finished",
        "INFO Dependency injection finished: 5915ms",
    ),
    _linstor(
        Kind.SATELLITE_LISTENING,
        "NetComService started on port",
        "INFO NetComService started on port /0:0:0:0:0:0:0:0:3366",
        regex=r"started on port (?P<address>\S+)",
    ),
    _linstor(
        Kind.SATELLITE_WAITING,
        "DeviceManager waiting for service-condition",
        "INFO DeviceManager waiting for service-condition",
    ),
    _linstor(
        Kind.SATELLITE_CONNECTED,
        "Controller connected and authenticated",
        "INFO Controller connected and authenticated (10.88.0.1:45222/1)",
        regex=r"authenticated \((?P<peer>[^)]*)\)",
    ),
    _linstor(
        Kind.SATELLITE_RUN_BEGAN,
        "Begin DeviceManager cycle",
        "INFO Begin DeviceManager cycle 0",
        regex=r"cycle (?P<cycle>\d+)",
    ),
    _linstor(
        Kind.SATELLITE_RUN_ENDED,
        "End DeviceManager cycle",
        "INFO End DeviceManager cycle 0",
        regex=r"cycle (?P<cycle>\d+)",
    ),
    _linstor(
        Kind.SATELLITE_SYNCED,
        "FullSync successful",
        "INFO FullSync successful 3",
        regex=r"successful (?P<id>\d+)",
    ),
    _linstor(
        Kind.SATELLITE_ANSWERED,
        "FullSync sending response",
        "INFO FullSync sending response 3",
        regex=r"response (?P<id>\d+)",
        source="facts/linstor-observed.md G: ONLINE follows within 0.4 s",
    ),
    _linstor(
        Kind.SATELLITE_READY,
        "Not calling 'systemd-notify'",
        "WARN Not calling 'systemd-notify' as NOTIFY_SOCKET is null",
        source="facts/linstor.md 2.5: the end of the first full run",
    ),
    _linstor(
        Kind.SATELLITE_STALE_SYNC,
        "outdated fullsync",
        "WARN Ignored an incoming but outdated fullsync (6, expected: 7)",
        regex=r"outdated fullsync \((?P<got>\d+), expected: (?P<expected>\d+)\)",
        source="facts/linstor-observed.md A1",
    ),
    _linstor(
        Kind.SATELLITE_SYNC_FAILED,
        "FullSync error",
        "ERROR FullSync error: missing required ext tools 3",
        regex=r"FullSync error: (?P<err>.*)",
        source="facts/linstor.md 9.2",
    ),
    _linstor(
        Kind.SATELLITE_TOOL_MISSING,
        "Failed to list loop back devices",
        "ERROR Failed to list loop back devices [Report number 6B03EFC8-63795-000002]",
        data={"tool": "losetup"},
    ),
    _linstor(
        Kind.SATELLITE_ERROR,
        "Failed to start events2 stream",
        "WARN Failed to start events2 stream. Shutting down 'DrbdEventService' service",
        data={"class": "events2"},
    ),
    _linstor(
        Kind.SATELLITE_ERROR,
        "DRBD 'events2'",
        "WARN DRBD 'events2' returned error: ",
        regex=r"DRBD 'events2' (?P<err>.*)",
        data={"class": "events2"},
        source="facts/linstor-observed.md A22",
    ),
    _linstor(
        Kind.MODULE_FAILED,
        "Checking support for DRBD9_KERNEL: NOT supported",
        "INFO Checking support for DRBD9_KERNEL: NOT supported: ",
        subject="host",
        data={"by": "satellite"},
    ),
    _linstor(
        Kind.MODULE_LOADED,
        "Checking support for DRBD9_KERNEL: supported",
        "INFO Checking support for DRBD9_KERNEL: supported (9.3.3)",
        subject="host",
        data={"by": "satellite"},
    ),
    _linstor(
        Kind.SATELLITE_TOOL_ABSENT,
        ": NOT supported",
        "INFO Checking support for DRBD9_UTILS: NOT supported: ",
        regex=r"support for (?P<tool>DRBD9_UTILS|CRYPT_SETUP|LVM|LVM_THIN|ZFS_KMOD|ZFS_UTILS|NVME|LOSETUP): NOT supported",
        source="facts/linstor.md 2.4",
    ),
    _linstor(
        Kind.SATELLITE_ERROR,
        "Checking support for DRBD9_UTILS: supported",
        "INFO Checking support for DRBD9_UTILS: supported (9.22.0)",
        data={"class": "utils-there"},
    ),
    _linstor(
        Kind.STORAGE_MISSING,
        "does not exist",
        "ERROR Volume group 'vg0' does not exist [Report number 6B03EFC8-63795-000002]",
        regex=r"(?P<what>Volume group|Thin pool) '(?P<name>[^']+)' does not exist",
        subject="storage/{name}",
        source="facts/linstor.md 8.1",
    ),
    _linstor(
        Kind.STORAGE_MISSING,
        "no zpool found with name",
        "ERROR no zpool found with name 'tank' [Report number 6B03EFC8-63795-000002]",
        regex=r"no zpool found with name '(?P<name>[^']+)'",
        subject="storage/{name}",
        data={"what": "zpool"},
        source="facts/linstor.md 8.1",
    ),
    _linstor(
        Kind.STORAGE_MISSING,
        "No such file or directory",
        "ERROR StorageException: External command failed: Command 'df --output=source /srv/pool-n1/data' returned with exitcode 1. df: /srv/pool-n1/data: No such file or directory",
        regex=r"df[ :].*?(?P<name>/[^\s:']+).*No such file or directory",
        subject="storage/{name}",
        data={"what": "directory"},
        source="facts/linstor-observed.md A5; error reports",
    ),
    _linstor(
        Kind.STORAGE_MISSING,
        "Failed to query",
        "ERROR Failed to query free space from storage pool [Report number 6B03EFC8-63795-000002]",
        regex=r"Failed to query .*storage pool(?:: (?P<name>\S+))?",
        subject="storage/LINSTOR",
        source="facts/linstor.md 8.1",
    ),
    _linstor(
        Kind.RESOURCE_ADJUSTED,
        "[DRBD] adjusted",
        "INFO Resource 'incus-volume-339abc8c' [DRBD] adjusted.",
        regex=r"Resource '(?P<resource>[^']+)' \[DRBD\] adjusted",
        subject="resource/{resource}",
    ),
    _linstor(
        Kind.RESOURCE_CREATED,
        "] created",
        "INFO Volume number 0 of resource 'auto-a' [FILE THIN] created",
        regex=r"^\w+ Volume number \d+ of resource '(?P<resource>[^']+)' \[[^\]]+\] created",
        subject="resource/{resource}",
        source="facts/linstor-observed.md A4",
    ),
    _linstor(
        Kind.RESOURCE_FAILED,
        "Failed to adjust DRBD resource",
        "ERROR Failed to adjust DRBD resource incus-volume-339abc8c [Report number 6B03EFC8-63795-000002]",
        regex=r"Failed to adjust DRBD resource (?P<resource>\S+)",
        subject="resource/{resource}",
        source="facts/linstor.md 9.2",
    ),
    _linstor(
        Kind.RESOURCE_FAILED,
        "encryption key is not known",
        "WARN Skipped actions for encrypted resource 'c1' because the encryption key is not known yet",
        regex=r"encrypted resource '(?P<resource>[^']+)'",
        subject="resource/{resource}",
        data={"err": "the encryption key is not known yet"},
        source="facts/linstor.md 2.5",
    ),
    _linstor(
        Kind.POOL_ANNOUNCED,
        "Storage pool '",
        "INFO Storage pool 'lvmthin' for node 'n1' created.",
        regex=r"Storage pool '(?P<name>[^']+)' for node '(?P<node>[^']+)' created",
        subject="storage-pool/{name}",
    ),
    _linstor(Kind.SATELLITE_STOPPING, "Shutdown in progress", "INFO Shutdown in progress"),
    # --- controller --------------------------------------------------------------------------
    _linstor(
        Kind.CONTROLLER_STARTED,
        "Controller initialized",
        "INFO Controller initialized",
        subject="controller",
        source="facts/linstor.md 9.3",
    ),
    _linstor(
        Kind.CONTROLLER_NODE,
        "Changing connection state of node",
        "INFO Changing connection state of node 'n1' from CONNECTED -> ONLINE",
        regex=r"of node '(?P<node>[^']+)' from (?P<from>\w+) -> (?P<to>\w+)",
        subject="node/{node}",
    ),
    _linstor(
        Kind.CONTROLLER_DIALS,
        "Establishing connection to node",
        "INFO Establishing connection to node 'n1' via /10.77.0.11:3366 ...",
        regex=r"to node '(?P<node>[^']+)' via (?P<address>\S+)",
        subject="node/{node}",
    ),
    _linstor(
        Kind.CONTROLLER_NODE,
        "has closed the connection",
        "INFO Remote satellite n1 (peer 10.77.0.11:3366/9) has closed the connection.",
        regex=r"Remote satellite (?P<node>\S+) \(",
        subject="node/{node}",
        data={"to": "closed"},
    ),
    _linstor(
        Kind.CONTROLLER_NODE,
        "is evicted and will not be reconnected",
        "WARN Node n1 is evicted and will not be reconnected",
        regex=r"Node '?(?P<node>[^'\s]+)'? is evicted",
        subject="node/{node}",
        data={"to": "EVICTED"},
        source="facts/linstor.md 3.3",
    ),
    _linstor(
        Kind.CONTROLLER_ERROR,
        "version mismatch",
        "ERROR Satellite 'n1' version mismatch(v1.33.3).",
        regex=r"Satellite '(?P<node>[^']+)' version mismatch\((?P<version>[^)]*)\)",
        subject="node/{node}",
        source="facts/linstor.md 9.3",
    ),
    *(
        _linstor(
            Kind.RESOURCE_REQUESTED,
            literal,
            sample,
            regex=rf"{literal}'?(?P<resource>[^'\s]+)",
            subject="resource/{resource}",
        )
        for literal, sample in (
            ("Resource definition created ", "INFO Resource definition created mk-00"),
            ("ACR: Created resource ", "INFO ACR: Created resource 'mk-05' on 'n1'"),
        )
    ),
    _linstor(
        Kind.RESOURCE_FAILED,
        "RetryTask: Failed resource",
        "WARN RetryTask: Failed resource 'auto-a' of node 'n1' added for retry.",
        regex=r"Failed resource '(?P<resource>[^']+)' of node '(?P<node>[^']+)' added for retry",
        subject="resource/{resource}",
    ),
    # --- any error with a report, then what is known and says nothing ----------------------------
    _linstor(
        None, "/proc/modules [Report", "ERROR /proc/modules [Report number 6B03EBCC-3EA60-000000]"
    ),
    _linstor(
        None,
        "is not whitelisted",
        "WARN Ignoring property 'DrbdOptions/Disk/block-size' with value '512' as it is not whitelisted. [Report number 6B03F51A-3EA60-000001]",
    ),
    _linstor(
        None,
        "PeerClosingConnectionException",
        "ERROR Problem of type 'com.linbit.linstor.netcom.PeerClosingConnectionException' logged to report number 6B03EB20-00000-000002",
    ),
    _linstor(
        Kind.SATELLITE_ERROR,
        "[Report number",
        "ERROR External command failed [Report number 6B03F0B3-63795-000002]",
        regex=r"^(?:ERROR|WARN) (?P<err>.*?) ?\[Report number (?P<report>[0-9A-F-]+)\]",
        data={"class": "report"},
    ),
    _linstor(
        Kind.SATELLITE_ERROR,
        "ErrorReport ",
        "ERROR ErrorReport 6B03F182-63795-000002 Satellite StorageException: attach failed",
        regex=r"ErrorReport (?P<report>[0-9A-F-]+) (?P<module>\w+) (?P<err>.*)",
        data={"class": "report"},
    ),
    _linstor(
        None,
        "xtension module",
        'INFO Attempting dynamic load of extension module "com.linbit.Fips"',
    ),
    _linstor(None, "API classes", "INFO API classes loading finished: 1793ms"),
    _linstor(None, "Dependency injection started", "INFO Dependency injection started."),
    _linstor(None, "Checking support for ", "INFO Checking support for LVM: supported (2.3.16)"),
    _linstor(
        None, "|-", "07:18:45,570 |-INFO in ch.qos.logback.classic.LoggerContext[default] - x"
    ),
    _linstor(None, "WARNING: ", "WARNING: A restricted method in java.lang.System has been called"),
    _linstor(
        None,
        "Failed to load Sentry",
        "ERROR: Failed to load Sentry configuration since it is not a file or does not exist: /etc/linstor/sentry.properties",
        source="facts/linstor-observed.md A16",
    ),
    _linstor(
        None,
        "service instance '",
        "INFO Starting service instance 'DeviceManager' of type DeviceManager",
    ),
    _linstor(
        None,
        "Unable to check drbdadm version",
        "WARN Unable to check drbdadm version. 'Cannot run program \"drbdadm\"'",
    ),
)
"""In the order in which they are tried."""
