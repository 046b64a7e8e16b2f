# SPDX-License-Identifier: Apache-2.0
"""One machine: real systemd as PID 1 in its own namespaces, on an overlay over the golden layers.

A machine belongs to a :class:`tests.lab.rig.Rig`, which gives it directories, a cgroup and a network, and ends it whatever happens.
Its second zero is the start of its PID 1: its monotonic clock, its journal and everything measured here count from there.
"""

import json
import os
import select
import stat
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from tests.lab import host

CONTROLLER_ADDRESS = "10.99.0.1"
_PATH = "/usr/libexec/incus:/usr/sbin:/usr/bin:/sbin:/bin"
_NETWORK = (
    "[Match]\nName=eth0\n[Network]\nAddress={address}\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n"
)

_ONLY_THE_NEW = (
    "/etc/systemd/system/incus.service.d/90-lab-groups.conf",
    "[Service]\nBindPaths=/sys/fs/cgroup/unified:/sys/fs/cgroup\n",
)
"""LXC starts nothing in a mixture of both layouts."""


class Bind(msgspec.Struct, frozen=True, kw_only=True):
    """A directory of the host shown inside; ``target`` is made if it is not there."""

    source: Path
    target: str
    readonly: bool = False


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """Where a machine's parts lie on the host.

    Attributes:
        lower: layers of the root file system, topmost first.
        home: the machine's own directory (overlay's upper, journal, console).
        incus: its ``/var/lib/incus``.
        tidegate: its ``/var/lib/tidegate``.
        cgroup: its cgroup, empty, writable.
        beside: the cgroup for its keeper, outside the machine's own.
        old_groups: its groups in the old layout, which need not be there, by the options that mount their tree.
    """

    lower: tuple[Path, ...]
    home: Path
    incus: Path
    tidegate: Path
    cgroup: Path
    beside: Path
    old_groups: Mapping[str, Path] = {}


