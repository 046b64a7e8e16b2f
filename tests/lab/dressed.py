# SPDX-License-Identifier: Apache-2.0
"""A machine dressed with weaknesses of ``tests.weak_hosts``: files and drop-ins, units that take their time, a satellite that is slow.

What the true program cannot do in a namespace is a stand-in that answers after a real delay; what the kernel says of disks is laid
over /sys and /proc. The satellite's "JVM", the controller and the device manager are programs of ``weak/``, and what they do is what
a boot takes: the lab's faults end when they say so.
"""

import contextlib
import json
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

from tests import weak_hosts
from tests.lab import golden, host, machine, seed, variants
from tests.lab import tale as tales
from tests.weak_hosts import CONTROLLER, UNIT, WEAK, Drbd

from tidegate.sim.faults import FaultKind

HERE = Path(__file__).parent / "weak"
SYSTEM = variants.SYSTEM
SCRIPT = "/usr/share/linstor-server/bin/Satellite"
OVER = "/usr/lib/lab/weak"
PEER = "10.99.0.12"
HEALTHY = {"jvm": 0.3, "connect": 0.0, "devices": 0.0, "kept": 0.0}
QUICK_SHARE = 0.3
"""Of its time, what the stand-in takes with the flags that are advised."""
_TOOK = "/etc/lab-took.json"
_SOON = "[agent]\npoll_rest = 2.0\n"
"""What has come is written at the agent's second look at rest: in a boot of seconds nobody waits ten for each."""
_SATELLITE = f"{SYSTEM}/{UNIT}.d"
_DRBD_ASKED = f"""\
#!/bin/sh
case "$*" in
"show --json --show-defaults") exec cat {OVER}/show.json ;;
"status --json --statistics") exec cat {OVER}/status.json ;;
esac
"""
_KERNEL_UNIT = f"""\
[Unit]
DefaultDependencies=no
After=local-fs.target
Before=sysinit.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={OVER}/kernel.sh
"""
_WAITED = """\
[Unit]
DefaultDependencies=no
After=local-fs.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/sleep {seconds:g}
"""
_CONTROLLER = """\
[Service]
Type=notify
ExecStart=/usr/lib/lab/weak/controller {seconds:g}
"""
_LINK_LATE = """\
[Unit]
DefaultDependencies=no
After=systemd-networkd.service
[Service]
ExecStart=/bin/sh -c "sleep {seconds:g}; ip link add p9 type veth peer name p10; ip link set p10 up; ip link set p9 master br9 up"
RemainAfterExit=yes
"""
_LINK = {
    "/etc/systemd/network/20-br9.netdev": "[NetDev]\nName=br9\nKind=bridge\n",
    "/etc/systemd/network/20-br9.network": "[Match]\nName=br9\n[Network]\nAddress=10.98.0.1/24\n"
    "LinkLocalAddressing=no\nIPv6AcceptRA=no\nConfigureWithoutCarrier=no\n",
}
_BUSY = """\
[Unit]
DefaultDependencies=no
After=local-fs.target
[Service]
ExecStart=/usr/bin/timeout {seconds:g} sh -c "while :; do :; done"
SuccessExitStatus=0 124
"""
STUBBORN = "lab-stubborn.service"
_STUBBORN = """\
[Service]
ExecStart=/bin/sh -c "trap 'sleep 3; exit' TERM; while :; do sleep 1; done"
TimeoutStopSec=2
KillMode=process
"""
_KILLED = f"{STUBBORN}: State 'stop-sigterm' timed out. Killing."
_META = "/usr/share/lxc/config/common.conf.d/lab-metadata.conf"
_META_WRITES = f"""\
#!/bin/sh
# Small synced writes into DRBD's metadata while an instance starts: those of all volumes go to the one disk, one after the other.
[ "$LXC_NAME" != {seed.LOCAL[0]} ] && grep -q '"meta-disk": "/dev/{{disk}}"' {OVER}/show.json || exit 0
exec flock /run/lab-slow-disk sleep {{seconds:g}}
"""
_WAKE = f"PUT /v1/nodes/{seed.NODE}/reconnect"
_PLAIN = "multi-user.target"
_EARLY = "sysinit.target"


