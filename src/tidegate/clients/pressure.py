# SPDX-License-Identifier: Apache-2.0
"""How much the processors were asked for: the kernel's own account of waiting (Documentation/accounting/psi.rst)."""

import re
from pathlib import Path
from typing import Final

from tidegate.clients import errors, files

_TOTAL: Final = re.compile(r"^some .*\btotal=(\d+)", re.MULTILINE)


def waited(root: Path = Path("/")) -> float | None:
    """Return the seconds since boot in which some process waited for a processor; None where the kernel does not tell."""
    try:
        found = _TOTAL.search(files.read_text(root / "proc/pressure/cpu"))
    except errors.ClientError:
        return None
    return int(found[1]) / 1e6 if found else None
