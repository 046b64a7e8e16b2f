# SPDX-License-Identifier: Apache-2.0
"""The real guard and the real agent, as processes, between an Incus that speaks HTTP and a simulated LINSTOR, under faults."""

import contextlib
import shutil
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests import embedded_nodes as nodes
from tests import guarded_nodes as guarded
from tests.contract.test_gate_on_embedded_node import keep_map
from tests.embedded_nodes import CONTAINERS, Agent, until, until_moment
from tests.guarded_nodes import Guard, HttpFront

from tidegate.agent import guarding
from tidegate.core.wanted import WantedMap
from tidegate.sim import early
from tidegate.sim.embedded import EmbeddedNode
from tidegate.sim.faults import Fault, FaultKind
from tidegate.sim.incus.values import instance_id

ALL = {*CONTAINERS, "d1"}
SOON = 3.0
"""Seconds, on a busy machine, for what waits for nothing."""
AFTER = 15.0
"""Seconds, on a busy machine, from the end of a fault until all runs: a hold, a try of the agent, three starts."""


class Booted:
    """A node that is up, with what runs beside it."""

    def __init__(
        self,
        node: EmbeddedNode,
        front: HttpFront,
        guard: Guard | None,
        agent: Agent | None,
        let_go: Callable[[], None],
    ) -> None:
        self.node = node
        self.front = front
        self.let_go = let_go
        """Has Incus start."""
        self._guard = guard
        self._agent = agent

    @property
    def guard(self) -> Guard:
        assert self._guard is not None
        return self._guard

    @property
    def agent(self) -> Agent:
        assert self._agent is not None
        return self._agent

    async def all_run(self) -> float:
        return await until(self.node, lambda: nodes.running(self.node) == ALL)

    async def runs_alone(self) -> None:
        """d1, whose pool is well, comes up at once, and nothing else."""
        began = self.node.now()
        ended = await until(self.node, lambda: "d1" in nodes.running(self.node))
        assert ended - began < SOON, "d1 waited for what is not its own"
        assert nodes.running(self.node) == {"d1"}

    async def heal(self, kind: FaultKind) -> None:
        """End the fault, and see all run soon after."""
        began = self.node.now()
        self.node.world.clear_faults(kind)
        self.node.linstor_face.tick()
        ended = await self.all_run()
        assert ended - began < AFTER, "by Incus alone it takes a minute, or never happens"

    def lost_nothing(self) -> None:
        """Each came up once, and Incus gave up on nobody."""
        assert Counter(nodes.starts(self.node)) == Counter(ALL)
        assert nodes.given_up(self.node) == set()


@contextlib.asynccontextmanager
async def boot(
    node: EmbeddedNode,
    *,
    with_agent: bool = True,
    with_guard: bool = True,
    upgraded: bool = False,
    more: Mapping[str, object] | None = None,
    keep: bool = True,
    go: bool = True,
) -> AsyncIterator[Booted]:
    """Boot ``node``; Incus is let go once guard and agent serve, so that each test meets the same race.

    ``keep`` False: what is kept was put there by an earlier boot. ``go`` False: the test itself lets Incus go.
    """
    hold = node.incus.hold_start()
    async with contextlib.AsyncExitStack() as stack:
        if keep:
            keep_map(node)
            guarded.seen_ready(node)
        if upgraded:
            (node.root / "usr/libexec/incus/incusd").write_text("another one")
        await stack.enter_async_context(node.running())
        agent = guard = None
        if with_agent:
            agent = await stack.enter_async_context(nodes.agent(node, more=more))
            await agent.until(lambda status: "satellite" in nodes.names(status))
        if with_guard:
            by_unit = guarded.enabled(node) if more is not None else ()
            guard = await stack.enter_async_context(guarded.guard(node, *by_unit, more=more))
        urls = [*([guard.url] if guard is not None else []), node.linstor_face.url]
        front = stack.enter_context(guarded.asks(node, *urls))
        stack.push_async_callback(front.end)
        if go:
            hold.set()
        yield Booted(node, front, guard, agent, hold.set)


async def test_with_everything_there_incus_starts_all_by_itself(tmp_path: Path) -> None:
    node = guarded.node(tmp_path)
    async with boot(node) as booted:
        await booted.all_run()
        booted.lost_nothing()
        assert nodes.started_by_agent(node) == []
        assert not any("Tidegate" in text for _, _, text in booted.front.log)


async def test_late_devices_cost_no_attempt_and_delay_nobody_else(tmp_path: Path) -> None:
    """s4: the pool is turned away at once, and mounted and started by the agent when its first volume is there."""
    kind = FaultKind.DEVICE_MISSING
    node = guarded.node(tmp_path, until_moment(kind, None))
    async with boot(node) as booted:
        await booted.runs_alone()
        first = msgspec.json.decode(booted.front.answered("/v1/nodes/n1")[0][2])
        assert first["connection_status"] == "CONNECTED"
        assert first["name"] == "n1"
        await booted.heal(kind)
        booted.lost_nothing()
        assert booted.front.answered("make-available"), "they were started over the guard"
        assert not any(status >= 400 for _, status, _ in booted.front.log)
    assert sorted(nodes.started_by_agent(node)) == sorted(CONTAINERS)


