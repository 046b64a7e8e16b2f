# SPDX-License-Identifier: Apache-2.0
"""The real agent, as a process, against a simulated node over real sockets: everything comes back, nothing twice, nothing unwanted."""

import asyncio
import os
import signal
from collections import Counter
from pathlib import Path

import pytest
from tests import embedded_nodes as nodes
from tests.embedded_nodes import CONTAINERS, agent, until, until_moment

from tidegate.sim.faults import Fault, FaultKind
from tidegate.sim.incus.values import instance_id

ALL = {*CONTAINERS, "d1"}


async def test_a_late_satellite_costs_no_minute(tmp_path: Path) -> None:
    """Stock Incus looks at the pool again after its minute; the agent mounts it and starts all, each once."""
    node = nodes.node(tmp_path, until_moment(FaultKind.NODE_OFFLINE, 2.5))
    async with node.running(), agent(node):
        ended = await until(node, lambda: nodes.running(node) == ALL)
    world = node.incus.world
    assert ended < 40, "by Incus alone it takes 60 s"
    assert Counter(nodes.starts(node)) == Counter(ALL)
    assert sorted(nodes.started_by_agent(node)) == sorted(CONTAINERS)
    assert all(call.was_unavailable and call.was_ready for call in world.validations)
    assert [call.error for call in world.validations].count("") == 1


async def test_late_devices_cost_no_instance(tmp_path: Path) -> None:
    """Incus has used up its three attempts and gives up for ever; the agent starts them when their devices are there."""
    node = nodes.node(tmp_path, until_moment(FaultKind.DEVICE_MISSING, None))
    async with node.running(), agent(node) as running:
        await until(node, lambda: nodes.running(node) == {"d1"})
        gave_up = await until(node, lambda: nodes.given_up(node) == set(CONTAINERS))
        node.world.clear_faults()
        ended = await until(node, lambda: nodes.running(node) == ALL)
        await until(node, lambda: not nodes.given_up(node, acknowledged=False))
        told = "nothing to do: all 4 wanted instances run"
        status = await running.until(lambda status: status["sentence"] == told)
    assert ended < gave_up + 20
    assert Counter(nodes.starts(node)) == Counter(ALL)
    assert sorted(nodes.started_by_agent(node)) == sorted(CONTAINERS)
    assert status["grade"] == "ok"
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
    assert ended < 40, "by Incus alone it takes 60 s"
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


async def test_a_pool_with_an_unknown_volume_is_not_validated_and_it_is_said(
    tmp_path: Path,
) -> None:
    """``recover/validate`` would mount what Incus's database does not know: then the next lever is Incus's own retry."""
    node = nodes.node(
        tmp_path,
        until_moment(FaultKind.NODE_OFFLINE, 1.5),
        stray=("lost",),
        timings=nodes.quick(pool_retry=6.0),
    )
    async with node.running(), agent(node) as running:
        status = await running.until(lambda s: "does not know 1 resource" in nodes.told(s))
        assert node.incus.world.validations == []
        await until(node, lambda: nodes.running(node) == ALL)
    assert "incus-volume-lost" in nodes.told(status)
    assert node.incus.world.validations == []
    assert node.incus.world.mounted_unknown == []
    assert Counter(nodes.starts(node)) == Counter(ALL)


@pytest.mark.parametrize("moment", ["validated", "starting", "one-runs"])
async def test_killed_in_the_middle_nothing_is_lost_and_nothing_done_twice(
    tmp_path: Path, moment: str
) -> None:
    node = nodes.node(
        tmp_path, until_moment(FaultKind.NODE_OFFLINE, 1.5), timings=nodes.quick(instance_start=0.6)
    )
    reached = {
        "validated": lambda: bool(node.incus.world.validations),
        "starting": lambda: bool(node.incus.world.validations) and nodes.is_starting(node),
        "one-runs": lambda: bool(nodes.started_by_agent(node)),
    }
    async with node.running():
        async with agent(node) as first:
            await until(node, reached[moment])
            await first.end(nodes.KILL)
        async with agent(node):
            ended = await until(node, lambda: nodes.running(node) == ALL)
    assert ended < 30, "by Incus alone it takes 60 s"
    assert Counter(nodes.starts(node)) == Counter(ALL)
    assert all(call.was_unavailable and call.was_ready for call in node.incus.world.validations)
    assert [call.error for call in node.incus.world.validations] == [""]


