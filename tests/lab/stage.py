# SPDX-License-Identifier: Apache-2.0
"""The stage of one machine: a process that makes namespaces and a root, becomes the parent of its PID 1, and tells its end.

Run as ``python -m tests.lab.stage SPEC.json`` by :mod:`tests.lab.machine`. It speaks lines with it: writes ``namespaces`` when the
network can be plugged in, waits for a line, writes ``booted PID T0`` (the host's PID of systemd, and the host's monotonic clock at the
machine's second zero), and after the machine's end ``ended SIGNAL``. PID 1 dies with this process, and this process with the lab.

Why each odd mount is there (seen in the reference lab): the kernel refuses fresh proc and sysfs mounts in Incus's user namespaces
unless untouched ones are visible somewhere, hence ``/dev/.lxc``; ``/sys`` is read-only, because a udevd inside would trigger the
host's devices anew; ``/sys/module`` is a tmpfs of links, so that DRBD's version can appear late. A machine that weighs processors on a
host of the old layout of control groups has both layouts, and a ``/proc/cgroups`` that names nothing else: systemd would tend that in
the host's own groups.
"""

import json
import os
import signal
import socket
import stat
import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from tests.lab import kernel

_NAMESPACES = (
    kernel.NEWNS
    | kernel.NEWUTS
    | kernel.NEWIPC
    | kernel.NEWNET
    | kernel.NEWPID
    | kernel.NEWCGROUP
    | kernel.NEWTIME
)
_CHARACTER_DEVICES = {
    "null": (1, 3),
    "zero": (1, 5),
    "full": (1, 7),
    "random": (1, 8),
    "urandom": (1, 9),
    "tty": (5, 0),
    "fuse": (10, 229),
    "net/tun": (10, 200),
}
_LINKS = {
    "ptmx": "pts/ptmx",
    "fd": "/proc/self/fd",
    "stdin": "fd/0",
    "stdout": "fd/1",
    "stderr": "fd/2",
}
_CAREFUL = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
_PID1 = ["/lib/systemd/systemd", "--log-target=journal", "--show-status=no"]
_BOTH_LAYOUTS = ["systemd.unified_cgroup_hierarchy=0", "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"]
"""systemd 256 and later take the old layout only when told twice."""
_PID1_ENVIRONMENT = {
    "container": "tidegate-lab",  # without it systemd behaves as on bare metal
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
}


def _say(text: str) -> None:
    print(text, flush=True)


def _mount_root(spec: dict[str, Any]) -> None:
    kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    layers = f"lowerdir={spec['lower']},upperdir={spec['upper']},workdir={spec['work']}"
    kernel.mount("overlay", spec["root"], "overlay", 0, layers)


