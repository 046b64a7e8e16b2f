# SPDX-License-Identifier: Apache-2.0
"""A rig: everything that one run needs of the host (directory, cgroup, network, loop devices), and its certain removal.

What a killed lab leaves behind is found by its directory, whose lock nobody holds any more: processes are in the run's cgroup,
loop devices have their files in the run's directory; mounts and network live in namespaces and end with the processes.
"""

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from tests.lab import host, kernel, machine

_LOCK = "lock"


def _runs() -> Path:
    path = host.lab_dir() / "runs"
    path.mkdir(parents=True, exist_ok=True)
    return path


def _cgroup(name: str) -> Path:
    top = host.cgroup_top()
    if top is None:
        raise host.LabError("no cgroup2 is mounted on this host")
    return top / "tidegate-lab" / name


def _old_groups(name: str) -> dict[str, Path]:
    return {option: top / "tidegate-lab" / name for option, top in host.old_groups().items()}


def _make_cgroup(path: Path) -> None:
    path.mkdir(parents=True)
    for parent in (path.parent.parent, path.parent):
        controllers = (parent / "cgroup.controllers").read_text().split()
        for controller in controllers:  # what is not delegated to us stays as it is
            with contextlib.suppress(OSError):
                (parent / "cgroup.subtree_control").write_text(f"+{controller}")


def _remove_cgroup(path: Path) -> None:
    if not path.exists():
        return
    if (path / "cgroup.kill").exists():  # the old layout has none; its processes are the new one's
        (path / "cgroup.kill").write_text("1")
    until = time.monotonic() + 20
    while time.monotonic() < until:
        inner = sorted((p.parent for p in path.rglob("cgroup.procs")), reverse=True)
        for directory in [*inner, path]:
            with contextlib.suppress(OSError):
                directory.rmdir()
        if not path.exists():
            return
        time.sleep(0.05)
    raise host.LabError(f"processes do not leave {path}")


def _detach_loops(directory: Path) -> None:
    listing = host.run(["losetup", "--json", "--list", "--output", "NAME,BACK-FILE"], timeout=20)
    devices = json.loads(listing or "{}").get("loopdevices", [])
    for device in devices:
        if str(device["back-file"] or "").startswith(f"{directory}/"):
            host.run(["losetup", "--detach", device["name"]], timeout=20, check=False)


def _remove(directory: Path) -> None:
    """Everything of one run, alive or not. Loops first, while their files still have names."""
    for path in (_cgroup(directory.name), *_old_groups(directory.name).values()):
        _remove_cgroup(path)
    _detach_loops(directory)
    shutil.rmtree(directory)


@contextlib.contextmanager
def _registry() -> Iterator[None]:
    """Held while run directories are made or judged, so that a new one is not taken for a leftover."""
    with (host.lab_dir() / "runs.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def sweep() -> list[str]:
    """Remove what killed runs have left; returns their names."""
    with _registry():
        return _sweep()


def _sweep() -> list[str]:
    gone = []
    for directory in sorted(_runs().iterdir()):
        lock = directory / _LOCK
        if lock.exists():
            with lock.open() as held:
                try:
                    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
        _remove(directory)
        gone.append(directory.name)
    return gone


def running() -> list[str]:
    """The runs of this lab directory that are there now."""
    return sorted(directory.name for directory in _runs().iterdir())


class Rig:
    """One run's share of the host. Make it with :func:`rig`."""

    def __init__(self, directory: Path, network: int) -> None:
        self.directory = directory
        self.network = network
        self.machines: list[machine.Machine] = []
        self._cgroup = _cgroup(directory.name)
        _make_cgroup(self._cgroup / "beside")

    @property
    def beside(self) -> Path:
        """The cgroup for the run's processes outside its machines."""
        return self._cgroup / "beside"

    def in_network(self, command: list[str]) -> list[str]:
        """``command`` as it runs beside the machines, at 10.99.0.1; pass the descriptor :attr:`network` on to it."""
        return ["nsenter", f"--net=/proc/self/fd/{self.network}", *command]

    def add_machine(
        self,
        name: str,
        address: str,
        lower: tuple[Path, ...],
        state: Path | None = None,
        binds: tuple[machine.Bind, ...] = (),
    ) -> machine.Machine:
        """A machine on the layers ``lower`` (topmost first); it is not started.

        ``state`` holds its ``incus`` and ``tidegate`` (default: nothing yet, in the machine's own directory).
        """
        cgroup = self._cgroup / name
        _make_cgroup(cgroup)
        old = _old_groups(self.directory.name)
        kept = state or self.directory / name
        layout = machine.Layout(
            lower=lower,
            home=self.directory / name,
            incus=kept / "incus",
            tidegate=kept / "tidegate",
            cgroup=cgroup,
            beside=self.beside,
            old_groups={option: path / name for option, path in old.items()},
        )
        made = machine.Machine(name, address, layout, binds)
        self.machines.append(made)
        return made

    def black_hole(self, address: str, *, on: bool) -> None:
        """Let nothing that the controller's side says reach ``address`` any more, silently, or undo that."""
        verb = "add" if on else "del"
        words = ["ip", "route", verb, "blackhole", f"{address}/32"]
        host.run(self.in_network(words), timeout=10, fds=[self.network])


def _bridge(network: int) -> None:
    into = ["nsenter", f"--net=/proc/self/fd/{network}", "ip"]
    for words in (
        ["link", "set", "lo", "up"],
        ["link", "add", "br0", "type", "bridge"],
        ["link", "set", "br0", "up"],
        ["addr", "add", f"{machine.CONTROLLER_ADDRESS}/24", "dev", "br0"],
    ):
        host.run([*into, *words], timeout=10, fds=[network])


@contextlib.contextmanager
def rig(name: str) -> Iterator[Rig]:
    """A fresh rig for a run called ``name``; at the end, however it comes, nothing of it is left on the host."""
    directory = _runs() / f"{name}-{os.getpid()}-{time.monotonic_ns() // 1_000_000}"
    with contextlib.ExitStack() as held:
        with _registry():
            directory.mkdir()
            lock = held.enter_context((directory / _LOCK).open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        network = kernel.new_network()
        try:
            _bridge(network)
            made = Rig(directory, network)
            yield made
            for each in made.machines:
                each.kill()
        finally:
            os.close(network)
            _remove(directory)
