# SPDX-License-Identifier: Apache-2.0
"""``python -m benchmarks.node DIR``: a simulated node with ten containers, until it is killed."""

import asyncio
import sys
from pathlib import Path

from tests import embedded_nodes


async def main(directory: Path) -> None:
    """Serve for ever."""
    names = tuple(f"c{number}" for number in range(10))
    node = embedded_nodes.node(directory, containers=names)
    async with node.running():
        embedded_nodes.config_file(node)
        await asyncio.Event().wait()


asyncio.run(main(Path(sys.argv[1])))
