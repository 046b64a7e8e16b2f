# SPDX-License-Identifier: Apache-2.0
import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from tests.unit.clients.incus.conftest import FakeIncus, error, started, sync

from tidegate.clients import errors
from tidegate.clients.incus import client

SERVER = {
    "config": {"core.https_address": ":8443", "storage.linstor.satellite.name": "n1"},
    "api_extensions": ["linstor_raw"],
    "api_status": "stable",
    "auth": "trusted",
    "environment": {
        "server": "incus",
        "server_name": "n1",
        "server_clustered": False,
        "server_pid": 290,
        "server_version": "7.0.2",
        "storage": "linstor | dir",
        "storage_version": "1.34.0 / 9.3.3 | 1",
        "storage_supported_drivers": [{"Name": "linstor", "Version": "1", "Remote": True}],
    },
}

C1 = {
    "name": "c1",
    "project": "default",
    "type": "container",
    "status": "Stopped",
    "status_code": 102,
    "location": "none",
    "created_at": "2026-11-23T05:20:01.123456789Z",
    "last_used_at": "1970-01-01T00:00:00Z",
    "config": {"volatile.last_state.power": "RUNNING"},
    "expanded_config": {"boot.autostart": "true", "volatile.last_state.power": "RUNNING"},
    "devices": None,
    "expanded_devices": {
        "root": {"type": "disk", "path": "/", "pool": "remote"},
        "eth0": {"type": "nic", "network": "br0"},
        "host": {"type": "disk", "source": "/srv", "path": "/srv"},
    },
    "profiles": ["default"],
}


async def test_server_tells_name_version_and_configuration(
    fake: FakeIncus, incus: client.IncusClient
) -> None:
    fake.on("GET", "/1.0", sync(SERVER))
    server = await incus.server()
    assert server.environment.server_version == "7.0.2"
    assert server.environment.server_pid == 290
    assert (server.config or {})["storage.linstor.satellite.name"] == "n1"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (sync({}), client.Ready.READY),
        (error(503, "Daemon not ready yet"), client.Ready.STARTING),
        (error(503, "Daemon is starting up"), client.Ready.STARTING),
        (error(503, "Daemon is shutting down"), client.Ready.STOPPING),
    ],
)
async def test_ready_is_a_value(
    fake: FakeIncus, incus: client.IncusClient, answer: web.Response, expected: client.Ready
) -> None:
    fake.on("GET", "/internal/ready", answer)
    assert await incus.ready() == expected


async def test_one_pool_that_cannot_be_loaded_hides_no_other(
    fake: FakeIncus, incus: client.IncusClient
) -> None:
    message = "Could not determine DRBD module version: Module not loaded"
    urls = ["/1.0/storage-pools/local", "/1.0/storage-pools/remote", "/1.0/storage-pools/gone"]
    fake.on("GET", "/1.0/storage-pools?recursion=0", sync(urls))
    fake.on(
        "GET",
        "/1.0/storage-pools/local",
        sync({"name": "local", "driver": "dir", "status": "Created", "config": None}),
    )
    fake.on("GET", "/1.0/storage-pools/remote", error(500, message))
    local, remote = await incus.pools()
    assert local.pool is not None
    assert (local.pool.driver, local.pool.status) == ("dir", "Created")
    assert remote.name == "remote"
    assert remote.trouble is not None
    assert remote.trouble.code == "incus.error"
    assert message in remote.trouble.text


async def test_in_a_cluster_pools_are_asked_for_this_member(
    fake: FakeIncus, incus: client.IncusClient
) -> None:
    fake.on("GET", "/1.0/storage-pools?recursion=0", sync(["/1.0/storage-pools/remote"]))
    fake.on(
        "GET",
        "/1.0/storage-pools/remote?target=n%201",
        sync({"name": "remote", "driver": "linstor", "status": "Unavailable"}),
    )
    (remote,) = await incus.pools(member="n 1")
    assert remote.pool is not None
    assert remote.pool.status == "Unavailable"


async def test_pools_do_not_hide_that_the_daemon_stops(
    fake: FakeIncus, incus: client.IncusClient
) -> None:
    fake.on("GET", "/1.0/storage-pools?recursion=0", sync(["/1.0/storage-pools/remote"]))
    fake.on("GET", "/1.0/storage-pools/remote", error(503, "Incus is shutting down"))
    with pytest.raises(errors.ClientError) as caught:
        await incus.pools()
    assert caught.value.code == "incus.stopping"


async def test_instances_come_with_what_they_need(
    fake: FakeIncus, incus: client.IncusClient
) -> None:
    fake.on("GET", "/1.0/instances?recursion=1&all-projects=true", sync([C1]))
    (c1,) = await incus.instances()
    assert c1.option("boot.autostart") == "true"
    assert c1.option("boot.autostart.priority") is None
    assert [name for name, _ in c1.disks()] == ["root"]
    assert c1.created_at is not None
    assert c1.created_at.year == 2026