@pytest.mark.parametrize(
    "kind",
    [FaultKind.DEVICE_PATH_MISSING, FaultKind.VOLUMES_EMPTY, FaultKind.NODE_OFFLINE],
    ids=["s9", "s10", "s1"],
)
async def test_whatever_is_late_delays_nobody_else_and_loses_nobody(
    tmp_path: Path, kind: FaultKind
) -> None:
    """An empty list would have made Incus panic, a missing path cost an instance."""
    node = guarded.node(tmp_path, until_moment(kind, None))
    async with boot(node) as booted:
        await booted.runs_alone()
        await booted.heal(kind)
        booted.lost_nothing()
        for call, status, text in booted.front.answered("/volumes"):
            assert status != 200 or all(
                one.get("device_path") for one in msgspec.json.decode(text)
            ), call
            assert text != "[]"


@pytest.mark.parametrize(
    "kind",
    [FaultKind.CONTROLLER_HANGS, FaultKind.CONTROLLER_REFUSES, FaultKind.CONTROLLER_500],
    ids=["s8", "s2", "s6"],
)
async def test_a_controller_that_is_away_does_not_block_incusds_start(
    tmp_path: Path, kind: FaultKind
) -> None:
    """d1 runs meanwhile, which without a guard it does not while the controller hangs."""
    node = guarded.node(tmp_path, until_moment(kind, None))
    async with boot(node) as booted:
        await booted.runs_alone()
        await booted.heal(kind)
        booted.lost_nothing()


async def test_a_dead_guard_is_as_no_guard(tmp_path: Path) -> None:
    """Incus goes on to the next controller of its list by itself."""
    node = guarded.node(tmp_path)
    async with boot(node) as booted:
        booted.guard.process.kill()
        await booted.all_run()
        booted.lost_nothing()


async def test_a_dead_agent_leaves_the_controllers_own_answers(tmp_path: Path) -> None:
    node = guarded.node(tmp_path)
    async with boot(node) as booted:
        booted.agent.process.kill()
        await booted.all_run()
        assert Counter(nodes.starts(node)) == Counter(ALL)
        assert nodes.started_by_agent(node) == []


async def test_a_hung_agent_does_not_hold_incus(tmp_path: Path) -> None:
    node = guarded.node(tmp_path)
    async with boot(node) as booted:
        booted.agent.process.send_signal(signal.SIGSTOP)
        try:
            began = node.now()
            await until(node, lambda: nodes.running(node) == ALL)
            assert node.now() - began < 12.0
        finally:
            booted.agent.process.send_signal(signal.SIGCONT)


async def test_where_incusd_may_need_its_pool_the_pool_is_never_turned_away(tmp_path: Path) -> None:
    """D19: with nothing known of an earlier ready Incus, the controller's ONLINE passes, late devices or not."""
    kind = FaultKind.DEVICE_MISSING
    node = guarded.node(tmp_path, until_moment(kind, None))
    async with boot(node, upgraded=True) as booted:
        await until(node, lambda: bool(booted.front.answered("/v1/nodes/n1")))
        first = msgspec.json.decode(booted.front.answered("/v1/nodes/n1")[0][2])
        assert first["connection_status"] == "ONLINE"
        node.world.clear_faults(kind)
        node.linstor_face.tick()
        await until(node, lambda: nodes.running(node) >= set(CONTAINERS))


async def test_a_restarted_incusd_with_running_instances_is_never_turned_away(
    tmp_path: Path,
) -> None:
    node = guarded.node(tmp_path)
    async with boot(node) as booted:
        await booted.all_run()
        # One that dies in its first pass is not started again for minutes (facts/observed.md, s10).
        await until(node, lambda: node.incus.daemon is not None and node.incus.daemon.ready.is_set)
        await until(node, lambda: node.incus.units.service.active == "active")
        before = len(booted.front.log)
        node.now()
        node.world.add_fault(until_moment(FaultKind.DEVICE_MISSING, None))
        node.incus.crash_daemon()
        await until(node, lambda: len(booted.front.log) > before)
        await until(
            node,
            lambda: any("/v1/nodes/" in one[0] for one in booted.front.log[before:]),
        )
        mounts = [one for one in booted.front.log[before:] if "/v1/nodes/n1" in one[0]]
        assert msgspec.json.decode(mounts[0][2])["connection_status"] == "ONLINE"


