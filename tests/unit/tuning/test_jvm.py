# SPDX-License-Identifier: Apache-2.0
import pytest

from tidegate.tuning import jvm
from tidegate.units.tree import File, Index, Tree


@pytest.mark.parametrize(
    ("theirs", "joined"),
    [
        ("", "-XX:+IgnoreUnrecognizedVMOptions -XX:+UseSerialGC -XX:TieredStopAtLevel=1"),
        (
            "-Xmx4G -XX:+UseSerialGC",
            "-Xmx4G -XX:+UseSerialGC -XX:+IgnoreUnrecognizedVMOptions -XX:TieredStopAtLevel=1",
        ),
        ("-XX:+UseSerialGC -XX:TieredStopAtLevel=1", "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"),
    ],
)
def test_what_is_set_already_is_kept_and_stands_first(theirs: str, joined: str) -> None:
    assert jvm.joined(theirs, jvm.QUICK) == joined


@pytest.mark.parametrize(
    ("options", "bytes_"),
    [
        ("", None),
        ("-Xms32M", None),
        ("-Xmx2G", 2 << 30),
        ("-Xmx2G -Xmx512m", 512 << 20),
        ("-XX:MaxHeapSize=1048576", 1 << 20),
        ('"-Xmx3g" -Dx="a b"', 3 << 30),
        ("-Dx='torn -Xmx1G", 1 << 30),
    ],
)
def test_the_heap_is_what_the_last_option_says(options: str, bytes_: int | None) -> None:
    assert jvm.heap(options) == bytes_


def test_a_collector_that_somebody_chose_is_seen() -> None:
    assert jvm.chooses_collector("-Xmx1G -XX:+UseZGC")
    assert not jvm.chooses_collector("-XX:+UseCompressedOops -Xmx1G")


@pytest.mark.parametrize("options", ["-Xmx4G -XX:+UseSerialGC", "-Dp=100%", "-Dh=$HOME"])
def test_systemd_reads_what_was_meant(options: str) -> None:
    text = f"[Service]\nExecStart=/s\n{jvm.setting(options)}\n"
    tree = Tree(entries={"/etc/systemd/system/s.service": File(text)})
    words = [value for value, _ in Index(tree).unit("s.service").listed("Service", "Environment")]
    assert words == [f"JAVA_OPTS={options}"]
