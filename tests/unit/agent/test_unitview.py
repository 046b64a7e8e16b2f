# SPDX-License-Identifier: Apache-2.0
"""What is made of what the host, the kept map and Incus say; nothing is guessed."""

from pathlib import Path

import pytest

from tidegate.agent import keeper, unitview
from tidegate.agent.unitplace import Told
from tidegate.clients.incus import wire
from tidegate.clients.incus.client import PoolAnswer
from tidegate.clients.linstor import wire as linstor_wire
from tidegate.config.model import Config
from tidegate.core.ids import (
    InstanceId,
    InstanceName,
    NodeName,
    PoolName,
    ProjectName,
    StoragePoolName,
)
from tidegate.core.wanted import WantedInstance, WantedMap, WantedPool, WantedStorage
from tidegate.units.deadlock import Place
from tidegate.units.host import IncusView, StoragePool


def told(**config: str) -> Told:
    pools = (
        PoolAnswer(name="remote", pool=wire.Pool(name="remote", driver="linstor")),
        PoolAnswer(name="local", pool=wire.Pool(name="local", driver="dir")),
    )
    server = wire.Server(environment=wire.Environment(server_name="n1"), config=config)
    return Told(server=server, pools=pools, instances=())


def test_volumes_of_incus_itself_on_linstor_are_named() -> None:
    keys = {
        "storage.images_volume": "remote/images",
        "storage.backups_volume": "local/backups",
        "core.https_address": ":8443",
    }
    assert unitview.incus(None, told(**keys)) == IncusView(
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


def test_a_directory_that_is_a_link_is_waited_for_at_both_ends(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    pool = StoragePool(name="p", provider="FILE_THIN", directory=f"{tmp_path}/link")
    assert unitview.followed(pool).places == (f"{tmp_path}/link", f"{tmp_path}/real")
    plain = StoragePool(name="p", provider="FILE_THIN", directory=f"{tmp_path}/real")
    assert unitview.followed(plain).places == (f"{tmp_path}/real",)
    assert StoragePool(name="p", provider="LVM").places == ()


async def test_below_another_root_only_its_files_count(tmp_path: Path) -> None:
    (tmp_path / "usr/lib/x86_64-linux-gnu/systemd").mkdir(parents=True)
    (tmp_path / "usr/lib/x86_64-linux-gnu/systemd/libsystemd-shared-257.so").touch()
    found = await unitview.look(tmp_path, Config())
    assert found.systemd == 257
    assert found.controller.place is Place.UNKNOWN
    assert found.storage_pools is None
    said = await unitview.look(tmp_path, Config(), Place.OTHER_HOST)
    assert said.controller.place is Place.OTHER_HOST


async def test_pools_of_files_are_known_from_the_kept_map_where_linstor_cannot_be_asked(
    tmp_path: Path,
) -> None:
    rows = (
        WantedStorage(
            pool=StoragePoolName("f"), provider="FILE_THIN", place="/srv/f", mount="/srv"
        ),
        WantedStorage(pool=StoragePoolName("v"), provider="LVM_THIN", place="vg0/thin"),
    )
    (tmp_path / "var/lib/tidegate").mkdir(parents=True)
    keeper.Keeper(tmp_path / "var/lib/tidegate").save(WantedMap(node=NodeName("n1"), storage=rows))
    found = await unitview.look(tmp_path, Config())
    assert found.storage_pools is not None
    assert [pool.places for pool in found.storage_pools] == [("/srv/f",), ()]
    assert found.remembered == ("LINSTOR's storage pools on this node",)
