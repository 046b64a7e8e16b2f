# SPDX-License-Identifier: Apache-2.0
"""Our real Incus client against the face, over a real unix socket: they mean the same by everything."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from tests import scripted_incus
from tests.scripted_incus import Lab

from tidegate.clients import errors
from tidegate.clients.incus import client, events, wire
from tidegate.sim.faces.incus_http import IncusFace
from tidegate.sim.faces.pacer import Pacer
from tidegate.sim.incus import values
from tidegate.sim.storage import IncusVolume, VolumeKind

FAST = 20.0


@asynccontextmanager
async def connected(
    lab: Lab, folder: Path
) -> AsyncIterator[tuple[client.IncusClient, Pacer, IncusFace]]:
    path, pacer = folder / "unix.socket", Pacer(lab.clock, speed=FAST)
    async with (
        asyncio.timeout(30),
        pacer.running(),
        IncusFace(lab.model, pacer).serving(path) as face,
        client.IncusClient(path) as incus,
    ):
        yield incus, pacer, face


async def code(call: Awaitable[object]) -> str:
    """The code of the trouble that a call ends in, empty without one."""
    try:
        await call
    except errors.ClientError as error:
        return error.code
    return ""


async def test_from_the_dead_socket_to_the_running_instance(tmp_path: Path) -> None:
    """What the agent goes through when storage is late: closed, starting, unavailable, validate, start."""
    lab = Lab()
    lab.front.mount = scripted_incus.hangs(20.0)
    async with connected(lab, tmp_path) as (incus, pacer, face):
        assert await code(incus.ready()) == "incus.no-socket"
        lab.clock.at(20.0, lambda: setattr(lab.front, "mount", scripted_incus.OFFLINE))
        lab.booted(5.0)
        await face.settled()
        assert await incus.ready() is client.Ready.STARTING
        assert await code(incus.server(deadline=0.05)) == "incus.timeout"
        server = await incus.server(deadline=20.0)
        assert (server.environment.server_name, server.environment.server_clustered) == (
            "n1",
            False,
        )
        done = await incus.wait_operation(
            await incus.start_instance("default", "d1"), deadline=10.0
        )  # waits for the end of the first pass
        assert done.err == "The instance is already running"
        assert await incus.ready() is client.Ready.READY
        pools = {answer.name: answer.pool and answer.pool.status for answer in await incus.pools()}
        assert pools == {"local": "Created", "remote": "Unavailable"}
        shown = {instance.name: instance.status for instance in await incus.instances()}
        assert shown == {"c1": "Stopped", "c2": "Stopped", "c3": "Stopped", "d1": "Running"}
        assert await code(incus.recover_validate("remote", deadline=5.0)) == "incus.error"
        lab.all_well()
        assert await incus.recover_validate("remote", deadline=5.0) == ()
        operation = await incus.start_instance("default", "c1")
        done = await incus.wait_operation(operation, deadline=10.0)
        assert done.succeeded
        assert (await incus.instance("default", "c1")).status_code == 103
        (warning,) = await incus.warnings()
        assert (warning.type, warning.entity_url) == ("Storage pool unavailable", "")
        await incus.acknowledge_warning(warning.uuid)
        assert (await incus.warnings())[0].status == "acknowledged"
        lab.model.power_loss()
        pacer.wake()
        await face.settled()
        assert await code(incus.ready()) == "incus.refused"


async def test_a_failed_start_is_told_in_incus_words(tmp_path: Path) -> None:
    lab = Lab()
    lab.devices_missing()
    lab.booted(60.0)
    async with connected(lab, tmp_path) as (incus, _, _):
        operation = await incus.start_instance("default", "c1")
        done = await incus.wait_operation(operation, deadline=10.0)
        assert done.is_over
        assert done.err == "open /dev/drbd1001: no such file or directory"
        assert await code(incus.start_instance("default", "nope")) == "incus.not-found"


async def test_a_pool_that_does_not_load_is_a_trouble_of_its_own(tmp_path: Path) -> None:
    lab = Lab()
    lab.front.mount = scripted_incus.NO_MODULE
    lab.booted(50.0)
    async with connected(lab, tmp_path) as (incus, _, _):
        local, remote = await incus.pools()
        assert local.pool is not None
        assert remote.trouble is not None
        assert remote.trouble.code == "incus.error"


async def test_unknown_volumes_come_through(tmp_path: Path) -> None:
    lab = Lab()
    lab.front.mount = scripted_incus.OFFLINE
    lab.booted()
    stray = IncusVolume(pool="remote", kind=VolumeKind.CONTAINERS, name="ghost")
    lab.model.world.unknown_volumes = {"remote": (stray,)}
    lab.all_well()
    async with connected(lab, tmp_path) as (incus, _, _):
        (unknown,) = await incus.recover_validate("remote", deadline=5.0)
        assert (unknown.name, unknown.type, unknown.pool) == ("ghost", "container", "remote")


async def test_cluster_projects_and_volumes(tmp_path: Path) -> None:
    server = values.ServerSpec(
        pools=scripted_incus.POOLS,
        members=(values.MemberSpec(name="n1", status="Evacuated"),),
        projects=(values.ProjectSpec(name="web", config={"features.storage.volumes": "true"}),),
        volumes=(values.VolumeSpec(name="data", pool="remote", project="web"),),
    )
    lab = Lab(server=server).booted()
    async with connected(lab, tmp_path) as (incus, _, _):
        assert (await incus.cluster_member("n1")).status == "Evacuated"
        assert [project.name for project in await incus.projects()] == ["default", "web"]
        volumes = await incus.volumes("remote")
        assert [(volume.name, volume.project) for volume in volumes][-1] == ("data", "web")
        (remote,) = [pool for pool in await incus.pools(member="n1") if pool.name == "remote"]
        assert remote.pool is not None
        assert remote.pool.locations == ["n1"]


async def test_events_wake_and_end_with_the_daemon(tmp_path: Path) -> None:
    lab = Lab()
    lab.devices_missing()
    lab.booted(60.0)
    lab.all_well()
    async with connected(lab, tmp_path) as (incus, pacer, _):
        async with aclosing(events.stream(incus, connect_deadline=5.0)) as stream:
            first = asyncio.ensure_future(anext(stream))
            while not first.done():
                await code(incus.start_instance("default", "c1"))
                await asyncio.sleep(0.01)
            await incus.start_instance("default", "c2")
            seen: list[events.Metadata] = []
            while not any(
                isinstance(event, wire.Lifecycle) and event.name == "c2" for event in seen
            ):
                seen.append((await anext(stream)).metadata)
            assert any(isinstance(event, wire.Operation) for event in seen)
            assert any(isinstance(event, wire.Logging) for event in seen)
            lab.model.crash_daemon()
            pacer.wake()
            ended = ""
            while not ended:
                ended = await code(anext(stream))
        assert ended == "incus.disconnected"
