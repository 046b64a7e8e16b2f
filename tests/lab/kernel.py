# SPDX-License-Identifier: Apache-2.0
"""The few system calls that Python 3.11 lacks and a machine in namespaces needs: unshare, setns, mount, pivot_root, prctl.

Thin on purpose: each function is one call, raises OSError with the target's name, and knows nothing of machines.
"""

import ctypes
import os
import signal
import time

NEWNS = 0x00020000
NEWCGROUP = 0x02000000
NEWUTS = 0x04000000
NEWIPC = 0x08000000
NEWPID = 0x20000000
NEWNET = 0x40000000
NEWTIME = 0x00000080

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MS_SHARED = 1 << 20
MNT_DETACH = 2

_PR_SET_PDEATHSIG = 1
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def unshare(flags: int) -> None:
    """Leave the namespaces named by ``flags``; PID and time namespaces take effect for the next child."""
    _check(_libc.unshare(ctypes.c_int(flags)), "unshare")


def setns(fd: int, kind: int) -> None:
    """Enter the namespace that ``fd`` is open on (``kind`` is one of the ``NEW*`` flags)."""
    _check(_libc.setns(ctypes.c_int(fd), ctypes.c_int(kind)), "setns")


def mount(source: str, target: str, kind: str | None, flags: int = 0, options: str = "") -> None:
    """Mount ``source`` of file system type ``kind`` (None for bind, remount and propagation) at ``target``."""
    _check(
        _libc.mount(
            source.encode(),
            target.encode(),
            kind.encode() if kind else None,
            ctypes.c_ulong(flags),
            options.encode() or None,
        ),
        target,
    )


def bind(source: str, target: str, *, readonly: bool = False) -> None:
    """Show ``source`` at ``target`` as well; a read-only bind needs its own second step."""
    mount(source, target, None, MS_BIND)
    if readonly:
        mount(source, target, None, MS_REMOUNT | MS_BIND | MS_RDONLY)


def umount(target: str, flags: int = MNT_DETACH) -> None:
    """Unmount ``target``; detached by default, so that open files do not hinder."""
    _check(_libc.umount2(target.encode(), ctypes.c_int(flags)), target)


def pivot_root(new_root: str) -> None:
    """Make ``new_root`` (a mount point) the root of this mount namespace and let go of the old one."""
    os.chdir(new_root)
    number = ctypes.c_long(_SYS_PIVOT_ROOT[os.uname().machine])
    _check(_libc.syscall(number, b".", b"."), new_root)
    umount(".")
    os.chdir("/")


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that made it ends: no machine outlives the lab."""
    _check(_libc.prctl(ctypes.c_int(_PR_SET_PDEATHSIG), ctypes.c_ulong(signal.SIGKILL)), "prctl")


def new_network() -> int:
    """Make a network namespace and return a descriptor that keeps it alive; the calling thread stays where it is."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        unshare(NEWNET)
        fresh = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        setns(here, NEWNET)
    finally:
        os.close(here)
    return fresh


def clock_offsets() -> str:
    """Text for ``/proc/self/timens_offsets`` that makes monotonic and boot time start at zero now."""
    lines = []
    for name, clock in (("monotonic", time.CLOCK_MONOTONIC), ("boottime", time.CLOCK_BOOTTIME)):
        seconds, nanoseconds = divmod(-time.clock_gettime_ns(clock), 1_000_000_000)
        lines.append(f"{name} {seconds} {nanoseconds}\n")
    return "".join(lines)
