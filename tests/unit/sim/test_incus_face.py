# SPDX-License-Identifier: Apache-2.0
"""Incus's REST API of the face, byte by byte: shapes and waiting (facts/incus.md section 5, the statements seen at run time)."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests import scripted_incus
from tests.scripted_incus import C1, POOLS, Lab

from tidegate.sim.faces.incus_http import IncusFace
from tidegate.sim.faces.pacer import Pacer
from tidegate.sim.incus import values
from tidegate.sim.incus.daemon import Phase
from tidegate.sim.incus.timings import IncusTimings
from tidegate.sim.incus.values import InstanceSpec
from tidegate.sim.incus.world import POWER, STOPPED

FAST = 20.0
"""Virtual seconds per second."""


class Server:
    """A lab behind a face, and a client that knows nothing of ours."""

    def __init__(
        self,
        lab: Lab,
        pacer: Pacer,
        face: IncusFace,
        path: Path,
        session: aiohttp.ClientSession,
    ) -> None:
        self.lab = lab
        self.pacer = pacer
        self.face = face
        self.path = path
        self.session = session

    async def call(self, path: str, method: str = "GET", body: object = None) -> tuple[int, Any]:
        """HTTP status and decoded body."""
        async with self.session.request(method, f"http://incus{path}", json=body) as response:
            return response.status, await response.json()

    async def get(self, path: str) -> Any:
        """Metadata of a successful answer."""
        status, body = await self.call(path)
        assert (status, body["type"], body["status_code"]) == (200, "sync", 200), body
        return body["metadata"]

    async def until(self, moment: float) -> None:
        """Wait until the virtual clock shows ``moment``."""
        reached = asyncio.Event()
        self.pacer.catch_up()
        self.lab.clock.at(moment, reached.set)
        self.pacer.wake()
        await reached.wait()

    async def hangs(self, path: str, method: str = "GET", body: object = None) -> bool:
        """Whether not a byte comes for a while."""
        try:
            async with asyncio.timeout(0.1):
                await self.call(path, method, body)
        except TimeoutError:
            return True
        return False


@asynccontextmanager
async def serve(
    lab: Lab, folder: Path, *, speed: float = FAST, boot: bool = True
) -> AsyncIterator[Server]:
    path, pacer = folder / "unix.socket", Pacer(lab.clock, speed=speed)
    connector = aiohttp.UnixConnector(path=str(path))
    if boot:
        lab.booted()
    async with (
        asyncio.timeout(30),
        pacer.running(),
        IncusFace(lab.model, pacer).serving(path) as face,
        aiohttp.ClientSession(connector=connector) as session,
    ):
        yield Server(lab, pacer, face, path, session)


def offline(*instances: InstanceSpec, **more: Any) -> Lab:
    lab = Lab(*instances, **more)
    lab.front.mount = scripted_incus.OFFLINE
    return lab


async def test_only_internal_answers_while_pools_hang(tmp_path: Path) -> None:
    """C3, R6, R10: not a byte, no 503."""
    lab = Lab()
    lab.front.mount = scripted_incus.hangs()
    async with serve(lab, tmp_path) as server:
        status, body = await server.call("/internal/ready")
        assert (status, body["error"]) == (503, "Daemon not ready yet")
        for path in ("/1.0", "/1.0/instances?recursion=1", "/1.0/storage-pools", "/1.0/events"):
            assert await server.hangs(path)
        waiting = asyncio.ensure_future(server.get("/1.0"))
        lab.all_well()
        assert (await waiting)["environment"]["server_version"] == "7.0.2"


async def test_reads_answer_during_the_first_pass_and_changes_wait(tmp_path: Path) -> None:
    """R6, R12."""
    lab = Lab(InstanceSpec(name="c1"), InstanceSpec(name="c2", config={POWER: STOPPED}))
    lab.front.volumes = {"c1": scripted_incus.hangs()}
    async with serve(lab, tmp_path) as server:
        assert (await server.call("/internal/ready"))[0] == 503
        assert len(await server.get("/1.0/instances?recursion=1&all-projects=true")) == 2
        start = {"action": "start", "timeout": -1}
        assert await server.hangs("/1.0/instances/c2/state", "PUT", start)
        lab.all_well()
        while lab.phase() is not Phase.READY:
            await server.until(lab.clock.now + 1.0)
        await server.until(lab.clock.now + 1.0)
        assert lab.running() == {"c1", "c2"}  # although the asker had given up
        assert await server.get("/internal/ready") == {}


async def test_the_shape_of_a_start(tmp_path: Path) -> None:
    """R5, R46, R50-R54."""
    lab = Lab(InstanceSpec(name="c1", config={POWER: STOPPED}), InstanceSpec(name="c2"))
    async with serve(lab, tmp_path) as server:
        url = "http://incus/1.0/instances/c1/state?project=default"
        async with server.session.put(url, json={"action": "start", "timeout": -1}) as response:
            body = await response.json()
            assert (response.status, response.headers["Location"]) == (202, body["operation"])
        assert (body["type"], body["status"], body["status_code"]) == (
            "async",
            "Operation created",
            100,
        )
        shown = body["metadata"]
        assert (shown["class"], shown["description"]) == ("task", "Starting instance")
        assert shown["resources"] == {"instances": ["/1.0/instances/c1"]}
        assert (shown["status_code"], shown["may_cancel"], shown["location"]) == (
            103,
            False,
            "none",
        )
        done = await server.get(body["operation"] + "/wait?timeout=10")
        assert (done["status"], done["status_code"], done["err"]) == ("Success", 200, "")
        assert done["updated_at"] == done["created_at"]
        await server.until(lab.clock.now + 6.0)
        status, gone = await server.call(body["operation"])
        assert (status, gone["type"], gone["error_code"]) == (404, "error", 404)


async def test_wait_sends_its_headers_at_once_and_gives_up_in_time(tmp_path: Path) -> None:
    lab = Lab(InstanceSpec(name="c1", config={POWER: STOPPED}), InstanceSpec(name="c2"))
    lab.front.volumes = {"c1": scripted_incus.hangs()}
    async with serve(lab, tmp_path) as server:
        _, body = await server.call("/1.0/instances/c1/state", "PUT", {"action": "start"})
        url = f"http://incus{body['operation']}/wait?timeout=20"
        asked = lab.clock.now
        async with server.session.get(url) as response:
            assert response.status == 200
            assert lab.clock.now - asked < 15.0
            answer = json.loads(await response.text())
        assert answer["metadata"]["status"] == "Running"
        assert lab.clock.now - asked >= 20.0


async def test_an_unavailable_pool_and_its_warning(tmp_path: Path) -> None:
    """R30, R31, R60-R65, D55; and acknowledging."""
    async with serve(offline(), tmp_path) as server:
        pools = await server.get("/1.0/storage-pools?recursion=1")
        assert [(pool["name"], pool["status"]) for pool in pools] == [
            ("local", "Created"),
            ("remote", "Unavailable"),
        ]
        assert set(pools[0]) == {
            *("name", "driver", "description", "status", "locations", "used_by", "config")
        }
        assert await server.get("/1.0/storage-pools") == [
            "/1.0/storage-pools/local",
            "/1.0/storage-pools/remote",
        ]
        (row,) = await server.get("/1.0/warnings?recursion=1")
        assert (row["type"], row["severity"], row["status"]) == (
            "Storage pool unavailable",
            "high",
            "new",
        )
        assert (row["entity_url"], row["location"], row["last_message"]) == (
            "",
            "none",
            "Node n1 is offline",
        )
        path = f"/1.0/warnings/{row['uuid']}"
        status, _ = await server.call(path, "PUT", {"status": "acknowledged"})
        assert status == 200
        assert (await server.get(path))["status"] == "acknowledged"
        assert (await server.call(path, "PUT", {"status": "resolved"}))[0] == 400
        assert (await server.call(path, "DELETE"))[0] == 200
        assert await server.get("/1.0/warnings") == []


async def test_a_pool_that_does_not_load_fails_the_list(tmp_path: Path) -> None:
    """D56, D30."""
    lab = Lab()
    lab.front.mount = scripted_incus.NO_MODULE
    async with serve(lab, tmp_path) as server:
        for path in ("/1.0/storage-pools?recursion=1", "/1.0/storage-pools/remote"):
            status, body = await server.call(path)
            assert (status, body["error_code"]) == (500, 500)
            assert body["error"] == scripted_incus.NO_MODULE.text
            assert body["metadata"] is None
        assert len(await server.get("/1.0/storage-pools")) == 2
        assert (await server.get("/1.0"))["environment"]["storage"] == "dir"


async def test_in_a_cluster_only_a_named_member_shows_its_status(tmp_path: Path) -> None:
    """D55, R43, R80."""
    members = (values.MemberSpec(name="n1"), values.MemberSpec(name="n2", status="Offline"))
    server_spec = values.ServerSpec(pools=POOLS, members=members)
    lab = offline(
        InstanceSpec(name="c1"), InstanceSpec(name="c9", location="n2"), server=server_spec
    )
    async with serve(lab, tmp_path) as server:
        assert (await server.get("/1.0/storage-pools/remote"))["status"] == "Created"
        here = await server.get("/1.0/storage-pools/remote?target=n1")
        assert here["status"] == "Unavailable"
        ours, theirs = await server.get("/1.0/instances?recursion=1&all-projects=true")
        assert (ours["location"], ours["status_code"]) == ("n1", 102)
        assert (theirs["location"], theirs["status"], theirs["status_code"]) == ("n2", "Error", 112)
        assert theirs["config"] == {}
        assert (await server.get("/1.0/cluster"))["enabled"] is True
        assert (await server.get("/1.0/cluster/members/n2"))["status"] == "Offline"
        assert (await server.get("/1.0/warnings?recursion=1"))[0]["location"] == "n1"


async def test_a_standalone_server_is_no_cluster(tmp_path: Path) -> None:
    async with serve(Lab(), tmp_path) as server:
        assert (await server.get("/1.0/cluster"))["enabled"] is False
        assert (await server.call("/1.0/cluster/members/n1"))[0] == 500


async def test_instances_and_volumes(tmp_path: Path) -> None:
    """R33, R40-R42."""
    server_spec = values.ServerSpec(
        pools=POOLS,
        projects=(values.ProjectSpec(name="web", config={"features.storage.volumes": "true"}),),
        volumes=(values.VolumeSpec(name="data", pool="remote", project="web"),),
    )
    machine = values.InstanceKind.VIRTUAL_MACHINE
    lab = Lab(
        InstanceSpec(name="c1", profile_config={"limits.cpu": "2"}),
        InstanceSpec(name="v1", project="web", kind=machine),
        server=server_spec,
    )
    async with serve(lab, tmp_path) as server:
        c1, v1 = await server.get("/1.0/instances?recursion=1&all-projects=true")
        assert (c1["status"], c1["status_code"], c1["location"]) == ("Running", 103, "none")
        assert c1["expanded_config"]["limits.cpu"] == "2"
        assert "limits.cpu" not in c1["config"]
        assert c1["expanded_devices"]["root"] == {"path": "/", "pool": "remote", "type": "disk"}
        assert c1["last_used_at"].endswith("Z")
        assert (v1["project"], v1["type"]) == ("web", "virtual-machine")
        assert await server.get("/1.0/instances?project=web") == ["/1.0/instances/v1?project=web"]
        assert (await server.get("/1.0/instances/v1?project=web"))["name"] == "v1"
        assert (await server.call("/1.0/instances/v1"))[0] == 404
        assert (await server.call("/1.0/instances?project=web&all-projects=true"))[0] == 400
        volumes = await server.get(
            "/1.0/storage-pools/remote/volumes?recursion=1&all-projects=true"
        )
        shown = [(v["name"], v["type"], v["content_type"], v["project"]) for v in volumes]
        assert shown == [
            ("c1", "container", "filesystem", "default"),
            ("v1", "virtual-machine", "block", "web"),
            ("data", "custom", "filesystem", "web"),
        ]
        projects = await server.get("/1.0/projects?recursion=1")
        assert [project["name"] for project in projects] == ["default", "web"]
        assert (await server.get("/1.0/instances/c1/state"))["pid"] > 0


async def test_validate_answers_an_error_with_http_200(tmp_path: Path) -> None:
    """Observed; and in its first second, while everything else waits, it answers too."""
    lab = offline()
    async with serve(lab, tmp_path) as server:
        body = {"pools": [{"name": "remote"}]}
        status, answer = await server.call("/internal/recover/validate", "POST", body)
        assert (status, answer["type"], answer["error_code"]) == (200, "error", 500)
        assert answer["error"] == 'Failed mounting pool "remote": Node n1 is offline'
        lab.all_well()
        status, answer = await server.call("/internal/recover/validate", "POST", body)
        assert answer["metadata"] == {"UnknownVolumes": None, "DependencyErrors": None}
        assert (await server.get("/1.0/storage-pools/remote"))["status"] == "Created"


async def test_what_is_not_there_and_what_is_wrong(tmp_path: Path) -> None:
    async with serve(Lab(), tmp_path) as server:
        status, body = await server.call("/1.0/nothing")
        assert (status, body["type"], body["error"]) == (404, "error", "not found")
        assert (await server.call("/1.0/instances/c1/state", "PUT", {"nonsense": 1}))[0] == 400
        assert (await server.call("/1.0/events?type=nonsense"))[0] == 400
        assert (await server.call("/1.0/storage-pools/nope"))[0] == 404


async def test_events_of_all_kinds_and_pings(tmp_path: Path) -> None:
    """R70-R76: a stream asked for early sees the first pass."""
    lab = Lab(timings=IncusTimings(keepalive=1.0))
    lab.front.volumes = {"c1": scripted_incus.hangs()}  # until we listen, however long that takes
    async with serve(lab, tmp_path, boot=False) as server:
        lab.model.boot()
        await server.until(0.8)
        url = "http://incus/1.0/events?type=lifecycle,logging&all-projects=true"
        async with server.session.ws_connect(url, autoping=False) as stream:
            lab.all_well()
            seen: list[tuple[str, str]] = []
            pinged = False
            while len(seen) < 4 or not pinged:
                message = await stream.receive()
                if message.type is aiohttp.WSMsgType.PING:
                    assert message.data == b"keepalive"
                    pinged = True
                    continue
                event = json.loads(message.data)
                assert set(event) >= {"type", "timestamp", "metadata", "location"}
                if event["type"] == "lifecycle":
                    seen.append((event["metadata"]["action"], event["metadata"]["name"]))
            assert seen == [("instance-started", name) for name in ("c1", "c2", "d1", "c3")]


async def test_connections_break_with_the_process_and_the_next_one_answers(tmp_path: Path) -> None:
    """P7, U43: also a request under way."""
    lab = Lab()
    async with serve(lab, tmp_path) as server:
        before = (await server.get("/1.0"))["environment"]["server_pid"]
        lab.front.volumes = {"c1": scripted_incus.hangs()}
        lab.model.guest_poweroff(C1)
        _, body = await server.call("/1.0/instances/c1/state", "PUT", {"action": "start"})
        waiting = asyncio.ensure_future(server.get(body["operation"] + "/wait"))
        await server.until(lab.clock.now + 1.0)
        lab.model.crash_daemon()
        server.pacer.wake()
        with pytest.raises(aiohttp.ClientError):
            await waiting
        after = (await server.get("/1.0"))["environment"]["server_pid"]
        assert after != before


async def test_a_closed_socket_refuses_and_an_open_one_starts_incusd(tmp_path: Path) -> None:
    """R7, U6."""
    server_spec = values.ServerSpec(pools=POOLS, has_db_dump=False)
    lab = Lab(server=server_spec)
    async with serve(lab, tmp_path) as server:
        await server.until(lab.clock.now + 5.0)
        assert lab.model.units.service.active == "inactive"
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(server.path))
            while lab.model.units.service.active == "inactive":
                await server.until(lab.clock.now + 0.1)
        assert (await server.get("/1.0"))["environment"]["server_name"] == "n1"
        assert lab.model.units.service.active == "activating"
        lab.model.power_loss()
        await server.face.settled()
        with socket.socket(socket.AF_UNIX) as probe, pytest.raises(ConnectionRefusedError):
            probe.connect(str(server.path))


async def test_while_stopping(tmp_path: Path) -> None:
    """R10, A41."""
    lab = Lab(InstanceSpec(name="c1", config={POWER: STOPPED}), InstanceSpec(name="c2"))
    lab.front.volumes = {"c1": scripted_incus.hangs()}
    async with serve(lab, tmp_path) as server:
        await server.call("/1.0/instances/c1/state", "PUT", {"action": "start"})
        lab.model.units.stop()  # waits for the running operation
        await server.until(lab.clock.now + 1.0)
        status, body = await server.call("/internal/ready")
        assert (status, body["error"]) == (503, "Daemon is shutting down")
        status, body = await server.call("/1.0/instances/c2/state", "PUT", {"action": "stop"})
        assert (status, body["error"]) == (503, "Incus is shutting down")
