# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.lab.overlaid BASE LAYER COMMAND...``: run a command in BASE with LAYER laid over it, writes going to LAYER.

In mount namespaces of its own, which end with it; ``LAYER.work`` stays for the caller to delete. Used to let the golden system's own programs work on a layer being made.
"""

import os
import sys
from pathlib import Path

from tests.lab import kernel


def main(base: str, layer: str, command: list[str]) -> None:
    """Become ``command``; what it writes is in ``layer`` afterwards."""
    kernel.unshare(kernel.NEWNS)
    kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    work = f"{layer}.work"
    root = f"{work}/root"
    for name in ("root", "work"):
        Path(work, name).mkdir(parents=True)
    options = f"lowerdir={base},upperdir={layer},workdir={work}/work"
    kernel.mount("overlay", root, "overlay", 0, options)
    kernel.mount("proc", f"{root}/proc", "proc")
    kernel.bind("/dev", f"{root}/dev")
    os.chroot(root)
    os.chdir("/")
    clean = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/root"}
    os.execvpe(command[0], command, clean)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
