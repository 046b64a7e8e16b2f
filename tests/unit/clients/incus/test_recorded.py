# SPDX-License-Identifier: Apache-2.0
"""What a real Incus 7.0.2 answered, read by the client."""

import json

import pytest
from aiohttp import web
from tests.recordings import DATA
from tests.unit.clients.incus.conftest import FakeIncus

from tidegate.clients import errors
from tidegate.clients.incus import client


@pytest.fixture
def recorded(fake: FakeIncus) -> list[str]:
    """The fake answers as the real one did; returns the ids of the operations in their order."""
    operations = []
    path = DATA / "incus-api" / "answers.jsonl"
    for line in path.read_text().splitlines():
        call = json.loads(line)
        answer = web.json_response(call["body"], status=call["status"])
        fake.on(call["method"], call["path"], answer)
        if call["path"].startswith("/1.0/operations/") and call["status"] == 200:
            operations.append(call["body"]["metadata"]["id"])
    return operations


async def test_a_healthy_server(recorded: list[str], incus: client.IncusClient) -> None:
    assert await incus.ready() == client.Ready.READY
    server = await incus.server()
    assert (server.environment.server_version, server.environment.server_name) == ("7.0.2", "n1")
    assert server.auth == "trusted"
    assert "storage.linstor.controller_connection" in (server.config or {})
    pools = {answer.name: answer.pool for answer in await incus.pools()}
    assert {name: pool.driver for name, pool in pools.items() if pool} == {
        "local": "dir",
        "remote": "linstor",
    }
    remote = pools["remote"]
    assert remote is not None
    assert remote.status == "Created"
    assert (remote.config or {})["linstor.resource_group.name"] == "remote"
    volumes = await incus.volumes("remote")
    assert {v.name for v in volumes if v.type == "container"} == {"c1", "c2", "c3"}
    assert [p.name for p in await incus.projects()] == ["default"]
    assert all(w.last_message for w in await incus.warnings())
    assert await incus.recover_validate("remote", deadline=5) == ()


async def test_instances(recorded: list[str], incus: client.IncusClient) -> None:
    instances = await incus.instances()
    assert [i.name for i in instances] == ["c1", "c2", "c3", "d1"]
    for instance in instances:
        assert instance.status == "Running"
        assert instance.location == "none"
        assert instance.option("boot.autostart") == "true"
        assert instance.option("volatile.last_state.power") == "RUNNING"
        assert instance.last_used_at is not None
        ((name, disk),) = instance.disks()
        assert (name, disk["path"]) == ("root", "/")
        assert disk["pool"] == ("local" if instance.name == "d1" else "remote")
    assert (await incus.instance("default", "c1")).name == "c1"


async def test_what_is_not_there(recorded: list[str], incus: client.IncusClient) -> None:
    for call in (
        incus.instance("default", "none"),
        incus.wait_operation("none", deadline=1),
    ):
        with pytest.raises(errors.ClientError) as caught:
            await call
        assert caught.value.code == "incus.not-found"
    with pytest.raises(errors.ClientError) as caught:
        await incus.cluster_member("n1")
    assert caught.value.code == "incus.error"
    assert "Server is not clustered" in caught.value.trouble.text


async def test_a_start_of_what_runs_and_of_what_does_not(
    recorded: list[str], incus: client.IncusClient
) -> None:
    running, stopped = recorded
    assert await incus.start_instance("default", "c1") == running
    failed = await incus.wait_operation(running, deadline=10)
    assert failed.is_over
    assert not failed.succeeded
    assert failed.err == "The instance is already running"
    assert await incus.start_instance("default", "c3") == stopped
    assert (await incus.wait_operation(stopped, deadline=30)).succeeded