async def test_null_lists_are_empty(fake: FakeIncus, incus: client.IncusClient) -> None:
    fake.on("GET", "/1.0/instances?recursion=1&all-projects=true", sync(None))
    fake.on("GET", "/1.0/warnings?recursion=1", sync(None))
    assert await incus.instances() == ()
    assert await incus.warnings() == ()


async def test_names_are_quoted(fake: FakeIncus, incus: client.IncusClient) -> None:
    fake.on("GET", "/1.0/instances/c%2F1?project=a%20b", sync(C1))
    assert (await incus.instance("a b", "c/1")).name == "c1"


async def test_volumes_projects_warnings_and_members(
    fake: FakeIncus, incus: client.IncusClient
) -> None:
    fake.on(
        "GET",
        "/1.0/storage-pools/remote/volumes?recursion=1&all-projects=true",
        sync([{"name": "c1", "type": "container", "project": "p", "config": {}}]),
    )
    fake.on(
        "GET",
        "/1.0/projects?recursion=1",
        sync([{"name": "p", "config": {"features.storage.volumes": "true"}}]),
    )
    fake.on(
        "GET",
        "/1.0/warnings?recursion=1",
        sync(
            [
                {
                    "uuid": "u-1",
                    "type": "Storage pool unavailable",
                    "severity": "high",
                    "status": "new",
                    "last_message": "Node n1 is offline",
                    "entity_url": "",
                    "last_seen_at": "2026-11-23T05:20:01Z",
                }
            ]
        ),
    )
    fake.on(
        "GET",
        "/1.0/cluster/members/n1",
        sync({"server_name": "n1", "status": "Evacuated", "roles": None}),
    )
    assert [v.project for v in await incus.volumes("remote")] == ["p"]
    assert [(p.config or {}) for p in await incus.projects()] == [
        {"features.storage.volumes": "true"}
    ]
    assert [w.last_message for w in await incus.warnings()] == ["Node n1 is offline"]
    assert (await incus.cluster_member("n1")).status == "Evacuated"


async def test_a_warning_is_acknowledged_never_deleted(
    fake: FakeIncus, incus: client.IncusClient
) -> None:
    fake.on("PUT", "/1.0/warnings/u-1", sync({}))
    await incus.acknowledge_warning("u-1")
    assert fake.asked == [("PUT", "/1.0/warnings/u-1", {"status": "acknowledged"})]


async def test_a_start_gives_an_operation_to_wait_for(
    fake: FakeIncus, incus: client.IncusClient
) -> None:
    fake.on("PUT", "/1.0/instances/c1/state?project=p", started("9b1d"))
    failed = {
        "id": "9b1d",
        "class": "task",
        "status": "Failure",
        "status_code": 400,
        "err": 'Storage pool "remote" unavailable on this server',
        "resources": {"instances": ["/1.0/instances/c1"]},
    }
    fake.on("GET", "/1.0/operations/9b1d/wait?timeout=30", sync(failed))
    operation = await incus.start_instance("p", "c1", stateful=True)
    assert operation == "9b1d"
    body = fake.asked[0][2]
    assert body == {"action": "start", "timeout": -1, "force": False, "stateful": True}
    end = await incus.wait_operation(operation, deadline=30)
    assert end.is_over
    assert not end.succeeded
    assert "unavailable" in end.err


async def test_an_operation_that_goes_on_is_no_error(
    fake: FakeIncus, incus: client.IncusClient
) -> None:
    running = {"id": "9b1d", "status": "Running", "status_code": 103}
    fake.on("GET", "/1.0/operations/9b1d/wait?timeout=0", sync(running))
    end = await incus.wait_operation("9b1d", deadline=0.5)
    assert not end.is_over


async def test_a_forgotten_operation_is_not_found(incus: client.IncusClient) -> None:
    with pytest.raises(errors.ClientError) as caught:
        await incus.wait_operation("9b1d", deadline=1)
    assert caught.value.code == "incus.not-found"


@pytest.mark.parametrize("status", [200, 500])
async def test_a_pool_that_cannot_be_mounted_whatever_the_http_status(
    fake: FakeIncus, incus: client.IncusClient, status: int
) -> None:
    message = 'Failed mounting pool "remote": Node n1 is offline'
    fake.on("POST", "/internal/recover/validate", error(500, message, status=status))
    with pytest.raises(errors.ClientError) as caught:
        await incus.recover_validate("remote", deadline=5)
    assert caught.value.code == "incus.error"
    assert message in caught.value.trouble.text