async def test_killed_after_its_start_failed_late_it_still_knows_that_nobody_stopped_it(
    tmp_path: Path,
) -> None:
    """A start that fails late leaves what a stop by a user leaves (facts/incus.md A21); only our own memory tells them apart."""
    node = nodes.node(
        tmp_path,
        until_moment(FaultKind.NODE_OFFLINE, 1.5),
        containers=("c1",),
        spec=nodes.with_late_failures("c1", 1),
    )
    record = node.incus.world.instances[instance_id("c1")]
    async with node.running():
        async with agent(node) as first:
            await until(node, lambda: record.late_failures == 0)
            await first.end(nodes.KILL)
        async with agent(node):
            await until(node, lambda: nodes.running(node) == {"c1", "d1"})


async def test_a_second_agent_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    node = nodes.node(tmp_path)
    async with node.running(), agent(node) as first:
        await first.until(lambda status: status["grade"] == "ok")
        async with agent(node) as second:
            async with asyncio.timeout(nodes.WITHIN):
                assert await second.process.wait() == 2
        assert "another agent serves at" in first.log
        assert "Traceback" not in first.log
        assert (await first.status())["grade"] == "ok"
    assert Counter(nodes.starts(node)) == Counter(ALL)


async def test_the_map_kept_by_the_last_boot_says_what_is_wanted_before_incus_can_be_asked(
    tmp_path: Path,
) -> None:
    node = nodes.node(tmp_path)
    async with node.running(), agent(node) as running:
        await running.until(lambda status: status["grade"] == "ok")
        kept = await nodes.content(node.directory / "state" / "wanted.json")
        assert await running.end() == 0
    assert {one["name"] for one in kept["pools"]} == {"remote"}

    again = nodes.node(tmp_path, until_moment(FaultKind.NODE_OFFLINE, 2.0), seed=2)
    hold = again.incus.hold_start()
    async with again.running(), agent(again) as running:
        status = await running.until(lambda s: nodes.subject(s, "satellite") != {})
        volumes = {name for name in nodes.names(status) if name.startswith("volume/")}
        assert volumes == {f"volume/incus-volume-{name}/0" for name in CONTAINERS}
        assert nodes.starts(again) == []
        hold.set()
        await until(again, lambda: nodes.running(again) == ALL)
    assert Counter(nodes.starts(again)) == Counter(ALL)


