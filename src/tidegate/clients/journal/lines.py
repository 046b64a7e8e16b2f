# SPDX-License-Identifier: Apache-2.0
"""Bytes → lines, with a bound on what one line may be."""

from collections.abc import Iterable, Iterator
from typing import Final

from tidegate.clients.journal.notes import Notes

MAX_LINE: Final = 1024 * 1024
"""Bytes of one line that are kept; the rest of it is thrown away."""
CHUNK: Final = 256 * 1024


def split(chunks: Iterable[bytes], source: str, notes: Notes) -> Iterator[bytes]:
    """Yield lines without their newline. A last line that was not finished comes too."""
    rest = b""
    cutting = False
    for chunk in chunks:
        if cutting:
            end = chunk.find(b"\n")
            if end < 0:
                continue
            chunk = chunk[end + 1 :]  # noqa: PLW2901 - the tail of a line that was cut
            cutting = False
        lines = (rest + chunk).split(b"\n") if rest else chunk.split(b"\n")
        rest = lines.pop()
        if len(rest) > MAX_LINE:
            notes.add(f"{source}: a line longer than {MAX_LINE // 1024} KiB was cut")
            yield rest[:MAX_LINE]
            rest, cutting = b"", True
        yield from lines
    if rest:
        yield rest
