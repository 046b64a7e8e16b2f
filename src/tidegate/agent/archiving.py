# SPDX-License-Identifier: Apache-2.0
"""Makes the archive of the satellite's classes of what a start of it has noted, proves that the JVM takes it, and only then puts it in place.

Runs no satellite: the JVM reads the noted classes from the very jars that are installed (``tidegate-archive.service``, after each start of
the satellite whose archive did not fit).
"""

import asyncio
import logging
import re
import shutil
import zipfile
from pathlib import Path
from typing import Final

from tidegate.agent import tunecommands, tuneservice
from tidegate.clients import clock, errors, files, process
from tidegate.config.model import Config
from tidegate.core.trouble import Trouble
from tidegate.tuning import archive
from tidegate.tuning.archive import Script
from tidegate.tuning.facts import Archive
from tidegate.units.tree import Index, Load

HERE: Final = Path("/")
WITHIN: Final = 300.0
LOOK_EVERY: Final = 60.0
LEAST: Final = 500
"""Classes below which a list is of a start that came to nothing."""
_SINCE: Final = "since"
_PARTS: Final = ("lib/server/libjvm.so", "lib/modules")
_PLAIN: Final = re.compile(r"/[\w./+-]+")
_log = logging.getLogger("tidegate.archive")
_FIXED: Final = (1980, 1, 1, 0, 0, 0)


def folder(config: Config) -> Path:
    """Return where archive and script are kept."""
    return Path(config.agent.state_dir) / "archive"


def look(root: Path, index: Index, config: Config) -> Archive:
    """Return whether an archive can be made here, and what there is of one."""
    unit = index.unit(config.systemd.satellite_unit)
    found = tuneservice.script(root, unit)
    place = folder(config)
    if not isinstance(found, Script):
        return Archive(obstacle=found, folder=str(place))
    if index.unit(archive.UNIT).load is not Load.LOADED:
        return Archive(obstacle=f"{archive.UNIT} is not installed", folder=str(place))
    program = tuneservice.command(unit).partition(" ")[0]
    if not (_PLAIN.fullmatch(program) and _PLAIN.fullmatch(str(place))):
        return Archive(obstacle=f"{program} cannot be written into a unit file", folder=str(place))
    return Archive(folder=str(place), state=_state(place))


def _state(place: Path) -> str:
    if not (place / "satellite.sh").exists():
        return ""
    if not (place / "satellite.jsa").exists():
        return "missing: it is made of what the next start of the satellite notes"
    return "there"


def prepare(config: Config) -> None:
    """Write what has the packaged script note its classes; from the next start on. Raises ClientError."""
    place = folder(config)
    if not place.parent.exists():
        files.make_directory(place.parent, mode=0o755)
    files.make_directory(place, mode=0o755)
    files.write(place / "satellite.sh", archive.note(str(place)).encode())


def since(config: Config) -> float | None:
    """Return when there was an archive for the first time since it was applied, seconds since the epoch: boots before it had none."""
    try:
        return float(_kept(folder(config) / _SINCE))
    except ValueError:
        return None


def remove(config: Config) -> None:
    """Take everything of it away."""
    shutil.rmtree(folder(config), ignore_errors=True)


async def make_when_calm(config: Config) -> str | Trouble:
    """As :func:`make`, once nothing boots and nothing is resynchronised any more, and the satellite has had time to note its classes."""
    await asyncio.sleep(LOOK_EVERY)
    told = ""
    while reason := await tunecommands.why_not(config):
        if reason != told:
            told = reason
            _log.info("waiting to make the archive: %s", reason)
        await asyncio.sleep(LOOK_EVERY)
    return await make(config)


