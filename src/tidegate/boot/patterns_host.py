# SPDX-License-Identifier: Apache-2.0
"""What the host's other programs say: modules-load, LVM, ZFS, networks, the journal itself, clocks."""

from typing import Final

from tidegate.boot.model import Kind
from tidegate.boot.pattern import Pattern, Program


def _host(
    kind: Kind | None,
    literal: str,
    sample: str,
    *,
    regex: str = "",
    source: str = "seen",
    subject: str = "host",
) -> Pattern:
    return Pattern(
        program=Program.HOST,
        kind=kind,
        literal=literal,
        regex=regex,
        sample=sample,
        source=source,
        subject=subject,
    )


PATTERNS: Final = (
    _host(
        Kind.MODULE_LOADED,
        "Inserted module 'drbd",
        "Inserted module 'drbd'",
    ),
    _host(
        Kind.MODULE_FAILED,
        "Failed to find module 'drbd",
        "Failed to find module 'drbd'",
        regex=r"(?P<err>Failed to find module 'drbd\w*')",
        source="systemd src/modules-load",
    ),
    _host(
        Kind.MODULE_FAILED,
        "Failed to insert module 'drbd",
        "Failed to insert module 'drbd': Cannot allocate memory",
        regex=r"Failed to insert module 'drbd\w*': (?P<err>.*)",
        source="systemd src/modules-load",
    ),
    _host(
        Kind.MODULE_FAILED,
        "Module drbd not found",
        "modprobe: FATAL: Module drbd not found in directory /lib/modules/6.12.107",
        regex=r"(?P<err>Module drbd not found.*)",
        source="kmod tools/modprobe.c",
    ),
    _host(
        Kind.MODULE_FAILED,
        "Module 'drbd' is ",
        "Module 'drbd' is deny-listed (by kernel)",
        regex=r"(?P<err>Module 'drbd' is (?:deny-|black)listed.*)",
        source="systemd src/shared/module-util.c",
    ),
    _host(
        Kind.STORAGE_IMPORTED,
        "is complete",
        "PV /dev/vdb online, VG vg0 is complete.",
        regex=r"VG (?P<name>\S+) is complete",
        subject="storage/{name}",
    ),
    _host(
        Kind.STORAGE_IMPORTED,
        " now active",
        '4 logical volume(s) in volume group "vg0" now active',
        regex=r"in volume group \"(?P<name>[^\"]+)\" now active",
        subject="storage/{name}",
        source="lvm2 tools/vgchange.c",
    ),
    _host(
        Kind.STORAGE_MISSING,
        "incomplete",
        "PV /dev/vdb online, VG vg0 incomplete (need 1).",
        regex=r"VG (?P<name>\S+) (?:is )?incomplete",
        subject="storage/{name}",
        source="lvm2 tools/pvscan.c",
    ),
    _host(
        Kind.STORAGE_MISSING,
        "Volume group ",
        'Volume group "vg0" not found',
        regex=r"Volume group \"(?P<name>[^\"]+)\" not found",
        subject="storage/{name}",
        source="lvm2",
    ),
    _host(
        Kind.STORAGE_MISSING,
        "cannot import",
        "cannot import 'tank': no such pool available",
        regex=r"cannot import '(?P<name>[^']+)': (?P<err>.*)",
        subject="storage/{name}",
        source="zfs cmd/zpool",
    ),
    _host(
        Kind.STORAGE_MISSING,
        "no pools available to import",
        "no pools available to import",
        subject="storage/zfs",
        source="zfs cmd/zpool",
    ),
    _host(
        Kind.STORAGE_MISSING,
        "is missing PV",
        "WARNING: VG vg1 is missing PV dW0XxT-aaaa (last written to /dev/sdb1).",
        regex=r"VG (?P<name>\S+) (?P<err>is missing PV .*)",
        subject="storage/{name}",
        source="lvm2 lib/metadata",
    ),
    _host(
        Kind.STORAGE_MISSING,
        "Refusing activation of partial LV",
        "Refusing activation of partial LV vg1/thin.  Use '--activationmode partial' to override.",
        regex=r"(?P<err>Refusing activation of partial LV (?P<name>[^/\s]+)/\S+)\.",
        subject="storage/{name}",
        source="lvm2 lib/activate",
    ),
    _host(
        Kind.STORAGE_MISSING,
        "Module zfs not found",
        "modprobe: FATAL: Module zfs not found in directory /lib/modules/6.12.107",
        regex=r"(?P<err>Module (?P<name>zfs) not found.*)",
        subject="storage/module zfs",
        source="kmod tools/modprobe.c",
    ),
    _host(
        Kind.STORAGE_BROKEN,
        "Manual repair required",
        "Check of pool vg0/thin failed (status:64). Manual repair required!",
        regex=r"(?P<err>Check of pool (?P<name>\S+) failed .*)",
        subject="storage/{name}",
        source="lvm2 lib/activate/dev_manager.c",
    ),
    _host(
        Kind.STORAGE_FULL,
        "is now 100",
        "WARNING: Thin pool vg0-thin-tpool data is now 100.00% full.",
        regex=r"Thin pool (?P<name>\S+) (?P<err>\w+ is now 100(?:\.\d+)?% full)",
        subject="storage/{name}",
        source="lvm2 daemons/dmeventd/plugins/thin",
    ),
    _host(
        Kind.NETWORK_TIMEOUT,
        "imeout occurred while waiting for network connectivity",
        "Timeout occurred while waiting for network connectivity.",
        source="systemd src/network/wait-online",
    ),
    _host(
        Kind.LINK_UP,
        "Gained carrier",
        "enp0s4: Gained carrier",
        regex=r"^(?P<link>[\w.@-]+): Gained carrier",
    ),
    _host(
        Kind.UNCLEAN_BEFORE,
        "corrupted or uncleanly shut down",
        "File /var/log/journal/93e8f4fc342e4bf28218373dbb86f27b/system.journal corrupted or uncleanly shut down, renaming and replacing.",
    ),
    _host(
        Kind.CLOCK_STEP,
        "System clock was stepped",
        "System clock was stepped by 3600.123456 seconds",
        regex=r"System clock was stepped by (?P<seconds>-?[\d.]+) seconds",
        source="chrony sys_linux",
    ),
    _host(
        Kind.CLOCK_STEP,
        "System clock time unset or jumped backwards",
        "System clock time unset or jumped backwards, restored from recorded timestamp: Tue 2026-11-24 01:43:12 UTC",
        source="systemd src/timesync",
    ),
    _host(
        Kind.OOM_KILL,
        "due to memory ",
        "Killed /system.slice/linstor-satellite.service due to memory pressure for /system.slice being 71.2% > 60.0%",
        regex=r"^Killed (?:\S*/)?(?P<unit>[\w@.-]+) due to memory",
        source="systemd src/oom",
    ),
    _host(
        Kind.SHUTDOWN_BEGAN,
        "he system will ",
        "The system will power off now!",
        regex=r"[Tt]he system will (?:power off|reboot|halt|kexec|be rebooted)",
    ),
    _host(
        Kind.SHUTDOWN_BEGAN,
        "System is ",
        "System is powering down.",
        regex=r"^System is (?:powering down|rebooting|halting)",
    ),
    _host(
        Kind.LINES_LOST,
        "messages from ",
        "Suppressed 1234 messages from linstor-satellite.service",
        regex=r"^Suppressed (?P<number>\d+) messages from (?P<unit>\S+)",
        subject="unit/{unit}",
        source="systemd src/journal/journald-rate-limit.c",
    ),
    _host(None, "Journal started", "Journal started"),
    _host(None, " Journal (", "Runtime Journal (/run/log/journal/x) is 8M, max 1.1G, 1.1G free."),
    _host(
        None,
        "Time spent on flushing",
        "Time spent on flushing to /var/log/journal/x is 9.615ms for 9 entries.",
    ),
)
"""In the order in which they are tried."""

ANY: Final = (
    Pattern(
        program=Program.ANY,
        kind=Kind.DISK_FULL,
        literal="o space left on device",
        subject="host",
        sample="write error: No space left on device",
        source="errno(3) ENOSPC",
    ),
    Pattern(
        program=Program.ANY,
        kind=Kind.DISK_FULL,
        literal="Disk quota exceeded",
        subject="host",
        sample="cannot write: Disk quota exceeded",
        source="errno(3) EDQUOT",
    ),
)
"""Looked for in every program's lines that are looked at."""
