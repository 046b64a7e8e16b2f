# SPDX-License-Identifier: Apache-2.0
"""Whether a unit is enabled, from its links alone: for those that ask before D-Bus is there. Imports next to nothing."""

import os
from collections.abc import Iterable
from typing import Final

FOLDERS: Final = ("/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system")
AGENT: Final = "tidegate-agent.service"
_PULLS: Final = (".wants", ".requires")


def is_enabled(unit: str, folders: Iterable[str] = FOLDERS) -> bool:
    """Return whether a link in ``folders`` has another unit pull ``unit`` in; whether the link leads anywhere is not looked at."""
    return any(_is_pulled(folder, unit) for folder in folders)


def _is_pulled(folder: str, unit: str) -> bool:
    try:
        names = os.listdir(folder)  # noqa: PTH208  pathlib takes time to load
    except OSError:
        return False
    return any(
        name.endswith(_PULLS) and os.path.lexists(f"{folder}/{name}/{unit}")
        for name in names
    )
