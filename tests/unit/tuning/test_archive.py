# SPDX-License-Identifier: Apache-2.0
"""Start scripts that Gradle made over the years, and the shell that stands in front of them."""

import subprocess
from pathlib import Path

import pytest

from tidegate.tuning import archive
from tidegate.tuning.archive import Script

PATH = "/usr/share/linstor-server/bin/Satellite"
HOME = "/usr/share/linstor-server"
NEW = r"""
DEFAULT_JVM_OPTS='"-Xms32M" "-Xmx2G" "-XX:+CrashOnOutOfMemoryError"'
CLASSPATH=$APP_HOME/lib/conf:$APP_HOME/lib/*
    JAVACMD=$JAVA_HOME/bin/java
    JAVACMD=/usr/lib/jvm/java-21/bin/java
set -- \
        -classpath "$CLASSPATH" \
        com.linbit.linstor.core.Satellite \
        "$@"
eval "set -- $(
        printf '%s\n' "$DEFAULT_JVM_OPTS $JAVA_OPTS $SATELLITE_OPTS" |
"""
OLD = r"""
DEFAULT_JVM_OPTS='"-Xmx2G"'
CLASSPATH=$APP_HOME/lib/conf:$APP_HOME/lib/server-1.20.jar:$APP_HOME/lib/guice.jar
    JAVACMD="$JAVA_HOME/bin/java"
    JAVACMD="java"
eval set -- $DEFAULT_JVM_OPTS $JAVA_OPTS $SATELLITE_OPTS -classpath "\"$CLASSPATH\"" com.linbit.linstor.core.Satellite "$APP_ARGS"
"""


def jars(folder: str) -> list[str]:
    return [f"{folder}/a.jar", f"{folder}/b.jar"]


def test_a_script_of_today() -> None:
    assert archive.parse(PATH, NEW, jars) == Script(
        path=PATH,
        class_path=(f"{HOME}/lib/conf", f"{HOME}/lib/a.jar", f"{HOME}/lib/b.jar"),
        main="com.linbit.linstor.core.Satellite",
        java="/usr/lib/jvm/java-21/bin/java",
        defaults=("-Xms32M", "-Xmx2G", "-XX:+CrashOnOutOfMemoryError"),
        variable="SATELLITE_OPTS",
    )


def test_a_script_of_years_ago() -> None:
    found = archive.parse(PATH, OLD, jars)
    assert isinstance(found, Script)
    assert found.class_path == (
        f"{HOME}/lib/conf",
        f"{HOME}/lib/server-1.20.jar",
        f"{HOME}/lib/guice.jar",
    )
    assert (found.main, found.java, found.variable) == (
        "com.linbit.linstor.core.Satellite",
        "java",
        "SATELLITE_OPTS",
    )
    assert archive.class_path(found, "/x")[0] == "/x/folder0.jar"


@pytest.mark.parametrize(
    "text",
    ["", "#!/bin/sh\nexec java -jar /x.jar\n", NEW.replace("$APP_HOME/lib/conf", "$OTHER/conf")],
)
def test_another_script_is_left_alone_with_a_reason(text: str) -> None:
    assert isinstance(archive.parse(PATH, text, jars), str)


def test_systemd_is_told_to_look_first_and_to_run_the_packaged_script_whatever_comes() -> None:
    line = archive.exec_start(f"{PATH} --logs=/var/log/x --config-directory=/etc/linstor")
    assert line == (
        "ExecStart=/bin/sh -c 'if [ -r /var/lib/tidegate/archive/satellite.sh ]; then . /var/lib/tidegate/archive/satellite.sh; fi; "
        f'exec {PATH} "$$@"\' {PATH} --logs=/var/log/x --config-directory=/etc/linstor'
    )


def test_the_shell_understands_it(tmp_path: Path) -> None:
    script = archive.parse(PATH, NEW, jars)
    assert isinstance(script, Script)
    text = archive.entry(script, "/usr/bin/java", ["/a", "/b c"], "/x/archive")
    done = subprocess.run(["sh", "-n"], input=text, text=True, check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (0, "")
