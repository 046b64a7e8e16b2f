# SPDX-License-Identifier: Apache-2.0
"""The class-data archive with a real JVM under real systemd: ``tidegate-archive.service`` in its whole sandbox, and boots after it.

The satellite is a program of some ten thousand classes behind a start script as Gradle makes it, with a directory in front of its
class path; it listens where a satellite does. Only the unit's patience is shortened: it looks whether the host is calm at once.
"""

import contextlib
import shutil
from pathlib import Path

from tests.class_files import MAIN, write_jar
from tests.lab import host, machine, seed, special_devices
from tests.lab import tale as tales
from tests.lab.dressed import SCRIPT, SYSTEM, Dressed
from tests.lab.tuned import PAIRS, advised, boot, boot_often, proven, revert, same, tree, tune
from tests.lab.variants import Variant
from tests.tuned_hosts import START_SCRIPT
from tests.weak_hosts import UNIT

from tidegate.sim.faults import FaultKind
from tidegate.tuning import archive, jvm

SAYS = "the archive of a satellite's classes: made in its sandbox by a real JVM, used by boots after it, remade after a new jar or JVM, harmless when torn"
CLASSES = 24_000
PORT = 3366
MADE = 120.0
"""Seconds for the unit, which runs only when nobody else wants a processor."""
_LIB = "/usr/share/linstor-server/lib"
_JVM = "/usr/lib/jvm/installed"
_NEWER = "/usr/lib/jvm/newer"
_SOON = """\
[Service]
ExecStart=
ExecStart=/usr/bin/python3 -c "import sys; from tidegate.agent import archiving, tunecommands; from tidegate.cli import main; tunecommands.SETTLED = 0.0; archiving.LOOK_EVERY = 0.5; sys.exit(main.main())" tune archive --when-calm
"""
_ANY_GAIN = """\
from tidegate.tuning import advice, rules_satellite
advice.WORTH_IT = rules_satellite.ARCHIVE_WORTH = 0.01  # this satellite is slow by no more than a second
"""
_QUICK = f'[Service]\nEnvironment="JAVA_OPTS={" ".join(jvm.QUICK)}"\n'
_FIRST = """\
#!/bin/sh
if [ "$1" = --version ]; then
    printf 'LINSTOR, Module Satellite\\nVersion:            1.33.2 (boot lab)\\n'
    exit 0
fi
"""


class _Satellite(Dressed):
    """A machine with the real JVM of this host."""

    tree: dict[str, str]
    """All that may be written to, before anything was applied."""

    def ties(self) -> list[tales.Tie]:
        """The node is OFFLINE without its open port."""
        return [tales.Tie(kind=FaultKind.NODE_OFFLINE, subject=seed.NODE, alive=_listens)]

    def install(self, java: Path) -> None:
        """Put JVM, satellite and the unit's haste into a machine that is down."""
        each = self.scene.each
        _copy_jvm(java, each.written(_JVM))
        _copy_jvm(_another(java) or java, each.written(_NEWER))
        self.remove("/usr/bin/java")
        each.link("/usr/bin/java", f"{_JVM}/bin/java")
        text = START_SCRIPT.replace("com.linbit.linstor.core.Satellite", MAIN)
        self._program(SCRIPT, text.replace("#!/bin/sh\n", _FIRST, 1))
        each.written(_LIB).mkdir(parents=True, exist_ok=True)
        write_jar(each.written(f"{_LIB}/server.jar"), CLASSES, PORT)
        self.write(f"{SYSTEM}/{UNIT}.d/40-quick.conf", _QUICK)
        # With the archive the packaged script is left out, and so nothing in it may load the lab's module.
        self.write(f"{SYSTEM}/{UNIT}.d/40-module.conf", special_devices.MODULE)
        self.write(f"{SYSTEM}/{archive.UNIT}.d/60-soon.conf", _SOON)


def tell(tale: tales.Tale) -> None:
    """One machine: as packaged, with the archive, after an upgrade of each kind, with a torn one, and as before."""
    found = shutil.which("java")
    if found is None:
        tale.say("left out: no java on this host")
        return
    with tale.scene(Variant.AGENT) as scene:
        wears = _Satellite(scene)
        wears.healthy()
        wears.install(Path(found).resolve().parents[1])
        _made(tale, scene, wears)
        _upgraded(tale, scene, wears)
        _torn(tale, scene, wears)


