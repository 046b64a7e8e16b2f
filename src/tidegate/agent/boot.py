# SPDX-License-Identifier: Apache-2.0
"""Which boot this is and how long ago it began: of this machine, or of the simulated one in a directory."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from tidegate.clients import clock, errors, files
from tidegate.core.ids import BootId


class Boot(msgspec.Struct, frozen=True, kw_only=True):
    """A boot: its id, a clock of the seconds since it began, and when that was by the wall clock of now."""

    id: BootId
    seconds: Callable[[], float]
    began: Callable[[], float]


def this_boot(root: Path = Path("/")) -> Boot:
    """Return the boot of the machine whose root directory is ``root``.

    For another root than ``/`` the moment is taken from its ``proc/stat`` (``btime``): the clocks of this kernel are not its own.

    Raises:
        ClientError: ``root`` is not ``/`` and has no readable ``proc/stat``.
    """
    if root == Path("/"):
        return Boot(id=BootId(clock.boot_id()), seconds=clock.boottime, began=clock.boot_time_wall)
    text = files.read_text(root / "proc/stat")
    began = next(
        (float(line.split()[1]) for line in text.splitlines() if line.startswith("btime ")), None
    )
    if began is None:
        where = root / "proc/stat"
        trouble = errors.Trouble(
            code="boot.no-btime",
            text=f"{where} has no line btime",
            hint="give a whole root directory",
        )
        raise errors.ClientError(trouble)
    offset = clock.boot_time_wall() - began
    name = files.read_text(root / "proc/sys/kernel/random/boot_id").strip()
    return Boot(id=BootId(name), seconds=lambda: clock.boottime() + offset, began=lambda: began)