@pytest.mark.parametrize(
    "faults",
    [
        (),
        (until_moment(FaultKind.CONTROLLER_HANGS, None),),
        (until_moment(FaultKind.DEVICE_MISSING, None),),
    ],
    ids=["at-rest", "controller-hangs", "waiting"],
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_asked_to_end_it_ends_at_once(
    tmp_path: Path, faults: tuple[Fault, ...], number: signal.Signals
) -> None:
    node = nodes.node(tmp_path, *faults)
    async with node.running(), agent(node) as running:
        await running.until(lambda status: "incus" in status["sources"])
        began = asyncio.get_running_loop().time()
        assert await running.end(number) == 0
        assert asyncio.get_running_loop().time() - began < 4.5, "not even one time-out of a source"
        assert not running.socket.exists()
    assert "Traceback" not in running.log


async def test_observing_it_acts_on_nothing(tmp_path: Path) -> None:
    node = nodes.node(tmp_path, until_moment(FaultKind.NODE_OFFLINE, 1.0))
    async with node.running(), agent(node, "--observe") as running:
        await until(node, node.storage_ready)
        status = await running.until(lambda s: nodes.subject(s, "satellite").get("ready", False))
        status = await running.until(lambda s: s["at"] > status["at"] + 1.5)
        assert nodes.running(node) == {"d1"}
    assert node.incus.world.validations == []
    assert status["sentence"] == "observes only: acts on nothing"
    assert nodes.subject(status, "instance/default/c1")["grade"] == "failing"


async def test_a_guest_that_powers_off_stays_off(tmp_path: Path) -> None:
    node = nodes.node(tmp_path)
    async with node.running(), agent(node) as running:
        await running.until(lambda status: status["grade"] == "ok")
        node.now()
        node.incus.guest_poweroff(instance_id("c2"))
        status = await running.until(
            lambda s: not nodes.subject(s, "instance/default/c2").get("ready")
        )
        await running.until(lambda s: s["at"] > status["at"] + 1.5)
        assert nodes.running(node) == ALL - {"c2"}
    assert Counter(nodes.starts(node)) == Counter(ALL)


@pytest.mark.parametrize("moment", ["unavailable", "starting"])
async def test_incusd_that_crashes_in_the_middle_loses_nothing(tmp_path: Path, moment: str) -> None:
    node = nodes.node(
        tmp_path, until_moment(FaultKind.NODE_OFFLINE, 1.5), timings=nodes.quick(instance_start=0.5)
    )
    reached = {
        # Not sooner: systemd would wait ten minutes for a daemon that dies while it starts (facts/incus.md U42).
        "unavailable": lambda: node.incus.units.service.active == "active",
        "starting": lambda: nodes.is_starting(node),
    }
    async with node.running(), agent(node) as running:
        await until(node, reached[moment])
        node.incus.crash_daemon()
        ended = await until(node, lambda: nodes.running(node) == ALL)
        await running.until(lambda status: status["grade"] == "ok")
    assert ended < 30
    assert Counter(nodes.starts(node)) == Counter(ALL)
    assert "Traceback" not in running.log


async def test_damaged_files_are_said_and_hold_nothing_up(tmp_path: Path) -> None:
    node = nodes.node(tmp_path, until_moment(FaultKind.NODE_OFFLINE, 1.0))
    for name in ("state/wanted.json", "state/history.db", "run/recovery.json"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("{ this is not what it should be")
    async with node.running(), agent(node) as running:
        await until(node, lambda: nodes.running(node) == ALL)
        await running.until(lambda status: status["grade"] == "ok")
        kept = await nodes.content(tmp_path / "state" / "wanted.json")
    assert kept["node"] == "n1"
    for name in ("wanted.json", "history.db", "recovery.json"):
        assert name in running.log
    assert "Traceback" not in running.log


async def test_a_device_whose_open_hangs_holds_up_itself_alone(tmp_path: Path) -> None:
    """A pipe without a writer stands in for it: opening it does not come back."""
    node = nodes.node(tmp_path, until_moment(FaultKind.NODE_OFFLINE, 1.0))
    pipe = node.root / "dev" / "drbd1001"
    pipe.parent.mkdir(parents=True)
    os.mkfifo(pipe)
    async with node.running(), agent(node, more={"devices.deadline": 0.3}) as running:
        await until(node, lambda: nodes.running(node) == ALL - {"c1"})
        status = await running.status()
        began = asyncio.get_running_loop().time()
        assert await running.end() == 0
        assert asyncio.get_running_loop().time() - began < 4.5, "not even one time-out of a source"
    assert nodes.codes(status, "volume/incus-volume-c1/0") & {"device.open-hangs", "device.wrong"}
    assert nodes.subject(status, "volume/incus-volume-c2/0")["ready"]


async def test_asked_to_end_it_does_not_wait_for_those_that_wait(tmp_path: Path) -> None:
    node = nodes.node(tmp_path, until_moment(FaultKind.NODE_OFFLINE, None))
    async with node.running(), agent(node) as running:
        await running.until(lambda status: "satellite.offline" in nodes.codes(status))
        reader, writer = await asyncio.open_unix_connection(str(running.socket))
        writer.write(b'{"op": "wait", "timeout": 300}\n')
        assert b"progress" in await reader.readline()
        began = asyncio.get_running_loop().time()
        assert await running.end() == 0
        assert asyncio.get_running_loop().time() - began < 4.5, "not even one time-out of a source"
        writer.close()
