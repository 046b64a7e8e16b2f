# SPDX-License-Identifier: Apache-2.0
"""The machine that the lab runs on: its tools, its kernel's features, its Debian mirror, and the one door for commands.

What is missing is an answer (:func:`missing`), not a traceback: the lab then says so in one line and does not pretend.
"""

import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.lab import kernel

PROJECT = Path(__file__).resolve().parents[2]
_TOOLS = {  # program: the Debian package that has it
    "debootstrap": "debootstrap",
    "ip": "iproute2",
    "losetup": "mount",
    "nsenter": "util-linux",
    "journalctl": "systemd",
}
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class LabError(Exception):
    """The lab cannot go on; the text says what, where, and what to do."""


def run(
    command: Sequence[str],
    *,
    timeout: float,
    check: bool = True,
    env: dict[str, str] | None = None,
    fds: Sequence[int] = (),
) -> str:
    """Run ``command`` for at most ``timeout`` seconds and return what it printed. Raises LabError with its last words."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout,
            env=env,
            pass_fds=fds,
            check=False,
        )
    except FileNotFoundError as error:
        raise LabError(f"{command[0]} is not installed on this host") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"no end after {timeout:.0f} s: {' '.join(command)}") from error
    if check and done.returncode != 0:
        words = done.stdout.strip()[-1500:]
        raise LabError(f"exit {done.returncode}: {' '.join(command)}\n{words}")
    return done.stdout


def lab_dir() -> Path:
    """Where the lab keeps its caches and runs (``TIDEGATE_LAB_DIR``)."""
    return Path(os.environ.get("TIDEGATE_LAB_DIR", "/var/tmp/tidegate-lab"))


def _mounts() -> Iterator[tuple[Path, str, list[str]]]:
    """What is mounted: where, of which kind, with which options."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, target, kind, options, *_ = line.split()
        yield Path(target), kind, options.split(",")


def cgroup_top() -> Path | None:
    """The mounted cgroup2 tree, or None: hosts with the old layout have it in ``/sys/fs/cgroup/unified``."""
    return next((target for target, kind, _ in _mounts() if kind == "cgroup2"), None)


def old_groups() -> dict[str, Path]:
    """What a machine needs of the old layout of control groups to weigh processors, on a host that binds them to it; else nothing.

    Returns the mounted trees by the options that mount them. A tree of processors and something else is left alone.
    """
    found: dict[str, Path] = {}
    for target, kind, options in _mounts():
        if kind == "cgroup" and "name=systemd" in options:
            found["none,name=systemd"] = target
        elif kind == "cgroup" and "cpu" in options and "cpuacct" not in options:
            found["cpu"] = target
    return found if len(found) == 2 else {}


def _try_features(scratch: str) -> None:
    """In a child of its own: do once what each machine needs; raises OSError with the name of what failed."""
    flags = kernel.NEWNS | kernel.NEWUTS | kernel.NEWIPC | kernel.NEWNET
    kernel.unshare(flags | kernel.NEWCGROUP | kernel.NEWTIME)
    kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    for name in ("lower", "upper", "work", "root"):
        Path(scratch, name).mkdir()
    layers = f"lowerdir={scratch}/lower,upperdir={scratch}/upper,workdir={scratch}/work"
    kernel.mount("overlay", f"{scratch}/root", "overlay", 0, layers)
    for command in (
        ["ip", "link", "add", "br9", "type", "bridge"],
        ["ip", "link", "add", "v9", "type", "veth", "peer", "name", "w9"],
    ):
        run(command, timeout=10)


def _trial() -> str | None:
    lab_dir().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=lab_dir()) as scratch:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            words = ""
            try:
                _try_features(scratch)
            except (OSError, LabError) as error:
                words = str(error).replace("\n", " ")
            finally:
                os.write(writing, words.encode())
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            words = pipe.read()
        os.waitpid(pid, 0)
    return f"kernel features for machines ({words})" if words else None


def missing() -> str | None:
    """What this host lacks to run machines, in a few words, or None. Needs nothing to ask; as root it tries the features once."""
    if os.geteuid() != 0:
        return "root"
    for path in ("/proc/self/ns/time", "/proc/self/ns/user", "/dev/loop-control", "/dev/fuse"):
        if not Path(path).exists():
            return path
    users = Path("/proc/sys/user/max_user_namespaces")
    if users.exists() and users.read_text().strip() == "0":
        return "user namespaces (user.max_user_namespaces is 0)"
    top = cgroup_top()
    if top is None:
        return "a mounted cgroup2"
    try:
        (top / "tidegate-lab").mkdir(exist_ok=True)
    except OSError as error:
        return f"a writable cgroup2 ({error})"
    if not (top / "tidegate-lab" / "cgroup.kill").exists():
        return "cgroup.kill (Linux 5.14 or later)"
    lacking = sorted(name for name in _TOOLS if shutil.which(name) is None)
    if lacking:
        return f"programs {', '.join(lacking)}"
    return _trial()


def install_tools() -> None:
    """Install the programs that are missing, saying so; only as root on Debian 12 and 13, elsewhere nothing happens."""
    packages = {package for tool, package in _TOOLS.items() if shutil.which(tool) is None}
    if not _KEYRING.exists():
        packages.add("debian-archive-keyring")
    release = platform.freedesktop_os_release()
    known = release.get("ID") == "debian" and release.get("VERSION_ID") in {"12", "13"}
    if not packages or os.geteuid() != 0 or not known:
        return
    print(f"lab: installing {', '.join(sorted(packages))} with apt-get", flush=True)
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update", "-q"], timeout=300, env=quiet)
    command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *sorted(packages)]
    run(command, timeout=600, env=quiet)


def keyring() -> Path:
    """Debian's archive keys, for debootstrap."""
    return _KEYRING


def _deb822_mirrors(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for stanza in re.split(r"\n\s*\n", text):
        fields = dict(re.findall(r"^([A-Za-z-]+):[ \t]*(.+)$", stanza, re.MULTILINE))
        found += [(uri, fields.get("Suites", "")) for uri in fields.get("URIs", "").split()]
    return found


def debian_mirror() -> str:
    """The Debian mirror that this host's apt uses for its own release. Raises LabError when its sources name none."""
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    mirrors: list[tuple[str, str]] = []
    for path in sorted(Path("/etc/apt/sources.list.d").glob("*.sources")):
        mirrors += _deb822_mirrors(path.read_text())
    for path in [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*.list")]:
        text = path.read_text() if path.exists() else ""
        mirrors += re.findall(r"^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)", text, re.MULTILINE)
    suites_of: dict[str, set[str]] = {}
    for uri, suites in mirrors:
        suites_of.setdefault(uri, set()).update(suites.split())
    for wanted in ({release, f"{release}-updates"}, {release}):  # third parties have no -updates
        for uri, have in suites_of.items():
            if wanted <= have:
                return uri
    raise LabError(
        f"no Debian mirror for {release} in /etc/apt/sources.list*: the lab takes its mirror from there"
    )


def apt_acquire_settings() -> str:
    """This host's ``Acquire`` settings (proxies, retries), as lines for a file in ``apt.conf.d``."""
    lines = run(["apt-config", "dump", "--format", '%F "%v";%n', "Acquire"], timeout=30)
    wanted = ("Acquire::http", "Acquire::https", "Acquire::Retries")
    return "".join(f"{line}\n" for line in lines.splitlines() if line.startswith(wanted))
