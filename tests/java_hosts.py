"""A host whose satellite is a stand-in program of some thousand classes on the real JVM, started as its unit says."""

import os
import subprocess
import time
from pathlib import Path
from typing import Final

import msgspec
from tests.class_files import MAIN, write_jar
from tests.tuned_hosts import SCRIPT, START_SCRIPT
from tests.weak_hosts import UNIT

from tidegate.agent import archiving
from tidegate.clients import process
from tidegate.config.model import AgentConfig, Config, HostConfig

CLASSES: Final = 3000
LOUD: Final = "-Xlog:class+load:file={}"


class Cost(msgspec.Struct, frozen=True):
    """Seconds of one start, by the wall and of processors."""

    wall: float
    cpu: float


class Host:
    """A host whose satellite is the stand-in, started as its unit says."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = Config(
            host=HostConfig(root=str(root)),
            agent=AgentConfig(state_dir=str(root / "var/lib/tidegate")),
        )
        self.home = root / "usr/share/linstor-server"
        (self.home / "lib/conf").mkdir(parents=True)
        (self.home / "lib/conf/logback.xml").write_text("<configuration/>")
        write_jar(self.home / "lib/server.jar", CLASSES)
        self.script = root / SCRIPT.lstrip("/")
        self.script.parent.mkdir(parents=True)
        text = START_SCRIPT.replace("com.linbit.linstor.core.Satellite", MAIN)
        self.script.write_text(text)
        self.script.chmod(0o755)
        unit = root / f"usr/lib/systemd/system/{UNIT}"
        unit.parent.mkdir(parents=True)
        unit.write_text(f"[Service]\nExecStart={self.script} --logs=/x\n")
        self.folder = archiving.folder(self.config)
        self.folder.parent.mkdir(parents=True)

    def start(self, *, applied: bool, options: str = "") -> subprocess.CompletedProcess[str]:
        """Run what systemd would run: the packaged command, or the one with our entry in front of it."""
        source = (
            f"if [ -r {self.folder}/satellite.sh ]; then . {self.folder}/satellite.sh; fi; "
            if applied
            else ""
        )
        words = ["/bin/sh", "-c", f'{source}exec {self.script} "$@"', str(self.script), "--logs=/x"]
        return subprocess.run(
            words,
            env={"PATH": process.environment(os.environ)["PATH"], "JAVA_OPTS": options},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def from_archive(self, options: str = "") -> int:
        """How many of its classes a start takes from the archive."""
        log = self.root / "loaded"
        done = self.start(applied=True, options=f"{LOUD.format(log)} {options}".strip())
        assert done.returncode == 0, done.stderr
        lines = [line for line in log.read_text().splitlines() if " stand.in." in line]
        return sum("shared objects file" in line for line in lines)

    def cost(self, *, applied: bool, options: str) -> Cost:
        """What one start takes, with everything that it runs. Raises AssertionError when it fails."""
        before, began = os.times(), time.monotonic()
        done = self.start(applied=applied, options=options)
        wall, after = time.monotonic() - began, os.times()
        assert done.returncode == 0, done.stderr
        used = after.children_user + after.children_system
        return Cost(wall, used - before.children_user - before.children_system)