class Machine:
    """Start, look into, stop, kill one machine. All waits are bounded; LabError says what did not happen."""

    def __init__(self, name: str, address: str, layout: Layout, binds: Sequence[Bind] = ()) -> None:
        self.name = name
        self.address = address
        self._layout = layout
        self._binds = tuple(binds)
        self._stage: subprocess.Popen[str] | None = None
        self._pid: int | None = None
        self.zero = 0.0
        self.controller_names: tuple[str, ...] = ("linstor-controller",)
        self.weighs = False
        """Set before a start: processors are weighed in it also where the host binds them to the old layout of groups."""
        layout.home.mkdir(parents=True, exist_ok=True)
        for part in ("upper", "work", "root", "journal"):
            (layout.home / part).mkdir(exist_ok=True)
        for path in (layout.incus, layout.tidegate):
            path.mkdir(parents=True, exist_ok=True)
        self._machine_id = uuid.uuid4().hex

    @property
    def pid(self) -> int:
        """The host's number of the machine's PID 1. Raises LabError when the machine is down."""
        if self._pid is None:
            raise host.LabError(f"machine {self.name} is down")
        return self._pid

    @property
    def running(self) -> bool:
        """Whether PID 1 lives."""
        return self._stage is not None and self._stage.poll() is None and self._pid is not None

    @property
    def cgroup(self) -> Path:
        """The machine's cgroup as the host sees it."""
        return self._layout.cgroup

    @property
    def has_weights(self) -> bool:
        """Whether processors are weighed in it."""
        controllers = (self.cgroup / "cgroup.controllers").read_text().split()
        return "cpu" in controllers or (self.weighs and bool(self._layout.old_groups))

    @property
    def journal(self) -> Path:
        """The directory to give ``journalctl -D``."""
        return self._layout.home / "journal"

    def now(self) -> float:
        """Seconds since this machine's PID 1 started."""
        return time.clock_gettime(time.CLOCK_MONOTONIC) - self.zero

    def inside(self, path: str) -> Path:
        """``path`` of the machine, as the host reaches it while the machine runs."""
        return Path(f"/proc/{self.pid}/root{path}")

    def write(self, path: str, text: str) -> None:
        """Put a file into the machine's root before it starts."""
        target = self.written(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def written(self, path: str) -> Path:
        """Where on the host lies what was written to ``path`` of the machine's root, besides its layers."""
        return self._layout.home / "upper" / path.lstrip("/")

    def link(self, path: str, target: str) -> None:
        """Put a symbolic link into the machine's root before it starts (how units are enabled and masked)."""
        where = self.written(path)
        where.parent.mkdir(parents=True, exist_ok=True)
        where.unlink(missing_ok=True)
        where.symlink_to(target)

    # -- life ---------------------------------------------------------------------------------

    def start(self, network: int) -> None:
        """Boot, with ``eth0`` on the bridge of the network namespace that descriptor ``network`` holds."""
        if self.running:
            raise host.LabError(f"machine {self.name} is already up")
        self._clear_cgroup()
        spec = self._write_identity()
        with (self._layout.home / "console.log").open("ab") as console:
            self._stage = subprocess.Popen(
                [sys.executable, "-m", "tests.lab.stage", str(spec)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=console,
                text=True,
                cwd=host.PROJECT,
            )
        self._expect("namespaces")
        self._plug_in(network)
        assert self._stage.stdin is not None
        self._stage.stdin.write("go\n")
        self._stage.stdin.flush()
        _, pid, zero = self._expect("booted").split()
        self._pid, self.zero = int(pid), float(zero)
        # Only the machine's own processes may stay in its cgroup, or its systemd could not enable controllers there.
        (self._layout.beside / "cgroup.procs").write_text(str(self._stage.pid))

    def _clear_cgroup(self) -> None:
        """Remove what a machine that was killed has left in its cgroup: no real one would find it after a power loss."""
        for top in (self.cgroup, *self._layout.old_groups.values()):
            for path in sorted(top.rglob("cgroup.procs"), reverse=True):
                if path.parent != top:
                    path.parent.rmdir()

    def _write_identity(self) -> Path:
        home = self._layout.home
        self.write("/etc/hostname", self.name + "\n")
        self.write("/etc/machine-id", self._machine_id + "\n")
        self.write(
            "/etc/hosts",
            f"127.0.0.1 localhost {self.name}\n::1 localhost\n{CONTROLLER_ADDRESS} {' '.join(self.controller_names)}\n",
        )
        self.write("/etc/systemd/network/10-eth0.network", _NETWORK.format(address=self.address))
        (home / "boot_id").write_text(f"{uuid.uuid4()}\n")
        lay = self._layout
        old = lay.old_groups if self.weighs else {}
        if old:
            self.write(*_ONLY_THE_NEW)
        binds = [
            Bind(source=lay.incus, target="/var/lib/incus"),
            Bind(source=lay.tidegate, target="/var/lib/tidegate"),
            Bind(source=home / "journal", target=f"/var/log/journal/{self._machine_id}"),
            *self._binds,
        ]
        spec = {
            "name": self.name,
            "lower": ":".join(str(layer) for layer in lay.lower),
            "upper": str(home / "upper"),
            "work": str(home / "work"),
            "root": str(home / "root"),
            "boot_id": str(home / "boot_id"),
            "cgroup": str(lay.cgroup),
            "old_groups": {option: str(path) for option, path in old.items()},
            "binds": [
                {"source": str(b.source), "target": b.target, "readonly": b.readonly} for b in binds
            ],
        }
        path = home / "spec.json"
        path.write_text(json.dumps(spec))
        return path

    def _plug_in(self, network: int) -> None:
        assert self._stage is not None
        switch = ["nsenter", f"--net=/proc/self/fd/{network}", "ip"]
        plug = f"v-{self.name}"
        peer = ["peer", "name", "eth0", "netns", str(self._stage.pid)]
        # That of the boot before goes with its namespace, which the kernel may still be taking apart.
        host.run([*switch, "link", "del", plug], timeout=10, check=False, fds=[network])
        for words in (
            ["link", "add", plug, "type", "veth", *peer],
            ["link", "set", plug, "master", "br0", "up"],
        ):
            host.run([*switch, *words], timeout=10, fds=[network])

    def _expect(self, word: str, timeout: float = 20) -> str:
        """The stage's next line, which must start with ``word``."""
        assert self._stage is not None
        assert self._stage.stdout is not None
        readable, _, _ = select.select([self._stage.stdout], [], [], timeout)
        line = self._stage.stdout.readline().strip() if readable else ""
        if not line.startswith(word):
            self.kill()
            log = self._layout.home / "console.log"
            raise host.LabError(
                f"machine {self.name} did not start (wanted {word!r}, got {line!r}); see {log}:\n"
                + log.read_text(errors="replace")[-1500:]
            )
        return line

    def wait(self, timeout: float = 60) -> str:
        """Wait until systemd says that the boot is over; returns ``running``, ``degraded``..."""
        until = time.monotonic() + timeout
        while not self.inside("/run/systemd/private").exists():
            if not self.running or time.monotonic() > until:
                raise host.LabError(f"machine {self.name}: systemd does not come up")
            time.sleep(0.02)
        words = ["systemctl", "is-system-running", "--wait"]
        return self.exec(words, timeout=max(1.0, until - time.monotonic()), check=False).strip()

    def exec(self, command: Sequence[str], *, timeout: float = 30, check: bool = True) -> str:
        """Run ``command`` inside, as root, in all of the machine's namespaces; returns what it printed."""
        return host.run([*self.enter(), *command], timeout=timeout, check=check)

    def enter(self) -> list[str]:
        """The words that, put in front of a command, run it inside."""
        door = ["nsenter", "-t", str(self.pid), "-a", "-r", "-w", "--"]
        clean = ["env", "-i", f"PATH={_PATH}", "HOME=/root", "LANG=C.UTF-8", "TERM=dumb"]
        return [*door, *clean]

    def poweroff(self, timeout: float = 120) -> None:
        """Shut down in good order and wait for the end."""
        self.exec(["systemctl", "poweroff"], check=False)
        self._await_end(timeout)

    def crash(self) -> None:
        """Power loss: everything inside is killed at once."""
        os.kill(self.pid, 9)
        self._await_end(20)

    def kill(self) -> None:
        """End the machine whatever its state; harmless when it is down."""
        if self._stage is None:
            return
        if self._stage.poll() is None:
            self._stage.kill()  # PID 1 dies with its parent, and the PID namespace with PID 1
        self._await_end(20)

    def _await_end(self, timeout: float) -> None:
        assert self._stage is not None
        try:
            self._stage.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise host.LabError(f"machine {self.name} did not stop in {timeout:.0f} s") from error
        finally:
            if self._stage.poll() is not None:
                self._close()

    def _close(self) -> None:
        assert self._stage is not None
        for pipe in (self._stage.stdin, self._stage.stdout):
            if pipe is not None:
                pipe.close()
        self._pid = None

    # -- devices ------------------------------------------------------------------------------

    def show_device(self, name: str, number: int) -> None:
        """Make block device ``number`` appear as ``/dev/NAME`` inside."""
        path = self.inside(f"/dev/{name}")
        os.mknod(path, stat.S_IFBLK | 0o660, number)

    def hide_device(self, name: str) -> None:
        """Take ``/dev/NAME`` away again."""
        self.inside(f"/dev/{name}").unlink(missing_ok=True)
