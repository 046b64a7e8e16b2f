# SPDX-License-Identifier: Apache-2.0
"""Drop-ins as texts with their header, and differences between texts."""

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

FOLDER: Final = "/etc/systemd/system"
PREFIX: Final = "60-tidegate-"
"""Begins the name of every drop-in that is ours; nothing else is ever written or removed (contract.md, "Processes and truth")."""


def path(unit: str, topic: str) -> str:
    """Return the path of our drop-in for ``unit``: ``/etc/systemd/system/UNIT.d/60-tidegate-TOPIC.conf``."""
    return f"{FOLDER}/{unit}.d/{PREFIX}{topic}.conf"


def variables_path(unit: str, topic: str) -> str:
    """Return the path of a file of variables beside our drop-in for ``unit``; systemd itself reads no drop-in of that name."""
    return f"{FOLDER}/{unit}.d/{PREFIX}{topic}.env"


def is_ours(place: str) -> bool:
    """Return whether ``place`` is the path of a drop-in of ours, or of variables beside it."""
    folder, _, name = place.rpartition("/")
    return (
        folder.startswith(f"{FOLDER}/")
        and folder.endswith(".d")
        and name.startswith(PREFIX)
        and name.endswith((".conf", ".env"))
    )


def drop_in(why: str, sections: Mapping[str, Sequence[str]]) -> str:
    """Return the text of a drop-in: who wrote it and how it goes, ``why`` it is there, then its sections with their lines.

    A line that begins with ``#`` is a comment; sections without lines are left out.
    """
    lines = _head(why)
    for section, settings in sections.items():
        if settings:
            lines.extend(["", f"[{section}]", *settings])
    return "\n".join(lines) + "\n"


def variables(why: str, values: Mapping[str, str]) -> str:
    """Return the text of a file for ``EnvironmentFile=``; values without blanks, quotes and line ends."""
    return "\n".join([*_head(why), *(f"{name}={value}" for name, value in values.items())]) + "\n"


def _head(why: str) -> list[str]:
    return [
        "# Written by `tidegate units apply`. It is written anew by the next one: change what it is made from, not this file.",
        "# `tidegate units remove` takes it away.",
        "#",
        *(f"# {line}" for line in why.splitlines()),
    ]


def seconds(span: float) -> str:
    """Return a time span as systemd writes it: ``330s``, ``infinity``."""
    return "infinity" if math.isinf(span) else f"{span:g}s"


def difference(place: str, before: str | None, after: str | None) -> str:
    """Return the change of the file at ``place`` as a unified difference; None stands for a file that is not there."""
    lines = difflib.unified_diff(
        (before or "").splitlines(keepends=True),
        (after or "").splitlines(keepends=True),
        fromfile="/dev/null" if before is None else place,
        tofile="/dev/null" if after is None else place,
    )
    return "".join(_with_end(lines))


def _with_end(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
