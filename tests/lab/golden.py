# SPDX-License-Identifier: Apache-2.0
"""The golden root file system, made once and kept: layers, each keyed by a hash of its recipe, stacked by overlay.

From below: ``base`` (Debian with Incus from its archive), ``deps`` (our run-time wheels), ``dress`` (the folder ``rootfs`` beside
this file: stand-ins and settings, masks, the container image) and, for machines with Tidegate, ``source`` (our package, compiled).
"""

import contextlib
import fcntl
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from tests.lab import host, kernel

HERE = Path(__file__).parent
SUITE = "trixie"
PYTHON = "3.13"  # of that suite; the wheels below are for it
IMAGE = "/root/tiny.tar.gz"
IMAGE_ALIAS = "tiny"
DEPS = "/usr/lib/tidegate/deps"
SOURCE = "/usr/lib/tidegate/src"
_KEPT = 5  # of each kind of layer; a run in another session may still stand on an older one
_FIRST = "systemd-sysv,dbus,iproute2,ca-certificates,python3,kmod,procps"
_FROM_BACKPORTS = ("incus-base", "dnsmasq-base", "e2fsprogs", "busybox-static")
_NOT_NEEDED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/lib/apt/lists")
# What cannot run in namespaces, or would touch the host, or only costs time at boot.
_MASKED = (
    *("console-getty.service", "getty.target", "systemd-udevd.service"),
    *("e2scrub_reap.service", "e2scrub_all.timer", "fstrim.timer", "xfs_scrub_all.timer"),
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer"),
    *("sys-kernel-debug.mount", "sys-kernel-tracing.mount", "sys-kernel-config.mount"),
    *("proc-sys-fs-binfmt_misc.automount", "systemd-binfmt.service", "dev-hugepages.mount"),
)
_ENABLED = {
    "multi-user.target.wants/systemd-networkd.service": "/usr/lib/systemd/system",
    "network-online.target.wants/systemd-networkd-wait-online.service": "/usr/lib/systemd/system",
    "multi-user.target.wants/linstor-satellite.service": "/etc/systemd/system",
}
_APPLETS = (
    *(
        "sh",
        "ls",
        "cat",
        "echo",
        "sleep",
        "ps",
        "mount",
        "umount",
        "ip",
        "hostname",
        "date",
        "sync",
    ),
    *("grep", "kill", "touch", "mkdir", "rm", "df"),
)
_INIT = """#!/bin/sh
# PID 1 of a test container: notes its starts, ends on Incus's stop signal
trap 'sync; exit 0' PWR TERM INT
echo "start $(date +%s)" >> /var/log/boots
while :; do sleep 3600 & wait $!; done
"""
_METADATA = """architecture: {architecture}
creation_date: 1700000000
properties:
  description: busybox for the boot lab
  os: busybox
  release: lab
"""


class Layers(msgspec.Struct, frozen=True, kw_only=True):
    """The finished layers; each is a directory that nobody writes to any more."""

    base: Path
    deps: Path
    dress: Path

    def stock(self) -> tuple[Path, ...]:
        """A machine as Debian, Incus and LINBIT make it, topmost layer first."""
        return (self.dress, self.base)

    def with_tidegate(self) -> tuple[Path, ...]:
        """The same with our package, as it is now in the work tree, and its wheels laid down (not switched on)."""
        package = host.PROJECT / "src" / "tidegate"
        key = key_of(str(self.base), package)
        says = "Tidegate's layer"
        source = cached("source", key, lambda at: _build_source(at, self.base), says=says)
        return (source, self.deps, self.dress, self.base)


