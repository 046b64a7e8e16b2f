# SPDX-License-Identifier: Apache-2.0
"""The Incus probe against a socket: it never wakes a daemon that does not run, and knows starting from dead."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests import recordings

from tidegate.clients import errors
from tidegate.clients.incus import wire
from tidegate.clients.incus.client import IncusClient
from tidegate.core.facts import IncusPhase, UnitFacts
from tidegate.core.ids import InstanceId, InstanceName, ProjectName, UnitName
from tidegate.core.snapshot import Liveness
from tidegate.core.trouble import Trouble
from tidegate.probes import base, incus

from .conftest import Fake

NEED = base.Need()
ACTIVE = UnitFacts(
    name=UnitName("incus.service"), load_state="loaded", active_state="active", sub_state="running"
)
ACTIVATING = msgspec.structs.replace(ACTIVE, active_state="activating", sub_state="start")


def sync(metadata: Any) -> dict[str, Any]:
    return {"type": "sync", "status": "Success", "status_code": 200, "metadata": metadata}


def error(code: int, text: str) -> dict[str, Any]:
    return {"type": "error", "error": text, "error_code": code, "metadata": None}


def fill(fake: Fake, *, clustered: bool = False) -> None:
    """Let ``fake`` answer as a healthy Incus with one pool and one container."""
    fake.missing = error(404, "Not Found")
    fake.answers |= {
        "/internal/ready": sync({}),
        "/1.0": sync(
            {
                "environment": {
                    "server_version": "7.0.2",
                    "server_name": "n1",
                    "server_pid": 42,
                    "server_clustered": clustered,
                },
                "config": {"storage.linstor.client_key": "KEY"},
            }
        ),
        "/1.0/storage-pools": sync(["/1.0/storage-pools/remote"]),
        "/1.0/storage-pools/remote": sync(
            {"name": "remote", "driver": "linstor", "status": "Created"}
        ),
        "/1.0/instances": sync([CONTAINER]),
        "/1.0/projects": sync(
            [{"name": "default", "config": {"features.storage.volumes": "true"}}]
        ),
        "/1.0/warnings": sync([{"uuid": "w", "type": "t", "status": "new"}]),
        "/1.0/cluster/members/n1": sync({"server_name": "n1", "status": "Evacuated"}),
    }


CONTAINER = {
    "name": "c1",
    "project": "default",
    "type": "container",
    "status": "Running",
    "location": "n1",
    "expanded_devices": {"root": {"type": "disk", "path": "/", "pool": "remote"}},
}


def starting(fake: Fake) -> None:
    fake.answers["/internal/ready"] = error(503, "Daemon not ready yet")
    fake.status["/internal/ready"] = 503


class Systemd:
    """What systemd says of the unit; an exception is raised."""

    def __init__(self, answer: UnitFacts | errors.ClientError = ACTIVE) -> None:
        self.answer = answer

    async def __call__(self) -> UnitFacts:
        if isinstance(self.answer, errors.ClientError):
            raise self.answer
        return self.answer


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[IncusClient]:
    async with IncusClient(tmp_path / "unix.socket", deadline=5.0) as opened:
        yield opened


def probe(
    client: IncusClient, unit: incus.AskUnit | None, deadline: float = 5.0
) -> incus.IncusProbe:
    return incus.IncusProbe(client, unit=unit, clock=lambda: 9.0, deadline=deadline)


async def test_a_healthy_daemon(client: IncusClient, fake: Fake) -> None:
    fill(fake)
    await fake.on_socket(client.socket)
    told: list[wire.Server] = []
    looked = incus.IncusProbe(client, unit=Systemd(), clock=lambda: 9.0, on_server=told.append)
    seen = await looked.look(NEED)
    assert (seen.liveness, seen.trouble, seen.at) == (Liveness.UP, None, 9.0)
    assert seen.incus is not None
    assert (seen.incus.phase, seen.incus.version, seen.incus.pid) == (IncusPhase.READY, "7.0.2", 42)
    assert seen.incus.member_status is None
    assert seen.incus.config == {}
    assert told[0].config == {"storage.linstor.client_key": "KEY"}
    assert seen.pools is not None
    assert seen.pools["remote"].status == "Created"
    assert seen.instances is not None
    assert seen.instances["default/c1"].runs
    assert seen.warnings is not None
    assert [warning.uuid for warning in seen.warnings] == ["w"]


@pytest.mark.parametrize("calls_before", range(5))
async def test_a_daemon_that_is_stopped_during_a_look_is_not_connected_to_any_more(
    tmp_path: Path, fake: Fake, calls_before: int
) -> None:
    """Its socket would start it again, against the will of whoever stopped it."""
    fill(fake)
    systemd = Systemd()

    async def ask() -> UnitFacts:
        if len(fake.asked) >= calls_before:
            systemd.answer = msgspec.structs.replace(
                ACTIVE, active_state="deactivating", sub_state="stop-sigterm"
            )
        return await systemd()

    moments = iter(range(1000))
    before = incus.Running(ask, lambda: float(next(moments)))
    async with IncusClient(tmp_path / "unix.socket", before=before) as client:
        await fake.on_socket(client.socket)
        seen = await probe(client, Systemd()).look(NEED)
    assert len(fake.asked) <= calls_before + incus.AT_ONCE - 1, "only what was under way"
    assert seen.incus is not None
    assert seen.incus.phase is IncusPhase.STOPPING
    assert seen.liveness is Liveness.UP


async def test_calls_go_through_where_systemd_cannot_be_asked(tmp_path: Path, fake: Fake) -> None:
    fill(fake)
    trouble = Trouble(code="systemd.timeout", text="no answer", hint="none")
    before = incus.Running(Systemd(errors.ClientError(trouble)), lambda: 9.0)
    async with IncusClient(tmp_path / "unix.socket", before=before) as client:
        await fake.on_socket(client.socket)
        assert (await client.server()).environment.server_name == "n1"


@pytest.mark.parametrize(
    ("active_state", "sub_state", "phase"),
    [
        ("inactive", "dead", IncusPhase.STOPPED),
        ("failed", "failed", IncusPhase.STOPPED),
        ("deactivating", "stop-sigterm", IncusPhase.STOPPING),
        ("activating", "auto-restart", IncusPhase.STARTING),
    ],
)
async def test_nobody_connects_while_the_unit_does_not_run(
    client: IncusClient, fake: Fake, active_state: str, sub_state: str, phase: IncusPhase
) -> None:
    fill(fake)
    await fake.on_socket(client.socket)
    unit = msgspec.structs.replace(ACTIVE, active_state=active_state, sub_state=sub_state)
    seen = await probe(client, Systemd(unit)).look(NEED)
    assert fake.asked == []
    assert seen.liveness is Liveness.UP
    assert seen.incus is not None
    assert seen.incus.phase is phase
    assert (seen.pools, seen.instances, seen.warnings) == (None, None, None)


async def test_nobody_connects_while_systemd_cannot_be_asked(
    client: IncusClient, fake: Fake
) -> None:
    fill(fake)
    await fake.on_socket(client.socket)
    trouble = Trouble(code="systemd.timeout", text="no answer")
    seen = await probe(client, Systemd(errors.ClientError(trouble))).look(NEED)
    assert fake.asked == []
    assert (seen.liveness, seen.trouble, seen.incus) == (Liveness.LOST, trouble, None)


async def test_without_systemd_it_is_asked(client: IncusClient, fake: Fake) -> None:
    fill(fake)
    await fake.on_socket(client.socket)
    assert (await probe(client, None).look(NEED)).liveness is Liveness.UP


async def test_autostart_goes_on_while_the_api_answers(client: IncusClient, fake: Fake) -> None:
    fill(fake)
    starting(fake)
    await fake.on_socket(client.socket)
    seen = await probe(client, Systemd(ACTIVATING)).look(NEED)
    assert seen.liveness is Liveness.UP
    assert seen.incus is not None
    assert seen.incus.phase is IncusPhase.AUTOSTART
    assert seen.instances


async def test_a_daemon_that_starts_its_instances_is_spared(
    client: IncusClient, fake: Fake
) -> None:
    fill(fake)
    starting(fake)
    await fake.on_socket(client.socket)
    now = 10.0
    looked = incus.IncusProbe(
        client, unit=Systemd(ACTIVATING), clock=lambda: now, deadline=5.0, spare=3.0
    )
    first = await looked.look(NEED)
    now = 12.0
    second = await looked.look(NEED)
    assert fake.asked.count("/1.0") == 1
    assert first.incus is not None
    assert second.incus is not None
    assert first.incus.phase is second.incus.phase is IncusPhase.AUTOSTART
    assert (first.incus.version, first.instances, second.instances) == ("7.0.2", None, None)
    assert (await looked.look(base.Need(urgency=base.Urgency.ATTENDED))).instances
    now = 14.0
    assert (await looked.look(NEED)).instances is None
    now = 15.5
    assert (await looked.look(NEED)).instances


async def test_a_silent_api_is_starting_and_then_up(client: IncusClient, fake: Fake) -> None:
    fill(fake)
    starting(fake)
    fake.hanging.add("/1.0")
    await fake.on_socket(client.socket)
    looked = probe(client, Systemd(ACTIVATING), deadline=0.5)
    seen = await looked.look(NEED)
    assert seen.liveness is Liveness.STARTING
    assert seen.trouble is not None
    assert seen.trouble.code == "incus.timeout"
    assert seen.incus is not None
    assert seen.incus.phase is IncusPhase.STARTING
    assert seen.instances is None
    fake.hanging.clear()
    assert (await looked.look(NEED)).liveness is Liveness.UP


@pytest.mark.parametrize(
    ("unit", "liveness"), [(ACTIVATING, Liveness.STARTING), (ACTIVE, Liveness.LOST)]
)
async def test_not_even_ready_answers(
    client: IncusClient, fake: Fake, unit: UnitFacts, liveness: Liveness
) -> None:
    fake.hanging.add("*")
    await fake.on_socket(client.socket)
    seen = await probe(client, Systemd(unit), deadline=0.3).look(NEED)
    assert seen.liveness is liveness
    assert seen.trouble is not None
    assert seen.trouble.code == "incus.timeout"


async def test_without_systemd_silence_is_starting_before_it_was_up_and_lost_after(
    client: IncusClient, fake: Fake
) -> None:
    fill(fake)
    fake.hanging.add("*")
    await fake.on_socket(client.socket)
    looked = probe(client, None, deadline=0.3)
    assert (await looked.look(NEED)).liveness is Liveness.STARTING
    fake.hanging.clear()
    assert (await looked.look(NEED)).liveness is Liveness.UP
    fake.hanging.add("*")
    assert (await looked.look(NEED)).liveness is Liveness.LOST


async def test_stopping(client: IncusClient, fake: Fake) -> None:
    fill(fake)
    fake.answers["/internal/ready"] = error(503, "Daemon is shutting down")
    fake.status["/internal/ready"] = 503
    await fake.on_socket(client.socket)
    seen = await probe(client, Systemd()).look(NEED)
    assert seen.incus is not None
    assert seen.incus.phase is IncusPhase.STOPPING
    assert fake.asked == ["/internal/ready"]


async def test_lost_then_up_again(client: IncusClient, fake: Fake) -> None:
    looked = probe(client, Systemd())
    seen = await looked.look(NEED)
    assert seen.liveness is Liveness.LOST
    assert seen.trouble is not None
    assert seen.trouble.code == "incus.no-socket"
    fill(fake)
    await fake.on_socket(client.socket)
    assert (await looked.look(NEED)).liveness is Liveness.UP


async def test_a_host_without_incus(client: IncusClient) -> None:
    missing = msgspec.structs.replace(ACTIVE, load_state="not-found", active_state="inactive")
    for unit in (Systemd(missing), None):
        seen = await probe(client, unit).look(NEED)
        assert seen.liveness is Liveness.OFF
        assert seen.incus is None


async def test_one_call_that_fails_takes_nothing_else_along(
    client: IncusClient, fake: Fake
) -> None:
    fill(fake)
    fake.answers["/1.0/storage-pools"] = error(500, "broken")
    fake.status["/1.0/storage-pools"] = 500
    await fake.on_socket(client.socket)
    seen = await probe(client, Systemd()).look(NEED)
    assert seen.liveness is Liveness.UP
    assert seen.trouble is not None
    assert "broken" in seen.trouble.text
    assert seen.pools is None
    assert seen.instances


async def test_what_changes_rarely_is_not_read_at_every_fast_look(
    client: IncusClient, fake: Fake
) -> None:
    fill(fake)
    await fake.on_socket(client.socket)
    looked = probe(client, Systemd())
    await looked.look(NEED)
    fast = await looked.look(NEED)
    rest = await looked.look(base.Need(urgency=base.Urgency.REST))
    assert fast.warnings is None
    assert fast.instances
    assert rest.warnings is not None
    assert fake.asked.count("/1.0/projects") == 2


async def test_in_a_cluster_the_member_is_named_and_its_state_is_read(
    client: IncusClient, fake: Fake
) -> None:
    fill(fake, clustered=True)
    await fake.on_socket(client.socket)
    seen = await probe(client, Systemd()).look(NEED)
    assert seen.incus is not None
    assert (seen.incus.clustered, seen.incus.member_status) == (True, "Evacuated")


async def test_a_hung_member_elsewhere_does_not_hide_our_own_instances(
    client: IncusClient, fake: Fake
) -> None:
    fill(fake, clustered=True)
    fake.hanging.add("/1.0/instances")
    fake.answers["/1.0/instances/c1"] = sync(CONTAINER)
    await fake.on_socket(client.socket)
    known = tuple(InstanceId(ProjectName("default"), InstanceName(name)) for name in ("c1", "gone"))
    seen = await probe(client, Systemd(), deadline=1.0).look(base.Need(instances=known))
    assert seen.liveness is Liveness.UP
    assert seen.trouble is not None
    assert seen.instances is not None
    assert set(seen.instances) == {"default/c1"}


async def test_the_recorded_answers_of_a_real_incus(client: IncusClient, fake: Fake) -> None:
    lines = (recordings.DATA / "incus-api" / "answers.jsonl").read_text().splitlines()
    for call in map(json.loads, lines):
        path = call["path"].partition("?")[0]
        if call["method"] == "GET" and call["status"] == 200 and path not in fake.answers:
            fake.answers[path] = call["body"]
    await fake.on_socket(client.socket)
    seen = await probe(client, Systemd()).look(NEED)
    assert (seen.liveness, seen.trouble) == (Liveness.UP, None)
    assert seen.incus is not None
    assert (seen.incus.version, seen.incus.server_name, seen.incus.clustered) == (
        "7.0.2",
        "n1",
        False,
    )
    assert seen.incus.config == {"storage.linstor.controller_connection": "http://10.99.0.1:3370"}
    assert seen.pools is not None
    assert {name: pool.driver for name, pool in seen.pools.items()} == {
        "local": "dir",
        "remote": "linstor",
    }
    remote = seen.pools["remote"]
    assert (remote.status, remote.resource_group, remote.volume_prefix) == (
        "Created",
        "remote",
        "incus-volume-",
    )
    assert seen.instances is not None
    assert {key: facts.runs for key, facts in seen.instances.items()} == {
        f"default/{name}": True for name in ("c1", "c2", "c3", "d1")
    }
    c1 = seen.instances["default/c1"]
    assert (c1.autostart, c1.last_power, c1.should_start) == ("true", "RUNNING", True)
    assert c1.last_used_at is not None
    assert [(need.pool, need.type, need.name) for need in c1.needs] == [
        ("remote", "containers", "c1")
    ]
    assert seen.warnings


async def test_the_same_list_is_not_translated_again_and_another_one_is(
    client: IncusClient, fake: Fake
) -> None:
    fill(fake)
    await fake.on_socket(client.socket)
    looked = probe(client, Systemd())
    rest = base.Need(urgency=base.Urgency.REST)
    first = (await looked.look(rest)).instances
    assert first is not None
    assert (await looked.look(rest)).instances is first
    fake.answers["/1.0/instances"] = sync([CONTAINER | {"status": "Stopped"}])
    second = (await looked.look(rest)).instances
    assert second is not None
    assert not second["default/c1"].runs


async def test_the_same_list_means_something_else_in_projects_that_are_set_otherwise(
    client: IncusClient, fake: Fake
) -> None:
    fill(fake)
    disk = {"type": "disk", "path": "/data", "pool": "remote", "source": "data"}
    devices = CONTAINER["expanded_devices"] | {"data": disk}  # type: ignore[operator]
    own = CONTAINER | {"project": "own", "expanded_devices": devices}
    projects = [{"name": "own", "config": {"features.storage.volumes": "true"}}]
    fake.answers |= {"/1.0/instances": sync([own]), "/1.0/projects": sync(projects)}
    await fake.on_socket(client.socket)
    looked = probe(client, Systemd())
    rest = base.Need(urgency=base.Urgency.REST)
    before = (await looked.look(rest)).instances
    fake.answers["/1.0/projects"] = sync([{"name": "own", "config": {}}])
    after = (await looked.look(rest)).instances
    assert before is not None
    assert after is not None
    assert before != after
