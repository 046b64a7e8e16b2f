# SPDX-License-Identifier: Apache-2.0
"""What `tidegate tune` advises for a JVM, on the one that is installed: `python -m benchmarks.jvm`.

A stand-in of some thousand classes behind a start script as Gradle makes it; each variant beside the others, so that a busy moment hits all.
"""

import asyncio
import statistics
import sys
import tempfile
from pathlib import Path

from tests.java_hosts import CLASSES, Cost, Host

from tidegate.agent import archiving
from tidegate.tuning import jvm

RUNS = 9
FLAGS = " ".join(jvm.QUICK)
VARIANTS = {
    "as packaged": (False, ""),
    "a larger heap at start (-Xms256m)": (False, "-Xms256m"),
    "serial collector and quick compiler": (False, FLAGS),
    "and the class-data archive": (True, FLAGS),
}


def measure(host: Host) -> dict[str, list[Cost]]:
    """Start every variant :data:`RUNS` times, in turn."""
    found: dict[str, list[Cost]] = {name: [] for name in VARIANTS}
    for _ in range(RUNS):
        for name, (applied, options) in VARIANTS.items():
            found[name].append(host.cost(applied=applied, options=options))
    return found


def main() -> int:
    """Make the archive, then measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        host = Host(Path(folder))
        archiving.prepare(host.config)
        host.start(applied=True)
        sys.stdout.write(f"{asyncio.run(archiving.make(host.config))}\n{CLASSES} classes\n")
        for name, costs in measure(host).items():
            wall, cpu = ([getattr(one, what) for one in costs] for what in ("wall", "cpu"))
            sys.stdout.write(
                f"{name:40} wall {statistics.median(wall):.2f} s ({min(wall):.2f} to {max(wall):.2f}), "
                f"processor {statistics.median(cpu):.2f} s ({min(cpu):.2f} to {max(cpu):.2f})\n"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
