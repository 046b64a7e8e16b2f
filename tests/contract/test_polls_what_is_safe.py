# SPDX-License-Identifier: Apache-2.0
"""What an agent asks a controller through a boot, a hung satellite and at rest: never a call that makes the controller wait for satellites.

The measured table of safe and of waiting calls is facts/linstor-observed.md D.
"""

import re
from pathlib import Path

from tests import embedded_nodes as nodes

from tidegate.sim.faults import Fault, FaultKind

SAFE = re.compile(
    r"GET (?:/v1/controller/version"
    r"|/health"
    r"|/v1/nodes(?:/[^/?]+)?"
    r"|/v1/resource-definitions(?:\?.*)?"
    r"|/v1/resource-definitions/[^/?]+/resources(?:/[^/?]+)?"
    r"|/v1/view/storage-pools\?(?:.*&)?cached=true(?:&.*)?"
    r"|/v1/events/(?:nodes|drbd/promotion)"
    r"|/v1/encryption/passphrase)"
)
ACTS = re.compile(r"PUT /v1/nodes/n1/reconnect")


async def test_through_a_boot_a_hang_and_at_rest(tmp_path: Path) -> None:
    node = nodes.node(tmp_path, nodes.until_moment(FaultKind.NODE_OFFLINE, 1.5))
    async with (
        node.running(),
        nodes.agent(node, more={"agent.poll_rest": 0.3}) as agent,
    ):
        await nodes.until(node, lambda: len(nodes.running(node)) == 4)
        await agent.until(lambda status: status["grade"] == "ok")
        rest = len(node.linstor_face.requests)
        await nodes.until(node, lambda: len(node.linstor_face.requests) > rest + 12)
        node.now()
        hang = Fault(kind=FaultKind.SATELLITE_MUTE, start=node.now(), subject="n1")
        node.world.add_fault(hang)
        await agent.until(lambda status: "satellite.offline" in nodes.codes(status))
    asked = set(node.linstor_face.requests)
    assert {one for one in asked if not (SAFE.fullmatch(one) or ACTS.fullmatch(one))} == set()
    assert any("cached=true" in one for one in asked)
    assert any("/resources" in one for one in asked)
