# SPDX-License-Identifier: Apache-2.0
"""The one place that asks the machine what time it is and which boot this is.

Everything else is told the time. Durations are measured on CLOCK_BOOTTIME, which counts suspended
time and is not moved by an administrator or by NTP.
"""

import resource
import time
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boottime() -> float:
    """Seconds since the kernel started, suspended time included; never goes back."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def monotonic_usec() -> int:
    """Microseconds on CLOCK_MONOTONIC, the clock of systemd's ``MONOTONIC_USEC`` and ``…Monotonic``."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def cpu() -> float:
    """Seconds of processor time that this process and its children that have ended have used."""
    used = (
        resource.getrusage(resource.RUSAGE_SELF),
        resource.getrusage(resource.RUSAGE_CHILDREN),
    )
    return sum(one.ru_utime + one.ru_stime for one in used)


def wall() -> float:
    """Seconds since the epoch, for people and for joining with other machines; may jump."""
    return time.clock_gettime(time.CLOCK_REALTIME)


def boot_time_wall() -> float:
    """When the kernel started, in seconds since the epoch, by what the wall clock says now."""
    return wall() - boottime()


def boot_id(path: Path = _BOOT_ID) -> str:
    """The kernel's random name of this boot, as the journal writes it: 32 hex digits, no dashes."""
    return path.read_text(encoding="ascii").strip().replace("-", "")
