# SPDX-License-Identifier: Apache-2.0
"""Whether a unit is enabled, from its links alone: for those that ask before D-Bus is there."""

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Final

FOLDERS: Final = tuple(
    map(Path, ("/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system"))
)
_MASK: Final = Path("/dev/null")


def is_enabled(unit: str, folders: Iterable[Path] = FOLDERS) -> bool:
    """Return whether a link in ``folders`` has another unit pull ``unit`` in, and none masks it. Whether the link leads anywhere is not looked at."""
    places = tuple(folders)
    if any((place / unit).resolve() == _MASK for place in places):
        return False
    pulls = chain.from_iterable(
        place.glob(f"*.{kind}") for place in places for kind in ("wants", "requires")
    )
    return any((pull / unit).is_symlink() for pull in pulls)
