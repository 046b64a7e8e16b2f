# SPDX-License-Identifier: Apache-2.0
"""Which DRBD resources any configuration of this host names: LINSTOR's kept files, and what people wrote themselves."""

import re
from pathlib import Path
from typing import Final

from tidegate.clients import errors, files

KEPT: Final = Path("var/lib/linstor.d")
_OWN: Final = ("etc/drbd.conf", "etc/drbd-90.conf", "etc/drbd.d/*.res", "etc/drbd.d/*.conf")
_RESOURCE: Final = re.compile(r'^[ \t]*resource[ \t]+"?([^"\s{]+)', re.MULTILINE)
_MOST: Final = 1000
"""Files of people's own that are read."""


def named(root: Path = Path("/")) -> tuple[str, ...] | None:
    """Return the names in order; None where LINSTOR's directory cannot be read, so that nothing follows from a name's absence.

    LINSTOR keeps one file for each resource with DRBD that it has placed here, and deletes it with the resource (facts/linstor.md 2.6).
    """
    try:
        kept = [path.name for path in (root / KEPT).iterdir()]
    except OSError:
        return None
    found = {name.removesuffix(".res") for name in kept if name.endswith(".res")}
    own = [path for pattern in _OWN for path in sorted(root.glob(pattern))]
    for path in own[:_MOST]:
        try:
            found.update(_RESOURCE.findall(files.read_text(path)))
        except errors.ClientError:
            return None
    return tuple(sorted(found))
