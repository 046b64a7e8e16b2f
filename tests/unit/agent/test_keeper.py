# SPDX-License-Identifier: Apache-2.0
"""The kept map: what was good stays, what is damaged is said and never believed."""

from pathlib import Path

import msgspec
import pytest

from tidegate.agent.keeper import Keeper
from tidegate.clients.errors import ClientError
from tidegate.core.ids import (
    InstanceId,
    InstanceName,
    NodeName,
    PoolName,
    ProjectName,
    ResourceName,
    VolumeId,
)
from tidegate.core.wanted import WantedInstance, WantedMap, WantedVolume

VOLUME = VolumeId(ResourceName("incus-volume-1"), 0)
MAP = WantedMap(
    saved_at=1000.0,
    boot_id="boot-a",
    node=NodeName("n1"),
    volumes=(WantedVolume(id=VOLUME, pool=PoolName("remote"), content="ext4"),),
    instances=(
        WantedInstance(
            id=InstanceId(ProjectName("default"), InstanceName("c1")), volumes=(VOLUME,)
        ),
    ),
)


def test_what_was_saved_is_loaded_by_the_next_agent(tmp_path: Path) -> None:
    assert Keeper(tmp_path).save(MAP)
    assert Keeper(tmp_path).load() == (MAP, None)


def test_a_new_date_alone_is_not_worth_a_write(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path)
    keeper.save(MAP)
    assert not keeper.save(msgspec.structs.replace(MAP, saved_at=2000.0, boot_id="boot-b"))
    assert keeper.save(msgspec.structs.replace(MAP, node=NodeName("n2")))


def test_no_file_is_no_trouble(tmp_path: Path) -> None:
    assert Keeper(tmp_path).load() == (None, None)


@pytest.mark.parametrize("text", ["", "{", '{"node": 7}', '{"node": "n1", "format": 99}'])
def test_a_damaged_file_is_said_and_not_believed(tmp_path: Path, text: str) -> None:
    (tmp_path / "wanted.json").write_text(text)
    kept, trouble = Keeper(tmp_path).load()
    assert kept is None
    assert trouble is not None
    assert trouble.code == "wanted.unusable"
    assert str(tmp_path / "wanted.json") in trouble.text


def test_a_place_that_cannot_be_written_is_an_error_and_keeps_the_old_map(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path / "missing")
    with pytest.raises(ClientError, match="missing"):
        keeper.save(MAP)
