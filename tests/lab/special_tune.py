# SPDX-License-Identifier: Apache-2.0
"""``tidegate tune`` on a machine whose satellite takes its time: the advice, applied, proven by real boots, taken back (issue 9, "It must show" 1).

The satellite is a stand-in behind a start script as Gradle makes it: a "JVM" that takes seconds until its port is open, fewer with the
flags that are advised. The node is OFFLINE until then, as a real one is.
"""

import contextlib
import json
import textwrap
from pathlib import Path

from tests.lab import host, machine, seed, special_units, variants
from tests.lab import tale as tales
from tests.lab.variants import Variant

from tidegate.agent import tunelinks
from tidegate.core.trouble import Trouble
from tidegate.history import boots
from tidegate.metrics.moments import Moment
from tidegate.sim.faults import FaultKind

SAYS = "a slow satellite: tune finds it, apply, boots, result, revert to the byte; nothing to advise where all is well"
PAIRS = 3
"""Boots on each side: the fewest by which a clear difference counts."""
HEALTHY, SLOW = 0.3, 6.0
"""Seconds until the stand-in's port is open."""
WITHIN = 40.0
WRITTEN = 30.0
"""Seconds by which the agent has looked again, at rest, and written that all runs."""
_PORT = "0D26"  # 3366
_SCRIPT = "/usr/share/linstor-server/bin/Satellite"
_SATELLITE = r"""#!/bin/sh
if [ "$1" = --version ]; then
    printf 'LINSTOR, Module Satellite\nVersion:            1.33.2 (boot lab)\n'
    exit 0
fi
mkdir -p /sys/module/drbd
echo 9.2.16 >/sys/module/drbd/version
APP_HOME=/usr/share/linstor-server
DEFAULT_JVM_OPTS='"-Xms32M" "-Xmx2G"'
CLASSPATH=$APP_HOME/lib/conf:$APP_HOME/lib/*
eval set -- $DEFAULT_JVM_OPTS $JAVA_OPTS $SATELLITE_OPTS -classpath "\"$CLASSPATH\"" com.linbit.linstor.core.Satellite
exec java "$@"
"""
_JAVA = """\
#!/usr/bin/python3 -IS
import socket, sys, time
if "-version" in sys.argv:
    sys.exit(print('openjdk version "21.0.5" (boot lab)', file=sys.stderr))
quick = {"-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"} <= set(sys.argv)
time.sleep(float(open("/etc/lab-jvm").read()) * (0.3 if quick else 1.0))
port = socket.socket(socket.AF_INET6)
port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
port.bind(("::", 3366))
port.listen()
while True:
    time.sleep(3600)
"""
_NOW = textwrap.dedent("""\
    import sys
    from tidegate.agent import tunecommands
    from tidegate.cli import main
    tunecommands.SETTLED = 0.0  # the lab's machines do not live for five minutes
    sys.exit(main.main())
    """)

_ANY_GAIN = f"""\
from tidegate.tuning import advice, rules_satellite
advice.WORTH_IT = rules_satellite.ARCHIVE_WORTH = 0.01  # the stand-in is slow by no more than a few seconds
{_NOW}"""


def _listens(each: machine.Machine) -> bool:
    """Whether the stand-in's port is open, by the kernel's own table."""
    with contextlib.suppress(OSError, host.LabError):
        lines = Path(f"/proc/{each.pid}/net/tcp6").read_text().splitlines()[1:]
        return any(line.split()[1].endswith(f":{_PORT}") for line in lines)
    return False


TIE = tales.Tie(kind=FaultKind.NODE_OFFLINE, subject=seed.NODE, alive=_listens)


def tell(tale: tales.Tale) -> None:
    """One machine where all is well, one that is slow, tuned, and as before again."""
    with tale.scene(Variant.AGENT, "healthy") as scene:
        _dress(scene)
        _boot(tale, scene, HEALTHY, "healthy")
        said = _tune(scene)
        tale.expect("nothing to advise" in said, "no advice where all is well", said)
        links = scene.each.exec(["networkctl", "list", "--json=short"])
        waited = tunelinks.names_waited(links.encode())
        tale.expect(waited == ("eth0",), "networkd's list of links is read as it is", links)
    with tale.scene(Variant.AGENT, "slow") as scene:
        _dress(scene)
        _slow(tale, scene)


def _dress(scene: tales.Scene) -> None:
    """Put the stand-in into a machine that is down."""
    for path, text in ((_SCRIPT, _SATELLITE), ("/usr/bin/java", _JAVA)):
        scene.each.write(path, text)
        scene.each.written(path).chmod(0o755)
    scene.each.write("/usr/share/linstor-server/lib/conf/logback.xml", "<configuration/>")


