# SPDX-License-Identifier: Apache-2.0
"""The real agent, as a process, against a simulated node over real sockets: everything comes back, nothing twice, nothing unwanted."""

from collections import Counter
from pathlib import Path

import pytest
from tests import embedded_nodes as nodes
from tests.embedded_nodes import CONTAINERS, FaultKind, agent, until, until_moment

ALL = {*CONTAINERS, "d1"}


async def test_a_late_satellite_costs_no_minute(tmp_path: Path) -> None:
    """Stock Incus looks at the pool again after its minute; the agent mounts it and starts all, each once."""
    node = nodes.node(tmp_path, until_moment(FaultKind.NODE_OFFLINE, 2.5))
    async with node.running(), agent(node):
        ended = await until(node, lambda: nodes.running(node) == ALL)
    world = node.incus.world
    assert ended < 2.5 + 10, "by Incus alone it takes 60 s"
    assert Counter(nodes.starts(node)) == Counter(ALL)
    assert sorted(nodes.started_by_agent(node)) == sorted(CONTAINERS)
    assert all(call.was_unavailable and call.was_ready for call in world.validations)
    assert [call.error for call in world.validations].count("") == 1


async def test_late_devices_cost_no_instance(tmp_path: Path) -> None:
    """Incus has used up its three attempts and gives up for ever; the agent starts them when their devices are there."""
    node = nodes.node(tmp_path, until_moment(FaultKind.DEVICE_MISSING, 4.0))
    async with node.running(), agent(node) as running:
        await until(node, lambda: nodes.running(node) == {"d1"})
        await until(node, lambda: nodes.given_up(node) == set(CONTAINERS))
        assert node.now() < 4.0, "this machine is too slow for this test: Incus gave up too late"
        ended = await until(node, lambda: nodes.running(node) == ALL)
        await until(node, lambda: not nodes.given_up(node, acknowledged=False))
        status = await running.until(lambda status: status["grade"] == "ok")
    assert ended < 4.0 + 10
    assert Counter(nodes.starts(node)) == Counter(ALL)
    assert sorted(nodes.started_by_agent(node)) == sorted(CONTAINERS)
    assert status["sentence"] == "nothing to do: all 4 wanted instances run"
    assert nodes.given_up(node) == set(CONTAINERS), "warnings are acknowledged, never deleted"


@pytest.mark.parametrize(
    "kind", [FaultKind.CONTROLLER_REFUSES, FaultKind.CONTROLLER_HANGS, FaultKind.CONTROLLER_500]
)
async def test_a_controller_that_comes_late_costs_no_minute(
    tmp_path: Path, kind: FaultKind
) -> None:
    node = nodes.node(tmp_path, until_moment(kind, 2.5))
    async with node.running(), agent(node):
        ended = await until(node, lambda: nodes.running(node) == ALL)
    assert ended < 2.5 + 12, "by Incus alone it takes 60 s"
    assert Counter(nodes.starts(node)) == Counter(ALL)


async def test_what_a_user_stopped_stays_stopped(tmp_path: Path) -> None:
    """Also by an agent that was killed meanwhile and remembers nothing of it, and through a pool that was lost and came back."""
    node = nodes.node(tmp_path)
    async with node.running():
        await until(node, lambda: nodes.running(node) == ALL)
        async with agent(node) as first:
            await first.until(lambda status: status["grade"] == "ok")
            nodes.stop(node, "c1")
            await until(node, lambda: "c1" not in nodes.running(node))
            await first.until(lambda s: not nodes.subject(s, "instance/default/c1").get("wanted"))
            await first.end(nodes.KILL)
        async with agent(node) as second:
            status = await second.until(lambda s: "instance/default/c1" in nodes.names(s))
            await second.until(lambda s: s["at"] > status["at"] + 1.5)
        assert nodes.running(node) == ALL - {"c1"}
    assert Counter(nodes.starts(node)) == Counter(ALL)


async def test_an_instance_that_does_not_start_at_boot_is_left_alone(tmp_path: Path) -> None:
    node = nodes.node(
        tmp_path,
        until_moment(FaultKind.DEVICE_MISSING, 3.0),
        spec=nodes.with_config("c2", {"boot.autostart": "false"}),
    )
    async with node.running(), agent(node) as running:
        await until(node, lambda: nodes.running(node) == ALL - {"c2"})
        status = await running.until(lambda s: s["grade"] == "ok" and "all 3" in s["sentence"])
        await running.until(lambda s: s["at"] > status["at"] + 1.0)
        assert nodes.running(node) == ALL - {"c2"}


async def test_an_evacuated_member_gets_no_instance(tmp_path: Path) -> None:
    node = nodes.node(
        tmp_path, until_moment(FaultKind.NODE_OFFLINE, 1.5), spec=nodes.member("Evacuated")
    )
    async with node.running(), agent(node) as running:
        await until(node, node.storage_ready)
        status = await running.until(lambda s: nodes.subject(s, "satellite").get("ready", False))
        status = await running.until(lambda s: s["at"] > status["at"] + 1.5)
        assert nodes.starts(node) == []
        assert node.incus.world.validations == []
    assert "nothing to do" in status["sentence"]
