# SPDX-License-Identifier: Apache-2.0
"""``tidegate units check``: the order in which units really started, against the one they should have."""

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Final

from tidegate.agent import unitcheck
from tidegate.config.model import Config
from tidegate.core.finding import Grade
from tidegate.units import checked, report
from tidegate.units.deadlock import Place

_EXITS: Final = {Grade.OK: 0, Grade.FAILING: 1, Grade.DEGRADED: 4, Grade.UNKNOWN: 5}


def run(chosen: argparse.Namespace, root: Path, config: Config, place: Place | None) -> int:
    """Show the comparison; returns the exit code. Raises ClientError where files cannot be read."""
    journal = Path(chosen.journal) if chosen.journal else None
    asked = unitcheck.Asked(boot=chosen.boot or 0, journal=journal)
    found = asyncio.run(unitcheck.look(root, config, asked, place))
    if chosen.format == "json":
        troubles = [
            {"code": one.code, "text": one.text, "hint": one.hint} for one in found.troubles
        ]
        told = {
            "boot": found.boot,
            "sources": list(found.sources),
            **checked.document(found.check),
            "troubles": troubles,
        }
        sys.stdout.write(json.dumps(told, indent=1) + "\n")
    else:
        boot = f"boot {found.boot}" if found.boot else "boot"
        where = ", ".join(found.sources) or "nothing"
        head = f"{boot}, from {where}, against the unit files of today; seconds since the kernel started"
        sys.stdout.write(report.clean(head + "\n") + checked.text(found.check))
        for trouble in found.troubles:
            sys.stderr.write(report.clean("\n".join(report.trouble(trouble)) + "\n"))
    return _EXITS[found.check.grade]
