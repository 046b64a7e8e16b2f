# SPDX-License-Identifier: Apache-2.0
"""500 instances on 500 volumes: the real agent over the simulator's faces. Incus's order is kept, and ever more are started at once."""

import sys
from pathlib import Path
from typing import Final

import msgspec
from tests import embedded_nodes as nodes

from tidegate.sim.incus.values import ServerSpec

COUNT: Final = 500
START: Final = 2.0
"""Seconds that each start takes: long enough that what this machine needs beside it does not count."""
RANKS: Final = {"c003": "1", "c050": "9", "c107": "5"}
BEGINS_WITH: Final = 4
"""Starts at once."""
PATIENCE: Final = 560.0


def _ranked(server: ServerSpec) -> ServerSpec:
    return msgspec.structs.replace(
        server,
        instances=tuple(
            msgspec.structs.replace(
                one, config={**one.config, "boot.autostart.priority": RANKS[one.name]}
            )
            if one.name in RANKS
            else one
            for one in server.instances
        ),
    )


async def test_five_hundred_come_up_in_order_and_ever_more_at_once(tmp_path: Path) -> None:
    names = tuple(f"c{number:03}" for number in range(COUNT))
    node = nodes.node(
        tmp_path,
        nodes.until_moment(nodes.OFFLINE, 4.0),
        containers=names,
        local=(),
        spec=_ranked,
        # Incus's own minute stays away: every start is the agent's.
        timings=nodes.quick(instance_start=START, pool_retry=3600.0),
    )
    async with node.running(), nodes.agent(node) as agent:
        await nodes.until(node, lambda: len(nodes.running(node)) == COUNT, within=PATIENCE)
        assert agent.process.returncode is None
    starts = [record for record in node.incus.world.starts if record.origin == "api"]
    came = [str(record.instance.name) for record in starts]
    assert sorted(came) == list(names), "each once"
    ranked = sorted(RANKS, key=lambda name: -int(RANKS[name]))
    assert [name for name in came if name in RANKS] == ranked
    # After those without a priority, of which some may still be on their way.
    assert came.index(ranked[0]) > 0.9 * COUNT
    plain = [record.at for record in starts if record.instance.name not in RANKS]
    took, bare = plain[-1] - plain[0], len(plain) * START
    sys.stdout.write(
        f"{COUNT} instances in {took:.0f} s, {_widest(plain)} at once at most; one after another {bare:.0f} s\n"
    )
    assert took < bare / BEGINS_WITH
    assert _widest(plain) > BEGINS_WITH


def _widest(ends: list[float]) -> int:
    """How many starts were on their way at once, from the moments when they were over."""
    return max(sum(end - START < other <= end for other in ends) for end in ends)
