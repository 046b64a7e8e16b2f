# SPDX-License-Identifier: Apache-2.0
"""What is made of what the host, the kept map and Incus say; nothing is guessed."""

from pathlib import Path

import pytest
from tests import unit_trees

from tidegate.agent import unitview
from tidegate.agent.unitview import Told
from tidegate.clients.incus import wire
from tidegate.clients.incus.client import PoolAnswer
from tidegate.clients.linstor import wire as linstor_wire
from tidegate.config.model import Config
from tidegate.core.ids import InstanceId, InstanceName, NodeName, PoolName, ProjectName
from tidegate.core.wanted import WantedInstance, WantedMap, WantedPool
from tidegate.units.deadlock import BroughtUpBy, Controller, Place
from tidegate.units.host import IncusView, StoragePool
from tidegate.units.tree import Index

MAC = "00:16:3e:aa:bb:cc"
CTL = wire.Instance(
    name="ctl",
    expanded_config={"volatile.eth0.hwaddr": MAC},
    expanded_devices={"root": {"type": "disk", "path": "/", "pool": "local"}},
)


def told(url: str, *instances: wire.Instance, **config: str) -> Told:
    pools = (
        PoolAnswer(name="remote", pool=wire.Pool(name="remote", driver="linstor")),
        PoolAnswer(name="local", pool=wire.Pool(name="local", driver="dir")),
    )
    keys = {"storage.linstor.controller_connection": url, **config}
    server = wire.Server(environment=wire.Environment(server_name="n1"), config=keys)
    return Told(server=server, pools=pools, instances=instances)


def seen(found: Told | None, neighbours: dict[str, str] | None = None) -> Controller:
    index = Index(unit_trees.host_tree("debian"))
    return unitview.controller(index, None, found, neighbours or {})


def test_an_address_that_answers_from_another_host_is_one() -> None:
    found = told("http://192.0.2.7:3370", CTL)
    assert seen(found, {"192.0.2.7": "52:54:00:00:00:01"}).place is Place.OTHER_HOST


def test_an_address_that_answers_from_an_instance_is_that_instance() -> None:
    found = seen(told("http://192.0.2.7:3370", CTL), {"192.0.2.7": MAC})
    assert found == Controller(place=Place.INSTANCE_HERE, instance="default/ctl")


def test_an_instance_is_known_by_name_and_by_a_fixed_address() -> None:
    assert seen(told("http://ctl.incus:3370", CTL)).instance == "default/ctl"
    card = {"eth0": {"type": "nic", "ipv4.address": "192.0.2.9"}}
    fixed = wire.Instance(name="c9", expanded_devices=card)
    assert seen(told("http://192.0.2.9:3370", fixed)).instance == "default/c9"


def test_what_cannot_be_seen_is_unknown() -> None:
    assert seen(told("http://192.0.2.7:3370", CTL)).place is Place.UNKNOWN
    assert seen(told("http://linstor.example:3370", CTL)).place is Place.UNKNOWN
    assert seen(told("")).place is Place.UNKNOWN
    assert seen(None).place is Place.UNKNOWN


@pytest.mark.parametrize(("reactor", "by"), [(True, "system"), (False, "unknown")])
def test_a_controller_of_this_host_with_its_database_on_drbd(reactor: bool, by: str) -> None:
    etc = unit_trees.ETC
    files = {
        f"{etc}/linstor-controller.service": "[Service]\nExecStart=/usr/bin/Controller\n",
        f"{etc}/var-lib-linstor.mount": "[Mount]\nWhat=/dev/drbd1000\nWhere=/var/lib/linstor\n",
    }
    if reactor:
        files[f"{etc}/drbd-reactor.service"] = "[Service]\nExecStart=/usr/sbin/drbd-reactor\n"
        files[f"{etc}/multi-user.target.wants/drbd-reactor.service"] = "-> ../drbd-reactor.service"
    index = Index(unit_trees.host_tree("debian", files))
    assert unitview.controller(index, None, None, {}) == Controller(
        place=Place.THIS_HOST, database_on_drbd=True, brought_up_by=BroughtUpBy(by)
    )


def test_volumes_of_incus_itself_on_linstor_are_named() -> None:
    keys = {
        "storage.images_volume": "remote/images",
        "storage.backups_volume": "local/backups",
        "core.https_address": ":8443",
    }
    assert unitview.incus(None, told("", **keys)) == IncusView(
        listens=True, clustered=False, volumes_on_linstor=("storage.images_volume",)
    )


@pytest.mark.parametrize("pool", ["remote", "local"])
def test_instances_on_other_pools_are_known_from_the_kept_map(pool: str) -> None:
    kept = WantedMap(
        node=NodeName("n1"),
        pools=(WantedPool(name=PoolName("remote"), resource_group="g", volume_prefix="p"),),
        instances=(
            WantedInstance(
                id=InstanceId(ProjectName("default"), InstanceName("c1")), pools=(PoolName(pool),)
            ),
        ),
    )
    assert unitview.incus(kept, None).other_pools_wanted is (pool == "local")
    assert unitview.incus(None, None) == IncusView()


@pytest.mark.parametrize(
    ("provider", "value", "directory"),
    [("FILE", "/srv/poolb-n1", "/srv/poolb-n1"), ("LVM_THIN", "vg0/thin", "")],
)
def test_the_directory_of_a_pool_of_files_is_known(
    provider: str, value: str, directory: str
) -> None:
    row = linstor_wire.StoragePool(
        storage_pool_name="p", provider_kind=provider, props={"StorDriver/StorPoolName": value}
    )
    assert unitview.storage_pool(row) == StoragePool(
        name="p", provider=provider, directory=directory
    )


async def test_below_another_root_only_its_files_count(tmp_path: Path) -> None:
    (tmp_path / "usr/lib/x86_64-linux-gnu/systemd").mkdir(parents=True)
    (tmp_path / "usr/lib/x86_64-linux-gnu/systemd/libsystemd-shared-257.so").touch()
    found = await unitview.look(tmp_path, Config())
    assert found.systemd == 257
    assert found.controller.place is Place.UNKNOWN
    assert found.storage_pools is None
    said = await unitview.look(tmp_path, Config(), Place.OTHER_HOST)
    assert said.controller.place is Place.OTHER_HOST