async def make(config: Config) -> str | Trouble:
    """Make the archive anew if it does not fit, and return what was done in a sentence, or why nothing was. Raises ClientError."""
    place, name = folder(config), config.systemd.satellite_unit
    index = tuneservice.units(Path(config.host.root))
    script = tuneservice.script(HERE, index.unit(name))  # what is run now is of this machine
    java = await _java(tuneservice.java_of(HERE, index, name))
    if not isinstance(script, Script):
        return Trouble(code="tune.archive", text=script, hint="tidegate tune revert class-archive")
    if java is None:
        return Trouble(
            code="tune.archive", text="the satellite's JVM was not found", hint="install it"
        )
    if not (place / "satellite.sh").exists():
        return "nothing to do: no archive is wanted; see tidegate tune"
    wanted = sources(script, java, place)
    stamp = await _stamp(wanted)
    if _kept(place / "stamp") == stamp and (place / "satellite.jsa").exists():
        return "nothing to do: the archive fits"
    classes = _kept(place / "classes")
    if len(classes.splitlines()) < LEAST:
        return "nothing to do yet: no start of the satellite has noted its classes; restart it when that does no harm, or wait for the next boot"
    return await _make(script, java, place, wanted)


async def _make(script: Script, java: str, place: Path, wanted: list[str]) -> str | Trouble:
    for number, entry in enumerate(script.folders):
        _pack(Path(entry), place / f"folder{number}.jar")
    done = await process.run(archive.dump(java, script, str(place)), deadline=WITHIN)
    if done.trouble is None:
        done = await process.run(archive.proof(java, script, str(place)), deadline=WITHIN)
    if done.trouble is not None:
        (place / "new.jsa").unlink(missing_ok=True)
        return done.trouble
    files.remove(place / "stamp")
    files.move(place / "new.jsa", place / "satellite.jsa")
    text = archive.entry(script, java, wanted, str(place))
    files.write(place / "satellite.sh", text.encode())
    files.write(place / "stamp", (await _stamp(wanted)).encode())
    if not (place / _SINCE).exists():
        files.write(place / _SINCE, f"{clock.wall():.3f}\n".encode())
    size = (place / "satellite.jsa").stat().st_size
    return f"made: {place}/satellite.jsa, {size // 1024 // 1024} MiB, used from the satellite's next start on"


def sources(script: Script, java: str, place: Path) -> list[str]:
    """Return every file that the archive depends on: script, jars, what the directories hold, the JVM. Ours among them, once they are made."""
    jars = [entry for entry in script.class_path if entry.endswith(".jar")]
    held = [
        str(path)
        for entry in script.folders
        for path in sorted(Path(entry).rglob("*"))
        if path.is_file()
    ]
    ours = [str(place / f"folder{number}.jar") for number in range(len(script.folders))]
    around = sorted({str(Path(jar).parent) for jar in jars})
    return [script.path, *script.folders, *held, *around, *jars, java, *_machine(java), *ours]


def _machine(java: str) -> list[str]:
    """The JVM behind its launcher: an upgrade may leave that one as it was, and an archive of another JVM is refused at each start."""
    home = Path(java).resolve().parent.parent
    return [str(path) for name in _PARTS if (path := home / name).is_file()]


async def _stamp(wanted: list[str]) -> str:
    """Return what the start script compares: by the same program, in the same words."""
    done = await process.run(["stat", "-L", "-c", "%n %s %Y", *wanted], deadline=10.0)
    return done.stdout.decode("utf-8", "replace").strip()


async def _java(program: str) -> str | None:
    if program.startswith("/"):
        return program
    return shutil.which(program, path=process.environment({})["PATH"])


def _pack(source: Path, target: Path) -> None:
    """Put what a directory holds into a jar, the same bytes each time."""
    partial = target.with_suffix(".part")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as jar:
        for path in sorted(source.rglob("*")):
            if path.is_file():
                jar.writestr(
                    zipfile.ZipInfo(str(path.relative_to(source)), _FIXED), path.read_bytes()
                )
    try:
        partial.replace(target)
    except OSError as error:
        raise errors.ClientError(
            Trouble(code="file.error", text=f"{target}: {error.strerror}", hint="look at the disk")
        ) from error


def _kept(path: Path) -> str:
    try:
        return files.read_text(path, limit=16 * 1024 * 1024).strip()
    except errors.ClientError:
        return ""
