"""Hosts with a weakness built in, for ``tidegate tune``: their files, programs with canned answers, and boots that take what the weakness costs.

A boot here is arithmetic over the very files that ``tune apply`` writes: the satellite's merged unit, what is enabled. What it takes is
recorded as the agent records it. So advice, apply, boot, result and revert are the product's own from end to end.
"""

import hashlib
import json
import os
import stat
import sys
import time
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from tests import weak_hosts
from tests.weak_hosts import AGENT_LINK, CONTROLLER, NETWORKD, UNIT, WEAK, Drbd, Weak

from tidegate.agent import tunedisks, tuneservice, tuneview
from tidegate.cli import tune as command
from tidegate.clients import clock, unitfiles
from tidegate.clients.systemd.manager import Unit
from tidegate.config.environment import variable
from tidegate.core.ids import BootId
from tidegate.history.store import open_history
from tidegate.metrics.moments import Moment
from tidegate.tuning import jvm
from tidegate.units.tree import Index

EPOCH: Final = 1_795_000_000.0
SCRIPT: Final = "/usr/share/linstor-server/bin/Satellite"
START_SCRIPT: Final = """#!/bin/sh
# As Gradle makes it, shortened to what counts.
APP_HOME=$( cd "${0%/*}/.." > /dev/null && pwd -P ) || exit
DEFAULT_JVM_OPTS='"-Xms32M" "-Xmx2G" "-XX:+CrashOnOutOfMemoryError"'
CLASSPATH=$APP_HOME/lib/conf:$APP_HOME/lib/*
if [ -n "$JAVA_HOME" ] ; then
    JAVACMD=$JAVA_HOME/bin/java
else
    JAVACMD=java
fi
set -- \\
        -classpath "$CLASSPATH" \\
        com.linbit.linstor.core.Satellite \\
        "$@"
eval "set -- $(
        printf '%s\\n' "$DEFAULT_JVM_OPTS $JAVA_OPTS $SATELLITE_OPTS" |
        xargs -n1 |
        sed ' s~[^-[:alnum:]+,./:=@_]~\\\\&~g; ' |
        tr '\\n' ' '
    )" '"$@"'
exec "$JAVACMD" "$@"
"""
SATELLITE_UNIT: Final = f"""[Unit]
Wants=network-online.target
After=network-online.target
[Service]
Type=simple
ExecStart={SCRIPT} --logs=/var/log/linstor-satellite --config-directory=/etc/linstor
SuccessExitStatus=0 143 129
"""
JAVA: Final = """case "$*" in *NoSuch*) exit 1 ;; esac
echo 'openjdk version "21.0.5" 2024-10-15' >&2
"""


