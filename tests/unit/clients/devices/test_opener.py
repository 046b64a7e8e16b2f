# SPDX-License-Identifier: Apache-2.0
import os
import subprocess
from pathlib import Path

import pytest

from tidegate.clients.devices import opener

SIZE = 4 * 1024 * 1024


def image(path: Path, size: int = SIZE) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    return path


def look(path: Path, root: Path) -> dict[str, object]:
    return opener.examine("/" + str(path.relative_to(root)), str(root))


def name(path: Path) -> object:
    return look(path, path.parent)["content"]


def run(*argv: str | Path) -> None:
    subprocess.run([str(word) for word in argv], check=True, capture_output=True, timeout=60)


@pytest.mark.needs("mke2fs")
@pytest.mark.parametrize("kind", ["ext2", "ext3", "ext4"])
def test_the_ext_family_is_told_apart(tmp_path: Path, kind: str) -> None:
    path = image(tmp_path / "fs", 16 * 1024 * 1024)
    run("mke2fs", "-q", "-F", "-t", kind, path)
    assert name(path) == kind


@pytest.mark.needs("mkswap")
def test_swap(tmp_path: Path) -> None:
    path = image(tmp_path / "swap")
    path.chmod(0o600)
    run("mkswap", path)
    assert name(path) == "swap"


@pytest.mark.parametrize(("kind", "expected"), [(0x83, "mbr"), (0, "unknown")])
def test_a_partition_table_has_a_partition(tmp_path: Path, kind: int, expected: str) -> None:
    path = image(tmp_path / "disk")
    with path.open("r+b") as file:
        file.write(b"\xeb")
        file.seek(446 + 4)
        file.write(bytes([kind]))
        file.seek(510)
        file.write(b"\x55\xaa")
    assert name(path) == expected


# Places and words of the signatures, as documented by each format.
MAGIC = [
    ("xfs", 0, b"XFSB\0\0\x10\0"),
    ("btrfs", 0x10040, b"_BHRfS_M"),
    ("luks", 0, b"LUKS\xba\xbe\0\2"),
    ("lvm-pv", 512, b"LABELONE\1\0\0\0\0\0\0\0    LVM2 001"),
    ("squashfs", 0, b"hsqs"),
    ("iso9660", 0x8001, b"CD001"),
    ("qcow2", 0, b"QFI\xfb\0\0\0\3"),
    ("zfs", 128 * 1024 + 4096, b"\x0c\xb1\xba\0\0\0\0\0"),
    ("swap", 4086, b"SWAPSPACE2"),
    ("f2fs", 1024, b"\x10\x20\xf5\xf2"),
    ("vfat", 82, b"FAT32   "),
    ("gpt", 4096, b"EFI PART"),
]


@pytest.mark.parametrize(("expected", "offset", "magic"), MAGIC, ids=[m[0] for m in MAGIC])
def test_signatures(tmp_path: Path, expected: str, offset: int, magic: bytes) -> None:
    path = image(tmp_path / "disk")
    with path.open("r+b") as file:
        file.seek(512 * 7)
        file.write(b"\1")  # so that the start is not all zero
        file.seek(offset)
        file.write(magic)
    assert name(path) == expected


def test_nothing_and_something_unknown(tmp_path: Path) -> None:
    assert name(image(tmp_path / "zero")) == "zero"
    assert name(image(tmp_path / "empty", 0)) == "empty"
    path = image(tmp_path / "noise")
    path.write_bytes(b"\x5a" * SIZE)
    assert name(path) == "unknown"


def test_short_files_do_not_confuse(tmp_path: Path) -> None:
    for size in (1, 100, 511, 1024, 1082, 1100, 4096):
        path = tmp_path / "short"
        path.write_bytes(b"\x53\xef" * (size // 2) + b"x")
        assert look(path, tmp_path)["opened"], size


def test_links_are_followed_inside_the_root(tmp_path: Path) -> None:
    (tmp_path / "dev/drbd/by-res/r").mkdir(parents=True)
    image(tmp_path / "dev/drbd1000")
    (tmp_path / "dev/drbd/by-res/r/0").symlink_to("../../../drbd1000")
    (tmp_path / "dev/absolute").symlink_to("/dev/drbd1000")
    for link in ("dev/drbd/by-res/r/0", "dev/absolute"):
        found = look(tmp_path / link, tmp_path)
        assert (found["opened"], found["target"]) == (True, "/dev/drbd1000")
        assert found["size"] == SIZE


def test_what_is_missing_broken_or_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "broken").symlink_to("nowhere")
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    for path, errno in (("none", "ENOENT"), ("broken", "ENOENT"), ("a", "ELOOP")):
        found = look(tmp_path / path, tmp_path)
        assert (found["exists"], found["errno"]) == (False, errno)


def test_regular_files_are_no_devices_on_a_real_machine(tmp_path: Path) -> None:
    # A file in /dev that is no device: left by a mistake (dd of=/dev/…). It must not pass as a volume.
    path = image(tmp_path / "file")
    found = opener.examine(str(path), "/")
    assert found["exists"]
    assert found["is_regular"]
    assert not found["opened"]


def test_pipes_and_directories_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        found = opener.examine(str(path), "/")
        assert found["exists"]
        assert not found["opened"]


@pytest.mark.needs("loop")
def test_a_loop_device(tmp_path: Path) -> None:
    path = image(tmp_path / "disk.img")
    made = subprocess.run(
        ["losetup", "--find", "--show", str(path)],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    if made.returncode != 0:
        pytest.skip(f"no loop device to be had: {made.stderr.strip()}")
    device = made.stdout.strip()
    try:
        found = opener.examine(device)
        assert found["is_block"]
        assert found["opened"]
        assert found["size"] == SIZE
        assert found["content"] == "zero"
        assert found["backing_file"] == str(path)
        assert found["rdev"] == [7, int(device.removeprefix("/dev/loop"))]
    finally:
        run("losetup", "--detach", device)


@pytest.mark.needs("root")
def test_a_device_node_without_a_device(tmp_path: Path) -> None:
    try:
        os.mknod(tmp_path / "drbd1000", 0o600 | 0o060000, os.makedev(147, 1000))
    except PermissionError:
        pytest.skip("device nodes may not be made here")
    found = opener.examine(str(tmp_path / "drbd1000"))
    assert found["exists"]
    assert found["rdev"] == [147, 1000]
    assert not found["opened"]
    assert found["errno"] in {"ENXIO", "ENODEV", "EACCES", "EPERM"}