@pytest.mark.parametrize("peer_away", [False, True], ids=["peer-there", "peer-cut-off"])
@pytest.mark.parametrize(
    "late", [False, True], ids=["devices-before-incus", "incus-before-devices"]
)
async def test_devices_first_and_local_truth_need_neither_satellite_nor_controller(
    tmp_path_factory: pytest.TempPathFactory, peer_away: bool, late: bool
) -> None:
    """The one boot in which nothing of the control plane is waited for; the rule against split brain is, all the same.

    ``late``: Incus asks before the devices are up, as on most nodes; then recovery mounts the pool, long before Incus's own minute.
    """
    gone = [
        until_moment(FaultKind.CONTROLLER_REFUSES, None),
        until_moment(FaultKind.SATELLITE_LATE, None, subject="n1"),
    ]
    if peer_away:
        gone.append(until_moment(FaultKind.PEER_AWAY, None, subject="n2", alive=True))
    # A short name: the path of a unix socket may have 107 characters.
    node, kept = await after_a_good_boot(tmp_path_factory.mktemp("t"), *gone)
    async with boot(node, more=LOCAL_TRUTH, keep=False, go=False) as booted:
        first = early.DevicesFirst(node.world, kept)
        if late:
            booted.let_go()
            await until(node, lambda: node.incus.pool_status("remote") == "Unavailable")
            await until(node, lambda: nodes.running(node) == {"d1"})
        first.begin()
        if peer_away:
            # All else is there; so what is waited for is the peer.
            await booted.agent.until(lambda status: bool(WAITS_FOR_PEER & nodes.codes(status)))
        else:
            await booted.agent.until(lambda status: all_volumes_ready(status, kept))
        booted.let_go()
        if peer_away:
            await until(node, lambda: nodes.running(node) == {"d1"})
            await until(node, lambda: node.incus.pool_status("remote") == "Unavailable")
            await booted.agent.until(waits_for_the_peer_alone)
            assert nodes.running(node) == {"d1"}
            assert node.incus.world.validations == []
            node.world.clear_faults(FaultKind.PEER_AWAY)
            node.linstor_face.tick()
        await booted.all_run()
        booted.lost_nothing()
        assert not node.world.connection.listening(node.world.lives["n1"])
        turned_away = late or peer_away
        assert sorted(nodes.started_by_agent(node)) == (list(CONTAINERS) if turned_away else [])
        assert [one.error for one in node.incus.world.validations] == ([""] if turned_away else [])
        if not turned_away:
            assert {status for _, status, _ in booted.front.log} == {200}


LOCAL_TRUTH = {"guard.local_truth": True}
WAITS_FOR_PEER = {"volume.peer-waiting", "volume.peer-alive", "volume.peer-unknown"}


async def after_a_good_boot(directory: Path, *gone: Fault) -> tuple[EmbeddedNode, WantedMap]:
    """A node with these faults and with all that a boot before it kept, and the map of what is wanted in it."""
    before = guarded.node(directory / "before")
    async with boot(before, more=LOCAL_TRUTH) as booted:
        await booted.all_run()
        await booted.agent.until(lambda status: status["grade"] == "ok")
        await until(before, lambda: b'"aux_name"' in kept_by_guard(before))
    node = guarded.node(directory / "after", *gone)
    shutil.copytree(before.directory / "state", node.directory / "state")
    kept = (node.directory / "state/wanted.json").read_bytes()
    return node, msgspec.json.decode(kept, type=WantedMap)


def waits_for_the_peer_alone(status: dict[str, Any]) -> bool:
    """The agent knows that Incus takes starts, and that the guard answers; what it has left to wait for is the peer."""
    guard = status["sources"].get("guard", {}).get("liveness")
    ready = nodes.subject(status, "incus").get("ready")
    return bool(guard == "up" and ready and WAITS_FOR_PEER & nodes.codes(status))


def all_volumes_ready(status: dict[str, Any], kept: WantedMap) -> bool:
    """All that is wanted may be used, as the agent sees it."""
    found = [nodes.subject(status, f"volume/{volume.id}") for volume in kept.volumes]
    return bool(found) and all(one.get("ready") for one in found)


def kept_by_guard(node: EmbeddedNode) -> bytes:
    """What is kept for local truth, as written so far."""
    path = node.directory / "state" / guarding.KEPT
    return path.read_bytes() if path.exists() else b""


@pytest.mark.parametrize("local_truth", [True, False])
async def test_with_the_controller_gone_an_instance_starts_on_local_truth_if_that_was_wanted(
    tmp_path: Path, local_truth: bool
) -> None:
    node = guarded.node(tmp_path)
    async with boot(node, more={"guard.local_truth": local_truth}) as booted:
        await booted.all_run()
        await booted.agent.until(lambda status: status["grade"] == "ok")
        nodes.stop(node, "c1")
        await until(node, lambda: "c1" not in nodes.running(node))
        node.world.add_fault(until_moment(FaultKind.CONTROLLER_REFUSES, None))
        node.world.look_again()
        await booted.agent.until(lambda status: "controller" in str(nodes.codes(status)))
        before = len(booted.front.log)
        node.now()
        node.incus.change_state(instance_id("c1"), "start")
        if local_truth:
            await until(node, lambda: "c1" in nodes.running(node))
            calls = booted.front.log[before:]
            assert all(status == 200 for _, status, _ in calls)
        else:
            await until(node, lambda: any(s >= 500 for _, s, _ in booted.front.log[before:]))
            assert "c1" not in nodes.running(node)
