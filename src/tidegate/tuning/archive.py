# SPDX-License-Identifier: Apache-2.0
"""An archive of the satellite's classes (AppCDS): what the package's start script runs, and what is run instead where the archive fits.

The packaged class path begins with a directory, and then a JVM writes no archive (facts/linstor-observed.md A23); so that directory goes
into a jar, and the satellite is started by our own command. Nothing in that may ever keep a satellite from starting: the unit sources our
script, which replaces the shell by the JVM only where every file that the archive was made from is as it was then; else the packaged
script runs, and notes which classes it loads, for the next archive. The JVM itself refuses an archive that does not fit, and goes on
without (``-Xshare:auto``).
"""

import re
import shlex
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

FOLDER: Final = "/var/lib/tidegate/archive"
ENTRY: Final = f"{FOLDER}/satellite.sh"
"""Sourced by the unit before the packaged script."""
UNIT: Final = "tidegate-archive.service"
_CLASSPATH: Final = re.compile(r"^CLASSPATH=(.+)$", re.MULTILINE)
_DEFAULTS: Final = re.compile(r"^DEFAULT_JVM_OPTS=(.+)$", re.MULTILINE)
_MAIN: Final = re.compile(
    r"-classpath\s+\"?\\?\"?\$CLASSPATH\\?\"?\"?[\s\\]+([A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*)+)"
)
_COMMAND: Final = re.compile(r"^\s*JAVACMD=\"?([^\"$\n]+)\"?\s*$", re.MULTILINE)
_OWN_OPTIONS: Final = re.compile(r"\$\{?JAVA_OPTS\}?[\s\"\\]+\$\{?(\w+_OPTS)\}?")


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """What a start script made by Gradle runs.

    Attributes:
        path: the script.
        class_path: files and directories, in order; no wildcards.
        main: the class that is started.
        java: the JVM, a name or a path, where ``JAVA_HOME`` names none.
        defaults: options that the package gives the JVM.
        variable: the variable of further options, besides ``JAVA_OPTS``.
    """

    path: str
    class_path: tuple[str, ...]
    main: str
    java: str = "java"
    defaults: tuple[str, ...] = ()
    variable: str = ""

    @property
    def folders(self) -> tuple[str, ...]:
        """What is no jar: has to become one."""
        return tuple(entry for entry in self.class_path if not entry.endswith(".jar"))


def parse(path: str, text: str, jars: Callable[[str], Sequence[str]]) -> Script | str:
    """Read a start script; ``jars``: the jars of a directory, for a wildcard. Returns the reason where it is none that we know."""
    home = path.rsplit("/", 2)[0]
    found, main = _CLASSPATH.search(text), _MAIN.search(text)
    if found is None or main is None:
        return f"{path} is no start script made by Gradle"
    entries: list[str] = []
    for word in found[1].strip().strip("\"'").split(":"):
        entry = word.replace("${APP_HOME}", home).replace("$APP_HOME", home)
        if "$" in entry or not entry.startswith("/"):
            return f"the class path in {path} has {word!r}, which is not known"
        entries.extend(jars(entry[:-2]) if entry.endswith("/*") else [entry])
    defaults, variable = _DEFAULTS.search(text), _OWN_OPTIONS.search(text)
    command = _COMMAND.search(text)
    return Script(
        path=path,
        class_path=tuple(dict.fromkeys(entries)),
        main=main[1],
        java=command[1].strip() if command is not None else "java",
        defaults=_quoted(defaults[1], home) if defaults is not None else (),
        variable=variable[1] if variable is not None else "",
    )


def _quoted(text: str, home: str) -> tuple[str, ...]:
    """The words of ``DEFAULT_JVM_OPTS``, which Gradle quotes twice."""
    try:
        once = " ".join(shlex.split(text))
        return tuple(word.replace("$APP_HOME", home) for word in shlex.split(once))
    except ValueError:
        return ()


def class_path(script: Script, folder: str = FOLDER) -> tuple[str, ...]:
    """Return the class path with a jar of ours in the place of each directory."""
    jars = {entry: f"{folder}/folder{place}.jar" for place, entry in enumerate(script.folders)}
    return tuple(jars.get(entry, entry) for entry in script.class_path)


def entry(script: Script, java: str, files: Sequence[str], folder: str = FOLDER) -> str:
    """Return the text that the unit sources: the JVM with the archive where everything is as it was, else nothing but a note.

    ``java``: path of the JVM; ``files``: all that the archive was made from, compared by size and time of change.
    """
    words = [java, *script.defaults]
    named = " ".join(shlex.quote(file) for file in files)
    options = f"$JAVA_OPTS ${script.variable}" if script.variable else "$JAVA_OPTS"
    path = shlex.quote(":".join(class_path(script, folder)))
    return f"""# Made by `tidegate tune archive`; sourced by the satellite's unit before the packaged start script.
case "{options}" in
*[\\"\\'\\\\]*) ;; # quoted options are the packaged script's to take apart
*)
  if [ -r {folder}/satellite.jsa ] && [ -r {folder}/stamp ] &&
     [ "$(LC_ALL=C stat -L -c '%n %s %Y' {named} 2>/dev/null)" = "$(cat {folder}/stamp)" ]; then
    ulimit -n "$(ulimit -H -n)" 2>/dev/null || :
    exec {" ".join(shlex.quote(word) for word in words)} {options} -Xshare:auto \\
      -XX:SharedArchiveFile={folder}/satellite.jsa -classpath {path} {script.main} "$@"
  fi ;;
esac
{note(folder)}"""


def note(folder: str = FOLDER) -> str:
    """Return the part that has the packaged script note its classes."""
    return f"""JAVA_OPTS="$JAVA_OPTS -XX:+IgnoreUnrecognizedVMOptions -XX:DumpLoadedClassList={folder}/classes"
export JAVA_OPTS
"""


def exec_start(command: str, source: str = ENTRY) -> str:
    """Return ``ExecStart=`` that sources our entry and then runs ``command``, the packaged one, whatever became of it."""
    program, _, arguments = command.partition(" ")
    body = f'if [ -r {source} ]; then . {source}; fi; exec {program} "$$@"'
    return f"ExecStart=/bin/sh -c '{body}' {program} {arguments}".rstrip()


def dump(java: str, script: Script, folder: str = FOLDER) -> tuple[str, ...]:
    """Return the command that makes the archive of the noted classes. It starts no satellite: it only reads jars."""
    return (
        java,
        "-Xshare:dump",
        f"-XX:SharedClassListFile={folder}/classes",
        f"-XX:SharedArchiveFile={folder}/new.jsa",
        "-classpath",
        ":".join(class_path(script, folder)),
    )


def proof(java: str, script: Script, folder: str = FOLDER) -> tuple[str, ...]:
    """Return a command that fails unless the JVM takes the new archive for this class path."""
    path = ":".join(class_path(script, folder))
    return (
        java,
        "-Xshare:on",
        f"-XX:SharedArchiveFile={folder}/new.jsa",
        "-classpath",
        path,
        "-version",
    )