def key_of(*parts: str | Path) -> str:
    """A short name for contents: strings as they are, files and folders by what is in them and under which name."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            digest.update(part.encode() + b"\0")
            continue
        files = sorted(part.rglob("*")) if part.is_dir() else [part]
        for path in files:
            if path.is_file() and "__pycache__" not in path.parts:
                mode = os.access(path, os.X_OK)
                digest.update(f"{path.relative_to(part)} {mode}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """Let one lab at a time do what ``name`` says; others wait."""
    host.lab_dir().mkdir(parents=True, exist_ok=True)
    with (host.lab_dir() / f"{name}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def cached(kind: str, key: str, build: Callable[[Path], None], *, says: str) -> Path:
    """The directory ``kind/key`` of the lab, built into a side name and renamed when whole; only the few last used of a kind are kept."""
    place = host.lab_dir() / kind / key
    if place.is_dir():
        os.utime(place)  # it is in use: not the oldest any more
        return place
    with lock(kind):
        if place.is_dir():
            return place
        print(f"lab: making {says}", flush=True)
        partial = place.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(f"{partial}.work", ignore_errors=True)
        partial.mkdir(parents=True)
        build(partial)
        partial.rename(place)
        for old in sorted(place.parent.iterdir(), key=lambda p: p.stat().st_mtime)[:-_KEPT]:
            shutil.rmtree(old)
    return place


def _enter_root(root: str) -> Callable[[], None]:
    def enter() -> None:
        kernel.unshare(kernel.NEWNS)
        kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
        kernel.mount("proc", f"{root}/proc", "proc")
        kernel.mount("sysfs", f"{root}/sys", "sysfs", kernel.MS_RDONLY)
        kernel.bind("/dev", f"{root}/dev")
        os.chroot(root)
        os.chdir("/")

    return enter


def run_in(root: Path, command: list[str], *, timeout: float) -> str:
    """Run ``command`` in the file system ``root`` (chroot, private mounts); raises LabError with its last words."""
    clean = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
        "TERM": "dumb",
    }
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=clean,
        timeout=timeout,
        preexec_fn=_enter_root(str(root)),
        check=False,
    )
    if done.returncode != 0:
        words = " ".join(command)
        raise host.LabError(f"exit {done.returncode} in {root}: {words}\n{done.stdout[-1500:]}")
    return done.stdout


# -- base ---------------------------------------------------------------------------------------


def _build_base(root: Path) -> None:
    mirror = host.debian_mirror()
    keyring = f"--keyring={host.keyring()}"
    command = ["debootstrap", "--variant=minbase", keyring, f"--include={_FIRST}"]
    host.run([*command, SUITE, str(root), mirror], timeout=900)
    suites = (SUITE, f"{SUITE}-updates", f"{SUITE}-backports")
    sources = root / "etc/apt/sources.list"
    sources.write_text("".join(f"deb {mirror} {suite} main\n" for suite in suites))
    (root / "etc/apt/apt.conf.d/00lab").write_text(host.apt_acquire_settings())
    refuse = root / "usr/sbin/policy-rc.d"
    refuse.write_text("#!/bin/sh\nexit 101\n")
    refuse.chmod(0o755)
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    run_in(root, ["apt-get", "update", "-q"], timeout=300)
    install = ["apt-get", "install", "-y", "-q", "-t", suites[2], "--no-install-recommends"]
    run_in(root, [*install, *_FROM_BACKPORTS], timeout=900)
    run_in(root, ["apt-get", "clean"], timeout=60)
    for path in ("usr/sbin/policy-rc.d", "etc/apt/apt.conf.d/00lab", "etc/resolv.conf"):
        (root / path).unlink()
    for path in _NOT_NEEDED:
        shutil.rmtree(root / path, ignore_errors=True)
    for path in ("etc/fstab", "etc/machine-id"):
        (root / path).write_text("")
    (root / "var/log/journal").mkdir(exist_ok=True)


# -- deps and source ----------------------------------------------------------------------------


def _compile(base: Path, layer: Path, inside: str) -> None:
    """Byte-compile ``inside`` of ``layer`` with the golden system's Python, as a package's installation would."""
    command = [sys.executable, "-m", "tests.lab.overlaid", str(base), str(layer)]
    words = ["python3", "-m", "compileall", "-q", "-j", "2", inside]
    try:
        host.run([*command, *words], timeout=300)
    finally:
        shutil.rmtree(f"{layer}.work", ignore_errors=True)


def _build_deps(layer: Path, base: Path) -> None:
    target = layer / DEPS.lstrip("/")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile"]
    command += ["--target", str(target), "--python-version", PYTHON, "--only-binary=:all:"]
    lock_file = host.PROJECT / "requirements" / "run.lock"
    host.run([*command, "--require-hashes", "-r", str(lock_file)], timeout=600)
    _compile(base, layer, DEPS)


def _build_source(layer: Path, base: Path) -> None:
    ignore = shutil.ignore_patterns("__pycache__")
    target = layer / SOURCE.lstrip("/") / "tidegate"
    shutil.copytree(host.PROJECT / "src" / "tidegate", target, ignore=ignore)
    _compile(base, layer, SOURCE)


# -- dress --------------------------------------------------------------------------------------


def _add(archive: tarfile.TarFile, name: str, content: bytes | None, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.mode = mode
    if content is None:
        entry.type = tarfile.DIRTYPE
        archive.addfile(entry)
        return
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def _write_image(busybox: Path, target: Path) -> None:
    """A container image of some kilobytes: busybox, its applets as links, an init that stays."""
    architecture = {"x86_64": "x86_64", "aarch64": "aarch64"}[os.uname().machine]
    with tarfile.open(target, "w:gz") as archive:
        _add(archive, "metadata.yaml", _METADATA.format(architecture=architecture).encode(), 0o644)
        _add(archive, "rootfs", None, 0o755)
        for name in (
            "bin",
            "sbin",
            "etc",
            "proc",
            "sys",
            "dev",
            "tmp",
            "run",
            "root",
            "var",
            "var/log",
        ):
            _add(archive, f"rootfs/{name}", None, 0o755)
        _add(archive, "rootfs/bin/busybox", busybox.read_bytes(), 0o755)
        for name in _APPLETS:
            link = tarfile.TarInfo(f"rootfs/bin/{name}")
            link.type = tarfile.SYMTYPE
            link.linkname = "busybox"
            archive.addfile(link)
        _add(archive, "rootfs/sbin/init", _INIT.encode(), 0o755)
        _add(archive, "rootfs/etc/passwd", b"root:x:0:0::/root:/bin/sh\n", 0o644)
        _add(archive, "rootfs/etc/group", b"root:x:0:\n", 0o644)
        for name in ("hosts", "hostname", "resolv.conf"):
            _add(archive, f"rootfs/etc/{name}", b"", 0o644)


def _build_dress(layer: Path, base: Path) -> None:
    shutil.copytree(HERE / "rootfs", layer, dirs_exist_ok=True)
    units = layer / "etc/systemd/system"
    for name in _MASKED:
        (units / name).symlink_to("/dev/null")
    for name, home in _ENABLED.items():
        link = units / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(f"{home}/{link.name}")
    image = layer / IMAGE.lstrip("/")
    image.parent.mkdir(mode=0o700, exist_ok=True)
    _write_image(base / "bin/busybox", image)


# -- all of it ----------------------------------------------------------------------------------


def layers() -> Layers:
    """Make what is missing and return the layers that do not change with our code. Raises LabError when the archive or the wheels cannot be had."""
    mirror = host.debian_mirror()
    recipe = (SUITE, _FIRST, *_FROM_BACKPORTS, "2")
    base_key = key_of(*recipe)
    base = cached(
        "base", base_key, _build_base, says=f"the root file system from {mirror} (about a minute)"
    )
    wheels = host.PROJECT / "requirements" / "run.lock"
    deps_key = key_of(base_key, PYTHON, wheels)
    deps = cached("deps", deps_key, lambda at: _build_deps(at, base), says="the wheels' layer")
    dress_key = key_of(
        base_key, *_MASKED, *sorted(_ENABLED), *_APPLETS, _INIT, _METADATA, HERE / "rootfs"
    )
    dress = cached(
        "dress", dress_key, lambda at: _build_dress(at, base), says="the settings' layer"
    )
    return Layers(base=base, deps=deps, dress=dress)