def _slow(tale: tales.Tale, scene: tales.Scene) -> None:
    for _ in range(PAIRS - 1):
        _boot(tale, scene, SLOW, "slow")
        scene.poweroff()
    _boot(tale, scene, SLOW, "slow")
    found = json.loads(_tune(scene, "--format", "json"))
    ids = [one["id"] for one in found["advice"]]
    tale.expect(ids[:1] == ["jvm-flags"], "the slow JVM is the first advice", ids)
    before = _tree(scene)
    said = _tune(scene, "apply", "jvm-flags")
    tale.expect("written: " in said, "apply writes a drop-in", said)
    said = scene.tidegate("units", "verify", check=False)
    tale.expect("systemd has loaded it" in said, "and systemd has it", said)
    for _ in range(PAIRS):
        scene.poweroff()
        _boot(tale, scene, SLOW, "tuned")
    said = _tune(scene, "result", "jvm-flags")
    tale.say("; ".join(said.splitlines()))
    tale.expect("jvm-flags: faster (+" in said, "real boots show the gain", said)
    _delays(tale, scene)
    _revert(tale, scene, "jvm-flags", before)
    _archive(tale, scene, before)


def _delays(tale: tales.Tale, scene: tales.Scene) -> None:
    """What real Incus is set to: two instances that it sleeps after, of which the last delays nobody."""
    for name in ("c1", "c2"):
        scene.each.exec(["incus", "config", "set", name, "boot.autostart.delay=8"])
    found = json.loads(_tune(scene, "--format", "json"))["advice"]
    gains = {one["id"]: one["gain"] for one in found}
    tale.expect(gains.get("autostart-delay") == 8.0, "delays are found in Incus", gains)
    for name in ("c1", "c2"):
        scene.each.exec(["incus", "config", "unset", name, "boot.autostart.delay"])


def _archive(tale: tales.Tale, scene: tales.Scene, before: dict[str, str]) -> None:
    """Our own start command, as systemd reads it: with no archive there it runs the packaged script, which notes its classes."""
    said = _tune(scene, "apply", "class-archive", code=_ANY_GAIN)
    tale.expect("written: " in said, "apply writes a start command", said)
    scene.poweroff()
    _boot(tale, scene, SLOW, "with a start command of ours")
    pid = scene.unit(tales.SATELLITE, "MainPID")
    words = scene.each.exec(["cat", f"/proc/{pid}/cmdline"], check=False).split("\0")
    noted = "-XX:DumpLoadedClassList=/var/lib/tidegate/archive/classes"
    tale.expect(noted in words, "the packaged script runs, and notes its classes", words)
    tale.expect("-Xmx2G" in words, "with the package's own options", words)
    unit = scene.unit("tidegate-archive.service")
    tale.expect(unit in {"active", "activating"}, "the archive is waited for, in calm", unit)
    _revert(tale, scene, "class-archive", before)


def _revert(tale: tales.Tale, scene: tales.Scene, name: str, before: dict[str, str]) -> None:
    _tune(scene, "revert", name)
    now = _tree(scene)
    differs = sorted(
        path for path in before.keys() | now.keys() if before.get(path) != now.get(path)
    )
    tale.expect(not differs, f"revert of {name} leaves no byte", differs)


def _boot(tale: tales.Tale, scene: tales.Scene, seconds: float, where: str) -> None:
    """Boot with a JVM of ``seconds``, and on until the agent has written down when the last instance ran."""
    scene.each.write("/etc/lab-jvm", f"{seconds}\n")
    scene.boot(ties=[TIE])
    tale.expect(scene.watch_all(WITHIN), f"{where}: every container runs", scene.seen.starts)
    scene.watch(scene.each.now() + WRITTEN, lambda: _is_recorded(scene))


def _is_recorded(scene: tales.Scene) -> bool:
    kept = scene.bench.directory / "state/tidegate/history.db"
    found = boots.read_boots(kept, most=1)
    if isinstance(found, Trouble):
        return False
    return any(name == Moment.LAST_INSTANCE for boot in found for name, _, _ in boot.measures)


def _tune(scene: tales.Scene, *words: str, code: str = _NOW) -> str:
    program = [*variants.TIDEGATE[:-2], "-c", code, "tune", *words]
    return scene.each.exec(program, timeout=120, check=False)


def _tree(scene: tales.Scene) -> dict[str, str]:
    """All that may be written to, without what the agent writes and the note of what was applied when."""
    others = ("/var/lib/tidegate/tune.json", "/var/lib/tidegate/guarded.json")
    return {path: text for path, text in special_units.tree(scene).items() if path not in others}