async def test_a_mounted_pool_tells_unknown_volumes(
    fake: FakeIncus, incus: client.IncusClient
) -> None:
    unknown = {
        "name": "lost",
        "type": "container",
        "snapshotCount": 2,
        "project": "default",
        "pool": "remote",
    }
    answers = [{"UnknownVolumes": None, "DependencyErrors": None}, {"UnknownVolumes": [unknown]}]

    async def handle(_request: web.Request) -> web.Response:
        return sync(answers.pop(0))

    fake.on("POST", "/internal/recover/validate", handle)
    assert await incus.recover_validate("remote", deadline=5) == ()
    (volume,) = await incus.recover_validate("remote", deadline=5)
    assert (volume.name, volume.snapshot_count) == ("lost", 2)
    assert fake.asked[0][2] == {"pools": [{"name": "remote"}]}


async def test_a_daemon_that_starts_is_a_timeout_that_says_so(
    fake: FakeIncus, incus: client.IncusClient
) -> None:
    opened = asyncio.Event()

    async def hang(_request: web.Request) -> web.Response:
        await opened.wait()
        return sync(SERVER)

    fake.on("GET", "/1.0", hang)
    with pytest.raises(errors.ClientError) as caught:
        await incus.server(deadline=0.1)
    assert caught.value.code == "incus.timeout"
    assert "starts" in caught.value.trouble.hint
    assert str(fake.path) in caught.value.trouble.text
    opened.set()


async def test_a_hanging_call_delays_no_other(fake: FakeIncus, incus: client.IncusClient) -> None:
    opened = asyncio.Event()

    async def hang(_request: web.Request) -> web.Response:
        await opened.wait()
        return sync(SERVER)

    fake.on("GET", "/1.0", hang)
    fake.on("GET", "/internal/ready", error(503, "Daemon not ready yet"))
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        server = group.create_task(incus.server())
        assert await incus.ready() == client.Ready.STARTING
        opened.set()
    assert server.result().environment.server_name == "n1"


Call = Callable[[client.IncusClient], Awaitable[object]]


async def test_no_socket(tmp_path: Path) -> None:
    async with client.IncusClient(tmp_path / "none") as incus:
        with pytest.raises(errors.ClientError) as caught:
            await incus.ready()
    assert caught.value.code == "incus.no-socket"
    assert str(tmp_path / "none") in caught.value.trouble.text


async def test_a_socket_that_nobody_listens_on(tmp_path: Path) -> None:
    path = tmp_path / "unix.socket"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with client.IncusClient(path) as incus:
        with pytest.raises(errors.ClientError) as caught:
            await incus.server()
    assert caught.value.code == "incus.refused"


async def test_a_socket_that_this_user_may_not_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As root every socket may be used: have the kernel's answer given by a stand-in.
    async def refuse(*_args: object, **_keys: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(asyncio.get_running_loop(), "create_unix_connection", refuse)
    async with client.IncusClient(tmp_path / "unix.socket") as incus:
        with pytest.raises(errors.ClientError) as caught:
            await incus.server()
    assert caught.value.code == "incus.permission"
    assert "incus-admin" in caught.value.trouble.hint


async def test_a_full_queue_in_front_of_a_daemon_that_starts(tmp_path: Path) -> None:
    path = tmp_path / "unix.socket"
    with socket.socket(socket.AF_UNIX) as full, contextlib.ExitStack() as waiting:
        full.bind(str(path))
        full.listen(0)
        for _ in range(2):  # systemd holds the socket; nobody accepts
            other = waiting.enter_context(socket.socket(socket.AF_UNIX))
            other.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                other.connect(str(path))
        async with client.IncusClient(path) as incus:
            with pytest.raises(errors.ClientError) as caught:
                await incus.server(deadline=0.2)
    assert caught.value.code == "incus.timeout"


async def test_a_daemon_that_dies_in_the_middle_is_not_connected_to_again(tmp_path: Path) -> None:
    """Somebody may have stopped it: another connection would start it."""
    path = tmp_path / "unix.socket"
    connections = 0

    def die(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.close()

    server = await asyncio.start_unix_server(die, str(path))
    async with server, client.IncusClient(path) as incus:
        with pytest.raises(errors.ClientError) as caught:
            await incus.server(deadline=5)
    assert caught.value.code == "incus.disconnected"
    assert connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(text="<html>hello</html>"),
        web.json_response(["an", "array"]),
        sync([1, 2, 3]),
        sync({"environment": {"server_pid": "not a number"}}),
    ],
)
async def test_what_is_not_incus_is_garbage(
    fake: FakeIncus, incus: client.IncusClient, answer: web.Response
) -> None:
    fake.on("GET", "/1.0", answer)
    with pytest.raises(errors.ClientError) as caught:
        await incus.server()
    assert caught.value.code == "incus.garbage"


async def test_an_unavailable_pool_has_a_code_of_its_own(
    fake: FakeIncus, incus: client.IncusClient
) -> None:
    fake.on(
        "PUT",
        "/1.0/instances/c1/state?project=default",
        error(503, "Storage pool is unavailable on this server"),
    )
    with pytest.raises(errors.ClientError) as caught:
        await incus.start_instance("default", "c1")
    assert caught.value.code == "incus.unavailable"
