# SPDX-License-Identifier: Apache-2.0
"""What people ask of recovery, by the commands: a pause, its end, the plan, one subject now; the real agent on a simulated node."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from tests import embedded_nodes as nodes
from tests.embedded_nodes import Agent

from tidegate.sim.embedded import EmbeddedNode
from tidegate.sim.incus.daemon import Phase


async def command(node: EmbeddedNode, *words: str) -> tuple[int, str, str]:
    """Run a command against the node; exit code and both outputs."""
    config = str(nodes.config_file(node))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tidegate", *words, "--config", config),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin", **nodes.no_run_dir()},
    )
    async with asyncio.timeout(nodes.WITHIN):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def plan(agent: Agent) -> dict[str, Any]:
    (answer,) = await agent.ask(op="plan", format="json")
    found: dict[str, Any] = json.loads(answer["text"])
    return found


def row(found: dict[str, Any], subject: str) -> dict[str, Any]:
    return next((one for one in found["plan"] if one["subject"] == subject), {})


async def becomes(agent: Agent, subject: str, turn: str) -> dict[str, Any]:
    """Ask for the plan until ``subject`` is in that turn; returns its row."""
    async with asyncio.timeout(nodes.WITHIN):
        while True:
            found = row(await plan(agent), subject)
            if found.get("turn") == turn:
                return found
            await asyncio.sleep(nodes.STEP)


async def test_while_paused_nothing_is_done_and_the_plan_says_so(tmp_path: Path) -> None:
    late = nodes.until_moment(nodes.OFFLINE, 1.5)
    node = nodes.node(tmp_path, late)
    async with node.running(), nodes.agent(node) as agent:
        await agent.until(lambda status: bool(status["sentence"]))
        code, out, _ = await command(node, "pause", "--for", "1h")
        assert code == 0
        assert "paused for 1 h" in out
        await nodes.until(node, lambda: node.incus.phase is Phase.READY and node.storage_ready())
        status = await agent.until(lambda now: nodes.subject(now, "satellite").get("ready") is True)
        assert "paused" in status["sentence"]
        await becomes(agent, "pool/remote", "held")
        assert node.incus.pool_status("remote") == "Unavailable"
        code, out, _ = await command(node, "recover", "plan")
        assert code == 0
        assert "held" in out
        assert "pool/remote" in out
        code, out, _ = await command(node, "resume")
        assert (code, out.startswith("recovery goes on")) == (0, True)
        await nodes.until(node, lambda: nodes.running(node) == {"c1", "c2", "c3", "d1"})
        assert node.incus.world.validations, "mounted by us, not by Incus's minute"


async def test_a_pause_outlives_a_kill_of_the_agent(tmp_path: Path) -> None:
    late = nodes.until_moment(nodes.OFFLINE, 1.0)
    node = nodes.node(tmp_path, late)
    async with node.running():
        async with nodes.agent(node) as agent:
            await agent.until(lambda status: bool(status["sentence"]))
            await agent.ask(op="pause")
            await agent.end(nodes.KILL)
        async with nodes.agent(node) as agent:
            status = await agent.until(lambda now: bool(now["sentence"]))
            assert "paused until `tidegate resume`" in status["sentence"]
            await agent.ask(op="resume")
            await nodes.until(node, lambda: nodes.running(node) == {"c1", "c2", "c3", "d1"})


async def test_the_plan_names_order_and_reason(tmp_path: Path) -> None:
    missing = nodes.until_moment(nodes.NO_DEVICES, None, subject="incus-volume-c1")
    node = nodes.node(tmp_path, missing)
    async with node.running(), nodes.agent(node) as agent:
        await nodes.until(node, lambda: nodes.given_up(node) == {"c1"})
        await agent.until(lambda now: nodes.subject(now, "incus").get("ready") is True)
        found = await becomes(agent, "instance/default/c1", "waits")
        assert found["what"] == "start it"
        assert found["waits_for"] == ["volume/incus-volume-c1/0"]
        code, out, _ = await command(node, "recover", "now", "instance/default/c1")
        assert code == 1
        assert "waits for volume/incus-volume-c1/0" in out
        code, out, _ = await command(node, "recover", "now", "instance/default/d1")
        assert (code, "nothing is to be done" in out) == (0, True)


async def test_what_cannot_be_asked_is_a_mistake(tmp_path: Path) -> None:
    node = nodes.node(tmp_path)
    async with node.running(), nodes.agent(node) as agent:
        await agent.until(lambda now: nodes.subject(now, "incus").get("ready") is True)
        for subject, text in (
            ("controller", "nothing can be done for controller itself"),
            ("bogus", "is not a subject"),
            ("instance/default/nobody", "nothing is known"),
        ):
            code, _, err = await command(node, "recover", "now", subject)
            assert code == 2
            assert text in err
        (answer,) = await agent.ask(op="pause", **{"for": -1})
        assert answer["exit"] == 2


async def test_an_agent_that_observes_plans_and_does_nothing(tmp_path: Path) -> None:
    late = nodes.until_moment(nodes.OFFLINE, 0.8)
    node = nodes.node(tmp_path, late)
    async with node.running(), nodes.agent(node, "--observe") as agent:
        await nodes.until(node, lambda: node.incus.phase is Phase.READY and node.storage_ready())
        await agent.until(lambda now: nodes.subject(now, "satellite").get("ready") is True)
        await becomes(agent, "pool/remote", "acts")
        for words in (("pause",), ("resume",), ("recover", "now", "pool/remote")):
            code, _, err = await command(node, *words)
            assert code == 2
            assert "observes only" in err
        code, out, _ = await command(node, "recover", "now", "pool/remote", "--dry-run")
        assert (code, out.startswith("would: pool/remote")) == (0, True)
        assert node.incus.world.validations == []


async def test_without_an_agent_the_plan_is_seen_and_nothing_can_be_asked(tmp_path: Path) -> None:
    late = nodes.until_moment(nodes.OFFLINE, 0.8)
    node = nodes.node(tmp_path, late)
    async with node.running():
        await nodes.until(node, lambda: node.incus.phase is Phase.READY and node.storage_ready())
        code, out, _ = await command(node, "recover", "plan", "--format", "json")
        assert code == 0
        assert row(json.loads(out), "pool/remote")["turn"] == "acts"
        code, _, err = await command(node, "pause")
        assert code == 5
        assert "no agent runs" in err