def _make_dev(dev: str) -> None:
    kernel.mount("tmpfs", dev, "tmpfs", kernel.MS_NOSUID, "mode=755")
    for name in ("pts", "shm", "mqueue", "net", ".lxc/proc", ".lxc/sys"):
        Path(dev, name).mkdir(parents=True)
    for name, (major, minor) in _CHARACTER_DEVICES.items():
        os.mknod(f"{dev}/{name}", stat.S_IFCHR | 0o666, os.makedev(major, minor))
        Path(dev, name).chmod(0o666)
    for name, target in _LINKS.items():
        Path(dev, name).symlink_to(target)
    options = "newinstance,ptmxmode=0666,mode=620,gid=5"
    kernel.mount("devpts", f"{dev}/pts", "devpts", 0, options)
    kernel.mount("tmpfs", f"{dev}/shm", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=1777")
    Path(f"{dev}/console").touch()
    kernel.bind("/dev/null", f"{dev}/console")


def _make_groups(top: str, old: Collection[str]) -> None:
    """Mount the control groups, in both layouts if there are trees of the old one."""
    if not old:
        kernel.mount("cgroup2", top, "cgroup2", _CAREFUL)
        return
    kernel.mount("tmpfs", top, "tmpfs", _CAREFUL, "mode=755")
    Path(top, "unified").mkdir()
    kernel.mount("cgroup2", f"{top}/unified", "cgroup2", _CAREFUL)
    for option in old:
        place = Path(top, option.rpartition("=")[2])
        place.mkdir()
        kernel.mount("cgroup", str(place), "cgroup", _CAREFUL, option)


def _make_sys(root: str, old: Collection[str]) -> None:
    kernel.mount("sysfs", f"{root}/dev/.lxc/sys", "sysfs")
    kernel.mount("sysfs", f"{root}/sys", "sysfs", _CAREFUL | kernel.MS_RDONLY)
    _make_groups(f"{root}/sys/fs/cgroup", old)
    modules = sorted(entry.name for entry in os.scandir("/sys/module"))
    kernel.mount("tmpfs", f"{root}/sys/module", "tmpfs", 0, "mode=755")
    for name in modules:
        Path(root, "sys/module", name).symlink_to(f"/dev/.lxc/sys/module/{name}")


def _make_proc(root: str, boot_id: str, old: Collection[str]) -> None:
    """Needs the machine's PID namespace: the pristine one for Incus, and the one with a boot id of its own."""
    kernel.mount("proc", f"{root}/dev/.lxc/proc", "proc")
    kernel.mount("proc", f"{root}/proc", "proc", _CAREFUL)
    kernel.bind(f"{root}/proc/sys", f"{root}/proc/sys", readonly=True)
    kernel.bind(f"{root}/dev/.lxc/proc/sys/net", f"{root}/proc/sys/net")
    if Path(f"{root}/proc/sysrq-trigger").exists():
        kernel.bind("/dev/null", f"{root}/proc/sysrq-trigger")
    kernel.bind(boot_id, f"{root}/proc/sys/kernel/random/boot_id")
    if old:
        Path(f"{root}/run/cgroups").write_text(
            "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t1\t1\n"
        )
        kernel.bind(f"{root}/run/cgroups", f"{root}/proc/cgroups")


def _make_run(root: str, binds: list[dict[str, str]]) -> None:
    kernel.mount("tmpfs", f"{root}/run", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=755")
    for entry in binds:
        target = root + entry["target"]
        Path(target).mkdir(parents=True, exist_ok=True)
        kernel.bind(entry["source"], target, readonly=bool(entry.get("readonly")))


def _become_pid1(spec: dict[str, Any]) -> None:
    kernel.die_with_parent()
    _make_proc(spec["root"], spec["boot_id"], spec["old_groups"])
    kernel.pivot_root(spec["root"])
    kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_SHARED)
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)
    for signum in (signal.SIGINT, signal.SIGPIPE):
        signal.signal(signum, signal.SIG_DFL)
    more = _BOTH_LAYOUTS if spec["old_groups"] else []
    os.execve(_PID1[0], [*_PID1, *more], _PID1_ENVIRONMENT)


def main(path: str) -> int:
    """Run one machine to its end; ``path`` names the JSON that :mod:`tests.lab.machine` wrote."""
    kernel.die_with_parent()
    spec = json.loads(Path(path).read_text())
    Path(spec["cgroup"], "cgroup.procs").write_text("0")
    for group in spec["old_groups"].values():
        Path(group).mkdir(parents=True, exist_ok=True)
        Path(group, "cgroup.procs").write_text("0")
    kernel.unshare(_NAMESPACES)
    _say("namespaces")
    _mount_root(spec)
    socket.sethostname(spec["name"])
    _make_dev(spec["root"] + "/dev")
    _make_sys(spec["root"], spec["old_groups"])
    _make_run(spec["root"], spec["binds"])
    if sys.stdin.readline() != "go\n":
        return 1
    zero = time.clock_gettime(time.CLOCK_MONOTONIC)
    Path("/proc/self/timens_offsets").write_text(kernel.clock_offsets())
    reading, writing = os.pipe()  # closed by the exec
    pid = os.fork()
    if pid == 0:
        try:
            _become_pid1(spec)
        finally:
            os._exit(127)
    os.close(writing)
    os.read(reading, 1)
    # Not before: until then /proc/PID/root is the host's root, and what is made in its /dev would be made in the host's.
    _say(f"booted {pid} {zero:.6f}")
    _, status = os.waitpid(pid, 0)
    _say(f"ended {os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