def _made(tale: tales.Tale, scene: tales.Scene, wears: _Satellite) -> None:
    boot_often(tale, scene, wears, "as packaged")
    found = advised(scene, code=_ANY_GAIN)
    tale.expect("class-archive" in found, "the archive is advised", found)
    wears.tree = tree(scene)
    said = tune(scene, "apply", "class-archive", code=_ANY_GAIN)
    tale.expect("written: " in said, "apply writes a start command", said)
    scene.each.exec(["systemctl", "restart", UNIT])
    _await_unit(tale, scene, "of what a start noted")
    for _ in range(PAIRS):
        scene.poweroff()
        boot(tale, scene, wears, "with the archive")
        _uses(tale, scene, "the JVM that systemd started")
    words = _words(scene)
    tale.expect("-Xmx2G" in words and set(jvm.QUICK) <= set(words), "all options kept", words)
    proven(tale, scene, "class-archive")
    said = scene.each.exec(["systemd-analyze", "security", "--no-pager", archive.UNIT], check=False)
    tale.say(said.strip().splitlines()[-1])


def _upgraded(tale: tales.Tale, scene: tales.Scene, wears: _Satellite) -> None:
    """Another jar, then another JVM: the boot after it runs the packaged script, and the one after that a new archive."""
    for what in ("a new jar", "a new JVM"):
        if what == "a new jar":
            write_jar(scene.each.inside(f"{_LIB}/server.jar"), CLASSES + 1, PORT)
        else:
            scene.each.exec(["rm", "-r", _JVM])
            scene.each.exec(["mv", _NEWER, _JVM])
            scene.each.exec(["touch", f"{_JVM}/lib/server/libjvm.so"])
        scene.poweroff()
        boot(tale, scene, wears, f"after {what}")
        noted = f"-XX:DumpLoadedClassList={archive.FOLDER}/classes"
        tale.expect(noted in _words(scene), f"{what}: the packaged script runs, and notes", "")
        _await_unit(tale, scene, f"after {what}")
        scene.poweroff()
        boot(tale, scene, wears, f"once it is remade after {what}")
        _uses(tale, scene, f"remade after {what}")


def _torn(tale: tales.Tale, scene: tales.Scene, wears: _Satellite) -> None:
    """As a power loss would leave it."""
    kept = scene.each.inside(f"{archive.FOLDER}/satellite.jsa")
    kept.write_bytes(kept.read_bytes()[:200_000])
    scene.poweroff()
    boot(tale, scene, wears, "with a torn archive")
    revert(tale, scene, "class-archive")
    same(tale, scene, wears.tree, "class-archive")


def _await_unit(tale: tales.Tale, scene: tales.Scene, what: str) -> None:
    """Until the archive's unit has ended, by itself and well."""

    def ended() -> bool:
        return scene.unit(archive.UNIT) in {"inactive", "failed"}

    scene.watch(scene.each.now() + MADE, ended)
    words = ["journalctl", "-b", "-o", "cat", "-u", archive.UNIT]
    said = scene.each.exec(words, check=False).strip().splitlines()
    made = [line for line in said if line.startswith("made: ")]
    result = scene.unit(archive.UNIT, "Result")
    tale.expect(
        bool(made) and result == "success" and ended(), f"made in its sandbox, {what}", said[-8:]
    )
    tale.say(made[-1] if made else "nothing was made")


def _uses(tale: tales.Tale, scene: tales.Scene, what: str) -> None:
    """The archive is mapped into the JVM: an option alone proves nothing."""
    pid = scene.unit(UNIT, "MainPID")
    maps = scene.each.exec(["cat", f"/proc/{pid}/maps"], check=False)
    tale.expect(f"{archive.FOLDER}/satellite.jsa" in maps, f"{what} maps the archive", maps[-300:])


def _words(scene: tales.Scene) -> list[str]:
    pid = scene.unit(UNIT, "MainPID")
    return scene.each.exec(["cat", f"/proc/{pid}/cmdline"], check=False).split("\0")


def _copy_jvm(java: Path, place: Path) -> None:
    """A JVM as this host has it, less what a program does not need."""
    (place / "bin").mkdir(parents=True)
    shutil.copy2(java / "bin/java", place / "bin/java")
    unused = shutil.ignore_patterns("src.zip", "ct.sym")
    for name in ("lib", "conf"):
        shutil.copytree(java / name, place / name, ignore=unused, ignore_dangling_symlinks=True)


def _another(java: Path) -> Path | None:
    """Another JVM of this host; None where it has but one."""
    homes = {path.resolve().parents[1] for path in java.parent.glob("*/bin/java")}
    return next(iter(sorted(homes - {java})), None)


def _listens(each: machine.Machine) -> bool:
    """Whether the satellite's port is open, by the kernel's own table."""
    with contextlib.suppress(OSError, host.LabError):
        lines = Path(f"/proc/{each.pid}/net/tcp6").read_text().splitlines()[1:]
        return any(line.split()[1].endswith(f":{PORT:04X}") for line in lines)
    return False
