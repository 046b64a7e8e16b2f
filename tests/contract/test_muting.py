# SPDX-License-Identifier: Apache-2.0
"""``tidegate health mute`` on an agent that runs: out of the grade at once, visible, heard again, and kept over a restart."""

from pathlib import Path

from tests import embedded_nodes as nodes
from tests.embedded_nodes import agent

CODE = "storage-pool.nearly-full"


async def test_a_mute_lasts_over_a_restart_of_the_agent(tmp_path: Path) -> None:
    node = nodes.node(tmp_path)
    async with node.running():
        async with agent(node) as first:
            await first.until(bool)
            (done,) = await first.ask(op="mute", code=CODE, **{"for": 3600.0})
            assert (done["exit"], "muted: storage-pool.nearly-full" in done["text"]) == (0, True)
            (refused,) = await first.ask(op="mute", code="no.such")
            assert refused["exit"] == 2
            await first.end()
        async with agent(node) as second:
            await second.until(bool)
            (listed,) = await second.ask(op="mutes")
            assert CODE in listed["text"]
            (ended,) = await second.ask(op="unmute", code=CODE)
            assert ended["exit"] == 0
            (listed,) = await second.ask(op="mutes")
            assert listed["text"] == "nothing is muted\n"
