# SPDX-License-Identifier: Apache-2.0
"""A program of its own: looks at one device per line of its input, answers one line of JSON each.

Run as ``python3 -I -S opener.py``; standard library only, because it must start fast and must not depend
on how Tidegate is installed. It opens for reading only, reads little and closes at once; it never writes.
Whoever started it kills it when it does not answer: that is its purpose.

Request: ``{"path": "/dev/drbd1000", "root": "/"}``. The answer has the fields of ``DeviceReport`` in
``client.py``. With another root, links are followed inside it and regular files count as devices.
"""

# pathlib would double the time that this program needs to start:
# ruff: noqa: PTH115, PTH116, PTH118, PTH120, PTH123

import contextlib
import errno
import fcntl
import json
import os
import stat
import struct
import sys
from collections.abc import Callable

_HEAD = 128 * 1024
_BLKGETSIZE64 = 0x80081272
_MAX_LINKS = 16

# ext2/3/4: feature bits that only ext4 sets (fs/ext4/ext4.h of Linux)
_EXT4_INCOMPAT = 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x1000 | 0x2000 | 0x4000 | 0x8000
_EXT4_RO_COMPAT = 0x08 | 0x10 | 0x20 | 0x40 | 0x100 | 0x200 | 0x400 | 0x1000 | 0x2000
_EXT_HAS_JOURNAL, _EXT_JOURNAL_DEVICE = 0x04, 0x08

# (offset, bytes, name): signatures of one fixed place; the first that fits wins
_SIGNATURES = (
    (0, b"LUKS\xba\xbe", "luks"),
    (0, b"XFSB", "xfs"),
    (65536 + 64, b"_BHRfS_M", "btrfs"),
    (0, b"hsqs", "squashfs"),
    (0, b"QFI\xfb", "qcow2"),
    (32769, b"CD001", "iso9660"),
    (1024, b"\x10\x20\xf5\xf2", "f2fs"),
    *((page - 10, b"SWAPSPACE2", "swap") for page in (4096, 8192, 16384, 65536)),
    *((sector * 512, b"LABELONE", "lvm-pv") for sector in range(4)),
    (512, b"EFI PART", "gpt"),
    (4096, b"EFI PART", "gpt"),
    (82, b"FAT32   ", "vfat"),
    (54, b"FAT1", "vfat"),
)


def content(head: bytes, later: Callable[[], bytes]) -> str:
    """Name what ``head``, the first 128 KiB, holds; "unknown" if it is something else, "zero" if nothing.

    ``later`` reads the next 128 KiB when they are needed (ZFS keeps its mark there).
    """
    if not head:
        return "empty"
    if not any(head):
        return "zero"
    if head[1024 + 56 : 1024 + 58] == b"\x53\xef" and len(head) >= 2048:
        return _ext(head)
    for offset, magic, name in _SIGNATURES:
        if head[offset : offset + len(magic)] == magic:
            return name
    if head[510:512] == b"\x55\xaa" and any(head[446 + 16 * i + 4] for i in range(4)):
        return "mbr"
    return "zfs" if _has_uberblock(later()) else "unknown"


def _ext(head: bytes) -> str:
    compat, incompat, ro_compat = struct.unpack_from("<III", head, 1024 + 92)
    if incompat & _EXT_JOURNAL_DEVICE:
        return "ext-journal"
    if incompat & _EXT4_INCOMPAT or ro_compat & _EXT4_RO_COMPAT:
        return "ext4"
    return "ext3" if compat & _EXT_HAS_JOURNAL else "ext2"


def _has_uberblock(data: bytes) -> bool:
    marks = (struct.pack("<Q", 0x00BAB10C), struct.pack(">Q", 0x00BAB10C))
    return any(data[at : at + 8] in marks for at in range(0, len(data), 1024))


def _name(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, str(error.errno))


def _follow(path: str, root: str) -> str:
    """The path behind symbolic links at its end, each seen from ``root``."""
    for _ in range(_MAX_LINKS):
        inside = root + path
        if not stat.S_ISLNK(os.lstat(inside).st_mode):
            return path
        path = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(inside)))
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _size(descriptor: int, *, is_block: bool) -> int:
    if is_block:
        buffer = bytearray(8)
        fcntl.ioctl(descriptor, _BLKGETSIZE64, buffer)
        return int.from_bytes(buffer, sys.byteorder)
    return os.fstat(descriptor).st_size


def _open(path: str, answer: dict[str, object], *, is_block: bool) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        answer["errno"] = _name(error)
        return
    try:
        answer["size"] = _size(descriptor, is_block=is_block)
        head = os.pread(descriptor, _HEAD, 0)
        answer["content"] = content(head, lambda: os.pread(descriptor, _HEAD, _HEAD))
        answer["opened"] = True
    except OSError as error:
        answer["errno"] = _name(error)
    finally:
        os.close(descriptor)


def examine(path: str, root: str = "/") -> dict[str, object]:
    """Everything about one path, as a dictionary."""
    root = root.rstrip("/")
    answer: dict[str, object] = {"path": path, "exists": False, "opened": False}
    try:
        target = _follow(path, root)
        found = os.stat(root + target, follow_symlinks=False)
    except OSError as error:
        answer["errno"] = _name(error)
        return answer
    is_block, is_regular = stat.S_ISBLK(found.st_mode), stat.S_ISREG(found.st_mode)
    answer.update(exists=True, target=target, is_block=is_block, is_regular=is_regular)
    if is_block:
        major, minor = os.major(found.st_rdev), os.minor(found.st_rdev)
        answer["rdev"] = [major, minor]
        with contextlib.suppress(OSError):
            backing = f"{root}/sys/dev/block/{major}:{minor}/loop/backing_file"
            with open(backing, encoding="utf-8", errors="replace") as file:
                answer["backing_file"] = file.read().rstrip("\n")
    if is_block or (is_regular and root):
        _open(root + target, answer, is_block=is_block)
    return answer


def main() -> None:
    """Answer lines until the input ends."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        request = json.loads(line)
        sys.stdout.write(json.dumps(examine(request["path"], request.get("root", "/"))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
