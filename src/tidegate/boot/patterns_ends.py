# SPDX-License-Identifier: Apache-2.0
"""The last words of satellite and controller, of the Java under them, and of systemd that could not run them: why a process ended.

They count only near the end of the process that said them (``rules_exit``).
"""

from typing import Final

from tidegate.boot.model import Kind
from tidegate.boot.pattern import Pattern, Program


def _fatals(
    what: str,
    *lines: tuple[str, str, str],
    regex: str = r"^(?:(?:ERROR|WARN|INFO|DEBUG) )?(?P<err>.{1,240})",
) -> tuple[Pattern, ...]:
    """Return the patterns of one sort of last words; each is a literal, a sample, and where it comes from."""
    return tuple(
        Pattern(
            program=Program.LINSTOR,
            kind=Kind.SATELLITE_FATAL,
            literal=literal,
            regex=regex,
            subject="satellite",
            sample=sample,
            source=source,
            data={"class": what},
        )
        for literal, sample, source in lines
    )


PATTERNS: Final = (
    *_fatals(
        "java",
        (
            "JAVA_HOME is not set",
            "ERROR: JAVA_HOME is not set and no 'java' command could be found in your PATH.",
            "Gradle's start script",
        ),
        (
            "JAVA_HOME is set to an invalid directory",
            "ERROR: JAVA_HOME is set to an invalid directory: /usr/lib/jvm/java-11",
            "Gradle's start script",
        ),
        (
            "Unrecognized VM option",
            "Unrecognized VM option 'UseSerialGCC'",
            "OpenJDK arguments.cpp",
        ),
        ("Unrecognized option:", "Unrecognized option: --add-opens2", "OpenJDK arguments.cpp"),
        (
            "Invalid maximum heap size",
            "Invalid maximum heap size: -Xmx2Q",
            "OpenJDK arguments.cpp",
        ),
        (
            "Could not create the Java Virtual Machine",
            "Error: Could not create the Java Virtual Machine.",
            "OpenJDK launcher",
        ),
        (
            "Error occurred during initialization of VM",
            "Error occurred during initialization of VM",
            "OpenJDK java.cpp",
        ),
        (
            "UnsupportedClassVersionError",
            "java.lang.UnsupportedClassVersionError: com/linbit/linstor/core/Satellite has been compiled by a more recent version of the Java Runtime",
            "OpenJDK",
        ),
        (
            "Could not find or load main class",
            "Error: Could not find or load main class com.linbit.linstor.core.Satellite",
            "OpenJDK launcher",
        ),
    ),
    *_fatals(
        "exec",
        (
            "Failed at step ",
            "linstor-satellite.service: Failed at step EXEC spawning /usr/share/linstor-server/bin/Satellite: No such file or directory",
            "systemd src/core/exec-invoke.c",
        ),
        (
            "ocate executable ",
            "linstor-satellite.service: Unable to locate executable '/usr/share/linstor-server/bin/Satellite': No such file or directory",
            "systemd src/core/exec-invoke.c",
        ),
    ),
    *_fatals(
        "memory",
        (
            "java.lang.OutOfMemoryError",
            "Terminating due to java.lang.OutOfMemoryError: Java heap space",
            "OpenJDK",
        ),
        (
            "insufficient memory for the Java Runtime",
            "There is insufficient memory for the Java Runtime Environment to continue.",
            "OpenJDK",
        ),
    ),
    *_fatals(
        "crash",
        (
            "fatal error has been detected by the Java Runtime",
            "# A fatal error has been detected by the Java Runtime Environment:",
            "OpenJDK vmError.cpp",
        ),
    ),
    *_fatals(
        "port",
        (
            "Address already in use",
            "ERROR Address already in use [Report number 66F2B0A1-63795-000000]",
            "java.net.BindException; facts/linstor.md 2.2: exit 20",
        ),
        (
            "Cannot assign requested address",
            "ERROR Cannot assign requested address [Report number 66F2B0A1-63795-000000]",
            "java.net.BindException",
        ),
    ),
    *_fatals(
        "database",
        (
            "Database may be already in use",
            "ERROR Database may be already in use: null. Possible solutions: close all other connection(s); use the server mode [90020-197]",
            "H2 error 90020",
        ),
        (
            "File corrupted while reading record",
            "ERROR File corrupted while reading record: null. Possible solution: use the recovery tool [90030-197]",
            "H2 error 90030",
        ),
        (
            "Failed to initialize the database",
            "ERROR Failed to initialize the database [Report number 66F2B0A1-00000-000000]",
            "facts/linstor.md 9.3, in general",
        ),
    ),
    *_fatals(
        "limits",
        (
            "inotify instances reached",
            "ERROR User limit of inotify instances reached or too many open files [Report number 66F2B0A1-63795-000000]",
            "facts/linstor.md 14: the watch for files cannot begin",
        ),
    ),
    *_fatals(
        "config",
        (
            "Unable to parse configuration",
            "Unable to parse configuration file: '/etc/linstor/linstor_satellite.toml'",
            "facts/linstor.md 2.2: exit 2",
        ),
    ),
    *_fatals(
        "service",
        (
            "service instance '",
            "ERROR Initialization of the service instance 'NetComService' failed.",
            "facts/linstor.md 2.2: exit 20",
        ),
        regex=r"^(?:(?:ERROR|WARN|INFO) )?(?P<err>.*service instance '[^']+'.{0,40}failed.*)",
    ),
)
