# SPDX-License-Identifier: Apache-2.0
"""Incus's words as facts: names of volumes with projects, what a start needs, yes and no in Incus's many spellings."""

import datetime as dt
from typing import Any

import msgspec
import pytest

from tidegate.clients.errors import Trouble
from tidegate.clients.incus import wire
from tidegate.clients.incus.client import PoolAnswer
from tidegate.core.facts import IncusPhase, InstanceFacts, NeededVolume
from tidegate.core.ids import PoolName
from tidegate.probes import translate_incus

OWN = {"default": True, "web": True, "shared": False}


def instance(**fields: Any) -> InstanceFacts:
    found = msgspec.convert({"name": "c1", **fields}, wire.Instance)
    (facts,) = translate_incus.instances([found], own_volumes=OWN, member=None).values()
    return facts


def disk(pool: str = "remote", **keys: str) -> dict[str, str]:
    return {"type": "disk", "pool": pool, **keys}


def needed(name: str, kind: str = "containers", *, required: bool = True) -> NeededVolume:
    return NeededVolume(pool=PoolName("remote"), type=kind, name=name, required=required)


@pytest.mark.parametrize(
    ("project", "kind", "volume", "type_"),
    [
        ("default", "container", "c1", "containers"),
        ("web", "container", "web_c1", "containers"),
        ("shared", "virtual-machine", "shared_c1", "virtual-machines"),
    ],
)
def test_the_root_disk_is_named_after_instance_and_project(
    project: str, kind: str, volume: str, type_: str
) -> None:
    facts = instance(project=project, type=kind, expanded_devices={"root": disk(path="/")})
    assert str(facts.id) == f"{project}/c1"
    assert facts.needs == (needed(volume, type_),)


@pytest.mark.parametrize(
    ("project", "name"),
    [
        ("default", "default_data"),
        ("web", "web_data"),
        ("shared", "default_data"),
        ("new", "new_data"),
    ],
)
def test_a_custom_volume_always_carries_the_project_it_belongs_to(project: str, name: str) -> None:
    facts = instance(project=project, expanded_devices={"data": disk(path="/srv", source="data")})
    assert facts.needs == (needed(name, "custom"),)


@pytest.mark.parametrize(
    ("keys", "required"),
    [
        ({}, True),
        ({"required": "true"}, True),
        ({"required": "False"}, False),
        ({"attached": "0"}, False),
    ],
)
def test_what_a_start_does_not_wait_for_is_not_required(
    keys: dict[str, str], required: bool
) -> None:
    facts = instance(expanded_devices={"d": disk(path="/srv", source="data/snap0", **keys)})
    assert facts.needs == (needed("default_data", "custom", required=required),)


def test_devices_that_lie_in_no_pool_are_not_needed() -> None:
    facts = instance(
        expanded_devices={
            "host": {"type": "disk", "source": "/srv", "path": "/srv"},
            "eth0": {"type": "nic", "network": "incusbr0"},
            "root": disk(path="/", pool="local"),
        }
    )
    assert [need.pool for need in facts.needs] == ["local"]


@pytest.mark.parametrize(
    ("config", "autostart", "should_start"),
    [
        ({}, None, False),
        ({"boot.autostart": "true"}, "true", True),
        ({"boot.autostart": "1"}, "true", True),
        ({"boot.autostart": "on"}, "true", True),
        ({"boot.autostart": "no", "volatile.last_state.power": "RUNNING"}, "false", False),
        (
            {"boot.autostart": "last-state", "volatile.last_state.power": "RUNNING"},
            "last-state",
            True,
        ),
        ({"volatile.last_state.power": "RUNNING"}, None, True),
        ({"volatile.last_state.power": "STOPPED"}, None, False),
        ({"boot.autostart": ""}, None, False),
    ],
)
def test_whether_incus_would_start_it(
    config: dict[str, str], autostart: str | None, should_start: bool
) -> None:
    facts = instance(expanded_config=config)
    assert (facts.autostart, facts.should_start) == (autostart, should_start)