class Dressed:
    """One machine and what it wears. Before its first boot, :meth:`healthy`."""

    def __init__(self, scene: tales.Scene) -> None:
        self.scene = scene
        self.drbd = Drbd()
        self.took = dict(HEALTHY)
        self._kept: dict[str, tuple[str, bool] | None] = {}
        self._before, self._looked, self._woken = 0, 0.0, False
        self._resync, self._kills = 0.0, 0
        self.names = tuple(scene.resource(name) for name in seed.REMOTE)

    # --- what it wears -----------------------------------------------------------------------

    def healthy(self) -> None:
        """Put on what a host has with which nothing is wrong; the machine is down."""
        self._program("/usr/bin/java", (HERE / "satellite.py").read_text())
        self._program(SCRIPT, (HERE / "Satellite").read_text())
        self._program(f"{OVER}/controller", (HERE / "controller.py").read_text())
        self._program(f"{OVER}/kernel.sh", (HERE / "kernel.sh").read_text())
        packaged = (golden.HERE / "rootfs/usr/sbin/drbdsetup").read_text()
        self._program("/usr/sbin/drbdsetup", packaged.replace("#!/bin/sh\n", _DRBD_ASKED, 1))
        self.write("/usr/share/linstor-server/lib/conf/logback.xml", "<configuration/>")
        self.write("/etc/tidegate/conf.d/40-lab.toml", _SOON)
        self._unit("lab-kernel.service", _KERNEL_UNIT, _EARLY)
        for name, text in weak_hosts.PROGRAMS.items():
            self._program(f"/usr/sbin/{name}", f"#!/bin/sh\n{text}\n")
        for path, text in weak_hosts.healthy(self.names, self.disk).items():
            self.write(path, text)
        for path, target in weak_hosts.links(self.names).items():
            self.scene.each.link(_moved(path), target)
        self.tell()
        self._kept.clear()

    @property
    def disk(self) -> str:
        """What the kernel calls the disk that the machine's own directories lie on."""
        device = host.run(["findmnt", "-no", "SOURCE", "-T", str(host.lab_dir())], timeout=10)
        return Path(device.strip()).name

    def weaken(self, *names: str) -> None:
        """Put on weaknesses of the table; the machine may run."""
        for name in names:
            self._weaken(name)
        self.tell()

    def _weaken(self, name: str) -> None:
        weak = WEAK[name]
        for path, text in weak.files.items():
            place = path.replace(weak_hosts.DISK, self.disk)
            if text is None:
                self.remove(place)
            else:
                self.write(place, text)
        for path, size in weak.sparse.items():
            self.write(path, "")
            os.truncate(self._place(path), size)
        for program, text in weak.programs.items():
            self._program(f"/usr/sbin/{program}", f"#!/bin/sh\n{text}\n")
        for resource in weak.kept:
            self.write(f"/var/lib/linstor.d/{resource}.res", "resource x {}\n")
        for key, value in weak.settings.items():
            section, _, option = key.partition(".")
            self.write("/etc/tidegate/conf.d/50-weak.toml", f"[{section}]\n{option} = {value}\n")
        if weak.drbd != Drbd():
            self.drbd = weak.drbd
        self._take_time(name)

    def _take_time(self, name: str) -> None:
        """What makes boots longer."""
        weak = WEAK[name]
        quick = weak_hosts.QUICK in weak.files.values()
        for phase, seconds in weak.took.items():
            if weak.kept and phase == "devices":
                self.took["kept"] = seconds / len({*self.names, *weak.kept})
            elif phase in HEALTHY:
                self.took[phase] = seconds / (QUICK_SHARE if quick and phase == "jvm" else 1.0)
        if weak.open_files:
            self.took["files"] = weak.open_files
        if "cpu-waited" in weak.took:
            self._keep_busy(weak.took["jvm"], weak.took["jvm"] - weak.took["cpu-waited"])
        if weak.stubborn:
            self._unit(STUBBORN, _STUBBORN, _PLAIN)
            self._resync = weak.resync
        if weak.drbd.meta:
            each = weak.took["instances"] / len(self.names)
            self._program(
                f"{OVER}/metadata", _META_WRITES.format(disk=weak.drbd.meta, seconds=each)
            )
            self.write(_META, f"lxc.hook.pre-start = {OVER}/metadata\n")
        if weak.controller:
            self._unit(CONTROLLER, _CONTROLLER.format(seconds=weak.controller), _PLAIN)
        for unit, seconds in weak.waits.items():
            if weak.link:
                self._unit("lab-link.service", _LINK_LATE.format(seconds=seconds), _PLAIN)
                for path, text in _LINK.items():
                    self.write(path, text)
            else:
                self._unit(unit, _WAITED.format(seconds=seconds), _EARLY)
                self.write(f"{_SATELLITE}/40-{unit}.conf", f"[Unit]\nWants={unit}\nAfter={unit}\n")

    def _keep_busy(self, seconds: float, computes: float) -> None:
        """So many services that a satellite, which computes on one processor for so long, takes ``seconds`` to."""
        self.took |= {"jvm": 0.0, "computes": computes}
        for number in range(round((os.cpu_count() or 1) * seconds / computes) - 1):
            self._unit(f"lab-busy{number}.service", _BUSY.format(seconds=seconds), _EARLY)

    def tell(self) -> None:
        """Write down what DRBD says and how long the satellite takes, and have a running machine's kernel say the rest."""
        answers = weak_hosts.drbd_answers(self.names, self.drbd, seed.ADDRESS, PEER)
        for name, answer in zip(("show", "status"), answers, strict=True):
            self.write(f"{OVER}/{name}.json", json.dumps(answer))
        self.write(_TOOK, json.dumps(self.took))
        if self.scene.each.running:
            self.scene.each.exec([f"{OVER}/kernel.sh"])

    def undo(self) -> None:
        """Take every weakness off again: each file as it was. The machine is as it was when they were put on, down or running."""
        self.drbd, self.took = Drbd(), dict(HEALTHY)
        for path, before in reversed(list(self._kept.items())):
            if before is None:
                self._drop(path)
            else:
                text, runs = before
                self._put(path, text, executable=runs)
        self._kept.clear()
        self.tell()
        self._kept.clear()

    # --- files -------------------------------------------------------------------------------

    def write(self, path: str, text: str) -> None:
        """Put a file into the machine, down or running; what the kernel says is laid over it."""
        self._put(self._keep(_moved(path)), text)

    def remove(self, path: str) -> None:
        """Take a file or link of the machine away."""
        self._drop(self._keep(_moved(path)))

    def _program(self, path: str, text: str) -> None:
        self._put(self._keep(path), text, executable=True)

    def _unit(self, name: str, text: str, wanted_by: str) -> None:
        self.write(f"{SYSTEM}/{name}", text)
        self._put(self._keep(f"{SYSTEM}/{wanted_by}.d/lab-{name}.conf"), f"[Unit]\nWants={name}\n")

    def _place(self, path: str) -> Path:
        each = self.scene.each
        return each.inside(path) if each.running else each.written(path)

    def _keep(self, path: str) -> str:
        """Remember what is at ``path`` now, once."""
        if path not in self._kept:
            place = self._place(path)
            seen = place.lstat() if place.is_symlink() or place.exists() else None
            is_file = seen is not None and stat.S_ISREG(seen.st_mode)
            runs = bool(seen and seen.st_mode & stat.S_IXUSR)
            self._kept[path] = (place.read_text(), runs) if is_file else None
        return path

    def _put(self, path: str, text: str, *, executable: bool = False) -> None:
        place = self._place(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.is_char_device():
            place.unlink()
        place.write_text(text)
        place.chmod(0o755 if executable else 0o644)

    def _drop(self, path: str) -> None:
        """Remove a file; what lies in a lower layer of a machine that is down is hidden as overlayfs does it."""
        place, down = self._place(path), not self.scene.each.running
        place.unlink(missing_ok=True)
        if down and path == weak_hosts.AGENT_LINK:
            place.parent.mkdir(parents=True, exist_ok=True)
            os.mknod(place, stat.S_IFCHR, 0)

    # --- what lives only while others do ---------------------------------------------------------

    def ties(self) -> list[tales.Tie]:
        """Faults that end when the stand-ins say so."""
        found = [
            tales.Tie(kind=FaultKind.NODE_OFFLINE, subject=seed.NODE, alive=self._online),
            tales.Tie(kind=FaultKind.DEVICE_MISSING, alive=says("devices")),
        ]
        if self.scene.each.written(f"{SYSTEM}/{CONTROLLER}").exists():
            found.append(tales.Tie(kind=FaultKind.CONTROLLER_REFUSES, alive=says("controller")))
        return found

    def _online(self, each: machine.Machine) -> bool:
        """The satellite is through with its full sync, or somebody woke the controller, which then does not wait for its next round."""
        if says("online")(each):
            return True
        if not self.took["connect"] or not says("listening")(each):
            return False
        if not self._woken and time.monotonic() - self._looked > 0.5:
            self._looked = time.monotonic()
            said = self.scene.master.dump()
            fresh = said["requests"][-(said["asked"] - self._before) :]
            self._woken = any(_WAKE in one for one in fresh)
            if self._woken:
                each.inside("/run/lab-online").touch()
        return self._woken

    def booting(self) -> None:
        """Count calls to the controller from now on; what the shutdown before had to kill kept its volumes in use."""
        self._before = self.scene.master.dump()["asked"] - 1
        self._woken = False
        if self._resync:
            kills = self.scene.journal(STUBBORN).count(_KILLED)
            if kills > self._kills:
                self.scene.master.crashed(self.names, self._resync)
            self._kills = kills

    def move_metadata(self) -> None:
        """Put DRBD's metadata back beside the data."""
        self.drbd = Drbd()
        self.tell()


def says(what: str) -> Callable[[machine.Machine], bool]:
    """Whether a stand-in of the machine says that it has done ``what``."""

    def alive(each: machine.Machine) -> bool:
        with contextlib.suppress(OSError, host.LabError):
            return each.inside(f"/run/lab-{what}").exists()
        return False

    return alive


def _moved(path: str) -> str:
    """Where a file lies that ``kernel.sh`` lays over what the kernel says, or puts into /dev."""
    return f"{OVER}{path}" if path.startswith(("/sys/", "/proc/", "/dev/")) else path