class TunedHost:
    """One host below ``root``: healthy until something of ``tests.weak_hosts`` is done to it by :meth:`weaken`."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self._patch = root, monkeypatch
        self.state = root / "var/lib/tidegate"
        self.programs = root / "bin"
        self.now = EPOCH
        self.base = {"before": 3.0, "jvm": 0.9, "connect": 1.5, "devices": 0.2, "instances": 1.0}
        self.units: dict[str, Unit] = {}
        self.resources, self.drbd = 4, Drbd()
        self.resync = 0.0
        """Seconds that DRBD copies wanted volumes at the start of a boot, as after a crash; 0: it does not."""
        self.early_too = False
        """What devices-first brings up takes as long as the rest."""
        self._lay()
        monkeypatch.setenv("TIDEGATE_HOST_ROOT", str(root))
        monkeypatch.setenv("TIDEGATE_INCUS_USE", "off")
        monkeypatch.setenv("PATH", f"{self.programs}:{os.environ['PATH']}")
        monkeypatch.setattr(os, "cpu_count", lambda: 2)
        real = clock.boottime
        monkeypatch.setattr(clock, "boottime", lambda: real() + 3600.0)
        monkeypatch.setattr(clock, "wall", lambda: self.now)
        monkeypatch.setattr(tuneview, "_units", self._running)

    async def _running(self, _config: object) -> dict[str, Unit]:
        return self.units

    # --- files -----------------------------------------------------------------------------------

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(mode)

    def program(self, name: str, text: str) -> None:
        """A program that is found before the machine's own."""
        self.write(f"bin/{name}", f"#!/bin/sh\n{text}\n", 0o755)

    def _lay(self) -> None:
        self.write(f"usr/lib/systemd/system/{UNIT}", SATELLITE_UNIT)
        self.link(AGENT_LINK, "/usr/local/lib/systemd/system/tidegate-agent.service")
        self.write(
            "usr/local/lib/systemd/system/tidegate-agent.service", "[Service]\nExecStart=/a\n"
        )
        packaged = (
            Path(__file__).resolve().parents[1] / "packaging/systemd/tidegate-archive.service"
        )
        self.write("usr/local/lib/systemd/system/tidegate-archive.service", packaged.read_text())
        self.write(SCRIPT, START_SCRIPT, 0o755)
        self.write("usr/share/linstor-server/lib/conf/logback.xml", "<configuration/>")
        with zipfile.ZipFile(self.root / "usr/share/linstor-server/lib/server.jar", "w") as jar:
            jar.writestr("x", "x")
        self.write("proc/meminfo", "MemTotal:       16384000 kB\n")
        self.write("proc/cmdline", "quiet\n")
        self.write("proc/1/mountinfo", "36 35 8:1 / /var/lib/incus rw - ext4 /dev/sda rw\n")
        for number in range(5):
            self.link(f"proc/{100 + number}/fd/3", "anon_inode:inotify")
        self.write("sys/module/drbd/version", "9.2.18\n")
        self.state.mkdir(parents=True)
        self.program("java", JAVA)
        self.program("networkctl", "exit 1")
        for name, text in weak_hosts.PROGRAMS.items():
            self.program(name, text)
        for path, text in weak_hosts.healthy(self.names).items():
            self.write(path, text)
        self.tell_drbd()

    @property
    def names(self) -> list[str]:
        """The resources of this host."""
        return [f"r{number}" for number in range(self.resources)]

    def link(self, path: str, target: str) -> None:
        place = self.root / path.lstrip("/")
        if not place.is_symlink():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(target)

    def tell_drbd(self) -> None:
        """Have drbdsetup tell of all resources, each on ``/dev/vg0/rN_00000``."""
        show, status = weak_hosts.drbd_answers(self.names, self.drbd, "10.9.0.1", "10.9.0.2")
        self.write("bin/show.json", json.dumps(show))
        self.write("bin/status.json", json.dumps(status))
        where = self.programs
        self.program(
            "drbdsetup",
            f'case "$1" in show) cat {where}/show.json ;; *) cat {where}/status.json ;; esac',
        )
        for path, target in weak_hosts.links(self.names).items():
            self.link(path, target)

    # --- weaknesses ------------------------------------------------------------------------------

    def weaken(self, name: str) -> None:
        """Dress this host with a weakness of the table."""
        weak = WEAK[name]
        self.base |= weak.took
        for path, text in weak.files.items():
            place = path.replace(weak_hosts.DISK, "sda")
            if text is None:
                (self.root / place.lstrip("/")).unlink()
            else:
                self.write(place, text)
        for path, size in weak.sparse.items():
            self.write(path, "")
            os.truncate(self.root / path.lstrip("/"), size)
        for program, text in weak.programs.items():
            self.program(program, text)
        for resource in weak.kept:
            self.write(f"var/lib/linstor.d/{resource}.res", "resource x {}\n")
        for key, value in weak.settings.items():
            self._patch.setenv(variable(key), value)
        if weak.drbd != Drbd():
            self.drbd = weak.drbd
            self.tell_drbd()
        self._wait(weak)
        if weak.slow_disk:
            self._slow(self.root / weak.slow_disk.lstrip("/"))

    def _wait(self, weak: Weak) -> None:
        """What systemd says of units, and the links that they wait for."""
        for name, seconds in weak.waits.items():
            ready = 2.0 + seconds
            self.units = {
                UNIT: unit(UNIT, ready + 0.5, ready + 0.5),
                name: unit(name, 2.0, ready),
            }
        if weak.controller:
            self.write(f"usr/lib/systemd/system/{CONTROLLER}", "[Service]\nExecStart=/c\n")
            self.units = {CONTROLLER: unit(CONTROLLER, 1.0, 1.0 + weak.controller)}
        if weak.link:
            waiter = "[Service]\nExecStart=/usr/lib/systemd/systemd-networkd-wait-online\n"
            self.write(f"usr/lib/systemd/system/{NETWORKD}", waiter)
            for name, text in weak_hosts.network("eth1", "eth0", "10.9.0.1").items():
                self.write(f"bin/{name}", text)
            self.program("networkctl", f"cat {self.programs}/links.json")
            asked = f'*address*) cat {self.programs}/own.json ;; *) echo \'[{{"dev":"eth1"}}]\''
            self.program("ip", f'case "$*" in {asked} ;; esac')
        if weak.open_files:
            self.units = {UNIT: msgspec.structs.replace(unit(UNIT, 3.0, 3.0), main_pid=77)}
            self.write("proc/77/status", "VmHWM:\t  200000 kB\n")
            self.write("proc/77/limits", "Max open files            64   64   files\n")
            for number in range(weak.open_files):
                self.write(f"proc/77/fd/{number}", "")

    def _slow(self, folder: Path) -> None:
        """Make a disk of it that takes 12 ms for each synced write."""
        folder.mkdir(parents=True, exist_ok=True)
        (self.root / "var/quick").mkdir(parents=True)
        real, slow = os.fdatasync, f"{folder}/"

        def synced(number: int) -> None:
            if os.readlink(f"/proc/self/fd/{number}").startswith(slow):  # noqa: PTH115
                time.sleep(0.012)
            real(number)

        def place(_below: object, where: Path) -> tuple[str, ...]:
            return ("sdb",) if f"{where}/" == slow else ("sda",)

        self._patch.setattr(os, "fdatasync", synced)
        self._patch.setattr(tunedisks.Below, "place", place)

    # --- what a person types ---------------------------------------------------------------------

    def tune(self, *words: str) -> int:
        """Run ``tidegate tune`` here; what it prints is the test's to capture."""
        self.now += 60.0
        return command.run([*words, "--state-dir", str(self.state)])

    def tree(self) -> dict[str, str]:
        """Each path with its kind, mode and contents, without the record of boots and of what was applied when."""
        found = {}
        kept = {"history.db", "history.db-wal", "history.db-shm", "tune.json"}
        for path in sorted(self.root.rglob("*")):
            if path.name in kept or "asked" in path.name:
                continue
            seen = path.lstat()
            text = stat.filemode(seen.st_mode)
            if stat.S_ISLNK(seen.st_mode):
                text += f" -> {path.readlink()}"
            elif stat.S_ISREG(seen.st_mode):
                text += hashlib.sha256(path.read_bytes()).hexdigest()
            found[str(path.relative_to(self.root))] = text
        return found

    # --- boots -----------------------------------------------------------------------------------

    def boot(self, times: int = 1) -> None:
        """Boot, and record it as the agent does."""
        for _ in range(times):
            self.now += 3600.0
            self._record(self._phases())

    def _phases(self) -> dict[str, float]:
        """What this boot's phases take, with what is applied by now; no two boots are quite the same."""
        merged = Index(unitfiles.read(self.root)).unit(UNIT)
        options, _ = tuneservice.java_options(self.root, merged)
        took = dict(self.base)
        if set(jvm.QUICK) <= set(options.split()):
            took["jvm"] *= 0.45
        if merged.value("Service", "StartupCPUWeight"):
            took["jvm"] -= 0.5 * took.get("cpu-waited", 0.0)
        wants = self.root / f"etc/systemd/system/{UNIT}.wants/tidegate-devices.service"
        if wants.is_symlink() and not self.early_too:
            took["devices"] = 0.1
        wobble = 1.0 + 0.02 * ((self.now / 3600) % 3 - 1)
        return {name: seconds * wobble for name, seconds in took.items()}

    def _record(self, took: dict[str, float]) -> None:
        moments, at = {}, 0.0
        for name, moment in (
            ("before", Moment.SATELLITE_STARTED),
            ("jvm", Moment.SATELLITE_LISTENING),
            ("connect", Moment.SATELLITE_ONLINE),
            ("devices", Moment.VOLUMES_READY),
            ("instances", Moment.LAST_INSTANCE),
        ):
            at += took[name]
            moments[moment.value] = at
        ready = moments[Moment.VOLUMES_READY.value]
        if self.resync:
            moments[Moment.RESYNC_BEGAN.value] = ready
        moments[Moment.RESYNC_OVER.value] = ready + self.resync
        if "cpu-waited" in took:
            moments["cpu-waited"] = took["cpu-waited"]
        history, troubles = open_history(self.state / "history.db", BootId(f"boot-{self.now:.0f}"))
        assert troubles == ()
        history.begin_boot("n1", self.now)
        history.add_measures([(name, "", value) for name, value in moments.items()])
        history.close()


def unit(name: str, began: float, active: float, state: str = "active") -> Unit:
    """A unit as systemd shows it, with the times of its start."""
    return Unit(
        name=name,
        load_state="loaded",
        active_state=state,
        sub_state="running",
        inactive_exit=began,
        active_enter=active,
    )


def advised(text: str) -> list[str]:
    """The ids in the JSON of ``tidegate tune``."""
    return [one["id"] for one in json.loads(text)["advice"]]


def figures(document: dict[str, Any]) -> Iterable[tuple[str, str]]:
    """Every text with a figure in it that ``tidegate tune`` shows, with its source."""
    for one in document["advice"]:
        yield f"{one['gain']} s", one["source"]
        yield from ((seen["text"], seen["source"]) for seen in one["evidence"])
    for one in (*document["own"], *document["looked_at"]):
        yield f"{one['what']} {one['cost']}", one["source"]


SLEEP: Final = f"{sys.executable} -c 'import time; time.sleep(%g)'"
