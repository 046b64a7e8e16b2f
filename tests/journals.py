# SPDX-License-Identifier: Apache-2.0
"""A journalctl that tells a recorded boot, first on the PATH."""

import os
import shlex
from pathlib import Path

import pytest

RECORDED = Path(__file__).resolve().parent / "data" / "real-boots" / "r-notify-order.boot.json.gz"
BOOT = "a4de912b401946ab97ae5e86bc543106"


def recorded_journal(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process and its children find it in ``directory``."""
    row = f'[{{"index":0,"boot_id":"{BOOT}","first_entry":1,"last_entry":2}}]'
    script = directory / "journalctl"
    script.write_text(
        "#!/bin/sh\n"
        f"case \"$*\" in *--list-boots*) echo '{row}' ;; *) exec gzip -dc {shlex.quote(str(RECORDED))} ;; esac\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
