# SPDX-License-Identifier: Apache-2.0
"""Programs and modules of this host: what is installed, and what a unit has started. Reads files; runs nothing."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from tidegate.clients import errors, files

_PLACES: Final = ("usr/sbin", "usr/bin", "sbin", "bin", "usr/local/sbin", "usr/local/bin")
_MODULE: Final = "/drbd.ko"
_MOST_PROCESSES: Final = 64
_LONGEST: Final = 120
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class Running(msgspec.Struct, frozen=True):
    """A process."""

    command: str
    since: float
    """Seconds since boot."""


def installed(names: Iterable[str], root: Path = Path("/")) -> dict[str, bool]:
    """Return for each program whether it is where programs of the system are; empty where there is no such place at all."""
    places = [root / place for place in _PLACES if (root / place).is_dir()]
    if not places:
        return {}
    return {name: any((place / name).exists() for place in places) for name in names}


def drbd_file(release: str, root: Path = Path("/")) -> str | None:
    """Return the file of module drbd that ``modprobe`` would load for the kernel ``release``; "" when there is none.

    The path is below the directory of modules: ``updates/dkms/drbd.ko``, or ``kernel/drivers/block/drbd/drbd.ko`` for the kernel's
    own. None when depmod's list cannot be read: in a container, or with another layout.
    """
    for place in ("lib/modules", "usr/lib/modules"):
        try:
            text = files.read_text(root / place / release / "modules.dep", limit=64 * 1024 * 1024)
        except errors.ClientError:
            continue
        return parse_modules(text)
    return None


def parse_modules(text: str) -> str:
    """Return the module drbd in ``modules.dep``; "" without one. Pure."""
    end = text.find(_MODULE)
    while end >= 0:
        start = text.rfind("\n", 0, end) + 1
        name = text[start : text.find(":", start) if ":" in text[start:] else len(text)]
        if name[end - start :].startswith(_MODULE) and " " not in name:
            return name
        end = text.find(_MODULE, end + 1)
    return ""


def started_by(unit: str, root: Path = Path("/")) -> tuple[Running, ...]:
    """Return the processes in the control group of the service ``unit``, oldest first; empty when they cannot be seen."""
    group = root / "sys/fs/cgroup/system.slice" / unit / "cgroup.procs"
    try:
        pids = [word for word in files.read_text(group).split() if word.isdecimal()]
    except errors.ClientError:
        return ()
    found = (_process(root / "proc" / pid) for pid in pids[:_MOST_PROCESSES])
    return tuple(sorted((one for one in found if one is not None), key=lambda one: one.since))


def _process(place: Path) -> Running | None:
    try:
        stat = files.read_text(place / "stat", limit=4096)
        words = files.read(place / "cmdline", limit=64 * 1024)
    except errors.ClientError:
        return None
    # The name may hold anything, brackets and blanks too: fields are counted from behind its end (man 5 proc).
    fields = stat.rpartition(")")[2].split()
    if len(fields) < 20 or not fields[19].isdecimal():
        return None
    command = " ".join(words.decode("utf-8", "replace").split("\0")).strip()
    return Running(command[:_LONGEST], int(fields[19]) / _TICKS)
