"""A program for a JVM, made here: a jar of some thousand small classes, and a main class that loads them all. No compiler is needed.

With a port, it listens there then and stays, as a satellite does.
"""

import struct
import zipfile
from pathlib import Path
from typing import Final

MAIN: Final = "stand.in.Main"
_GROUP: Final = 200
_JAVA_8: Final = 52
_PUBLIC_STATIC: Final = 9
_NOTHING: Final = b"\xb1"  # return


class _Pool:
    """The constants of one class file (JVM specification, 4.4)."""

    def __init__(self) -> None:
        self.entries: list[bytes] = []

    def add(self, entry: bytes) -> int:
        self.entries.append(entry)
        return len(self.entries)

    def text(self, text: str) -> int:
        return self.add(b"\x01" + struct.pack(">H", len(text)) + text.encode())

    def named(self, name: str) -> int:
        return self.add(b"\x07" + struct.pack(">H", self.text(name)))

    def call(self, owner: str, method: str = "load", signature: str = "()V") -> int:
        kind = self.add(b"\x0c" + struct.pack(">HH", self.text(method), self.text(signature)))
        return self.add(b"\x0a" + struct.pack(">HH", self.named(owner), kind))

    def long(self, value: int) -> int:
        place = self.add(b"\x05" + struct.pack(">q", value))
        self.add(b"")  # it takes two places
        return place


def _stay(pool: _Pool, port: int) -> bytes:
    """``new ServerSocket(port)``, and sleep for longer than anybody waits."""
    socket = pool.named("java/net/ServerSocket")
    opened = b"\xbb" + struct.pack(">H", socket) + b"\x11" + struct.pack(">h", port)
    begun = b"\xb7" + struct.pack(">H", pool.call("java/net/ServerSocket", "<init>", "(I)V"))
    asleep = b"\x14" + struct.pack(">H", pool.long(2**62))
    return (
        opened
        + begun
        + asleep
        + b"\xb8"
        + struct.pack(">H", pool.call("java/lang/Thread", "sleep", "(J)V"))
    )


def class_file(name: str, calls: list[str], main: bool = False, port: int = 0) -> bytes:
    """A class whose ``load()`` calls ``load()`` of others; with ``main`` that is what the program does."""
    pool = _Pool()
    this, parent, code = pool.named(name), pool.named("java/lang/Object"), pool.text("Code")
    body = b"".join(b"\xb8" + struct.pack(">H", pool.call(one)) for one in calls)
    body += (_stay(pool, port) if port else b"") + _NOTHING
    busy = b"\x04\x3b" * 50 + _NOTHING  # iconst_1, istore_0: something to read and verify
    methods = [("load", "()V", body), *((f"more{n}", "()V", busy) for n in range(4))]
    if main:
        methods.append(("main", "([Ljava/lang/String;)V", body))
    built = []
    for method, signature, text in methods:
        inner = struct.pack(">HHI", 3, 1, len(text)) + text + struct.pack(">HH", 0, 0)
        head = (_PUBLIC_STATIC, pool.text(method), pool.text(signature), 1, code, len(inner))
        built.append(struct.pack(">HHHHHI", *head) + inner)
    constants = struct.pack(">H", len(pool.entries) + 1) + b"".join(pool.entries)
    about = struct.pack(">HHHHHH", 0x21, this, parent, 0, 0, len(built))
    return (
        b"\xca\xfe\xba\xbe"
        + struct.pack(">HH", 0, _JAVA_8)
        + constants
        + about
        + b"".join(built)
        + b"\0\0"
    )


def write_jar(path: Path, count: int, port: int = 0) -> None:
    """Write a jar with ``count`` classes and :data:`MAIN`, which loads them all, and with ``port`` stays and listens there."""
    groups = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as jar:
        for first in range(0, count, _GROUP):
            names = [f"stand/in/C{n}" for n in range(first, min(count, first + _GROUP))]
            for name in names:
                jar.writestr(f"{name}.class", class_file(name, []))
            group = f"stand/in/G{first}"
            jar.writestr(f"{group}.class", class_file(group, names))
            groups.append(group)
        jar.writestr("stand/in/Main.class", class_file("stand/in/Main", groups, True, port))
