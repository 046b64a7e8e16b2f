"""Hosts with a weakness built in, for ``tidegate tune``: their files, programs with canned answers, and boots that take what the weakness costs.

A boot here is arithmetic over the very files that ``tune apply`` writes: the satellite's merged unit, what is enabled. What it takes is
recorded as the agent records it. So advice, apply, boot, result and revert are the product's own from end to end.
"""

import hashlib
import json
import os
import stat
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import pytest

from tidegate.agent import tuneservice, tuneview
from tidegate.cli import tune as command
from tidegate.clients import clock, unitfiles
from tidegate.clients.systemd.manager import Unit
from tidegate.core.ids import BootId
from tidegate.history.store import open_history
from tidegate.metrics.moments import Moment
from tidegate.tuning import jvm
from tidegate.units.tree import Index

EPOCH: Final = 1_795_000_000.0
SCRIPT: Final = "/usr/share/linstor-server/bin/Satellite"
UNIT: Final = "linstor-satellite.service"
NETWORKD: Final = "systemd-networkd-wait-online.service"
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
    """One host below ``root``: healthy until something of :meth:`weaken` is called."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self._patch = root, monkeypatch
        self.state = root / "var/lib/tidegate"
        self.programs = root / "bin"
        self.now = EPOCH
        self.base = {"before": 3.0, "jvm": 0.9, "connect": 1.5, "devices": 0.2, "instances": 1.0}
        self.units: dict[str, Unit] = {}
        self.resources, self.al_extents = 4, 1237
        self.early_too = False
        """What devices-first brings up takes as long as the rest."""
        self._lay()
        monkeypatch.setenv("TIDEGATE_HOST_ROOT", str(root))
        monkeypatch.setenv("TIDEGATE_INCUS_USE", "off")
        monkeypatch.setenv("PATH", f"{self.programs}:{os.environ['PATH']}")
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
        agent = "etc/systemd/system/multi-user.target.wants/tidegate-agent.service"
        self.link(agent, "/usr/local/lib/systemd/system/tidegate-agent.service")
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
        self.write("usr/lib/modules-load.d/drbd.conf", "drbd\n")
        self.write("proc/meminfo", "MemTotal:       16384000 kB\n")
        self.write("proc/cmdline", "quiet\n")
        self.write("proc/sys/fs/inotify/max_user_instances", "128\n")
        self.write("etc/zfs/zpool.cache", "x")
        self.write("sys/module/drbd/version", "9.2.18\n")
        self.disk("sda", rotational=False)
        self.state.mkdir(parents=True)
        for number in range(self.resources):
            self.write(f"var/lib/linstor.d/r{number}.res", "resource r {}\n")
        self.program("java", JAVA)
        self.program("drbdadm", "echo DEVICE=drbd1000")
        self.program("networkctl", "exit 1")
        self.program("pvdisplay", "echo /dev/sda")
        self.program("lvs", "yes '  r0_00000;/dev/vg0/r0_00000' | head -4")
        self.tell_drbd()

    def link(self, path: str, target: str) -> None:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)

    def disk(self, name: str, *, rotational: bool, cache: str = "write back") -> None:
        """A disk with the volume group's name for a device on it."""
        place = self.root / "sys/class/block" / name
        (place / "queue").mkdir(parents=True, exist_ok=True)
        (place / "queue/rotational").write_text(f"{int(rotational)}\n")
        (place / "queue/write_cache").write_text(f"{cache}\n")

    def tell_drbd(self) -> None:
        """Have drbdsetup tell of all resources, each on ``/dev/vg0/rN_00000``."""
        names = [f"r{number}" for number in range(self.resources)]
        show = [self._shown(name, 1000 + place) for place, name in enumerate(names)]
        status = [self._stated(name) for name in names]
        self.write("bin/show.json", json.dumps(show))
        self.write("bin/status.json", json.dumps(status))
        where = self.programs
        self.program(
            "drbdsetup",
            f'case "$1" in show) cat {where}/show.json ;; *) cat {where}/status.json ;; esac',
        )
        for name in names:
            dm = self.root / f"sys/class/block/dm-{name}"
            (dm / "slaves/sda").mkdir(parents=True, exist_ok=True)
            self.write(f"dev/dm-{name}", "")
            if not (self.root / f"dev/vg0/{name}_00000").is_symlink():
                self.link(f"dev/vg0/{name}_00000", f"../dm-{name}")

    def _shown(self, name: str, minor: int) -> dict[str, Any]:
        volume = {
            "volume_nr": 0,
            "device_minor": minor,
            "backing-disk": f"/dev/vg0/{name}_00000",
            "meta-disk": "internal",
            "disk": {"al-extents": self.al_extents},
        }
        peer = {
            "_peer_node_id": 1,
            "volumes": [{"volume_nr": 0, "disk": {"c-max-rate": "102400k"}}],
        }
        return {
            "resource": name,
            "_this_host": {"node-id": 0, "volumes": [volume]},
            "connections": [peer],
        }

    def _stated(self, name: str) -> dict[str, Any]:
        device = {
            "volume": 0,
            "minor": 1000,
            "disk-state": "UpToDate",
            "size": 100 << 20,
            "al-writes": 900,
        }
        path = {"this_host": {"address": "10.9.0.1"}, "remote_host": {"address": "10.9.0.2"}}
        peer = {"volume": 0, "replication-state": "Established"}
        connection = {"peer-node-id": 1, "name": "n2", "paths": [path], "peer_devices": [peer]}
        return {"name": name, "devices": [device], "connections": [connection]}

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
