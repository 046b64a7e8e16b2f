# SPDX-License-Identifier: Apache-2.0
"""Makes a bundle of one boot: lines, hints, the page for people, a manifest; masked if asked for."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tidegate import __version__
from tidegate import boot as room
from tidegate.boot.model import BootAnalysis, Entry, Hints
from tidegate.clients import bundle, clock
from tidegate.report import boot_text, masking
from tidegate.report.terminal import Terminal, harmless

if TYPE_CHECKING:
    from tidegate.cli.boot_source import Source


def export(
    source: "Source", analysis: BootAnalysis, *, output: str | None, mask: bool
) -> tuple[Path, int, tuple[str, ...]]:
    """Write the bundle; returns its path, how many lines it holds, and names that could not be masked.

    The page in it is made from what is in it: a masked one explains itself as the reader will see it.

    Raises:
        ClientError: It could not be written.
    """
    hints = source.hints()
    masker = None
    lines: Iterable[Entry] = source.entries(analysis)
    if mask:
        masker = masking.Masker(_names(analysis, hints, source.entries(analysis)))
        masked = map(masker.entry, source.entries(analysis))
        hints = masker.hints(hints)
        lines = map(masker.entry, lines)
        analysis = room.analyse(masked, hints=hints)
    name = "masked" if mask else harmless(analysis.boot[:12] or "unknown")
    path = Path(output or f"tidegate-boot-{name}.tar.gz")
    count = bundle.write(
        path,
        lines,
        {
            bundle.MANIFEST: _manifest(masked=mask),
            bundle.HINTS: msgspec.json.encode(hints),
            "boot.txt": boot_text.explain(analysis, Terminal(width=120)).encode(),
        },
        moment=0.0 if mask else clock.wall(),
    )
    return path, count, masker.kept if masker is not None else ()


def _manifest(*, masked: bool) -> bytes:
    about = {"format": 1, "tidegate": __version__, "masked": masked}
    return json.dumps(about, indent=2).encode() + b"\n"


def _names(
    analysis: BootAnalysis, hints: Hints, entries: Iterable[Entry]
) -> dict[str, Iterable[str]]:
    """Return what is known to be a name, by kind; one pass over the lines finds what they call so."""
    hosts = {analysis.hostname, hints.node}
    named: set[str] = set()
    for entry in entries:
        hosts.add(entry.hostname)
        named.update(masking.names_in(entry.message))
    instances = {story.name for story in analysis.instances}
    instances |= {part for name in hints.instances for part in name.split("/")}
    return {
        "host": hosts - {""},
        "inst": instances - {"default", ""},
        "pool": {story.name for story in analysis.pools} | set(hints.linstor_pools),
        "name": named - {"default", ""},
    }
