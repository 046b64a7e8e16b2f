# SPDX-License-Identifier: Apache-2.0
"""What is advised for a JVM, held against the real one that is installed: flags it accepts, an archive that fits, and ones that do not.

The program is a stand-in of some thousand classes behind a start script as Gradle makes it, with a directory in front of its class path.
"""

import os
import shutil
import statistics
import subprocess
import zipfile
from pathlib import Path

import pytest
from tests.class_files import write_jar
from tests.java_hosts import CLASSES, Host
from tests.tuned_hosts import SCRIPT, TunedHost
from tests.weak_hosts import UNIT

from tidegate.agent import archiving, tuneservice
from tidegate.clients import process
from tidegate.core.trouble import Trouble
from tidegate.tuning import jvm

pytestmark = pytest.mark.needs("java")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    """One whose archive was made of what a start noted."""
    host = Host(tmp_path_factory.mktemp("java"))
    archiving.prepare(host.config)
    assert host.start(applied=True).returncode == 0
    return host


async def made(host: Host) -> str:
    done = await archiving.make(host.config)
    assert not isinstance(done, Trouble), done
    return done


async def test_the_installed_jvm_accepts_what_is_advised_and_nothing_is_taken_on_trust() -> None:
    found = await tuneservice.java("java")
    assert found is not None
    assert found.accepts == frozenset(jvm.TRIED)
    assert "version" in found.version
    refused = await process.run(["java", "-XX:+UseNoSuchGC", "-version"], deadline=60)
    assert refused.trouble is not None
    tolerated = await process.run(
        ["java", jvm.TOLERANT, "-XX:+UseNoSuchGC", "-version"], deadline=60
    )
    assert tolerated.trouble is None, "a JVM of a later package that dropped a flag still starts"


async def test_a_start_notes_its_classes_and_the_archive_is_made_of_them(host: Host) -> None:
    if not (host.folder / "satellite.jsa").exists():
        assert (await made(host)).startswith("made: ")
    assert host.from_archive() > CLASSES
    assert await made(host) == "nothing to do: the archive fits"
    with zipfile.ZipFile(host.folder / "folder0.jar") as jar:
        assert jar.namelist() == ["logback.xml"]


@pytest.mark.parametrize(
    "stale",
    [
        "jar-replaced",
        "conf-edited",
        "jar-added",
        "archive-torn",
        "archive-garbage",
        "stamp-gone",
        "entry-gone",
    ],
)
async def test_an_archive_that_does_not_fit_does_no_harm_and_is_made_anew(
    tmp_path: Path, host: Host, stale: str
) -> None:
    if not (host.folder / "satellite.jsa").exists():
        await made(host)
    kept = shutil.copytree(host.folder, tmp_path / "kept")
    try:
        spoil(host, stale)
        done = host.start(applied=True)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        if stale != "jar-replaced":
            assert host.from_archive() == 0, "the JVM, or the shell, goes on without"
            return
        assert (await made(host)).startswith("made: ")
        assert host.from_archive() > CLASSES
    finally:
        (host.home / "lib/later.jar").unlink(missing_ok=True)
        shutil.rmtree(host.folder)
        shutil.copytree(kept, host.folder)


def spoil(host: Host, stale: str) -> None:
    archive = host.folder / "satellite.jsa"
    if stale == "jar-replaced":
        write_jar(host.home / "lib/server.jar", CLASSES + 1)
    elif stale == "conf-edited":
        (host.home / "lib/conf/logback.xml").write_text("<configuration><!-- --></configuration>")
    elif stale == "jar-added":
        with zipfile.ZipFile(host.home / "lib/later.jar", "w") as jar:
            jar.writestr("nothing", "")
    elif stale == "stamp-gone":
        (host.folder / "stamp").unlink()
    elif stale == "entry-gone":
        (host.folder / "satellite.sh").unlink()
    else:
        text = archive.read_bytes()[:200_000] if stale == "archive-torn" else os.urandom(200_000)
        archive.chmod(0o644)
        archive.write_bytes(text)


async def test_quoted_options_are_left_to_the_packaged_script(host: Host) -> None:
    if not (host.folder / "satellite.jsa").exists():
        await made(host)
    done = host.start(applied=True, options='-Dx="a b"')
    assert done.returncode == 0, done.stderr


async def test_flags_and_archive_gain(host: Host) -> None:
    """In processor time of everything that a start runs, which a busy machine changes least; a gain, not how much."""
    await made(host)
    flags = " ".join(jvm.QUICK)
    plain, quick, both = ([] for _ in range(3))
    for _ in range(3):  # beside each other, so that a busy moment hits all
        plain.append(host.cost(applied=False, options="").cpu)
        quick.append(host.cost(applied=False, options=flags).cpu)
        both.append(host.cost(applied=True, options=flags).cpu)
    medians = [statistics.median(each) for each in (plain, quick, both)]
    told = "default {:.2f}, flags {:.2f}, flags and archive {:.2f} processor seconds"
    assert medians[0] > medians[1] > medians[2], told.format(*medians)


def test_the_unit_that_apply_writes_keeps_the_packaged_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = TunedHost(tmp_path / "host", monkeypatch)
    unit = (host.root / f"usr/lib/systemd/system/{UNIT}").read_text()
    host.write(
        f"usr/lib/systemd/system/{UNIT}", f'{unit}Environment="JAVA_OPTS={" ".join(jvm.QUICK)}"\n'
    )
    host.base["jvm"] = 20.0
    host.boot(3)
    before = host.tree()
    assert host.tune("apply", "class-archive") == 0
    place = host.root / f"etc/systemd/system/{UNIT}.d/60-tidegate-tune-class-archive.conf"
    assert f'exec {SCRIPT} "$$@"\' {SCRIPT} --logs=' in place.read_text()
    assert "Wants=tidegate-archive.service" in place.read_text()
    assert "SyslogIdentifier=Satellite" in place.read_text(), "the journal calls it as before"
    assert complaints(tmp_path / "verify", unit, place.read_text()) == []
    assert "DumpLoadedClassList" in (host.state / "archive/satellite.sh").read_text()
    assert host.tune("revert", "class-archive") == 0
    assert host.tree() == before


def complaints(folder: Path, unit: str, drop_in: str) -> list[str]:
    """What systemd has against the unit with our drop-in; nothing where it is not there to be asked."""
    if shutil.which("systemd-analyze") is None:
        return []
    (folder / f"{UNIT}.d").mkdir(parents=True)
    (folder / UNIT).write_text(unit.replace(SCRIPT, "/bin/true"))
    (folder / f"{UNIT}.d/60-tune.conf").write_text(drop_in)
    words = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(folder / UNIT)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    return [line for line in done.stderr.splitlines() if "60-tune.conf" in line]
