# SPDX-License-Identifier: Apache-2.0
"""Where Incus's socket is (facts/incus.md R1). The restricted ``unix.socket.user`` is never taken."""

from collections.abc import Mapping
from pathlib import Path

_RUN = Path("/run/incus/unix.socket")
_VAR = Path("/var/lib/incus/unix.socket")


def find(environ: Mapping[str, str], *, root: Path = Path("/")) -> Path:
    """The path of the socket as Incus's own client chooses it; it need not exist.

    ``root`` is put in front of the two default paths (a machine in a directory).
    """
    if given := environ.get("INCUS_SOCKET"):
        return Path(given)
    if folder := environ.get("INCUS_DIR"):
        return Path(folder) / "unix.socket"
    run, var = (root / path.relative_to("/") for path in (_RUN, _VAR))
    return run if run.exists() else var