def test_numbers_and_times() -> None:
    facts = instance(
        status="Stopped",
        config={"volatile.last_state.power": "RUNNING"},
        expanded_config={
            "boot.autostart.priority": "10",
            "boot.autostart.delay": "5",
            "boot.host_shutdown_action": "stateful-stop",
        },
        created_at="2026-11-23T08:00:00Z",
        last_used_at="1970-01-01T00:00:00Z",
    )
    assert (facts.priority, facts.delay, facts.stateful_action) == (10, 5, True)
    assert facts.created_at == dt.datetime(2026, 11, 23, 8, tzinfo=dt.UTC).timestamp()
    assert facts.last_used_at is None, "the epoch means never"
    assert facts.last_power == "RUNNING"
    assert instance(last_used_at="0001-01-01T00:00:00Z").last_used_at is None
    assert instance(expanded_config={"boot.autostart.priority": "high"}).priority is None


def test_in_a_cluster_only_instances_of_this_member_count() -> None:
    found = [
        wire.Instance(name="here", location="n1"),
        wire.Instance(name="there", location="n2"),
    ]
    assert set(translate_incus.instances(found, own_volumes={}, member="n1")) == {"default/here"}


def test_projects() -> None:
    found = [
        wire.Project(name="default", config={"features.storage.volumes": "true"}),
        wire.Project(name="p", config={"features.images": "true"}),
    ]
    assert translate_incus.projects(found) == {"default": True, "p": False}


def test_pools() -> None:
    trouble = Trouble(code="incus.error", text="Module not loaded")
    linstor = {"linstor.resource_group.name": "rg", "linstor.volume.prefix": "x-"}
    found = translate_incus.pools(
        [
            PoolAnswer(
                name="a",
                pool=wire.Pool(name="a", driver="linstor", status="Created", config=linstor),
            ),
            PoolAnswer(
                name="b", pool=wire.Pool(name="b", driver="linstor", config={"source": "src"})
            ),
            PoolAnswer(name="c", pool=wire.Pool(name="c", driver="linstor")),
            PoolAnswer(name="d", pool=wire.Pool(name="d", driver="dir", config={"source": "/srv"})),
            PoolAnswer(name="e", trouble=trouble),
        ]
    )
    assert (found["a"].status, found["a"].resource_group, found["a"].volume_prefix) == (
        "Created",
        "rg",
        "x-",
    )
    assert (found["b"].resource_group, found["b"].volume_prefix) == ("src", "incus-volume-")
    assert found["c"].resource_group == "c"
    assert found["d"].resource_group is None
    assert (found["e"].driver, found["e"].status, found["e"].error) == (
        "",
        None,
        "Module not loaded",
    )
    later = translate_incus.pools([PoolAnswer(name="a", trouble=trouble)], found)["a"]
    assert (later.driver, later.resource_group, later.volume_prefix) == ("linstor", "rg", "x-")
    assert (later.status, later.error) == (None, "Module not loaded")


def test_the_server_without_its_secrets() -> None:
    found = wire.Server(
        environment=wire.Environment(
            server_version="7.0.2", server_name="n1", server_pid=42, server_clustered=True
        ),
        config={
            "core.https_address": ":8443",
            "core.trust_password": "secret",
            "storage.linstor.controller_connection": "http://a",
            "storage.linstor.client_key": "secret",
            "storage.linstor.client_cert": "cert",
            "storage.linstor.ca_cert": "ca",
            "storage.images_volume": "remote/images",
        },
    )
    facts = translate_incus.server(found, phase=IncusPhase.READY, member_status="Online")
    assert (facts.version, facts.pid, facts.server_name, facts.clustered) == (
        "7.0.2",
        42,
        "n1",
        True,
    )
    assert facts.member_status == "Online"
    assert set(facts.config) == {
        "core.https_address",
        "storage.linstor.controller_connection",
        "storage.images_volume",
    }


def test_warnings_that_are_resolved_are_left_out() -> None:
    seen = dt.datetime(2026, 11, 23, 8, tzinfo=dt.UTC)
    found = [
        wire.Warning(uuid="2", type="Storage pool unavailable", status="new", last_message="why"),
        wire.Warning(uuid="1", type="x", status="acknowledged", last_seen_at=seen),
        wire.Warning(uuid="3", type="x", status="resolved"),
    ]
    kept = translate_incus.warnings(found)
    assert [warning.uuid for warning in kept] == ["1", "2"]
    assert kept[0].last_seen_at == seen.timestamp()
    assert (kept[1].message, kept[1].last_seen_at) == ("why", None)
