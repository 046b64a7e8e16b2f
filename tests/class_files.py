"""A program for a JVM, made here: a jar of some thousand small classes, and a main class that loads them all. No compiler is needed."""

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

    def call(self, owner: str) -> int:
        kind = self.add(b"\x0c" + struct.pack(">HH", self.text("load"), self.text("()V")))
        return self.add(b"\x0a" + struct.pack(">HH", self.named(owner), kind))


def class_file(name: str, calls: list[str], main: bool = False) -> bytes:
    """A class whose ``load()`` calls ``load()`` of others; with ``main`` that is what the program does."""
    pool = _Pool()
    this, parent, code = pool.named(name), pool.named("java/lang/Object"), pool.text("Code")
    body = b"".join(b"\xb8" + struct.pack(">H", pool.call(one)) for one in calls) + _NOTHING
    busy = b"\x04\x3b" * 50 + _NOTHING  # iconst_1, istore_0: something to read and verify
    methods = [("load", "()V", body), *((f"more{n}", "()V", busy) for n in range(4))]
    if main:
        methods.append(("main", "([Ljava/lang/String;)V", body))
    built = []
    for method, signature, text in methods:
        inner = struct.pack(">HHI", 1, 1, len(text)) + text + struct.pack(">HH", 0, 0)
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


def write_jar(path: Path, count: int) -> None:
    """Write a jar with ``count`` classes and :data:`MAIN`, which loads them all."""
    groups = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as jar:
        for first in range(0, count, _GROUP):
            names = [f"stand/in/C{n}" for n in range(first, min(count, first + _GROUP))]
            for name in names:
                jar.writestr(f"{name}.class", class_file(name, []))
            group = f"stand/in/G{first}"
            jar.writestr(f"{group}.class", class_file(group, names))
            groups.append(group)
        jar.writestr("stand/in/Main.class", class_file("stand/in/Main", groups, main=True))
